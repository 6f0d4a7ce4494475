"""Boxes and labels on a picture, for `--annotate` and the page's download alike."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from mtl_model.destinations import temporary_name
from mtl_model.names import ISOLATE, POP, caption, shortened
from mtl_model.records import Photo, Reading, clip_box

FACE_COLOURS = ("#1d63d6", "#b4480c", "#0f766e", "#a21caf", "#b91c1c", "#4d7c0f", "#6d3fd4", "#be185d")
"""Each carries white text at 4.5:1 or better, and differs from its neighbours in lightness or hue."""
UNSURE = "unsure"
MARGIN = 0.35  # of the font's size, around a label's text
LINE = 1.2  # of the font's size, from one line of a label to the next
OWN_SHARE = 0.15  # of its own face that a label may cover; the page's labels.js has the same
ROUNDS = 3  # of placing all labels of a picture
LONGEST_NAME = 28  # characters of a task's or a class's name in a label
FONTS = ("", "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc")
"""The first that can write a label is taken. "" is Pillow's own, which has the letters of ASCII alone."""

Rectangle = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of the picture."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def colour_of(number: int) -> str:
    """The colour of face `number`, counted from 1, as #rrggbb."""
    return FACE_COLOURS[(number - 1) % len(FACE_COLOURS)]


def label_of(number: int, reading: Reading, between: str = ", ") -> str:
    """Return what a label says: "1  Age: 34 years, Gender: female, Smile: smiling (unsure)"."""
    answers = [
        caption(shortened(estimate.title, LONGEST_NAME), shortened(estimate.text, LONGEST_NAME))
        + ("" if estimate.sure else f" ({UNSURE})")
        for estimate in reading.estimates.values()
    ]
    return "  ".join([str(number), between.join(answers)]).rstrip()


def save_png(image: Image.Image, file: Path) -> None:
    """Write a picture as PNG, whole; folders above the file may be missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(file)
    try:
        image.save(temporary, "PNG")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def annotate(rgb: np.ndarray, photo: Photo, numbers: Sequence[int] = ()) -> Image.Image:
    """Return the picture with a numbered box and a label for each face.

    A label stands beside its box where it covers neither a face nor another label, in one line or in a line per task. Where it
    finds no such place, the number stands alone where it covers least.

    rgb: uint8 (H, W, 3), the picture that `photo` answers for, turned as it says. numbers: of the faces, where they are not
    counted from 1. Returns: a new RGB image of the same size, which carries nothing but pixels (no EXIF, no place).
    """
    numbers = numbers or range(1, len(photo.readings) + 1)
    image = Image.fromarray(rgb).convert("RGB")
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 250))
    boxes = [_corners(reading, image.size) for reading in photo.readings]
    for number, box, reading in zip(numbers, boxes, photo.readings, strict=True):
        around = (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
        draw.rectangle(around, outline="white")  # keeps the box visible on ground of its own colour
        draw.rectangle(box, outline=colour_of(number), width=line)
        radius = line + 1
        for x, y in (place for estimate in reading.estimates.values() for place in estimate.points.values()):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour_of(number), outline="white")
    for index, label in _labels(image.size, numbers, photo.readings, boxes).items():
        number = numbers[index]
        draw.rectangle(label.box, fill=colour_of(number))
        for row, text in enumerate(label.lines):
            down = label.margin + round(row * LINE * label.points)
            draw.text((label.box[0] + label.margin, label.box[1] + down), text, "white", label.font)
    return image


@dataclass(frozen=True)
class Taken:
    """What a label should not cover: the face that it belongs to, and the other faces and their labels, int (N, 4)."""

    own: Rectangle
    others: np.ndarray

    def covered_by(self, label: Rectangle) -> int:
        """Pixels that a label covers: those of others twice, of its own face only what is more than OWN_SHARE of it."""
        left, top, right, bottom = self.own
        own = int(_shared(np.array([self.own]), label).sum() - OWN_SHARE * (right - left) * (bottom - top))
        return max(0, own) + 2 * int(_shared(self.others, label).sum())


def _shared(boxes: np.ndarray, label: Rectangle) -> np.ndarray:
    """int (N,), the pixels that each of boxes (N, 4) has in common with a label."""
    across = np.minimum(boxes[:, 2], label[2]) - np.maximum(boxes[:, 0], label[0])
    down = np.minimum(boxes[:, 3], label[3]) - np.maximum(boxes[:, 1], label[1])
    return across.clip(0) * down.clip(0)


def places(size: tuple[int, int], box: Rectangle, label: tuple[int, int]) -> Iterator[Rectangle]:
    """Yield where a label can stand inside a picture: above its box, below, right and left of it, then inside.

    size, label: width and height in pixels.
    """
    (width, height), (wide, high) = size, label
    left, top, right, bottom = box
    above, below = (left, top - high), (left, bottom)
    corners = [above, below, (right - wide, top - high), (right - wide, bottom)]
    corners += [(right, top), (left - wide, top), (right, bottom - high), (left - wide, bottom - high)]
    for x, y in [*corners, (left, top), (left, bottom - high), (right - wide, top), (right - wide, bottom - high)]:
        x = max(0, min(x, width - wide)) if y in (top - high, bottom) else x  # along the box it may be moved
        if 0 <= x <= width - wide and 0 <= y <= height - high:
            yield x, y, x + wide, y + high


@dataclass(frozen=True)
class _Label:
    whole: bool
    """Whether it says more than the number."""
    lines: Sequence[str]
    box: Rectangle
    font: Font
    points: int
    margin: int


def _labels(
    size: tuple[int, int], numbers: Sequence[int], readings: Sequence[Reading], boxes: Sequence[Rectangle]
) -> dict[int, _Label]:
    """A label per index of a face. Those that found no place for more than their number choose first in the next round."""
    order, best = list(range(len(boxes))), {}
    for _ in range(ROUNDS):
        labels: dict[int, _Label] = {}
        for index in order:
            others = [*boxes[:index], *boxes[index + 1 :], *(label.box for label in labels.values())]
            taken = Taken(boxes[index], np.array(others, int).reshape(-1, 4))
            labels[index] = _label(size, numbers[index], readings[index], taken)
        alone = [index for index in order if not labels[index].whole]
        if not best or len(alone) < sum(not label.whole for label in best.values()):
            best = labels
        if not alone:
            break
        order = [*alone, *(index for index in order if labels[index].whole)]
    return best


def _label(size: tuple[int, int], number: int, reading: Reading, taken: Taken) -> _Label:
    """The longest label that covers nothing, else the number where it covers least."""
    whole, stacked = label_of(number, reading), label_of(number, reading, between="\n")
    for text in (whole, stacked):
        label, fits = _fitted(size, text, taken)
        if fits and not taken.covered_by(label.box):
            return label
    return dataclasses.replace(_fitted(size, str(number), taken)[0], whole=False)


def _fitted(size: tuple[int, int], text: str, taken: Taken) -> tuple[_Label, bool]:
    """A label where it covers least, and whether it fits into the picture at all."""
    points = max(10, min(round(min(size) / 32), max(12, (taken.own[2] - taken.own[0]) // 6)))
    margin = max(2, round(points * MARGIN))
    font, lines = _font(_able(text), points), _drawn(text).splitlines()
    wide = round(max(font.getlength(line) for line in lines)) + 2 * margin
    high = round(points * LINE * len(lines)) + 2 * margin
    found = list(places(size, taken.own, (wide, high)))
    box = min(found, key=taken.covered_by, default=(0, 0, wide, high))
    return _Label(True, lines, box, font, points, margin), bool(found)


@functools.lru_cache(64)
def _font(name: str, points: int) -> Font:
    return ImageFont.truetype(name, points) if name else ImageFont.load_default(points)


@functools.lru_cache(4096)
def _has(name: str, letter: str) -> bool:
    """Whether a font is installed and has a letter; it draws the same box for all that it lacks."""
    try:
        font = _font(name, 16)
    except OSError:
        return False
    drawn = []
    for shown in (letter, "\uffff"):
        image = Image.new("L", (40, 40))
        ImageDraw.Draw(image).text((8, 8), shown, 255, font)
        drawn.append(image.tobytes())
    return drawn[0] != drawn[1]


def _able(text: str) -> str:
    """The first font that has each letter of a text, else the first of all."""
    letters = set(text) - {" ", "\n", ISOLATE, POP}
    return next((name for name in FONTS if all(_has(name, letter) for letter in letters)), FONTS[0])


def _drawn(text: str) -> str:
    """The text as the font's layout takes it: without Raqm, isolates would be drawn as boxes."""
    return text if features.check("raqm") else text.replace(ISOLATE, "").replace(POP, "")


def _corners(reading: Reading, size: tuple[int, int]) -> Rectangle:
    width, height = size
    left, top, right, bottom = (round(edge) for edge in clip_box(reading.face.box, width, height))
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(left, min(right, width - 1)), max(top, min(bottom, height - 1))
