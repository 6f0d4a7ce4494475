from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mtl_model import drawing
from mtl_model.records import Estimate, Face, Photo, Reading


def reading(box: tuple[float, float, float, float], sure: bool = True) -> Reading:
    estimate = Estimate("smiling", "smiling", sure, {"not smiling": 0.2, "smiling": 0.8}, confidence=0.8, title="Smile")
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


def test_the_label_says_which_task_it_is_and_what_is_unsure() -> None:
    assert drawing.label_of(2, reading((0, 0, 1, 1), sure=False)) == "2  Smile: smiling (unsure)"


def test_long_names_are_cut_and_right_to_left_ones_keep_to_themselves() -> None:
    long = Estimate("b" * 60, "b" * 60, True, {}, confidence=0.9, title="T" * 60)
    hair = Estimate("שחור", "שחור", True, {}, confidence=0.9, title="צבע שיער")
    text = drawing.label_of(1, Reading(Face((0, 0, 1, 1), 0.9), {"long": long, "hair": hair}))
    assert text == f"1  {'T' * 27}…: {'b' * 27}…, \u2068צבע שיער\u2069: \u2068שחור\u2069"


def labels_of(boxes: list[tuple[int, int, int, int]], size: tuple[int, int]) -> dict[int, drawing._Label]:
    numbers = range(1, len(boxes) + 1)
    labels = drawing._labels(size, numbers, [reading(box) for box in boxes], boxes)
    return {numbers[index]: label for index, label in labels.items()}


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return max(0, min(one[2], other[2]) - max(one[0], other[0])) * max(0, min(one[3], other[3]) - max(one[1], other[1]))


GROUPS = {
    "one at the top": [(100, 0, 180, 90)],
    "one that fills the picture": [(0, 0, 500, 400)],
    "two below one another": [(100, 60, 180, 150), (100, 155, 180, 245)],
    "a row": [(20 + 120 * index, 150, 90 + 120 * index, 240) for index in range(4)],
    "a row at the lower edge": [(20 + 120 * index, 310, 90 + 120 * index, 400) for index in range(4)],
}


@pytest.mark.parametrize("boxes", GROUPS.values(), ids=GROUPS.keys())
def test_a_label_covers_no_face_and_no_other_label(boxes: list[tuple[int, int, int, int]]) -> None:
    labels = labels_of(boxes, (500, 400))
    for number, label in labels.items():
        assert label.box[0] >= 0 and label.box[2] <= 500 and label.box[1] >= 0 and label.box[3] <= 400
        others = [other.box for key, other in labels.items() if key != number]
        others += [box for key, box in enumerate(boxes, start=1) if key != number]
        assert label.whole and [one for one in others if shared(label.box, one)] == []
        left, top, right, bottom = boxes[number - 1]
        assert shared(label.box, boxes[number - 1]) <= drawing.OWN_SHARE * (right - left) * (bottom - top)


def test_in_a_crowd_the_numbers_alone_stand_where_they_cover_least() -> None:
    boxes = [(44 * x, 44 * y, 44 * x + 43, 44 * y + 43) for y in range(9) for x in range(11)]
    for number, label in labels_of(boxes, (490, 400)).items():
        assert label.lines == [str(number)]
        covered = [shared(label.box, box) for box in boxes]
        assert max(covered) == covered[number - 1], "its own face, where there is no place beside it"


def test_a_font_that_has_the_letters_is_taken() -> None:
    assert drawing._able("1  Smile: smiling…") == drawing.FONTS[0]
    installed = next((name for name in drawing.FONTS[1:] if drawing._has(name, "ä")), "")
    assert drawing._able("größer") == installed
    assert drawing._able("\U000fffff") == drawing.FONTS[0], "what no font has changes nothing"


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


def test_points_are_dots_in_the_colour_of_their_face() -> None:
    estimate = Estimate("1 point", "150 100", True, {}, title="Marks", shape="points", points={"nose": (150.0, 100.0)})
    photo = Photo("p", None, (Reading(Face((100, 60, 200, 160), 0.9), {"marks": estimate}),), 300, 200)
    drawn = np.asarray(drawing.annotate(np.full((200, 300, 3), 90, np.uint8), photo))
    assert tuple(drawn[100, 150]) == rgb_of(drawing.colour_of(1))
    assert (drawn[100, 120:140] == 90).all()
