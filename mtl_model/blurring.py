"""Faces made unrecognisable, in copies that carry nothing but pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mtl_model import kinds
from mtl_model.errors import UsageError
from mtl_model.records import Box, Reading
from mtl_model.tasks import Task

REACH = math.sqrt(2) * 1.1
"""Half the axes of the ellipse, in halves of the face's box: the square root of 2 takes in the corners of the box, in which a
tilted head has its forehead and chin; the rest is hair and ears."""
BLOCKS = (
    6  # squares across the ellipse: what is left of a face is about four by four of them, and the detector sees none
)
YOUNGER = re.compile(r"under[ -]?(\d{1,3})", re.IGNORECASE)


@dataclass(frozen=True)
class Who:
    """Whose faces are made unrecognisable. under: those who may be younger, in years; None: all."""

    under: int | None = None


def read_who(text: str) -> Who | None:
    """Read "faces", "none" or "under 18"; None for "none". Raises UsageError for anything else."""
    if text in ("faces", "none"):
        return Who() if text == "faces" else None
    if (younger := YOUNGER.fullmatch(text)) and int(younger[1]) > 0:
        return Who(int(younger[1]))
    raise UsageError(f"--blur is '{text}'. Expected faces, none or 'under 18' in quotes; give one of these.")


def chosen(readings: Iterable[Reading], tasks: Sequence[Task], who: Who) -> list[Reading]:
    """Return whose faces are meant, unsure ones among them: where an age is asked for, everybody whose interval reaches below it,
    and everybody whose age is not known."""
    return [reading for reading in readings if who.under is None or _youngest(reading, tasks) < who.under]


def _youngest(reading: Reading, tasks: Sequence[Task]) -> float:
    named = [(task, reading.estimates[task.name]) for task in tasks if task.name in reading.estimates]
    ages = [age for task, estimate in named if (age := kinds.of(task).youngest(estimate)) is not None]
    return min(ages, default=-math.inf)


def blur(rgb: np.ndarray, boxes: Iterable[Box]) -> Image.Image:
    """Return a copy of a picture in which the faces in these boxes are a few flat squares; all other pixels are as they were.

    rgb: uint8 (H, W, 3). boxes: in its pixels. Returns: a new RGB image of the same size, which carries nothing but pixels: a
    thumbnail in the EXIF would show the face."""
    copy = rgb.copy()
    for box in boxes:
        _flatten(copy, box)
    return Image.fromarray(copy)


def _flatten(rgb: np.ndarray, box: Box) -> None:
    """Replace what lies in the ellipse around a box by the mean colours of BLOCKS squares across, in place."""
    left, top, right, bottom = box
    x, y, across, down = (left + right) / 2, (top + bottom) / 2, (right - left) / 2 * REACH, (bottom - top) / 2 * REACH
    block = max(1, math.ceil(2 * max(across, down) / BLOCKS))
    height, width = rgb.shape[:2]
    first_row, last_row = max(0, math.floor(y - down)), min(height, math.ceil(y + down) + 1)
    first, last = max(0, math.floor(x - across)), min(width, math.ceil(x + across) + 1)
    for row in range(first_row, last_row, block):
        for column in range(first, last, block):
            square = rgb[row : min(row + block, last_row), column : min(column + block, last)]
            rows, columns = np.ogrid[row : row + square.shape[0], column : column + square.shape[1]]
            inside = ((columns + 0.5 - x) / across) ** 2 + ((rows + 0.5 - y) / down) ** 2 <= 1
            if inside.any():
                square[inside] = square[inside].mean(0).round().astype(np.uint8)
