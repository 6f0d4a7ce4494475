"""Faces made unrecognisable: which, how much around them, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mtl_model import blurring, registry, search
from mtl_model.blurring import Who
from mtl_model.card import DetectionSettings
from mtl_model.errors import UsageError
from mtl_model.records import Estimate, Face, Reading
from mtl_model.tasks import TASKS, number_task

ALL = tuple(TASKS.values())


@pytest.mark.parametrize(
    ("text", "who"),
    [("faces", Who()), ("none", None), ("under 18", Who(18)), ("under-18", Who(18)), ("Under 21", Who(21))],
)
def test_whose_faces_are_meant_is_read(text: str, who: Who | None) -> None:
    assert blurring.read_who(text) == who


@pytest.mark.parametrize("text", ["", "under", "under 0", "eyes", "over 18", "under 1800"])
def test_nobody_else_is_meant(text: str) -> None:
    with pytest.raises(UsageError, match="--blur is "):
        blurring.read_who(text)


def reading(low: float | None = None, high: float = 30, confidence: float = 0.99) -> Reading:
    """A face with an age, or without one."""
    age = Estimate("x", 20.0, True, {}, low=low, high=high, title="Age", shape="curve")
    smile = Estimate("smiling", "smiling", True, {}, confidence=1.0, title="Smile")
    return Reading(Face((0, 0, 9, 9), confidence), {"smile": smile} if low is None else {"age": age, "smile": smile})


def test_everybody_who_may_be_younger_is_meant() -> None:
    child, young, old, unknown, doubtful = (
        reading(3),
        reading(17.9),
        reading(18),
        reading(),
        reading(40, confidence=0.71),
    )
    readings = [child, young, old, unknown, doubtful]
    assert blurring.chosen(readings, ALL, Who(18)) == [child, young, unknown]
    assert blurring.chosen(readings, ALL, Who()) == readings
    assert blurring.chosen(readings, (number_task("age", "years"),), Who(18)) == readings  # no kind that knows ages


@pytest.mark.parametrize(
    "box",
    [(100.0, 80.0, 160.0, 150.0), (-20.0, -30.0, 40.0, 30.0), (190.3, 170.2, 230.0, 221.9), (50.0, 50.0, 52.0, 53.0)],
)
def test_the_ellipse_holds_the_box_and_the_rest_stays(box: tuple[float, float, float, float]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (200, 220, 3)).astype(np.uint8)
    before = picture.copy()
    copy = np.asarray(blurring.blur(picture, [box]))
    assert (picture == before).all()
    rows, columns = np.mgrid[:200, :220] + 0.5
    left, top, right, bottom = box
    across = (columns - (left + right) / 2) / ((right - left) / 2)
    down = (rows - (top + bottom) / 2) / ((bottom - top) / 2)
    inside, outside = np.maximum(abs(across), abs(down)) < 1, across**2 + down**2 > blurring.REACH**2
    assert (copy[outside] == picture[outside]).all()
    assert len(np.unique(copy[inside].reshape(-1, 3), axis=0)) <= blurring.BLOCKS**2
    if inside.sum() > 100:
        assert (copy[inside] != picture[inside]).any(1).mean() > 0.95


@pytest.mark.parametrize("scale", [1, 2])
def test_a_face_that_was_made_unrecognisable_is_not_found_again(sample_picture: np.ndarray, scale: int) -> None:
    picture = sample_picture.repeat(scale, 0).repeat(scale, 1)
    detector, settings = registry.load("detectors", "mtcnn").build(), DetectionSettings()
    faces = search.every_face(picture, detector, settings)
    assert faces
    copy = np.asarray(blurring.blur(picture, [face.box for face in faces]))
    left, top, right, bottom = faces[0].box
    for face in search.every_face(copy, detector, settings):
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        assert not (left <= x <= right and top <= y <= bottom), face
