"""Say before a learning what it would reach, what would make it better, and which pictures to label next.

It is the fit that a learning of the branch alone makes, on the same features, measured in the same way; nothing is kept but the
features.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl_model import kinds, layouts, wording
from mtl_model.config import FinetuneConfig
from mtl_model.data import cache, dataset_edits, facts, harmful
from mtl_model.data.batches import Labelled
from mtl_model.errors import MtlError
from mtl_model.events import Progress, silent
from mtl_model.records import PICTURE, Sample
from mtl_model.tasks import Task
from mtl_model.train.branch import weights_of
from mtl_model.train.features import Seen, look
from mtl_model.train.fit import Features, Fit, fit
from mtl_model.train.lesson import Lesson, prepare
from mtl_model.train.measure import beside, crossed, measure
from mtl_model.train.splits import LEAST_GUESSED, check_counts, read_source

TRAP = 0.75  # balanced accuracy of facts that have nothing to do with the face, from which on they are named
NEXT, CONSIDERED = 12, 5  # pictures to label next; out of so many times as many that are least certain


def forecast(
    config: FinetuneConfig, root: Path | None, parent: Path, device: str = "cpu", progress: Progress = silent
) -> dict[str, Any]:
    """Fit each task of a folder of pictures to features of the parent, and measure it by nested cross-validation.

    config: as of a fine-tuning. root: folder of the cache, where the features stay for the learning; none are kept if not given.

    Returns {"parent", "seconds", "tasks": {task: as in outcome.json}, "refused": {task: {"title", "code", "message"}},
    "suspects", "harmful": as `harmful.harmful` has them, "traps": {task: {"title", "right", "fact", "alone", "means"}},
    "suggestions": [{"file", "task", "guess", "certain"}], "guesses": see `_guess`, "edits": the changes that it knows of}.
    Raises as `read_source` does."""
    began, source = time.monotonic(), read_source(config)
    result: dict[str, Any] = {"parent": parent.name, "tasks": {}, "refused": {}, "traps": {}, "guesses": {}}
    result |= {"suspects": [], "harmful": [], "suggestions": []}
    for name, task in source.tasks.items():
        try:
            alone = dataclasses.replace(config, tasks=name)
            lesson, _ = prepare(alone, root or cache.default_root(), root, parent, device, progress, LEAST_GUESSED)
        except MtlError as error:
            result["refused"][name] = {"title": task.title, "code": error.code, "message": str(error)}
            continue
        task = lesson.taught[0]
        if not lesson.convex:
            words = wording.text("not_forecast", {"title": task.title})
            result["refused"][name] = {"title": task.title, "code": "not_forecast", "message": words}
            continue
        data = lesson.labelled("train")
        seen, fits = lesson.fit(data, [task])
        found = _guess(lesson, task, seen, fits[name], progress)
        try:
            usable = [sample for samples, _, _ in lesson.parts.values() for sample in samples]
            check_counts(usable, {name: task})
            found |= _of_task(lesson, task, data, seen, fits, progress)
        except MtlError as error:  # enough to guess by, too few to say how well
            result["refused"][name] = {"title": task.title, "code": error.code, "message": str(error)}
        for key, value in found.items():
            result[key] = result[key] | value if isinstance(value, dict) else result[key] + value
    edits = dataset_edits.read_changes(Path(config.changes)) if config.changes else dataset_edits.Changes()
    return result | {"seconds": round(time.monotonic() - began, 1), "edits": dataclasses.asdict(edits)}


def _of_task(
    lesson: Lesson, task: Task, data: Labelled, seen: Seen, fits: Mapping[str, Fit], progress: Progress
) -> dict[str, Any]:
    answers, fitting = crossed(lesson, data, fits)
    found = measure(lesson, data, seen, fits, answers, fitting, {})
    curves, suspects = beside(lesson, data, fits, answers, fitting)
    figures, files = found["tasks"][task.name] | curves[task.name], lesson.files(data)
    known = facts.facts_of(data.samples, files)
    trap, harm = _trap(task, data, known, lesson.folds), []
    if lesson.card.subject != PICTURE:
        faces = cache.faces_of([sample.path for sample in data.samples], lesson.card.detection, lesson.root, progress)
        sizes = np.concatenate([known["width"], known["height"]], 1)
        harm = harmful.harmful(task, data.samples, files, data.quality, faces, sizes)
    return {
        "tasks": {task.name: figures},
        "suspects": suspects,
        "traps": {task.name: trap} if trap else {},
        "harmful": harm,
    }


def _trap(task: Task, data: Labelled, known: Features, folds: np.ndarray) -> dict[str, Any]:
    """Return by what has nothing to do with the face the classes can be told; {} if not as often as TRAP, or without classes."""
    targets = data.targets[task.name].numpy()
    if not kinds.of(task).choices(task):
        return {}
    together = {"all": np.concatenate([*known.values()], 1)}
    right = _right(task, targets, together, folds)
    if right <= TRAP:
        return {}
    alone = {name: _right(task, targets, {name: values}, folds) for name, values in known.items()}
    fact = max(alone, key=lambda name: alone[name])
    groups = np.array(kinds.of(task).choices(task))[targets]
    means = facts.means(known, fact, groups)
    return {"title": task.title, "right": round(right, 4), "fact": fact, "alone": round(alone[fact], 4), "means": means}


def _right(task: Task, targets: np.ndarray, features: Features, folds: np.ndarray) -> float:
    """Balanced accuracy of a fit to these features alone, in nested cross-validation."""
    family = kinds.of(task).family(task, targets)
    assert family is not None
    fitted = fit(features, family, folds, weights=weights_of(task, targets))
    kind = kinds.of(task)
    answers = kind.predict(task, fitted.out_of_fold, kind.Calibration()).argmax(1)
    return float(np.mean([(answers[targets == target] == target).mean() for target in np.unique(targets)]))


def _guess(lesson: Lesson, task: Task, seen: Seen, fitted: Fit, progress: Progress) -> dict[str, Any]:
    """Return "guesses", {task: {file: (class, probability)}} of the unlabelled pictures, and "suggestions", which of them to
    label next, the first most of all: of those that the branch is least certain of, each unlike the ones before it (Brinker,
    "Incorporating Diversity in Active Learning with Support Vector Machines", 2003)."""
    kind, gone = kinds.of(task), set(_left_out(lesson.config))
    if not kind.choices(task):
        return {}
    taken = {sample.path for samples, _, _ in lesson.parts.values() for sample in samples}
    files = [file for file in layouts.unlabelled(lesson.source) if file not in gone]
    paths = [path for file in files if (path := str(lesson.source.folder / file)) not in taken]
    if not paths:
        return {}
    crops = cache.crops_of(paths, lesson.card.detection, lesson.card.crop, lesson.root, progress)
    rows = np.flatnonzero(crops.faces > 0)
    samples = [Sample(paths[row], {}, "train") for row in rows]
    if not samples:
        return {}
    data = Labelled([(samples, crops, rows)], (task,))
    theirs = look(lesson.network, data, lesson.asked, [task], lesson.device, progress, lesson.root)
    logits = fitted.logits(theirs.taps or {fitted.stages[0]: theirs.own[task.name]})
    logits = logits + theirs.logits.get(task.name, 0)
    chances = kind.predict(task, logits, kind.Calibration())
    certain = np.diff(np.sort(chances, 1)[:, -2:], axis=1)[:, 0]
    features = np.concatenate([*(theirs.taps or theirs.own).values()], 1).astype(np.float32)
    order = np.argsort(certain, kind="stable")[: NEXT * CONSIDERED]
    names, classes = lesson.files(data), kind.choices(task)
    guesses = [(classes[int(row.argmax())], round(float(row.max()), 4)) for row in chances]
    suggestions = [
        {"file": names[row], "task": task.name, "guess": guesses[row][0], "certain": guesses[row][1]}
        for row in order[_varied(features[order], NEXT)].tolist()
    ]
    return {"guesses": {task.name: dict(zip(names, guesses, strict=True))}, "suggestions": suggestions}


def _left_out(config: FinetuneConfig) -> Sequence[str]:
    return dataset_edits.read_changes(Path(config.changes)).left_out if config.changes else ()


def _varied(features: np.ndarray, count: int) -> np.ndarray:
    """Return rows, the first one and then each that is farthest from those before it; features (N, F).

    Source: Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985, section 2."""
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-3)
    chosen = [0]
    distance = np.full(len(scaled), np.inf)
    while len(chosen) < min(count, len(scaled)):
        distance = np.minimum(distance, np.square(scaled - scaled[chosen[-1]]).sum(1))
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
    return np.array(chosen)
