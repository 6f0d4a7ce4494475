from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mtl_model import drawing
from mtl_model.records import Estimate, Face, Photo, Reading


def reading(box: tuple[float, float, float, float], sure: bool = True) -> Reading:
    estimate = Estimate("smiling", "smiling", sure, {"not smiling": 0.2, "smiling": 0.8}, confidence=0.8)
    return Reading(Face(box, 0.9), {"smile": estimate})


def rgb_of(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[index : index + 2], 16) for index in (1, 3, 5))


def test_a_box_in_the_colour_of_its_face() -> None:
    picture = np.full((200, 300, 3), 90, np.uint8)
    photo = Photo("p", None, (reading((100, 60, 160, 140)), reading((200, 60, 240, 110))), 300, 200)
    drawn = np.asarray(drawing.annotate(picture, photo))
    assert drawn.shape == picture.shape
    assert tuple(drawn[100, 100]) == rgb_of(drawing.colour_of(1))
    assert tuple(drawn[90, 200]) == rgb_of(drawing.colour_of(2))
    assert (picture == 90).all(), "the picture itself stays as it was"
    assert (drawn[:60, 100:160] != 90).any(), "a label above the box"


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (60, 60), (3000, 2000)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (-50, -50, 5000, 5000), (5, 5, 6, 30), (900, 900, 990, 990)])
def test_any_size_and_place(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    width, height = size
    photo = Photo("p", None, (reading(box),), width, height)
    assert drawing.annotate(np.zeros((height, width, 3), np.uint8), photo).size == size


def test_the_label_says_what_is_unsure() -> None:
    assert drawing.label_of(2, reading((0, 0, 1, 1), sure=False)) == "2  smiling (unsure)"


def test_colours_carry_white_text() -> None:
    def light(colour: str) -> float:
        parts = [value / 255 for value in rgb_of(colour)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    assert min(1.05 / (light(colour) + 0.05) for colour in drawing.FACE_COLOURS) >= 4.5


def test_nothing_but_pixels_is_saved() -> None:
    stream = io.BytesIO()
    photo = Photo("p", None, (), 8, 8)
    drawing.annotate(np.zeros((8, 8, 3), np.uint8), photo).save(stream, "JPEG")
    with Image.open(stream) as image:
        assert not image.getexif() and "exif" not in image.info
