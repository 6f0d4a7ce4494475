"""Further training pictures, each of two set side by side: of texts, such as numbers, whose labels can be joined too.

Few long numbers are photographed; what they look like can be learned from the digits of the short ones. Only training pictures
are joined, and only where the kind of each task says what the joined label is.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from mtl_model import kinds
from mtl_model.card import CropSettings
from mtl_model.crops import cut
from mtl_model.data.cache import Crops
from mtl_model.pictures import read_picture
from mtl_model.quality import quality_of, table_of
from mtl_model.records import Face, Quality, Sample
from mtl_model.tasks import Label, Task

DRAWN = 40  # pairs per joined picture, of which those are taken that can be joined and are wanted
SEED = 9  # beside the run's own, so that no other draw is repeated

Part = tuple[list[Sample], Crops, np.ndarray]
"""Samples, their crops, and their rows in these, as `batches.Labelled` takes them."""


def joined(samples: Sequence[Sample], tasks: Sequence[Task], crop: CropSettings, count: int, seed: int) -> Part:
    """Return joined pictures of whole training pictures: about half of them of the first group that joined labels fall into, half
    of the rest of the second, and so on. No pictures where nothing can be joined.

    count: how many at most. Each picture depends on the seed and the samples alone."""
    random = np.random.default_rng([seed, SEED])
    pairs = _pairs(samples, tasks, count, random) if samples else []
    images = np.zeros((len(pairs), crop.size_px, crop.size_px, 3), np.uint8)
    quality = np.full((len(pairs), len(dataclasses.fields(Quality))), np.nan, np.float32)
    for row, (first, second, _) in enumerate(pairs):
        picture = beside(read_picture(first.path), read_picture(second.path))
        face = Face((0.0, 0.0, float(picture.shape[1]), float(picture.shape[0])), 1.0)
        images[row] = cut(picture, [face], crop)[0]
        quality[row] = table_of([quality_of(images[row], face)])
    made = [
        dataclasses.replace(
            first, labels=labels, path=f"{first.path}+{second.path}", file=f"{first.file}+{second.file}"
        )
        for first, second, labels in pairs
    ]
    return made, Crops(images, np.ones(len(pairs), np.int16), quality), np.arange(len(pairs))


def beside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Set two pictures side by side: the second as high as the first, in the first's mean shade and contrast per colour.

    uint8 RGB (H, W, 3) each."""
    height = first.shape[0]
    width = max(1, round(second.shape[1] * height / second.shape[0]))
    scaled = np.asarray(Image.fromarray(second).resize((width, height), Image.Resampling.BILINEAR), float)
    mean, spread = first.mean((0, 1)), first.std((0, 1))
    alike = (scaled - scaled.mean((0, 1))) / scaled.std((0, 1)).clip(1) * spread + mean
    return np.concatenate([first, alike.round().clip(0, 255).astype(np.uint8)], 1)


def _pairs(
    samples: Sequence[Sample], tasks: Sequence[Task], count: int, random: np.random.Generator
) -> list[tuple[Sample, Sample, dict[str, Label]]]:
    drawn: dict[str, list[tuple[Sample, Sample, dict[str, Label]]]] = defaultdict(list)
    for one, other in random.integers(0, len(samples), (DRAWN * count, 2)):
        first, second = samples[one], samples[other]
        labels = _labels(tasks, first.labels, second.labels)
        if labels:
            group = "; ".join(kinds.of(task).group_of(task, labels[task.name]) for task in tasks if task.name in labels)
            drawn[group].append((first, second, labels))
    pairs: list[tuple[Sample, Sample, dict[str, Label]]] = []
    for group in sorted(drawn):
        pairs += drawn[group][: math.ceil((count - len(pairs)) / 2)]
    return pairs


def _labels(tasks: Sequence[Task], first: Mapping[str, Label], second: Mapping[str, Label]) -> dict[str, Label]:
    joined = {
        task.name: kinds.of(task).join(task, first[task.name], second[task.name])
        for task in tasks
        if task.name in first and task.name in second
    }
    return {name: label for name, label in joined.items() if label is not None}
