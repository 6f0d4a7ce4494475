"""Simple numbers of picture files that have nothing to do with a face: what tells classes apart by accident."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from mtl_model import pictures
from mtl_model.records import Sample

SIDE_PX = 256  # of the picture that brightness, contrast and colour are measured on
MOST_FOLDERS = 8
NUMBERS = ("width", "height", "bytes_per_pixel", "brightness", "contrast", "saturation", "sharpness", "jpeg_quality")


def facts_of(samples: Sequence[Sample], files: Sequence[str]) -> dict[str, np.ndarray]:
    """Return {fact: float32 (N, columns)}: NUMBERS, a column each; "format" and "folder", a column per kind.

    files: below the folder of the upload. jpeg_quality is the mean of the luminance table's steps, in powers of 2, 0 for other
    formats; a folder is what is left of a file's path without its class and task."""
    rows = [_numbers(sample.path) for sample in samples]
    table = np.array([numbers for numbers, _ in rows], np.float32)
    result = {name: table[:, [column]] for column, name in enumerate(NUMBERS)}
    words = {
        "format": [kind for _, kind in rows],
        "folder": [_folder(file, sample) for file, sample in zip(files, samples, strict=True)],
    }
    return result | {name: _columns(kinds) for name, kinds in words.items() if len(set(kinds)) > 1}


def _numbers(path: str) -> tuple[list[float], str]:
    pictures.prepare()
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(pictures.ORIENTATION) in pictures.SIDEWAYS
        tables = getattr(image, "quantization", None) or {}
        steps = math.log2(1 + float(np.mean(next(iter(tables.values()))))) if tables else 0.0
        kind = image.format or ""
        image.draft("RGB", (SIDE_PX, SIDE_PX))
        image.thumbnail((SIDE_PX, SIDE_PX))
        pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    grey = pixels.mean(2)
    edges = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean() if min(grey.shape) > 1 else 0.0
    size = (height, width) if turned else (width, height)
    density = os.path.getsize(path) / max(1, width * height)
    looks = (grey.mean(), grey.std(), (pixels.max(2) - pixels.min(2)).mean(), edges / max(float(grey.std()), 1e-3))
    return [*map(float, size), math.log2(density + 1e-3), *map(float, looks), steps], kind


def _folder(file: str, sample: Sample) -> str:
    """The folders of a file, without those that are its class or task."""
    labels = {str(word).casefold() for pair in sample.labels.items() for word in pair}
    return "/".join(part for part in PurePosixPath(file).parts[:-1] if part.casefold() not in labels)


def _columns(words: Sequence[str]) -> np.ndarray:
    """float32 (N, kinds): 1 in the column of a row's word, of the most frequent ones."""
    known = [word for word, _ in Counter(words).most_common(MOST_FOLDERS)]
    return np.array([[float(word == other) for other in known] for word in words], np.float32)


def means(facts: Mapping[str, np.ndarray], name: str, groups: np.ndarray) -> dict[str, float]:
    """Return {group: mean of a fact} of one with a single column; {} of others."""
    values = facts[name]
    if values.shape[1] > 1:
        return {}
    return {str(group): round(float(values[groups == group].mean()), 3) for group in np.unique(groups)}
