from __future__ import annotations

from collections import Counter

import pytest

from mtl_model import layouts
from mtl_model.errors import DataError, UsageError
from mtl_model.events import Noted
from tests.codes import reasons

COLUMNS = {"columns": "kind=rose|daisy,colour=red|pink|white"}
NAMES = ["rose/a.webp", "rose/b.webp", "rose/my flower.webp", "daisy/c.webp", "daisy/d.webp"]


def write(draw, **lists: list[str]):
    folder = draw(NAMES)
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("line", "file", "labels"),
    [
        ("rose/a.webp, 0, 1", "rose/a.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/a.jpg,0,1", "rose/a.jpg", {"kind": "rose", "colour": "pink"}),
        ("rose/a.webp, 0,", "rose/a.webp", {"kind": "rose"}),
        ("rose/a.webp, , 2", "rose/a.webp", {"colour": "white"}),
        ("rose/a.webp, rose, Pink", "rose/a.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/a.webp 0 1", "rose/a.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/a.webp\t0\t1", "rose/a.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/a.webp\t\t1", "rose/a.webp", {"colour": "pink"}),
        ("rose/a.webp\t0", "rose/a.webp", {"kind": "rose"}),
        ("rose/a.webp;0;1", "rose/a.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/my flower.webp; ; 1", "rose/my flower.webp", {"colour": "pink"}),
        ("rose/a.webp 0", "rose/a.webp", {"kind": "rose"}),
        ("rose/a.webp - 1", "rose/a.webp", {"colour": "pink"}),
        ("rose/a.webp 0, 1", "rose/a.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/my flower.webp, 0, 1", "rose/my flower.webp", {"kind": "rose", "colour": "pink"}),
        ("rose/my flower.webp 0 1", "rose/my flower.webp", {"kind": "rose", "colour": "pink"}),
    ],
)
def test_lines_are_read(draw, line, file, labels):
    source = layouts.read(f"list:{write(draw, train=[line])}", COLUMNS)
    (sample,) = source.samples
    assert (sample.file, dict(sample.labels), sample.split) == (file, labels, "train")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("rose/b.webp, 0", "list.label_count"),
        ("rose/b.webp, 0, 1, 2", "list.label_count"),
        ("rose/b.webp 0 1 2", "list.label_count"),
        ("rose/b.webp, 2, 1", "label_unknown"),
        ("rose/gone.webp, 0, 1", "picture_missing"),
        ("rose, 0, 1", "list.line"),
        ("rose/b.webp, ,", "no_label"),
    ],
)
def test_a_wrong_line_is_counted_and_moves_no_other(draw, wrong, reason):
    folder = write(draw, train=["rose/a.webp, 0, 0", wrong, "daisy/c.webp, 1, 2"])
    source = layouts.read(str(folder), COLUMNS)
    assert source.kind == "list"
    assert reasons(source) == {reason: 1}
    assert {one.file: tuple(one.labels.values()) for one in source.samples} == {
        "rose/a.webp": ("rose", "red"),
        "daisy/c.webp": ("daisy", "white"),
    }


def test_the_lists_are_the_splits_and_test_keeps_what_is_named_twice(draw):
    train = ["rose/a.webp, 0,", "daisy/c.webp, 1,", "rose/b.webp, 0,"]
    folder = write(draw, train=train, val=["daisy/d.webp, 1,"], test=["rose/b.webp, 0,"])
    source = layouts.read(str(folder), COLUMNS)
    assert {one.file: one.split for one in source.samples} == {
        "rose/a.webp": "train",
        "daisy/c.webp": "train",
        "daisy/d.webp": "val",
        "rose/b.webp": "test",
    }
    assert reasons(source) == {"picture_repeated": 1}


def test_a_first_line_names_the_columns(draw):
    source = layouts.read(str(write(draw, train=["path, age, smile", "rose/a.webp, 34, yes", "rose/b.webp, , no"])))
    assert [dict(one.labels) for one in source.samples] == [{"age": 34, "smile": "smiling"}, {"smile": "not smiling"}]
    assert not source.notes


def test_columns_without_names_are_numbered_and_said(draw):
    source = layouts.read(str(write(draw, train=["rose/a.webp, 0, x", "daisy/c.webp, 1, x"])))
    assert list(source.tasks) == ["label_1"]
    assert source.notes == (
        Noted("list.one_class", {"column": "label_2"}),
        Noted("list.unnamed", {"columns": ["label_1", "label_2"]}),
    )


def test_a_header_and_an_option_that_do_not_agree(draw):
    folder = write(draw, train=["path, kind", "rose/a.webp, 0"])
    with pytest.raises(UsageError, match="names 2 columns"):
        layouts.read(str(folder), COLUMNS)


def test_one_list_is_split_by_the_hash(draw):
    source = layouts.read(str(write(draw, list=[f"{name}, 0," for name in NAMES])), COLUMNS)
    assert len(source.samples) == len(NAMES)


@pytest.mark.data
def test_the_flowers_as_unpacked(data):
    source = layouts.read(str(data / "flowers"), COLUMNS)
    assert source.kind == "list" and not source.left_out
    assert Counter(one.split for one in source.samples) == {"train": 883, "val": 367, "test": 219}
    assert all(one.file.startswith(str(one.labels["kind"])) for one in source.samples)
    assert Counter((one.labels["kind"], one.labels.get("colour")) for one in source.samples) == {
        ("rose", None): 548,
        ("daisy", None): 365,
        ("rose", "white"): 31,
        ("rose", "pink"): 76,
        ("rose", "red"): 68,
        ("daisy", "white"): 371,
        ("daisy", "pink"): 9,
        ("daisy", "red"): 1,
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_lists_are_read_as_editors_save_them(draw, encoding):
    folder = draw(["ä.webp"])
    (folder / "train.txt").write_text("path;kind\nä.jpg;1\n", encoding=encoding)
    (sample,) = layouts.read(str(folder), {"columns": "kind=rose|daisy"}).samples
    assert (sample.file, dict(sample.labels)) == ("ä.jpg", {"kind": "daisy"})


def test_two_columns_of_one_name_are_refused(draw):
    with pytest.raises(DataError, match="two columns named 'kind'"):
        layouts.read(f"list:{write(draw, train=['path, kind, Kind', 'rose/a.webp, 0, 1'])}")


def test_a_first_line_can_name_a_unit(draw):
    names = [f"{letter}.jpg" for letter in "abcdef"]
    folder = draw(names)
    rows = "".join(f"{name},{170 + number}.5\n" for number, name in enumerate(names))
    (folder / "list.txt").write_text(f"path,Height (cm)\n{rows}")
    task = layouts.read(str(folder)).tasks["height"]
    assert (task.kind, task.unit) == ("number", "cm")
