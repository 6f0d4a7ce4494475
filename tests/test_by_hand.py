from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mtl_model.by_hand import FOUND, ByHand, corrected
from mtl_model.pictures import turn
from mtl_model.predictor import Predictor
from mtl_model.records import Face

GROUND = np.zeros((200, 300, 3), np.uint8)
FACES = [Face((10.0, 10.0, 60.0, 60.0), 0.99), Face((150.0, 20.0, 190.0, 70.0), 0.9)]


class Sees:
    """A detector that sees one face, at the same place of whatever it is given: shares of its sides."""

    def __init__(self, *place: float) -> None:
        self.place, self.shapes = place, []

    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float, surely: bool = False) -> list[list[Face]]:
        self.shapes += [picture.shape for picture in pictures]
        height, width = pictures[0].shape[:2]
        box = tuple(share * side for share, side in zip(self.place, (width, height) * 2, strict=False))
        return [[Face(box, 0.7, ((box[0], box[1]),) * 5)] if box else [] for _ in pictures]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("by_hand", "boxes"),
    [
        (FOUND, [FACES[0].box, FACES[1].box]),
        (ByHand(dismissed=((12.0, 8.0, 58.0, 62.0),)), [FACES[1].box]),
        (ByHand(dismissed=((200.0, 100.0, 250.0, 150.0),)), [FACES[0].box, FACES[1].box]),
        (ByHand(drawn=((200.0, 100.0, 250.0, 150.0),)), [FACES[0].box, FACES[1].box, (200.0, 100.0, 250.0, 150.0)]),
        (ByHand(drawn=((12.0, 12.0, 62.0, 62.0),)), [FACES[1].box, (12.0, 12.0, 62.0, 62.0)]),
    ],
)
def test_boxes_are_left_out_and_drawn_ones_are_added(by_hand: ByHand, boxes: list[tuple[float, ...]]) -> None:
    faces = corrected(GROUND, FACES, by_hand, Sees())
    assert [face.box for face in faces] == boxes
    assert [face.confidence for face in faces if face.box not in {one.box for one in FACES}] == [1.0] * len(
        by_hand.drawn
    )


def test_a_face_that_is_seen_in_a_drawn_box_is_framed_like_all_others() -> None:
    """The box is searched with 60 % of it on each side, so it stands from 0.6/2.2 to 1.6/2.2 of what is searched."""
    sees = Sees(0.3, 0.3, 0.7, 0.7)
    (face,) = corrected(GROUND, [], ByHand(drawn=((100.0, 50.0, 150.0, 100.0),)), sees)
    assert face.box == pytest.approx((70 + 0.3 * 110, 20 + 0.3 * 110, 70 + 0.7 * 110, 20 + 0.7 * 110), abs=1)
    assert len(face.landmarks) == 5 and face.confidence == 1.0
    assert max(sees.shapes[0]) == pytest.approx(264, abs=2), "120 px for the box"
    (face,) = corrected(GROUND, [], ByHand(drawn=((100.0, 50.0, 150.0, 100.0),)), Sees(0.0, 0.0, 0.1, 0.1))
    assert face == Face((100.0, 50.0, 150.0, 100.0), 1.0), "what is seen beside it is not what was meant"


def test_a_photo_follows_what_is_said_of_it(sample_picture: np.ndarray) -> None:
    predictor = Predictor.load("bknet", device="cpu")
    found = predictor.photo(sample_picture, "a")
    box = found.readings[0].face.box
    assert predictor.photo(sample_picture, "a", by_hand=ByHand(dismissed=(box,))).readings == ()
    (drawn,) = predictor.photo(sample_picture, "a", by_hand=ByHand(drawn=(box,))).readings
    assert drawn.face.box == pytest.approx(box, abs=0.1 * drawn.face.width)
    ages = [reading.estimates["age"].value for reading in (found.readings[0], drawn)]
    assert abs(float(ages[0]) - float(ages[1])) < 3
    on_its_side = turn(sample_picture, 270)
    assert predictor.photo(on_its_side, "a").turned == 90
    by_hand = predictor.photo(on_its_side, "a", by_hand=ByHand(turned=180))
    height, width = turn(on_its_side, 180).shape[:2]
    assert (by_hand.turned, by_hand.height, by_hand.width) == (180, height, width)
    assert predictor.photo(on_its_side, "a", by_hand=ByHand(turned=0)).turned == 0
