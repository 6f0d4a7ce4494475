from __future__ import annotations

from collections import Counter

import pytest

from mtl_model import wording
from mtl_model.errors import DataError, UsageError
from mtl_model.layouts import _parts
from mtl_model.tasks import TASKS
from tests.codes import reasons

SMILES = {"smile": "smiling"}


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        ("a.jpg", "a.jpg", "a.jpg"),
        ("a.webp", "a.jpg", "a.webp"),
        ("a.jpg", "a.webp", "a.jpg"),
        ("a.JPG", "a.jpg", "a.JPG"),
        ("a.jpg.chip.webp", "a.jpg.chip.jpg", "a.jpg.chip.webp"),
        ("in/a.jpg", "in\\a.jpg", "in/a.jpg"),
        ("in/a.jpg", "./in/a.jpg", "in/a.jpg"),
        ("in/a.jpg", "a.jpg", None),
        ("a.jpg", "../a.jpg", None),
        ("a.jpg", "b.jpg", None),
        ("a.jpg", "aa.jpg", None),
    ],
)
def test_a_name_finds_its_picture_alone(draw, there, wanted, found):
    assert _parts.Pictures(draw([there])).find(wanted) == found


def test_two_candidates_are_none(draw):
    pictures = _parts.Pictures(draw(["a.jpg", "a.png"]))
    assert pictures.find("a.png") == "a.png"
    assert pictures.find("a.webp") is None


def test_hidden_files_are_not_pictures(draw):
    assert _parts.Pictures(draw(["._a.jpg", "__MACOSX/a.jpg", ".cache/a.jpg", "a.jpg"])).names == ["a.jpg"]


def test_the_hash_splits_alike_everywhere_and_in_proportion():
    counts = Counter(_parts.hash_split(f"picture {number}") for number in range(10_000))
    assert counts["train"] == pytest.approx(8000, abs=150)
    assert counts["val"] == pytest.approx(1000, abs=100)
    assert counts["test"] == pytest.approx(1000, abs=100)
    # Written down once: another answer would move pictures of old runs from training into test.
    held = {name: _parts.hash_split(name) for name in (f"{number}.face" for number in range(20))}
    assert {name: split for name, split in held.items() if split != "train"} == {
        "3.face": "test",
        "15.face": "val",
        "19.face": "val",
    }


def test_a_suffix_does_not_move_a_picture(draw, tmp_path):
    folder = draw([f"{number}.webp" for number in range(40)])
    splits = []
    for suffix in ("webp", "jpg"):
        collector = _parts.Collector("csv", folder)
        for number in range(40):
            collector.add(f"{number}.{suffix}", SMILES, TASKS)
        splits.append([sample.split for sample in collector.source().samples])
    assert splits[0] == splits[1]
    assert set(splits[0]) == {"train", "val", "test"}


def test_a_person_stays_in_one_split(draw):
    folder = draw([f"{number}.jpg" for number in range(60)])
    collector = _parts.Collector("celeba", folder)
    for number in range(60):
        collector.add(f"{number}.jpg", SMILES, TASKS, person=f"{number % 20}.face")
    where: dict[str, set[str]] = {}
    for sample in collector.source().samples:
        where.setdefault(sample.person, set()).add(sample.split)
    assert all(len(splits) == 1 for splits in where.values())
    assert len(set.union(*where.values())) > 1


def test_splits_csv_decides_and_leaves_out_what_it_does_not_name(draw):
    folder = draw(["a.webp", "b.webp", "c.webp"])
    (folder / "splits.csv").write_text("file,split\na.jpg,validation\nb.webp,somewhere\n")
    collector = _parts.Collector("csv", folder)
    for name in ("a.webp", "b.webp", "c.webp"):
        collector.add(name, SMILES, TASKS, split="train")
    source = collector.source()
    assert [(sample.file, sample.split) for sample in source.samples] == [("a.webp", "val")]
    assert reasons(source)["split_missing"] == 2
    assert sum(reasons(source).values()) == 3


def test_splits_csv_without_its_columns_is_refused(draw):
    folder = draw(["a.jpg"])
    (folder / "splits.csv").write_text("name,part\na.jpg,train\n")
    with pytest.raises(DataError, match=r"name, part\. Expected file and split"):
        _parts.Collector("csv", folder)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_splits_csv_is_read_as_a_spreadsheet_saves_it(draw, encoding, delimiter):
    folder = draw(["ä.jpg", "b.jpg"])
    text = "File,Split\nä.jpg,val\nb.jpg,test\n".replace(",", delimiter)
    (folder / "splits.csv").write_text(text, encoding=encoding)
    collector = _parts.Collector("csv", folder)
    for name in ("ä.jpg", "b.jpg"):
        collector.add(name, SMILES, TASKS)
    assert [sample.split for sample in collector.source().samples] == ["val", "test"]


def test_a_picture_in_two_splits_is_counted_and_stays_in_the_first(draw):
    folder = draw(["a.jpg"])
    (folder / "splits.csv").write_text("file,split\na.jpg,test\na.jpg,train\na.jpg,test\n")
    collector = _parts.Collector("csv", folder)
    collector.add("a.jpg", SMILES, TASKS)
    assert [sample.split for sample in collector.source().samples] == ["test"]
    assert reasons(collector.source()) == {"split_conflict": 1}


def test_what_cannot_be_used_is_counted_with_its_name(draw):
    folder = draw(["a.jpg", "b.jpg"])
    collector = _parts.Collector("csv", folder)
    collector.add("a.jpg", SMILES, TASKS)
    collector.add("a.png", SMILES, TASKS)
    collector.add("gone.jpg", SMILES, TASKS)
    collector.add("b.jpg", {}, TASKS)
    source = collector.source()
    assert [sample.file for sample in source.samples] == ["a.jpg"]
    assert {reason.code: reason.examples for reason in source.left_out} == {
        "picture_repeated": ("a.png",),
        "picture_missing": ("gone.jpg",),
        "no_label": ("b.jpg",),
    }
    assert "Left out 1: the picture is not there (for example gone.jpg)." in wording.of(source.summary())


@pytest.mark.parametrize(
    ("task", "text", "label"),
    [
        ("age", "34", 34.0),
        ("age", "20-29", (20.0, 29.0)),
        ("age", "more than 70", (70.0, 100.0)),
        ("age", "", None),
        ("gender", "F", "female"),
        ("smile", "0", "not smiling"),
    ],
)
def test_labels_are_read(draw, task, text, label):
    collector = _parts.Collector("csv", draw([]))
    assert collector.parse("a.jpg", TASKS[task], text) == (True, label)


@pytest.mark.parametrize(("task", "text"), [("gender", "1"), ("gender", "0"), ("smile", "maybe"), ("age", "old")])
def test_an_unknown_label_is_counted_with_what_is_known(draw, task, text):
    collector = _parts.Collector("csv", draw([]))
    assert collector.parse_all("a.jpg", [(TASKS[task], text)]) is None
    (reason,) = collector.source().left_out
    assert (reason.code, reason.values) == ("label_unknown", {"task": task})
    assert f"'{text}' is not a label of {task}." in reason.examples[0]
    assert "Known:" in reason.examples[0] or "Expected" in reason.examples[0]


def test_columns_are_declared():
    columns = _parts.declare_columns("kind=rose|daisy, Hair Colour=red|pink, age, note")
    assert list(columns) == ["kind", "hair_colour", "age", "note"]
    assert columns["kind"] is not None and columns["kind"].classes == ("rose", "daisy")
    assert columns["age"] == TASKS["age"] and columns["note"] is None


def test_codes_of_a_known_task_are_what_the_option_says():
    task = _parts.declare_columns("gender=m|f")["gender"]
    assert task is not None and task.classes == TASKS["gender"].classes
    assert (_parts.parse_label(task, "0"), _parts.parse_label(task, "1")) == ("male", "female")


def test_a_column_declared_twice_is_refused():
    with pytest.raises(UsageError, match="names 'kind' twice"):
        _parts.declare_columns("kind=rose|daisy,Kind=red|pink")


@pytest.mark.parametrize("text", ["kind=rose", "kind=rose|", "kind=rose|rose", "age=young|old"])
def test_odd_classes_are_refused(text):
    with pytest.raises(UsageError, match="does not name the classes of"):
        _parts.declare_columns(text)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("stars=1|2|3", "stars=stars-1|stars-2|stars-3"),
        ("stars=many|0", "stars=stars-many|stars-0"),
        ("smile=1|0", "smile=not smiling|smiling"),
    ],
)
def test_classes_that_are_codes_of_others_are_refused_with_what_to_write(text, instead):
    with pytest.raises(UsageError, match="can be read in two ways: .* write (stars|smile) alone") as caught:
        _parts.declare_columns(text)
    assert f"such as {instead}, where" in str(caught.value) and _parts.declare_columns(instead)


def test_classes_that_are_their_own_codes_are_read():
    for text, word in (("stars=0|1|2", "2"), ("stars=3|4|5", "5"), ("stars=stars-1|stars-2|stars-3", "stars-3")):
        task = _parts.declare_columns(text)["stars"]
        assert task is not None and _parts.parse_label(task, "2") == _parts.parse_label(task, word) == word


def test_words_become_classes_in_order():
    task = _parts.task_of_words("count", ["10", "9", "Many", "many", "", "9"])
    assert task is not None and task.classes == ("9", "10", "Many")
    assert _parts.task_of_words("count", ["9", "", "9"]) is None


def test_a_name_that_is_no_text_gets_a_split_and_others_keep_theirs():
    assert _parts.hash_split("Jos\udce9") in _parts.SPLITS
    assert [_parts.hash_split(one) for one in ("a", "é", "b17", "42")] == ["train", "train", "val", "train"]


HUNDRED = [str(150 + number % 60) for number in range(100)]


@pytest.mark.parametrize(
    ("column", "words", "declared", "name", "unit"),
    [
        ("Height (cm)", ["171", "182.5", "160"], False, "height", "cm"),
        ("Price [€]", ["1,5", "2,5", "3"], False, "price", "€"),
        ("height", [str(number / 4) for number in range(11)], False, "height", ""),  # no whole numbers
        ("height", HUNDRED, False, "height", ""),
        ("number", [str(number) for number in range(60)], True, "number", ""),
    ],
)
def test_a_column_of_many_numbers_is_a_quantity(column: str, words: list[str], declared: bool, name: str, unit: str):
    task = _parts.task_of_numbers(column, words, declared)
    assert task is not None and (task.name, task.unit, task.kind) == (name, unit, "number")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("number", [str(number) for number in range(60)]),  # counts the pictures
        ("smiling (0/1)", ["0", "1"] * 20),  # no unit
        ("stars", [str(number % 5) for number in range(60)]),  # few whole numbers are classes
        ("height", [*HUNDRED, "tall"]),
        ("height (cm)", []),
        ("height (cm)", ["170", "180"]),
    ],
)
def test_other_columns_are_none(column: str, words: list[str]):
    assert _parts.task_of_numbers(column, words) is None


def test_classes_in_an_order_are_declared_with_a_sign():
    task = _parts.declare_columns("quality=poor<fair<good")["quality"]
    assert task is not None and (task.kind, task.classes) == ("ordinal", ("poor", "fair", "good"))
    assert task.spellings["2"] == "good"
