"""The CSV in which answers leave the program."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from mtl_model.answers import csv_columns, find_clash, to_csv
from mtl_model.records import Estimate, Face, Photo, Reading
from mtl_model.tasks import TASKS, class_task, column_name, number_task
from tests.test_records import PHOTO


def test_the_csv_is_the_contract():
    assert ",".join(csv_columns(TASKS.values())) == (
        "photo,face,left,top,right,bottom,confidence,age,age_low,age_high,gender,gender_confidence,"
        "smile,smile_confidence,error"
    )
    text = to_csv([PHOTO, Photo("none.jpg"), Photo("cut.jpg", 'It is "cut", off.')], [TASKS["age"], TASKS["gender"]])
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["photo"], row["face"], row["error"]) for row in rows] == [
        ("a, b.jpg", "1", ""),
        ("a, b.jpg", "2", ""),
        ("none.jpg", "", ""),
        ("cut.jpg", "", 'It is "cut", off.'),
    ]
    first, second = rows[:2]
    assert [first[name] for name in ("left", "top", "right", "bottom", "confidence")] == [
        "0.0",
        "10.3",
        "60.0",
        "80.0",
        "0.9999",
    ]
    assert [first[name] for name in ("age", "age_low", "age_high")] == ["34.2", "28.0", "41.3"]
    assert [first[name] for name in ("gender", "gender_confidence")] == ["female", "0.6"]
    assert second["gender"] == ""  # a checkpoint without that task


@pytest.mark.parametrize("name", ['=HYPERLINK("http:evil").jpg', "+1.jpg", "-2.jpg", "@a.jpg", "\tb.jpg"])
def test_no_name_becomes_a_formula(name: str):
    task = f"{name[0]}hat"
    face = Reading(
        Face((0, 0, 5, 5), 0.9), {task: Estimate("x", "=cmd", True, {"=cmd": 1.0}, confidence=1.0, title="Hat")}
    )
    text = to_csv([Photo(name), Photo(name, readings=(face,), width=9, height=9)], [class_task(task, ("x", "y"))])
    rows = list(csv.reader(io.StringIO(text)))
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t")]
    assert [row[0] for row in rows[1:]] == [f"'{name}"] * 2 and f"'{task}" in rows[0] and "'=cmd" in rows[2]


@pytest.mark.parametrize(
    ("names", "column"),
    [
        (("age", "age low"), "age_low"),
        (("age", "Age_HIGH"), "age_high"),
        (("gender confidence", "gender"), "gender_confidence"),
        (("hair", "Hair  Confidence"), "hair_confidence"),
        (("gender", "gender low"), ""),
        (("age", "age confidence"), ""),
        (("age", "gender", "smile"), ""),
    ],
)
def test_two_tasks_that_would_write_one_column_are_named(names: tuple[str, ...], column: str) -> None:
    tasks = [TASKS.get(name) or class_task(column_name(name), ("a", "b")) for name in names]
    clash = find_clash(tasks)
    assert (clash.column if clash else "") == column
    columns = csv_columns(tasks)
    assert (len(set(columns)) < len(columns)) == bool(column)


def test_a_quantity_has_its_interval_and_blanks_where_none_is_known():
    task = number_task("height", "cm")
    face = Face((0, 0, 5, 5), 0.9)
    known = Estimate("171 cm", 171.2, True, {}, 165.0, 177.0, unit="cm", shape="number", title="Height")
    readings = tuple(
        Reading(face, {"height": estimate}) for estimate in (known, dataclasses.replace(known, low=None, high=None))
    )
    text = to_csv([Photo("a.jpg", readings=readings, width=9, height=9)], [task])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [[row[name] for name in ("height", "height_low", "height_high")] for row in rows] == [
        ["171.2", "165.0", "177.0"],
        ["171.2", "", ""],
    ]
