"""Boxes and labels on a picture, for `--annotate` and the page's download alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mtl_model.records import Photo, Reading, clip_box

FACE_COLOURS = ("#1d63d6", "#b4480c", "#0f766e", "#a21caf", "#b91c1c", "#4d7c0f", "#6d3fd4", "#be185d")
"""Each carries white text at 4.5:1 or better, and differs from its neighbours in lightness or hue."""
UNSURE = "unsure"
MARGIN = 0.35  # of the font's size, around a label's text


def colour_of(number: int) -> str:
    """The colour of face `number`, counted from 1, as #rrggbb."""
    return FACE_COLOURS[(number - 1) % len(FACE_COLOURS)]


def label_of(number: int, reading: Reading) -> str:
    """One line about a face: "1  34 years, female, smiling (unsure)"."""
    said = [one.text if one.sure else f"{one.text} ({UNSURE})" for one in reading.estimates.values()]
    return "  ".join([str(number), ", ".join(said)]).rstrip()


def annotate(rgb: np.ndarray, photo: Photo) -> Image.Image:
    """The picture with a numbered box and a label for each face.

    rgb: uint8 (H, W, 3), the upright picture that `photo` answers for. Returns: a new RGB image of the same size, which
    carries nothing but pixels (no EXIF, no place).
    """
    image = Image.fromarray(rgb).convert("RGB")
    draw = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 250))
    drawn: list[_Label] = []
    for number, reading in enumerate(photo.readings, start=1):
        box = _corners(reading, image.size)
        around = (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
        draw.rectangle(around, outline="white")  # keeps the box visible on ground of its own colour
        draw.rectangle(box, outline=colour_of(number), width=line)
        label = _place(draw, image.size, box, number, reading)
        drawn.append(label)
    for label in reversed(drawn):  # the largest face's label on top
        draw.rectangle(label.box, fill=label.colour)
        draw.text((label.box[0] + label.margin, label.box[1] + label.margin), label.text, "white", label.font)
    return image


@dataclass(frozen=True)
class _Label:
    text: str
    box: tuple[int, int, int, int]
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    margin: int
    colour: str


def _place(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], box: tuple[int, int, int, int], number: int, reading: Reading
) -> _Label:
    """The label above its box, else below it, else inside; only the number where the whole would not fit."""
    width, height = size
    points = max(10, min(round(min(size) / 32), max(12, (box[2] - box[0]) // 6)))
    font = ImageFont.load_default(points)
    margin = max(2, round(points * MARGIN))
    for text in (label_of(number, reading), str(number)):
        text_width = round(draw.textlength(text, font)) + 2 * margin
        if text_width <= width:
            break
    text_height = round(points * 1.2) + 2 * margin
    left = max(0, min(box[0], width - text_width))
    if box[1] - text_height >= 0:
        top = box[1] - text_height
    elif box[3] + text_height <= height:
        top = box[3]
    else:
        top = max(0, box[1])
    return _Label(text, (left, top, left + text_width, top + text_height), font, margin, colour_of(number))


def _corners(reading: Reading, size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    left, top, right, bottom = (round(edge) for edge in clip_box(reading.face.box, width, height))
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(left, min(right, width - 1)), max(top, min(bottom, height - 1))
