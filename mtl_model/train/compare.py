"""What a fine-tuning brought: parent and child on the same held pictures, task by task, in figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.inference import predictions
from mtl_model.kinds import SHARE
from mtl_model.records import Estimate
from mtl_model.tasks import Task

RESAMPLES = 2000
SHOWN = 24  # pictures that changed for the better, and as many for the worse

Predictions = Mapping[str, np.ndarray]


def outcome_of(
    parent: tuple[nn.Module, Card],
    child: tuple[nn.Module, Card],
    held: Labelled,
    files: Sequence[str],
    taught: set[str],
) -> dict[str, Any]:
    """{"tasks", "changed", "titles", "pictures"} as outcome.json holds them. files: a name for each row of held."""
    before, after = (
        predictions(network_outputs(network, held, card), card, held.quality) for network, card in (parent, child)
    )
    told = (_answers(card, chances) for (_, card), chances in ((parent, before), (child, after)))
    answers_before, answers_after = told
    tasks: dict[str, Any] = {}
    pictures: dict[str, list[dict[str, str]]] = {"better": [], "worse": []}
    for task in kinds.shown(child[1].tasks):
        known = held.known[task.name].numpy()
        if task.name not in taught or not known.any():
            continue
        targets, rows = held.targets[task.name].numpy()[known], np.flatnonzero(known)
        tasks[task.name] = _compare(task, before.get(task.name), after[task.name], known, targets)
        if task.name in before:
            compare = kinds.of(task).compare
            worse, better = (compare(task, answers[task.name][known], targets)[1] for answers in (before, after))
            gain = np.nan_to_num(worse - better)  # a range among exact ages has no error in years
            for place in np.argsort(-np.abs(gain), kind="stable").tolist():
                row = int(rows[place])
                if answers_before[task.name][row] == answers_after[task.name][row] or not gain[place]:
                    continue
                some = pictures["better" if gain[place] > 0 else "worse"]
                truth = held.samples[row].labels[task.name]
                if len(some) < SHOWN:
                    some.append(
                        {
                            "file": files[row],
                            "task": task.name,
                            "truth": kinds.of(task).label_text(task, truth),
                            "before": answers_before[task.name][row],
                            "after": answers_after[task.name][row],
                        }
                    )
    changed = {
        name: round(float(np.mean(np.array(answers_before[name]) != np.array(answers_after[name]))), 4)
        for name in answers_before
        if name not in taught
    }
    titles = {task.name: task.title for task in child[1].tasks if task.name in changed}
    return {"tasks": tasks, "changed": changed, "titles": titles, "pictures": pictures}


def _answers(card: Card, predicted: Predictions) -> dict[str, list[str]]:
    return {
        task.name: [
            _said(kinds.of(task).estimate(task, row, card.calibration_of(task.name))) for row in predicted[task.name]
        ]
        for task in kinds.shown(card.tasks)
    }


def _said(estimate: Estimate) -> str:
    """The answer as people read it; of points, where they lie."""
    return str(estimate.value) if estimate.points else estimate.text


def _compare(
    task: Task, before: np.ndarray | None, after: np.ndarray, known: np.ndarray, targets: np.ndarray
) -> dict[str, Any]:
    kind = kinds.of(task)
    name, errors = kind.compare(task, after[known], targets)
    metric, counted = kind.metrics[name], np.isfinite(errors)

    def figure(of: np.ndarray) -> float:
        mean = float(of[counted].mean())
        return round(mean if metric.lower_is_better else 1 - mean, 4)

    result: dict[str, Any] = {
        "title": task.title,
        "metric": name,
        "unit": metric.unit_for(task),
        "new": before is None,
        "before": None,
        "after": figure(errors),
        "interval": _interval(errors[counted], metric.unit),
        "difference": None,
        "n": int(counted.sum()),
    }
    if before is not None:
        old = kind.compare(task, before[known], targets)[1]
        result["before"] = figure(old)
        result["difference"] = _paired((errors - old)[counted] * (1 if metric.lower_is_better else -1))
    if (confusion := kind.confusion(task, after[known], targets)) is not None:
        result["classes"] = list(kind.choices(task))
        result["confusion_before"] = None if before is None else kind.confusion(task, before[known], targets)
        result["confusion_after"] = confusion
    return result


def _interval(errors: np.ndarray, unit: str) -> list[float]:
    """The 95 % interval of the figure itself; of a share Wilson's, which few pictures do not fool."""
    if unit != SHARE:
        return _paired(errors)
    from scipy.stats import binomtest

    share = binomtest(round(float((1 - errors).sum())), len(errors)).proportion_ci(method="wilson")
    return [round(float(share.low), 4), round(float(share.high), 4)]


def _paired(differences: np.ndarray) -> list[float]:
    """The 95 % percentile bootstrap interval of a mean difference over the same pictures."""
    random, count = np.random.default_rng(0), len(differences)
    means = [differences[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    return [round(float(one), 4) for one in np.quantile(means, (0.025, 0.975))]
