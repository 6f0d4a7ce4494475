from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from markupsafe import Markup

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.records import FACE, PICTURE, Estimate, Photo, Quality, Reading
from mtl_model.tasks import TASKS, Task, class_task
from mtl_model.ui.faces import face_cards
from tests.ui.conftest import estimate_class, reading

CARD = Card("bknet", {}, tuple(TASKS.values()), calibration={"age": kinds.named("years").Calibration(threshold=12.0)})
CROPS = np.zeros((2, 8, 8, 3), np.uint8)


def test_a_card_is_a_group_with_its_button(two_faces: Photo) -> None:
    text = face_cards.cards(two_faces, CROPS, CARD)
    assert re.findall(r'role="group" aria-label="([^"]+)"', text) == ["Face 1", "Face 2"]
    assert re.findall(r'aria-label="(Show[^"]+)"', text) == ["Show face 1", "Show face 2"]
    for said in ("34 years", "28 to 42", "24-39", "female", "93 %", "not smiling", "61 %", "unsure"):
        assert said in text


def test_what_is_unsure_says_why(two_faces: Photo) -> None:
    text = face_cards.cards(two_faces, CROPS, CARD)
    assert "The interval spans 13 years; more than 12 count as unsure." in text
    assert "The probability is 61 %; under 75 % counts as unsure." in text
    assert len(re.findall('role="tooltip"', text)) == 3
    identities = re.findall(r'id="([^"]+)"', text)
    assert len(set(identities)) == len(identities)


def test_boxes_lie_on_the_picture(two_faces: Photo) -> None:
    text = face_cards.stage(np.zeros((200, 300, 3), np.uint8), two_faces)
    assert 'aria-label="Show face 2"' in text
    assert "left:0.000%;top:10.000%;width:40.000%;height:60.000%" in text  # clipped at the left edge
    assert 'alt="two.png: 2 faces found"' in text


def test_a_face_is_one_stop_of_the_tab_key(two_faces: Photo) -> None:
    text = face_cards.stage(np.zeros((200, 300, 3), np.uint8), two_faces) + face_cards.cards(
        two_faces, CROPS, CARD, True
    )
    stops = [button for button in re.findall(r"<button [^>]+>", text) if 'tabindex="-1"' not in button]
    assert [re.findall('aria-label="([^"]+)"', button) for button in stops] == [["Show face 1"], ["Show face 2"]]
    assert text.count("<button") == 2 * 2 + 3 + 2  # boxes and crops, what is unsure, "This is wrong"


def test_names_never_become_markup() -> None:
    task = class_task("mood", ("<i>glad</i>", "sad"))
    face = Reading(reading((0, 0, 9, 9)).face, {"mood": estimate_class(task.classes, "<i>glad</i>", 0.9)})
    card = dataclasses.replace(CARD, tasks=(task,))
    photo = Photo('"><script>.png', None, (face,), 20, 20)
    for text in (
        face_cards.cards(photo, CROPS[:1], card),
        face_cards.stage(np.zeros((20, 20, 3), np.uint8), photo),
        face_cards.table(photo, card),
    ):
        assert "<i>" not in text and "<script>" not in text


def test_any_task_is_shown_by_its_kind() -> None:
    task = class_task("eye_colour", ("brown", "blue", "green", "grey"))
    card = dataclasses.replace(CARD, tasks=(task,))
    face = Reading(reading((0, 0, 9, 9)).face, {"eye_colour": estimate_class(task.classes, "blue", 0.7)})
    photo = Photo("eyes.png", None, (face,), 20, 20)
    text = face_cards.cards(photo, CROPS[:1], card)
    assert "Eye colour" in text and text.count('class="line other"') == 2 and "70 %" in text
    assert face_cards.table(photo, card).count("<th ") == 4


def test_the_table_has_a_row_a_face(two_faces: Photo) -> None:
    text = face_cards.table(two_faces, CARD)
    assert text.count("<tr data-face=") == 2
    assert text.count("<th ") * 2 == text.count("<td ") == 20


def test_no_face_is_said_and_draws_nothing() -> None:
    photo = Photo("none.png", None, (), 20, 20)
    assert "No face found." in face_cards.cards(photo, CROPS[:0], CARD)
    assert "out of focus" in face_cards.cards(dataclasses.replace(photo, fault="picture_blurred"), CROPS[:0], CARD)
    assert face_cards.table(photo, CARD) == ""
    assert "<button" not in face_cards.stage(np.zeros((20, 20, 3), np.uint8), photo)


def test_a_card_says_what_keeps_its_face_from_being_told(two_faces: Photo) -> None:
    poor, good = Quality(20, 0.01, 0.5, 60), Quality(200, 0.2, 0.5, 0)
    for subject, quality, count in ((FACE, poor, 1), (FACE, good, 0), (FACE, None, 0), (PICTURE, poor, 0)):
        text = face_cards.face(subject, 1, CROPS[0], quality, Markup(), Markup(), False)
        assert text.count("too small to tell much, out of focus, turned away") == count


ROWS = (
    {"group": {"age": "24-39"}, "range": [0.0, 12.0], "error": 2.2, "n": 900},
    {"group": {"age": "24-39"}, "range": [12.0, 16.0], "error": 4.06, "n": 1321},
)
SHARES = (
    {"group": {"smile": "not smiling"}, "range": [0.55, 0.65], "error": 0.38, "n": 321},
    {"group": {"smile": "not smiling"}, "range": [0.95, 1.01], "error": 0.002, "n": 3210},
)


def test_the_error_is_that_of_faces_answered_as_surely(two_faces: Photo) -> None:
    card = dataclasses.replace(CARD, errors={"age": ROWS, "smile": SHARES})
    text = face_cards.cards(two_faces, CROPS, card)
    assert "faces like this: " in text and "±4.1 years" in text and "±2.2 years" not in text
    assert "Mean error on 1,321 validation faces estimated as 24-39 with an interval of 12 to 16 years." in text
    assert "38 % wrong" in text and "under 1 % wrong" not in text  # 61 %, unsure
    assert "Share of wrong answers on 321 validation faces estimated as not smiling with 55 to 65 %." in text
    identities = re.findall(r' id="([^"]+)"', text)
    assert len(set(identities)) == len(identities) == 3 + 4


def test_a_small_share_is_never_none(two_faces: Photo) -> None:
    row = {"group": {"gender": "female"}, "range": [0.9, 1.01], "error": 0.001, "n": 3210}
    text = face_cards.cards(two_faces, CROPS, dataclasses.replace(CARD, errors={"gender": (row,)}))
    assert "under 1 % wrong" in text and "female with 90 to 100 %." in text


@pytest.mark.parametrize(
    "row",
    [
        {"group": {"smile": "smiling"}, "range": [0.55, 0.65], "error": 0.4, "n": 60},
        {"group": {"smile": "not smiling"}, "range": [0.95, 1.01], "error": 0.02, "n": 600},
        {"group": {"smile": "not smiling"}, "range": [0.5, 0.61], "error": 0.4, "n": 60},
        {"group": {"smile": "not smiling"}, "error": 0.02, "n": 321},
        {"group": {"age": "24-39", "gender": "female"}, "error": 0.02, "n": 321},
        {"group": {}, "error": 0.02, "n": 321},
    ],
    ids=[
        "another answer",
        "surer ones",
        "less sure ones",
        "all of an older card",
        "by groups of an older card",
        "all faces",
    ],
)
def test_nothing_is_said_of_faces_that_were_answered_otherwise(row: dict[str, object], two_faces: Photo) -> None:
    for task in ("smile", "age"):
        card = dataclasses.replace(CARD, errors={task: (row,)})
        assert "faces like this" not in face_cards.cards(two_faces, CROPS, card)


def test_a_card_can_be_called_wrong_only_where_that_can_be_kept(two_faces: Photo) -> None:
    assert "This is wrong" not in face_cards.cards(two_faces, CROPS, CARD)
    assert face_cards.cards(two_faces, CROPS, CARD, correctable=True).count(">This is wrong</button>") == 2


HEIGHT = Task("height", "<b>Height</b>", "number", "huber", (), unit="cm", scale=(170.0, 10.0))
"""Shown by its shape: a value in its unit, and the interval where one is known."""


@pytest.mark.parametrize(
    ("margin", "said", "unsaid"),
    [(6.0, ("174 cm", "168 to 180"), "unsure"), (0.0, ("174 cm", "unsure", "not known"), "most likely")],
)
def test_a_quantity_is_shown_beside_the_crop(margin: float, said: tuple[str, ...], unsaid: str) -> None:
    calibration = kinds.of(HEIGHT).Calibration(margin=margin, threshold=20.0)
    card = Card("bknet", {}, (HEIGHT,), calibration={"height": calibration})
    estimate = kinds.of(HEIGHT).estimate(HEIGHT, np.array([0.4]), calibration)
    face = Reading(reading((0, 0, 9, 9)).face, {"height": estimate})
    photo = Photo("a.png", None, (face,), 20, 20)
    text = face_cards.cards(photo, CROPS[:1], card)
    top = text[text.index('class="top"') : text.index("</section>")]
    for words in said:
        assert words in top
    assert unsaid not in top and "<b>Height" not in text
    rows = face_cards.table(photo, card)
    assert "174 cm" in rows and ("168" in rows) is bool(margin)


def test_points_are_dots_on_the_picture_and_a_text_is_a_line_with_its_probability() -> None:
    marks = Task("marks", "Marks", "points", "wing", ("left_eye", "<nose>"))
    house = Task("house", "House", "sequence", "length_and_symbols", tuple("0123456789"), length=3)
    who = Task("who", "Who", "identity", "softmax", ())
    estimates = {
        "marks": Estimate(
            "2 points",
            "10 20 99 0",
            True,
            {},
            title="Marks",
            shape="points",
            points={"left_eye": (10, 20), "<nose>": (99, 0)},
        ),
        "house": Estimate("007", "007", False, {}, confidence=0.6, title="House", shape="text"),
    }
    card = dataclasses.replace(CARD, tasks=(marks, house, who), calibration={})
    photo = Photo("p", None, (Reading(reading((0, 0, 9, 9)).face, estimates),), 40, 80)
    text = face_cards.cards(photo, CROPS[:1], card)
    assert "<bdi>2 points</bdi>" in text and "<bdi>007</bdi>" in text and "60 %" in text
    assert "The probability is 60 %; under 75 % counts as unsure." in text
    stage = face_cards.stage(np.zeros((80, 40, 3), np.uint8), photo)
    assert re.findall('class="dot" title="([^"]+)" style="(left:[^;]+;top:[^;]+)', stage) == [
        ("left_eye", "left:25.000%;top:25.000%")
    ], "what lies outside of the picture is not drawn"
    table = face_cards.table(photo, card)
    assert "Marks" in table and "House" in table and "Who" not in table and 'data-sort="007"' in table
