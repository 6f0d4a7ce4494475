"""What a fine-tuning brought: parent and child on the same held pictures, task by task, in figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.data.batches import Labelled
from mtl_model.kinds import SHARE
from mtl_model.records import Estimate
from mtl_model.tasks import Task

RESAMPLES = 2000
SHOWN = 24  # pictures that changed for the better, and as many for the worse

Predictions = Mapping[str, np.ndarray]
Answered = tuple[Predictions, Card]
"""{task: predictions of the same pictures, one row each}, and the card that calibrates them."""


def outcome_of(
    before: Answered,
    after: Answered,
    data: Labelled,
    files: Sequence[str],
    taught: set[str],
    folds: Mapping[str, int] | None = None,
    changed: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Compare the answers of parent and child.

    before, after: by networks that did not learn from the pictures; a task that is missing in the first is new. files: a name
    for each picture. folds: {task: number}, of the tasks whose pictures were held out in turn. changed: {task: share of answers
    that changed} of the tasks that were not taught, if it is known.
    Returns {"tasks", "changed", "shifts", "titles", "pictures"} as outcome.json holds them."""
    told_before, told_after = _estimates(before), _estimates(after)
    answers_before, answers_after = (
        {name: [_said(one) for one in some] for name, some in told.items()} for told in (told_before, told_after)
    )
    tasks: dict[str, Any] = {}
    pictures: dict[str, list[dict[str, str]]] = {"wrong": [], "better": [], "worse": []}
    for task in kinds.shown(after[1].tasks):
        known = data.known[task.name].numpy()
        if task.name not in taught or not known.any():
            continue
        targets, rows = data.targets[task.name].numpy()[known], np.flatnonzero(known)
        parents = before[0][task.name][known] if task.name in before[0] else None
        calibration = after[1].calibration_of(task.name)
        tasks[task.name] = _compare(task, parents, after[0][task.name][known], targets, calibration)
        tasks[task.name]["folds"] = (folds or {}).get(task.name, 0)
        compare = kinds.of(task).compare

        def shown(row: int, task: Task = task) -> dict[str, str]:
            truth = kinds.of(task).label_text(task, data.samples[row].labels[task.name])
            said = {"after": answers_after[task.name][row]}
            said |= {"before": answers_before[task.name][row]} if task.name in answers_before else {}
            return {"file": files[row], "task": task.name, "truth": truth, **said}

        error = np.nan_to_num(
            compare(task, after[0][task.name][known], targets)[1]
        )  # a range of ages has none in years
        surest = np.array([_confidence(task, row, calibration) for row in after[0][task.name][known]])
        wrong = np.lexsort((-surest, -error))[:SHOWN].tolist()
        pictures["wrong"] += [shown(int(rows[place])) for place in wrong if error[place] > 0]
        if task.name in before[0]:
            gain = np.nan_to_num(compare(task, before[0][task.name][known], targets)[1]) - error
            for place in np.argsort(-np.abs(gain), kind="stable").tolist():
                row = int(rows[place])
                some = pictures["better" if gain[place] > 0 else "worse"]
                moved = answers_before[task.name][row] != answers_after[task.name][row] and gain[place]
                if moved and len(some) < SHOWN:
                    some.append(shown(row))
    changed = changed or {
        name: round(float(np.mean(np.array(answers_before[name]) != np.array(answers_after[name]))), 4)
        for name in answers_before
        if name not in taught and name in answers_after
    }
    moved = [task for task in after[1].tasks if changed.get(task.name)]
    shifts = {task.name: shift for task in moved if (shift := _shift(task, told_before, told_after))}
    titles = {task.name: task.title for task in after[1].tasks if task.name in changed}
    return {"tasks": tasks, "changed": changed, "shifts": shifts, "titles": titles, "pictures": pictures}


def curve_of(
    task: Task,
    curve: Mapping[int, np.ndarray],
    targets: np.ndarray,
    calibration: kinds.Fitted,
    quality: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return {"curve": [[pictures, figure], ...], "twice": the figure that twice as many may give}.

    curve: {pictures: out-of-fold logits}. By a power law: an error shrinks by the same share with each doubling (Hestness et al.,
    "Deep Learning Scaling is Predictable, Empirically", 2017, section 3), as by the mean of the last two, and never grows."""
    kind = kinds.of(task)
    figures = {
        pictures: _compare(task, None, kind.predict(task, logits, calibration, quality), targets, calibration)
        for pictures, logits in sorted(curve.items())
    }
    points = [[pictures, figure["after"]] for pictures, figure in figures.items()]
    lower = kind.metrics[next(iter(figures.values()))["metric"]].lower_is_better
    errors = np.array([figure if lower else 1 - figure for _, figure in points])
    shrinking = float(min(1.0, (errors[-1] / max(errors[0], 1e-9)) ** (1 / (len(errors) - 1))))
    last = float(errors[-1]) * shrinking
    return {"curve": points, "twice": round(last if lower else 1 - last, 4)}


def _confidence(task: Task, prediction: np.ndarray, calibration: kinds.Fitted) -> float:
    return kinds.of(task).estimate(task, prediction, calibration).confidence or 0.0


def _estimates(answered: Answered) -> dict[str, list[Estimate]]:
    predicted, card = answered
    return {
        task.name: [kinds.of(task).estimate(task, row, card.calibration_of(task.name)) for row in predicted[task.name]]
        for task in kinds.shown(card.tasks)
        if task.name in predicted
    }


def _shift(
    task: Task, before: Mapping[str, Sequence[Estimate]], after: Mapping[str, Sequence[Estimate]]
) -> dict[str, Any]:
    """Return {"mean", "groups", "unit"}: how far numbers moved on average, and the share whose group changed; {} of words."""
    pairs = [*zip(before[task.name], after[task.name], strict=True)]
    if not all(isinstance(one.value, float) and one.group for pair in pairs for one in pair):
        return {}
    mean = float(np.mean([float(new.value) - float(old.value) for old, new in pairs]))
    groups = float(np.mean([old.group != new.group for old, new in pairs]))
    metrics = kinds.of(task).metrics
    unit = metrics[kinds.headline(metrics)].unit_for(task)
    return {"mean": round(mean, 2), "groups": round(groups, 4), "unit": unit}


def _said(estimate: Estimate) -> str:
    """The answer as people read it; of points, where they lie."""
    return str(estimate.value) if estimate.points else estimate.text


def _compare(
    task: Task, before: np.ndarray | None, after: np.ndarray, targets: np.ndarray, calibration: kinds.Fitted
) -> dict[str, Any]:
    """before, after: predictions of the labelled pictures alone."""
    kind = kinds.of(task)
    name, errors = kind.compare(task, after, targets)
    counted, groups = np.isfinite(errors), None
    weights = np.ones(len(errors))
    if balance := kind.balance(task, targets):
        name, groups = balance
        sizes = np.bincount(groups)
        weights = (len(groups) / (len(sizes) * sizes))[groups]
    metric = kind.metrics[name]

    def figure(of: np.ndarray) -> float:
        mean = float((weights * of)[counted].mean())
        return round(mean if metric.lower_is_better else 1 - mean, 4)

    def gained(other: np.ndarray) -> list[float]:
        """By how much the errors are fewer than these, as an interval; more of a metric that grows is better."""
        return _paired((weights * (errors - other))[counted] * (1 if metric.lower_is_better else -1))

    result: dict[str, Any] = {
        "title": task.title,
        "metric": name,
        "unit": metric.unit_for(task),
        "new": before is None,
        "before": None,
        "after": figure(errors),
        "interval": _interval(errors[counted], metric.unit, None if groups is None else groups[counted]),
        "difference": None,
        "n": int(counted.sum()),
    }
    if before is not None:
        old = kind.compare(task, before, targets)[1]
        result["before"], result["difference"] = figure(old), gained(old)
    if (row := kind.guess(task, targets)) is not None:
        blind = kind.compare(task, np.repeat(row[None], len(targets), 0), targets)[1]
        low, high = gained(blind)
        result["guess"] = figure(blind)
        result["beats_guess"] = high < 0 if metric.lower_is_better else low > 0
    if reliability := kind.reliability(task, after, targets, calibration):
        result["reliability"] = dataclasses.asdict(reliability)
    if (confusion := kind.confusion(task, after, targets)) is not None:
        result["classes"] = list(kind.choices(task))
        result["confusion_before"] = None if before is None else kind.confusion(task, before, targets)
        result["confusion_after"] = confusion
    return result


def _interval(errors: np.ndarray, unit: str, groups: np.ndarray | None = None) -> list[float]:
    """The 95 % interval of the figure itself; of a share Wilson's, which few pictures do not fool; of a mean of several shares
    theirs joined (Newcombe, "Interval Estimation for the Difference Between Independent Proportions", 1998, method 10)."""
    if unit != SHARE:
        return _paired(errors)
    from scipy.stats import binomtest

    parts = [errors] if groups is None else [errors[groups == group] for group in np.unique(groups)]
    shares = np.array([1 - part.mean() for part in parts])
    intervals = [binomtest(round(float((1 - part).sum())), len(part)).proportion_ci(method="wilson") for part in parts]
    below, above = (
        float(np.sqrt(np.square(ends - shares).sum())) / len(parts)
        for ends in (np.array([one.low for one in intervals]), np.array([one.high for one in intervals]))
    )
    return [round(max(0.0, float(shares.mean()) - below), 4), round(min(1.0, float(shares.mean()) + above), 4)]


def _paired(differences: np.ndarray) -> list[float]:
    """The 95 % percentile bootstrap interval of a mean difference over the same pictures."""
    random, count = np.random.default_rng(0), len(differences)
    means = [differences[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
    return [round(float(one), 4) for one in np.quantile(means, (0.025, 0.975))]
