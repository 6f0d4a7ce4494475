"""Labels that a face detector gives to pictures without them: the five landmarks of the main face.

They are as right as the detector is: a network that learns them learns what the detector answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from mtl_model.card import DetectionSettings
from mtl_model.crops import main_face
from mtl_model.data import cache
from mtl_model.events import Progress, silent
from mtl_model.pictures import read_picture
from mtl_model.records import Face, Sample
from mtl_model.tasks import Task


def with_labels(samples: Iterable[Sample], tasks: Iterable[Task]) -> list[Sample]:
    """Return the samples that have a label of one of the tasks, or may get one from a detector."""
    tasks = list(tasks)
    names = {task.name for task in tasks}
    detected = any(task.detected for task in tasks)
    return [sample for sample in samples if detected or names & set(sample.labels)]


def detect(
    samples: Sequence[Sample], tasks: Iterable[Task], settings: DetectionSettings, progress: Progress = silent
) -> list[Sample]:
    """Return the samples with the landmarks of the main face, in px of the picture, as the label of each detected task that has
    none. A picture without a face, or a detector without landmarks, gives no label."""
    names = [task.name for task in tasks if task.detected]
    if not names:
        return list(samples)
    faces = cache.faces_of([sample.path for sample in samples], settings, progress=progress)
    return [_labelled(sample, names, found or ()) for sample, found in zip(samples, faces, strict=True)]


def _labelled(sample: Sample, names: Sequence[str], found: tuple[Face, ...]) -> Sample:
    landmarks = _main(sample.path, found).landmarks if found else ()
    if not landmarks:
        return sample
    label = tuple(coordinate for place in landmarks for coordinate in place)
    return dataclasses.replace(sample, labels={**dict.fromkeys(names, label), **sample.labels})


def _main(path: str, found: tuple[Face, ...]) -> Face:
    if len(found) == 1:
        return found[0]
    height, width = read_picture(path).shape[:2]
    return main_face(found, width, height) or found[0]
