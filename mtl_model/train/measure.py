"""Measure fitted branches by answers that did not know their pictures: figures, curve, suspects, wrong answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mtl_model.data.batches import Labelled
from mtl_model.evaluate import calibration
from mtl_model.inference import predictions
from mtl_model.kinds import Fitted
from mtl_model.train.compare import Predictions, curve_of, outcome_of
from mtl_model.train.features import Seen
from mtl_model.train.fit import Fit
from mtl_model.train.lesson import Lesson
from mtl_model.train.suspects import suspects_of


def crossed(lesson: Lesson, data: Labelled, fits: Mapping[str, Fit]) -> tuple[Predictions, dict[str, Fitted]]:
    """Return the answers out of fold, calibrated, and what calibrates them."""
    outputs = {name: torch.zeros(len(data), fitted.out_of_fold.shape[1]) for name, fitted in fits.items()}
    for name, fitted in fits.items():
        outputs[name][data.known[name]] = torch.from_numpy(fitted.out_of_fold)
    tasks = tuple(task for task in lesson.taught if task.name in fits)
    fitting = lesson.cautious(calibration.fit(tasks, outputs, data.targets, data.known, data.quality))
    card = dataclasses.replace(lesson.card, tasks=tasks, calibration=fitting)
    return predictions(outputs, card, data.quality), fitting


def measure(
    lesson: Lesson,
    data: Labelled,
    seen: Seen,
    fits: Mapping[str, Fit],
    answers: Predictions,
    fitting: Mapping[str, Fitted],
    changed: Mapping[str, float],
) -> dict[str, Any]:
    """Compare the answers out of fold with those of the parent; see `outcome_of`. changed: of the tasks that are not taught."""
    known = tuple(task for task in lesson.taught if task.name in seen.logits)
    logits = {name: torch.from_numpy(values) for name, values in seen.logits.items()}
    before = predictions(logits, dataclasses.replace(lesson.card, tasks=known), data.quality)
    after = dataclasses.replace(
        lesson.card,
        tasks=(*lesson.card.tasks, *lesson.new),
        calibration={**lesson.card.calibration, **fitting},
    )
    folds = {name: len(np.unique(lesson.folds[data.known[name].numpy()])) for name in fits}
    return outcome_of((before, lesson.card), (answers, after), data, lesson.files(data), set(fits), folds, changed)


def beside(
    lesson: Lesson, data: Labelled, fits: Mapping[str, Fit], answers: Predictions, fitting: Mapping[str, Fitted]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return {task: its learning curve}, and the labels that look wrong."""
    files, curves, suspects = lesson.files(data), {}, []
    for task in lesson.taught:
        if task.name not in fits:
            continue
        rows = np.flatnonzero(data.known[task.name].numpy())
        labels = [data.samples[row].labels[task.name] for row in rows]
        suspects += suspects_of(task, answers[task.name][rows], labels, [files[row] for row in rows])
        targets = data.targets[task.name].numpy()[rows]
        curves[task.name] = curve_of(task, fits[task.name].curve, targets, fitting[task.name], data.quality[rows])
    return curves, suspects
