"""What a fine-tuning brought: parent and child on the same held pictures, task by task, in figures and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from mtl_model.batches import Labelled
from mtl_model.card import Card
from mtl_model.evaluation import class_rows, confusion, network_outputs, range_rows, year_rows
from mtl_model.names import isolated
from mtl_model.outputs import OUTPUTS, distributions
from mtl_model.tasks import Task

RESAMPLES = 2000
SHOWN = 24  # pictures that changed for the better, and as many for the worse

Chances = Mapping[str, np.ndarray]


def outcome_of(
    parent: tuple[nn.Module, Card],
    child: tuple[nn.Module, Card],
    held: Labelled,
    files: Sequence[str],
    taught: set[str],
) -> dict[str, Any]:
    """{"tasks", "changed", "pictures", "sentence"} as outcome.json holds them. files: a name for each row of held."""
    before, after = (distributions(network_outputs(network, held, card), card) for network, card in (parent, child))
    told = (_answers(card, chances) for (_, card), chances in ((parent, before), (child, after)))
    answers_before, answers_after = told
    tasks: dict[str, Any] = {}
    pictures: dict[str, list[dict[str, str]]] = {"better": [], "worse": []}
    for task in child[1].tasks:
        known = held.known[task.name].numpy()
        if task.name not in taught or not known.any():
            continue
        targets, rows = held.targets[task.name].numpy()[known], np.flatnonzero(known)
        tasks[task.name] = _compare(task, before.get(task.name), after[task.name], known, targets)
        if task.name in before:
            worse, better = (_errors(task, chances[task.name][known], targets)[1] for chances in (before, after))
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
                            "truth": _text(truth),
                            "before": answers_before[task.name][row],
                            "after": answers_after[task.name][row],
                        }
                    )
    changed = {
        name: round(float(np.mean(np.array(answers_before[name]) != np.array(answers_after[name]))), 4)
        for name in answers_before
        if name not in taught
    }
    titles = {task.name: task.title for task in child[1].tasks}
    return {"tasks": tasks, "changed": changed, "pictures": pictures, "sentence": sentence_of(tasks, changed, titles)}


def _answers(card: Card, chances: Chances) -> dict[str, list[str]]:
    return {
        task.name: [
            OUTPUTS[task.kind].estimate(task, row, card.calibration_of(task.name)).text for row in chances[task.name]
        ]
        for task in card.tasks
    }


def _text(label: object) -> str:
    if isinstance(label, tuple):
        return f"{label[0]:g} to {label[1]:g} years"
    return f"{label:g} years" if isinstance(label, (int, float)) else str(label)


def _errors(task: Task, chances: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
    """The metric that counts, and each row's error: wrong or not, or years. Ages known as ranges count by the range."""
    if task.kind != "years":
        return "accuracy", 1 - class_rows(chances, targets)["right"]
    exact = targets[:, 0] == targets[:, 1]
    if exact.all():
        return "mae", year_rows(task, chances, targets, 0.0)["error"]
    if not exact.any():
        return "accuracy_ranges", 1 - range_rows(chances, targets)["right"]
    return "mae", np.where(exact, year_rows(task, chances, targets, 0.0)["error"], np.nan)


def _compare(
    task: Task, before: np.ndarray | None, after: np.ndarray, known: np.ndarray, targets: np.ndarray
) -> dict[str, Any]:
    metric, errors = _errors(task, after[known], targets)
    counted = np.isfinite(errors)
    years = metric == "mae"

    def figure(some: np.ndarray) -> float:
        mean = float(some[counted].mean())
        return round(mean if years else 1 - mean, 4)

    result: dict[str, Any] = {
        "title": task.title,
        "metric": metric,
        "unit": "years" if years else "share",
        "new": before is None,
        "before": None,
        "after": figure(errors),
        "interval": _interval(errors[counted], years),
        "difference": None,
        "n": int(counted.sum()),
    }
    if before is not None:
        old = _errors(task, before[known], targets)[1]
        result["before"] = figure(old)
        result["difference"] = _paired((errors - old)[counted] * (1 if years else -1))
    if task.kind != "years":
        result["classes"] = list(task.classes)
        for name, chances in (("confusion_before", before), ("confusion_after", after)):
            result[name] = None if chances is None else confusion(task, chances[known], targets)
    return result


def _interval(errors: np.ndarray, years: bool) -> list[float]:
    """The 95 % interval of the figure itself; of a share Wilson's, which few pictures do not fool."""
    if years:
        return _paired(errors)
    from scipy.stats import binomtest

    found = binomtest(round(float((1 - errors).sum())), len(errors)).proportion_ci(method="wilson")
    return [round(float(found.low), 4), round(float(found.high), 4)]


def _paired(differences: np.ndarray) -> list[float]:
    """The 95 % percentile bootstrap interval of a mean difference over the same pictures."""
    random, count = np.random.default_rng(0), len(differences)
    means = [differences[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    return [round(float(one), 4) for one in np.quantile(means, (0.025, 0.975))]


def sentence_of(tasks: Mapping[str, Mapping[str, Any]], changed: Mapping[str, float], titles: Mapping[str, str]) -> str:
    """What it brought, as people say it."""
    parts = [_told(one) for one in tasks.values()]
    same = [isolated(titles[name].lower()) for name, share in changed.items() if share == 0]
    if same:
        joined = same[0] if len(same) == 1 else f"{', '.join(same[:-1])} and {same[-1]}"
        parts.append(f"{joined[0].upper()}{joined[1:]} unchanged.")
    parts += [
        f"{isolated(titles[name])}: {100 * share:.0f} % of the answers changed."
        for name, share in changed.items()
        if share
    ]
    return " ".join(parts) or "No held-out picture could be measured."


def verdict_of(one: Mapping[str, Any]) -> str:
    """What a task's difference is worth in words: chance, where the interval contains 0 and more."""
    if one.get("new"):
        return "new"
    interval = one.get("difference")
    if not interval:
        return "not compared"
    low, high = interval
    if low == high == 0:
        return "the same"
    if low <= 0 <= high:
        return "could be chance"
    return "better" if (high < 0) == (one.get("unit") == "years") else "worse"


def _told(one: Mapping[str, Any]) -> str:
    years = one["unit"] == "years"

    def shown(value: float) -> str:
        return f"{value:.1f}" if years else f"{100 * value:.0f}"

    what = "years of error on" if years else "% right of"
    pictures = f"{one['n']} held-out picture{'' if one['n'] == 1 else 's'}"
    if one["before"] is None:
        return f"{isolated(one['title'])}: {shown(one['after'])} {what} {pictures}, newly learned."
    verdict = verdict_of(one)
    if verdict == "the same":
        return f"{isolated(one['title'])}: {shown(one['after'])} {what} {pictures}, as before."
    return f"{isolated(one['title'])}: {shown(one['before'])} → {shown(one['after'])} {what} {pictures} ({verdict})."
