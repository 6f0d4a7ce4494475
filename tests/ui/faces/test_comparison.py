"""Two checkpoints side by side: what counts as different, and what one of them does not know."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from mtl_model.card import Card
from mtl_model.records import Photo, Reading
from mtl_model.tasks import TASKS, class_task
from mtl_model.ui.faces import comparison
from mtl_model.ui.faces.comparison import Side
from tests.ui.conftest import estimate_class, reading

CARD = Card("bknet", {}, tuple(TASKS.values()))
CROPS = np.zeros((2, 8, 8, 3), np.uint8)
GLASSES = class_task("glasses", ("with", "<i>without</i>"))


@pytest.fixture
def photo(two_faces: Photo) -> Photo:
    return two_faces


def sides(photo: Photo, second: Side | None = None) -> comparison.Sides:
    first = Side("default", CARD, photo.readings)
    older = tuple(reading(one.face.box, age=44.2 - 25.6 * number) for number, one in enumerate(photo.readings))
    return first, second or Side("b<k>net", CARD, older)


def with_glasses(photo: Photo) -> Side:
    """A checkpoint that knows smiles and glasses alone."""
    card = dataclasses.replace(CARD, tasks=(GLASSES, TASKS["smile"]))
    glasses = estimate_class(GLASSES.classes, "<i>without</i>", 0.8)
    each = [Reading(one.face, {"glasses": glasses, "smile": one.estimates["smile"]}) for one in photo.readings]
    return Side("new", card, tuple(each))


def test_each_card_has_a_column_a_checkpoint(photo: Photo) -> None:
    text = comparison.cards(photo, CROPS, sides(photo))
    assert re.findall(r'<th scope="col">([^<]+)</th>', text) == ["default", "b&lt;k&gt;net"] * 2
    assert re.findall(r'role="group" aria-label="([^"]+)"', text) == ["Face 1", "Face 2"]
    assert "34 years" in text and "44 years" in text
    assert text.count("Different: <bdi>Age</bdi>") == 2 and text.count("≠ different") == 2
    assert text.count("Age: 10.0 years apart; more than 5 count as different.") == 2
    identities = re.findall(r' id="([^"]+)"', text)
    assert len(set(identities)) == len(identities)


def test_no_difference_is_said_too(photo: Photo) -> None:
    same = sides(photo, Side("twin", CARD, photo.readings))
    text = comparison.cards(photo, CROPS, same)
    assert text.count("No difference") == 2 and "≠" not in text
    assert comparison.note(same) == "default and twin agree in all 6 answers."
    assert comparison.note(sides(photo)) == "default and b<k>net differ in 2 of 6 answers."


def test_a_task_of_one_alone_stands_in_its_column(photo: Photo) -> None:
    pair = sides(photo, with_glasses(photo))
    text = comparison.cards(photo, CROPS, pair)
    first_card = text.split("</section>")[0]
    rows = re.findall(r"<tr>(<td>.*?)</tr>", first_card)
    assert [row.count("not taught") for row in rows] == [1, 1, 0, 1]
    assert [row.startswith('<td><p class="small">not taught') for row in rows] == [False, False, False, True]
    assert "<i>" not in text and "Glasses" in text
    assert comparison.note(pair) == "default and new agree in all 2 answers."
    assert [task.name for task in comparison.tasks(pair)] == ["age", "gender", "smile", "glasses"]


def test_nothing_in_common_is_said(photo: Photo) -> None:
    card = dataclasses.replace(CARD, tasks=(GLASSES,))
    glasses = {"glasses": estimate_class(GLASSES.classes, "with", 0.8)}
    pair = sides(photo, Side("new", card, tuple(Reading(one.face, glasses) for one in photo.readings)))
    assert comparison.note(pair) == "default and new know no task in common."
    text = comparison.cards(photo, CROPS, pair)
    assert text.count("No task in common") == 2 and text.count("not taught") == 8


def test_a_task_of_the_same_name_and_another_kind_is_another_task(photo: Photo) -> None:
    age = class_task("age", ("old", "young"))
    each = tuple(Reading(one.face, {"age": estimate_class(age.classes, "old", 0.7)}) for one in photo.readings)
    pair = sides(photo, Side("odd", dataclasses.replace(CARD, tasks=(age,)), each))
    assert "not taught" in comparison.cards(photo, CROPS, pair)
    assert comparison.table(photo, pair).count("<tr data-face=") == 2


def test_the_table_names_the_checkpoints(photo: Photo) -> None:
    text = comparison.table(photo, sides(photo))
    heads = [re.sub("<[^>]+>", "", one) for one in re.findall(r'data-column="\d+">(.*?)</button>', text)]
    assert heads[:3] == ["Face", "Age default", "Age b&lt;k&gt;net"] and heads[-2:] == ["Different", "Detection"]
    assert text.count("<th ") * 2 == text.count("<td ") == 2 * (1 + 2 * 8 + 2)
    assert text.count("<bdi>Age</bdi></td>") == 2


def test_no_face_is_said_as_ever() -> None:
    empty = Photo("none.png", None, (), 20, 20)
    pair = Side("a", CARD, ()), Side("b", CARD, ())
    assert "No face found." in comparison.cards(empty, CROPS[:0], pair)
    assert comparison.table(empty, pair) == "" and comparison.note(pair) == ""
