"""A trained checkpoint fitted again on val of several data sets: temperatures, the interval's margin, and what the error is for
faces like one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from torch import nn

from mtl_model import kinds, layouts
from mtl_model.card import Card, expect_tasks
from mtl_model.data import pseudo_labels
from mtl_model.data.batches import Labelled
from mtl_model.errors import DataError, UsageError
from mtl_model.evaluate.calibration import fit
from mtl_model.evaluate.metrics import network_outputs, read_labelled, untaught
from mtl_model.events import Noted, Progress, silent
from mtl_model.inference import predictions
from mtl_model.kinds import LEAST_FITTED, Fitted, LeftOut, Steps
from mtl_model.tasks import Task

SPLIT = "val"
Stranger = tuple[nn.Module, Card, str]
"""A loaded checkpoint, and the data set that it never saw, KIND:DIR."""
LEAST_LIKE = 50
"""Faces from which an error for faces like one is told."""


def recalibrate(
    network: nn.Module,
    card: Card,
    specs: Sequence[str],
    *,
    options: Mapping[str, str] | None = None,
    flip_averaging: bool | None = None,
    only_errors: bool = False,
    left_out: Sequence[Stranger] = (),
    device: str = "cpu",
    progress: Progress = silent,
    note: Callable[[Noted], None] = lambda noted: None,
) -> Card:
    """The card with its calibration and errors measured on the val splits of all sources together. A task of which val has
    fewer than LEAST_FITTED labels keeps what it had; figures that were measured with another calibration go.
    flip_averaging: None leaves it as it is. only_errors: the calibration stays as it is, and so do the figures.
    left_out: by these each kind allows for sets that were never seen; none: answers are as on the sources. note: is told what a
    person should know of it.

    Raises DataError for a source without labelled pictures in val, and where no task has enough of them."""
    expect_tasks(card)
    before = card
    if flip_averaging and not card.crop.mirror:
        raise UsageError(
            "--flip-averaging is on, and this checkpoint's card forbids mirror images. Expected off; leave it away."
        )
    if flip_averaging is not None:
        card = dataclasses.replace(card, flip_averaging=flip_averaging)
    read = [_read(spec, card, options, progress, note) for spec in specs]
    data = Labelled([part for labelled in read for part in labelled.parts], card.tasks)
    outputs = network_outputs(network, data, card, device)
    enough = tuple(task for task in card.tasks if int(data.known[task.name].sum()) >= LEAST_FITTED)
    if not enough:
        raise DataError(
            f"Split '{SPLIT}' has fewer than {LEAST_FITTED} labels of every task, too few to fit by. Add pictures."
        )
    kept = {task.name: card.calibration_of(task.name) for task in enough}
    fitted = kept if only_errors else fit(enough, outputs, data.targets, data.known, data.quality)
    if left_out and not only_errors:
        fitted |= _for_strangers(enough, fitted, left_out, options, device, progress, note)
    card = dataclasses.replace(card, calibration={**card.calibration, **fitted})
    errors = {
        task: rows for task, rows in errors_like(card, predictions(outputs, card, data.quality), data) if task in fitted
    }
    same = (card.calibration, card.flip_averaging) == (before.calibration, before.flip_averaging)
    return dataclasses.replace(card, errors={**card.errors, **errors}, metrics=card.metrics if same else ())


def _read(
    spec: str,
    card: Card,
    options: Mapping[str, str] | None,
    progress: Progress,
    note: Callable[[Noted], None],
) -> Labelled:
    """Val of a source, without what the card was fine-tuned with."""
    source = layouts.read_as(layouts.read(spec, layouts.options_for(spec, options or {})), card.tasks)
    names = {task.name for task in card.tasks}
    samples = pseudo_labels.with_labels(source.in_split(SPLIT), card.tasks)
    if not samples:
        raise DataError(
            f"Split '{SPLIT}' of {spec} holds no picture of {', '.join(sorted(names))}. Give another source."
        )
    samples = untaught(samples, card, SPLIT, spec, note)
    return read_labelled(source, samples, card, progress)


def _for_strangers(
    tasks: Sequence[Task],
    fitted: Mapping[str, Fitted],
    left_out: Sequence[Stranger],
    options: Mapping[str, str] | None,
    device: str,
    progress: Progress,
    note: Callable[[Noted], None],
) -> dict[str, Fitted]:
    """{task: its calibration by the sets that checkpoints never saw too}, of tasks with enough labels there."""
    sets: dict[str, list[LeftOut]] = {}
    for network, card, spec in left_out:
        data = _read(spec, card, options, progress, note)
        answers = predictions(network_outputs(network, data, card, device), card, data.quality)
        for task in card.tasks:
            known = data.known[task.name].numpy()
            if known.sum() >= LEAST_FITTED:
                targets, own = data.targets[task.name].numpy()[known], card.calibration_of(task.name)
                sets.setdefault(task.name, []).append(LeftOut(answers[task.name][known], targets, own))
    for task in tasks:
        note(Noted("unseen_sets", {"title": task.title, "sets": len(sets.get(task.name, ()))}))
    return {
        task.name: kinds.of(task).for_strangers(task, fitted[task.name], sets[task.name])
        for task in tasks
        if task.name in sets
    }


def errors_like(
    card: Card, predicted: Mapping[str, np.ndarray], data: Labelled
) -> Iterator[tuple[str, tuple[dict[str, Any], ...]]]:
    """(task, rows) as Card.errors holds them: the error by the task's answer (class, or band of age) and by how certain it is
    (the answer's probability, or the width of its interval in years).

    A rate over all faces of an answer would stand under an unsure one as if it were certain: of val's faces that default
    answers "female" 4 % are wrong, of those that it answers so with 50 to 60 % 37 %."""
    for task in card.tasks:
        kind, known = kinds.of(task), data.known[task.name].numpy()
        if kind.steps is None or not known.any():
            continue
        of, targets = predicted[task.name][known], data.targets[task.name].numpy()[known]
        metric, errors = kind.compare(task, of, targets)
        if metric != kind.headlines[0]:
            continue  # ages known as ranges alone have no error in years
        counted = np.isfinite(errors)
        answers, spreads = kind.alike(task, of[counted], card.calibration_of(task.name))
        errors = errors[counted]
        rows = [
            {
                "group": {task.name: answer},
                "range": list(edges),
                "error": round(float(errors[these].mean()), 4),
                "n": len(these),
            }
            for answer in np.unique(answers).tolist()
            for edges, these in bins(spreads, np.flatnonzero(answers == answer), kind.steps)
        ]
        if kind.steps.are_chances:
            rows = [row for row in rows if _agrees(row)]
        if rows:
            yield task.name, tuple(rows)


def bins(values: np.ndarray, rows: np.ndarray, steps: Steps) -> Iterator[tuple[tuple[float, float], np.ndarray]]:
    """(edges, rows) of bins with at least LEAST_LIKE of the given rows of values (N,), from small to large: neighbouring steps
    merged until there are enough. What would have to span more than steps.widest is left out."""
    step = np.searchsorted(steps.edges, values[rows], side="right") - 1
    first = 0
    for last in range(len(steps.edges) - 1):
        while first < last and (
            steps.edges[last + 1] - steps.edges[first] > steps.widest + 1e-9 or not np.any(step == first)
        ):
            first += 1
        these = rows[(step >= first) & (step <= last)]
        if len(these) >= LEAST_LIKE:
            yield (steps.edges[first], steps.edges[last + 1]), these
            first = last + 1


def _agrees(row: Mapping[str, Any]) -> bool:
    """Return whether the share of wrong answers could come from answers of these probabilities. One that could not contradicts
    the probability above it, and two figures that contradict each other help nobody."""
    low, high = row["range"]
    share = binomtest(round(row["error"] * row["n"]), row["n"]).proportion_ci(0.99, method="wilson")
    return bool(share.low <= 1 - low and share.high >= 1 - high)
