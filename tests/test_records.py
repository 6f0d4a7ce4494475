from __future__ import annotations

import json

import pytest

from mtl_model.records import (
    Estimate,
    Face,
    Photo,
    Quality,
    Reading,
    clip_box,
    from_json,
    reading_order,
    to_json,
)

AGE = Estimate(
    "34 years", 34.2, True, {"33": 0.4, "34": 0.6}, low=28.0, high=41.3, group="24-39", title="Age", shape="curve"
)
GENDER = Estimate("female", "female", False, {"female": 0.6, "male": 0.4}, confidence=0.6, title="Gender")
FACE = Face(
    (-3.04, 10.26, 60.0, 90.0), 0.99987, ((10.04, 20.0), (30.0, 20.0), (20.0, 30.0), (12.0, 40.0), (28.0, 40.0))
)
GOOD = Quality(79.7, 0.12, 0.4, 12.5)
SMALL = Face((50.0, 50.0, 60.0, 61.0), 0.91)
PHOTO = Photo(
    "a, b.jpg", None, (Reading(FACE, {"age": AGE, "gender": GENDER}, GOOD), Reading(SMALL, {"age": AGE})), 64, 80
)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((1.04, 2.06, 3.0, 4.0), [1.0, 2.1, 3.0, 4.0]),
        ((-5, -6, 200, 300), [0, 0, 100, 50]),
        ((120, 60, 130, 70), [100, 50, 100, 50]),
        ((-20, -20, -10, -10), [0, 0, 0, 0]),
    ],
)
def test_boxes_are_clipped_to_the_picture(box: tuple[float, float, float, float], clipped: list[float]):
    assert clip_box(box, 100, 50) == clipped


def test_a_face_measures_its_box():
    assert (SMALL.width, SMALL.height, SMALL.area) == (10, 11, 110)


def faces_at(*boxes: tuple[float, float, float, float]) -> list[Face]:
    return [Face(box, 0.9) for box in boxes]


ORDERS = {
    "left to right": faces_at((10, 50, 40, 90), (60, 45, 90, 85), (100, 55, 130, 95)),
    "a large one in a row of small ones": faces_at((10, 60, 30, 80), (40, 0, 140, 120), (150, 40, 170, 60)),
    "two rows": faces_at((50, 10, 90, 50), (150, 14, 190, 54), (20, 70, 60, 110), (100, 66, 140, 106)),
    "stacked": faces_at((50, 10, 90, 50), (45, 60, 95, 110), (52, 120, 88, 150)),
    "one in front of two rows": faces_at(
        (10, 100, 40, 140), (200, 105, 230, 145), (10, 200, 40, 240), (90, 150, 180, 320), (200, 205, 230, 245)
    ),
}


@pytest.mark.parametrize("expected", ORDERS.values(), ids=ORDERS.keys())
def test_faces_are_counted_row_by_row_from_left_to_right(expected: list[Face]):
    for given in (expected, expected[::-1], sorted(expected, key=lambda face: -face.area)):
        assert reading_order(given) == expected


def test_no_face_has_no_order():
    assert reading_order([]) == []


def test_an_answer_stands_with_its_task():
    assert (AGE.caption, GENDER.caption) == ("Age: 34 years", "Gender: female")


def test_the_json_is_read_back_as_it_was_written():
    titles = {"age": "Age", "gender": "Gender"}
    for photo in (PHOTO, Photo("none.jpg", width=8, height=9, turned=90, fault="picture_dark"), Photo("x", "Cut off.")):
        (plain,) = to_json([photo])
        again = from_json(json.loads(json.dumps(plain)), titles, photo.subject)
        assert to_json([again]) == [plain]
        for before, after in zip(photo.readings, again.readings, strict=True):
            assert after.estimates == before.estimates and after.quality == before.quality
    assert all(set(one.estimates) == {"age"} for one in from_json(to_json([PHOTO])[0], {"age": "Age"}).readings)


def test_the_json_is_the_contract():
    plain = to_json([PHOTO, Photo("none.jpg"), Photo("cut.jpg", "It is cut off.")])
    assert json.loads(json.dumps(plain)) == plain
    assert [list(one) for one in plain] == [["photo", "error", "turned", "fault", "width", "height", "faces"]] * 3
    assert [(one["photo"], one["error"], len(one["faces"])) for one in plain] == [
        ("a, b.jpg", None, 2),
        ("none.jpg", None, 0),
        ("cut.jpg", "It is cut off.", 0),
    ]
    face = plain[0]["faces"][0]
    assert list(face) == ["box", "confidence", "landmarks", "estimates", "quality"]
    assert face["box"] == [0, 10.3, 60.0, 80]
    assert face["confidence"] == 0.9999
    assert face["landmarks"][0] == [10.0, 20.0] and len(face["landmarks"]) == 5
    assert face["quality"] == {"size_px": 79.7, "sharpness": 0.12, "exposure": 0.4, "turn": 12.5}
    assert plain[0]["faces"][1]["quality"] is None
    assert face["estimates"]["age"] == {
        "text": "34 years",
        "value": 34.2,
        "low": 28.0,
        "high": 41.3,
        "group": "24-39",
        "sure": True,
        "shape": "curve",
        "scores": {"33": 0.4, "34": 0.6},
    }
    assert face["estimates"]["gender"] == {
        "text": "female",
        "value": "female",
        "confidence": 0.6,
        "sure": False,
        "shape": "bars",
        "scores": {"female": 0.6, "male": 0.4},
    }
