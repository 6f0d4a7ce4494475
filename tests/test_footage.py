"""What is told of a video, and where its people are at any moment."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from mtl_model import footage
from mtl_model.card import Card
from mtl_model.footage import Footage
from mtl_model.kinds import of
from mtl_model.records import Estimate, Face, Quality, Reading
from mtl_model.tasks import TASKS
from mtl_model.tracking import Moment, Person

CARD = Card("bknet", {}, tuple(TASKS.values()))


def estimates(age: float, smile: float) -> dict[str, Estimate]:
    years = np.exp(-((np.arange(101) - age) ** 2) / 50)
    rows = {
        "age": years / years.sum(),
        "gender": np.array([0.4, 0.6]) if smile < 0.5 else np.array([0.1, 0.9]),
        "smile": np.array([1 - smile, smile]),
    }
    return {name: of(TASKS[name]).estimate(TASKS[name], row, CARD.calibration_of(name)) for name, row in rows.items()}


def moment(seconds: float, left: float, age: float = 30, smile: float = 0.9) -> Moment:
    quality = Quality(50, 0.2, 0.5, 0.0)
    return Moment(seconds, Reading(Face((left, 10, left + 50, 60), 0.98765), estimates(age, smile), quality))


WALKING = Person(1, [moment(0, 0), moment(0.5, 20, 32), moment(1, 40, 28, 0.1), moment(4, 200, smile=0.1)])
BRIEF = Person(2, [moment(1, 300)])
FILM = Footage("=film.mp4", CARD, None, 640, 360, 5.0, 0.5, 5.0, (WALKING, BRIEF))
NONE = Footage("none.mp4", CARD, None, 64, 36, 1.0, 0.5, 1.0)
CUT = Footage("cut.mp4", CARD, "It is cut off.")


def test_the_json_is_the_contract() -> None:
    plain = footage.to_json([FILM, NONE, CUT])
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert [list(one) for one in plain] == [
        ["video", "error", "width", "height", "seconds", "every", "until", "people"]
    ] * 3
    first, second = plain[0]["people"]
    assert list(first) == ["person", "stretches", "seconds", "estimates", "shares", "moments"]
    assert first["stretches"] == [[0.0, 1.25], [3.75, 4.25]] and first["seconds"] == 1.75
    assert first["estimates"]["age"]["value"] == pytest.approx(30, abs=0.5) and "scores" in first["estimates"]["age"]
    assert first["shares"]["smile"] == {"not smiling": 0.5, "smiling": 0.5}
    assert [one["seconds"] for one in first["moments"]] == [0, 0.5, 1, 4]
    look = first["moments"][2]
    assert look["box"] == [40, 10, 90, 60] and look["estimates"]["smile"]["scores"] == {
        "not smiling": 0.9,
        "smiling": 0.1,
    }
    assert set(look["estimates"]["age"]) == {"value", "low", "high", "group", "sure"}
    assert second["stretches"] == [[0.75, 1.25]]
    assert plain[1]["people"] == [] and plain[2]["error"] == "It is cut off."


def test_the_csv_has_a_row_per_person_and_look() -> None:
    rows = list(csv.DictReader(io.StringIO(footage.to_csv([FILM, NONE, CUT], CARD.tasks))))
    assert list(rows[0])[:8] == ["video", "person", "seconds", "left", "top", "right", "bottom", "confidence"]
    assert [(row["video"], row["person"], row["seconds"]) for row in rows] == [
        *(("'=film.mp4", "1", second) for second in ("0", "0.5", "1", "4")),
        ("'=film.mp4", "2", "1"),
        ("none.mp4", "", ""),
        ("cut.mp4", "", ""),
    ]
    assert float(rows[1]["age"]) == pytest.approx(32, abs=0.3) and rows[0]["smile"] == "smiling"
    assert rows[-1]["error"] == "It is cut off."


def test_lines_say_when_and_how_much_of_the_time() -> None:
    first, second = footage.to_lines(FILM)
    assert "person 1: Age: 30 years" in first and "seen 0:00 to 0:01.2, 0:03.8 to 0:04.2" in first
    assert "smiling 50 % of the time" in first and "of the time" not in second
    assert list(footage.to_lines(NONE)) == ["none.mp4: no face found."] and list(footage.to_lines(CUT)) == []


@pytest.mark.parametrize(
    ("seconds", "boxes"),
    [(0, {1: 0}), (0.25, {1: 10}), (0.9, {1: 36, 2: 300}), (1.2, {1: 40, 2: 300}), (2, {}), (3.9, {1: 200}), (4.9, {})],
)
def test_who_is_where_between_the_looks(seconds: float, boxes: dict[int, float]) -> None:
    there = FILM.at(seconds)
    assert {number: reading.face.box[0] for number, reading in there.items()} == pytest.approx(boxes)


def test_an_age_stays_and_a_smile_changes() -> None:
    early, late = FILM.at(0)[1].estimates, FILM.at(4)[1].estimates
    assert early["age"] == late["age"] == FILM.smoothed[1]["age"]
    assert (early["smile"].value, late["smile"].value) == ("smiling", "not smiling")
    assert early["gender"] == late["gender"] == FILM.smoothed[1]["gender"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (9.96, "0:10"), (61.25, "1:01.2"), (3723, "1:02:03"), (59.99, "1:00")]
)
def test_moments_are_told_as_players_do(seconds: float, text: str) -> None:
    assert footage.clock(seconds) == text
