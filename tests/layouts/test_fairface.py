from __future__ import annotations

from collections import Counter

import pytest

from mtl_model import layouts
from mtl_model.errors import DataError
from tests.codes import reasons


def read(draw, rows: list[str], name: str = "fairface_label.csv"):
    folder = draw(["train/1.webp", "train/2.webp", "val/1.webp"])
    (folder / name).write_text("\n".join(["file,age,gender,race", *rows]))
    source = layouts.read(str(folder))
    assert source.kind == "fairface"
    return source


@pytest.mark.parametrize(
    ("text", "label"), [("0-2", (0, 2)), ("50-59", (50, 59)), ("more than 70", (70, 100)), ("", None)]
)
def test_ages_are_ranges(draw, text, label):
    (sample,) = read(draw, [f"train/1.jpg,{text},Female,East Asian"]).samples
    assert sample.labels.get("age") == label
    assert sample.labels["gender"] == "female"
    assert dict(sample.attributes) == {"race": "East Asian"}
    assert sample.path.endswith("train/1.webp") or sample.path.endswith("train\\1.webp")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("train/2.jpg,50-59,Male", "row_fields"),
        ("train/2.jpg,59-50,Male,White", "label_unknown"),
        ("train/2.jpg,50-59,1,White", "label_unknown"),
        ("train/9.jpg,50-59,Male,White", "picture_missing"),
    ],
)
def test_a_wrong_row_is_counted_and_moves_no_other(draw, wrong, reason):
    source = read(draw, ["train/1.jpg,3-9,Male,White", wrong, "val/1.jpg,20-29,Female,Black"])
    assert reasons(source) == {reason: 1}
    assert {sample.file: sample.labels["age"] for sample in source.samples} == {
        "train/1.jpg": (3, 9),
        "val/1.jpg": (20, 29),
    }


def test_a_missing_column_is_a_sentence(draw):
    folder = draw(["train/1.jpg"])
    (folder / "fairface_label.csv").write_text("file,age\ntrain/1.jpg,3-9\n")
    with pytest.raises(DataError, match="lacks the column gender"):
        layouts.read(str(folder))


@pytest.mark.data
def test_the_set_as_unpacked(data):
    source = layouts.read(str(data / "fairface"))
    assert Counter(sample.split for sample in source.samples) == {"train": 18343, "val": 2049, "test": 4592}
    ages = Counter(sample.labels["age"] for sample in source.samples)
    assert len(ages) == 9 and ages[70.0, 100.0] == 444 and ages[0.0, 2.0] == 919
    assert len({sample.attributes["race"] for sample in source.samples}) == 7
    assert not source.left_out


def test_a_label_file_saved_by_a_spreadsheet_is_read(draw):
    folder = draw(["train/é.webp"])
    text = "file;age;gender;race\r\ntrain/é.jpg;3-9;Male;White\r\n"
    (folder / "fairface_label.csv").write_bytes(text.encode("cp1252"))
    (sample,) = layouts.read(str(folder)).samples
    assert dict(sample.labels) == {"age": (3, 9), "gender": "male"}
