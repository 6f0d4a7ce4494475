from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from mtl_model import layouts
from mtl_model.errors import DataError, UsageError
from mtl_model.events import Noted
from mtl_model.tasks import number_task
from tests.codes import reasons, refused

PICTURES = [f"{letter}.webp" for letter in "abcdef"]


def write(draw, text: str, name: str = "labels.csv"):
    folder = draw(PICTURES)
    (folder / name).write_text(text)
    return folder


def labels(source) -> dict[str, dict]:
    return {sample.file[0]: dict(sample.labels) for sample in source.samples}


def test_blanks_are_unlabelled(draw):
    text = "file,age,gender,smile\na.jpg,34,f,\nb.jpg,,male,yes\nc.jpg,20-29,,0\nd.jpg,,,\n"
    source = layouts.read(str(write(draw, text)))
    assert source.kind == "csv"
    assert labels(source) == {
        "a": {"age": 34, "gender": "female"},
        "b": {"gender": "male", "smile": "smiling"},
        "c": {"age": (20, 29), "smile": "not smiling"},
    }
    assert reasons(source) == {"no_label": 1}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("b.jpg,perhaps,rose", "label_unknown"),
        ("b.jpg,yes", "row_fields"),
        ("b.jpg,yes,rose,5", "row_fields"),
        ("x.jpg,yes,rose", "picture_missing"),
        ("a.jpg,no,rose", "picture_repeated"),
        ("/home/me/b.jpg,no,rose", "path_absolute"),
        ("C:\\\\me\\\\b.jpg,no,rose", "path_absolute"),
        ("~/b.jpg,no,rose", "path_absolute"),
    ],
)
def test_a_wrong_row_is_counted_and_moves_no_other(draw, wrong, reason):
    source = layouts.read(str(write(draw, f"file,smile,flower\na.jpg,yes,rose\n{wrong}\nc.jpg,no,daisy\n")))
    assert reasons(source) == {reason: 1}
    assert labels(source) == {
        "a": {"smile": "smiling", "flower": "rose"},
        "c": {"smile": "not smiling", "flower": "daisy"},
    }


def test_digits_are_refused_for_gender_unless_the_option_says_what_they_mean(draw):
    folder = write(draw, "file,gender\na.jpg,0\nb.jpg,1\n")
    source = layouts.read(str(folder))
    assert not source.samples
    assert "'0' is not a label of gender. Known:" in source.left_out[0].examples[0]
    source = layouts.read(str(folder), {"columns": "gender=male|female"})
    assert labels(source) == {"a": {"gender": "male"}, "b": {"gender": "female"}}


def test_columns_that_are_no_labels(draw):
    text = "file,split,person,race,flower\na.jpg,test,Ann,Asian,rose\nb.jpg,valid,Bob,White,daisy\nc.jpg,there,,,rose\n"
    source = layouts.read(str(write(draw, text)))
    first, second = source.samples
    assert (first.split, first.person, dict(first.attributes)) == ("test", "Ann", {"race": "Asian"})
    assert (second.split, second.person) == ("val", "Bob")
    assert list(source.tasks) == ["flower"]
    assert reasons(source) == {"csv.split": 1}


def test_too_many_different_words_are_an_attribute(draw):
    folder = draw([f"{number}.png" for number in range(60)])
    rows = "".join(f"{number}.png,{number},{('yes', 'no')[number % 2]}\n" for number in range(60))
    (folder / "labels.csv").write_text("file,number,smile\n" + rows)
    source = layouts.read(str(folder))
    assert list(source.tasks) == ["smile"]
    assert source.samples[7].attributes["number"] == "7"
    assert Noted("csv.attribute", {"column": "number", "words": 60}) in source.notes
    assert list(layouts.read(str(folder), {"columns": "number"}).tasks) == ["number"]


def test_the_option_columns_names_what_is_learned(draw):
    folder = write(draw, "file,kind,smile\na.jpg,0,yes\nb.jpg,1,no\n")
    assert labels(layouts.read(str(folder), {"columns": "kind=rose|daisy"})) == {
        "a": {"kind": "rose"},
        "b": {"kind": "daisy"},
    }
    with pytest.raises(UsageError, match="'king', which is no column"):
        layouts.read(str(folder), {"columns": "king=rose|daisy"})


@pytest.mark.parametrize(
    ("files", "matches"),
    [
        ({"x.csv": "file,smile\n"}, True),
        ({"x.csv": '\ufeff"File";Smile\n'}, True),
        ({"splits.csv": "file,split\n"}, False),
        ({"x.csv": "name,smile\n"}, False),
        ({"x.csv": ""}, False),
    ],
)
def test_matches(draw, files, matches):
    folder = draw(["a.jpg"])
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert layouts.layout("csv").matches(folder) is matches


def test_several_files_ask_which(draw):
    folder = write(draw, "file,smile\na.jpg,yes\n", "one.csv")
    (folder / "two.csv").write_text("file,smile\na.jpg,no\n")
    with refused("several_tables"):
        layouts.read(str(folder))
    assert labels(layouts.read(str(folder), {"labels": "two.csv"})) == {"a": {"smile": "not smiling"}}
    with pytest.raises(DataError, match=r"'three\.csv' is no such file"):
        layouts.read(str(folder), {"labels": "three.csv"})


def test_accents_written_apart_name_the_same_picture(tmp_path: Path) -> None:
    forms: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")
    for form, other in (forms, forms[::-1]):
        folder = tmp_path / form
        folder.mkdir()
        Image.new("RGB", (8, 8)).save(folder / (unicodedata.normalize(form, "Zoë") + ".png"))
        name = unicodedata.normalize(other, "Zoë")
        (folder / "labels.csv").write_text(f"file,smile\n{name}.png,yes\n", encoding="utf-8")
        assert [one.labels for one in layouts.read(str(folder)).samples] == [{"smile": "smiling"}]


SPREADSHEETS = [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("cp1252", ";")]


@pytest.mark.parametrize(("encoding", "delimiter"), SPREADSHEETS)
def test_labels_are_read_as_spreadsheets_save_them(draw, encoding: str, delimiter: str) -> None:
    folder = draw(["ä.webp", "b.webp"])
    text = "File,Flower,,\r\nä.jpg,gänseblümchen,,\r\nb.jpg,rose,,\r\n".replace(",", delimiter)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    source = layouts.read(str(folder))
    assert labels(source) == {"ä": {"flower": "gänseblümchen"}, "b": {"flower": "rose"}} and not source.left_out
    assert source.notes == (Noted("csv.unnamed", {"columns": 2}),)


@pytest.mark.parametrize(
    "header", ["file,smile,smile", "file,Smile,smile ", "file,hair colour,Hair_Colour", "file,file,smile"]
)
def test_two_columns_of_one_name_are_refused(draw, header: str) -> None:
    with pytest.raises(DataError, match="has two columns named"):
        layouts.read(str(write(draw, f"{header}\na.jpg,yes,no\n")))


def test_a_column_of_numbers_is_a_quantity_with_its_unit(draw):
    text = 'file,Height (cm),number\na.jpg,171,1\nb.jpg,"182,5",2\nc.jpg,160 cm,3\nd.jpg,,4\ne.jpg,155,5\n'
    source = layouts.read(str(write(draw, text.replace("160 cm", "160"))))
    task = source.tasks["height"]
    assert (task.kind, task.unit, task.title, task.scale) == ("number", "cm", "Height", ())
    assert [(sample.file[0], sample.labels.get("height")) for sample in source.samples] == [
        ("a", 171), ("b", 182.5), ("c", 160), ("d", None), ("e", 155),
    ]  # fmt: skip


def test_a_quantity_named_like_a_task_keeps_the_name_of_its_column(draw):
    source = layouts.read(str(write(draw, "file,age (days),smile\na.jpg,171,yes\nb.jpg,182.5,no\nc.jpg,160,no\n")))
    assert source.tasks["age_(days)"].unit == "days" and "age" not in source.tasks


@pytest.mark.parametrize(
    ("rows", "kind", "labels"),
    [
        ("a.jpg,171\nb.jpg,180\n", "number", [171, 180]),
        ("a.jpg,171\nb.jpg,tall\n", "classes", ["171", "tall"]),  # what cannot be read leaves the source as it is
    ],
)
def test_few_numbers_are_read_as_the_quantity_that_is_known(draw, rows: str, kind: str, labels: list):
    source = layouts.read(str(write(draw, f"file,height\n{rows}")))
    assert source.tasks["height"].kind == "classes"
    again = layouts.read_as(source, [number_task("height", "cm")])
    assert again.tasks["height"].kind == kind
    assert [sample.labels["height"] for sample in again.samples] == labels


def test_a_column_of_another_kind_is_declared_with_it(draw):
    text = "file,marks,house,who\na.jpg,1 2 3 4,007,Ada\nb.jpg,5 6 7 8,12,Bo\nc.jpg,,,Ada\n"
    folder = write(draw, text)
    source = layouts.read(str(folder), {"columns": "marks:points=left_eye|right_eye, house : sequence, who:identity"})
    assert labels(source) == {
        "a": {"marks": (1, 2, 3, 4), "house": "007", "who": "Ada"},
        "b": {"marks": (5, 6, 7, 8), "house": "12", "who": "Bo"},
        "c": {"who": "Ada"},
    }
    assert source.tasks["house"].length == 3 and source.tasks["marks"].loss == "wing"
    assert [sample.person for sample in source.samples] == ["Ada", "Bo", "Ada"]
    bits = layouts.read(str(folder), {"columns": "house:sequence=0|1|2|7"}).tasks["house"]
    assert bits.classes == ("0", "1", "2", "7")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("house:sequense", "Did you mean 'sequence'"),
        ("marks:points", "with 0 names. Expected at least 1"),
        ("marks:points=left_eye|nose", "has no other side"),
        ("house:sequence=10|20", "is a symbol of house"),
    ],
)
def test_a_declaration_that_a_kind_cannot_use_is_refused(draw, columns: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        layouts.read(str(write(draw, "file,marks,house\na.jpg,1 2 3 4,007\nb.jpg,5 6 7 8,12\n")), {"columns": columns})


@pytest.mark.parametrize(
    ("apart", "of_21", "symbols"),
    [
        ("house", {"house_1": "2", "house_2": "1"}, 10),
        ("house:absent", {"house_1": "2", "house_2": "1", "house_3": "none"}, 11),
    ],
)
def test_a_text_is_taken_apart_into_its_length_and_symbols(draw, apart: str, of_21: dict, symbols: int):
    folder = write(draw, "file,house\na.jpg,21\nb.jpg,007\nc.jpg,?5\nd.jpg,\n")
    source = layouts.read(str(folder), {"columns": "house:sequence", "apart": apart})
    found = labels(source)
    assert found["a"] == {"house": "21", "house_length": "2", **of_21}
    assert found["b"] == {"house": "007", "house_length": "3", "house_1": "0", "house_2": "0", "house_3": "7"}
    assert "house_1" not in found["c"] and found["c"]["house_2"] == "5" and "d" not in found
    assert source.tasks["house_length"].classes == ("0", "1", "2", "3", "more")
    assert len(source.tasks["house_1"].classes) == symbols
    assert not any(task.mirror for name, task in source.tasks.items() if name != "house")


@pytest.mark.parametrize(
    ("apart", "says"), [("hous", "Did you mean 'house'"), ("kind", "taken apart"), ("house:x", "taken apart")]
)
def test_what_has_no_parts_is_refused(draw, apart: str, says: str):
    folder = write(draw, "file,house,kind\na.jpg,21,rose\nb.jpg,007,daisy\n")
    with pytest.raises(UsageError, match=says):
        layouts.read(str(folder), {"columns": "house:sequence,kind=rose|daisy", "apart": apart})
