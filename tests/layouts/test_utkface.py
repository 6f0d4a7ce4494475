from __future__ import annotations

from collections import Counter

import pytest

from mtl_model import layouts
from tests.codes import reasons


@pytest.mark.parametrize(
    ("name", "age", "gender", "race"),
    [
        ("25_0_0_20170116174525125.jpg.chip.jpg", 25, "male", "White"),
        ("1_1_2_20170116174525125.jpg.chip.webp", 1, "female", "Asian"),
        ("116_1_1_2017.jpg", 116, "female", "Black"),
        ("24_0_3_20170116220224657 .jpg.chip.webp", 24, "male", "Indian"),
        ("55_0_4_20170116232725357jpg.chip.webp", 55, "male", "Other"),
    ],
)
def test_names_are_read(draw, name, age, gender, race):
    (sample,) = layouts.read(f"utkface:{draw([name])}").samples
    assert dict(sample.labels) == {"age": age, "gender": gender}
    assert dict(sample.attributes) == {"race": race}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("39_1_20170116174525125.jpg.chip.jpg", "utkface.lacks_field"),
        ("portrait.jpg", "utkface.lacks_field"),
        ("39_1_0_0_20170116174525125.jpg", "utkface.extra_field"),
        ("x_1_0_2017.jpg", "utkface.age"),
        ("131_1_0_2017.jpg", "utkface.age"),
        ("_1_0_2017.jpg", "utkface.age"),
        ("39_2_0_2017.jpg", "utkface.gender"),
        ("39_1_5_2017.jpg", "utkface.race"),
        ("39_1_0_.jpg", "utkface.lacks_time"),
    ],
)
def test_a_wrong_name_is_counted_and_moves_no_label(draw, name, reason):
    folder = draw(["38_0_0_2016.jpg", name, "40_1_1_2018.jpg"])
    source = layouts.read(f"utkface:{folder}")
    assert reasons(source) == {reason: 1}
    assert source.left_out[0].examples == (name,)
    assert {sample.file: sample.labels["age"] for sample in source.samples} == {
        "38_0_0_2016.jpg": 38,
        "40_1_1_2018.jpg": 40,
    }


@pytest.mark.parametrize(
    ("names", "matches"),
    [
        (["1_0_0_2017.jpg", "2_0_0_2017.jpg", "holiday.jpg"], True),
        (["1_0_0_2017.jpg", "holiday.jpg", "party.jpg"], False),
        (["age/25/1_0_0_2017.jpg"], False),
        ([], False),
    ],
)
def test_most_names_decide(draw, names, matches):
    assert layouts.layout("utkface").matches(draw(names)) is matches


@pytest.mark.data
def test_the_set_as_unpacked(data):
    source = layouts.read(str(data / "utkface"))
    assert source.kind == "utkface"
    assert Counter(sample.split for sample in source.samples) == {"train": 19316, "val": 2195, "test": 2194}
    assert reasons(source) == {"utkface.lacks_field": 3}
    labels = {sample.file: sample.labels for sample in source.samples}
    assert labels["24_0_1_20170116220224657 .jpg.chip.webp"] == {"age": 24, "gender": "male"}
    assert labels["55_0_0_20170116232725357jpg.chip.webp"] == {"age": 55, "gender": "male"}
    assert all(float(file.split("_")[0]) == found["age"] for file, found in labels.items())


@pytest.mark.parametrize(("age", "group"), [(0, "1-13"), (13, "1-13"), (14, "14-23"), (80, "56-80"), (116, "56-80")])
def test_an_age_is_read_as_the_group_it_lies_in(draw, age, group):
    options = {"columns": "age:classes=1-13|14-23|24-39|40-55|56-80"}
    source = layouts.read(f"utkface:{draw([f'{age}_0_0_2017.jpg'])}", options)
    assert source.samples[0].labels["age"] == group and source.tasks["age"].kind == "classes"
    assert layouts.read_as(layouts.read(f"utkface:{draw([])}"), source.tasks.values()).samples == source.samples
