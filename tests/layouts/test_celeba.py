from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from mtl_model import layouts
from mtl_model.errors import DataError, UsageError
from mtl_model.tasks import TASKS, class_task
from tests.codes import reasons

NAMES = "Eyeglasses Male Smiling"


def write(draw, lines: list[str], names: str = NAMES):
    folder = draw([f"img_celeba/00000{number}.webp" for number in range(1, 4)])
    (folder / "list_attr_celeba.txt").write_text("\n".join(["3", names, *lines]))
    (folder / "identity_CelebA.txt").write_text("000001.jpg 7\n000002.jpg 8\n000003.jpg 7\n")
    return folder


LINES = ["000001.jpg  1 -1  1", "000002.jpg -1  1 -1", "000003.jpg -1 -1 -1"]


def test_smile_gender_and_person(draw):
    source = layouts.read(str(write(draw, LINES)))
    assert source.kind == "celeba"
    assert [(one.file, dict(one.labels), one.person) for one in source.samples] == [
        ("000001.jpg", {"smile": "smiling", "gender": "female"}, "7"),
        ("000002.jpg", {"smile": "not smiling", "gender": "male"}, "8"),
        ("000003.jpg", {"smile": "not smiling", "gender": "female"}, "7"),
    ]
    assert source.samples[0].split == source.samples[2].split


@pytest.mark.parametrize("asked", ["Eyeglasses", "eyeglasses", "Eyeglasses, Male", "all"])
def test_attributes_on_request(draw, asked):
    source = layouts.read(str(write(draw, LINES)), {"attributes": asked})
    assert list(source.tasks) == ["smile", "gender", "eyeglasses"]
    assert source.tasks["eyeglasses"].classes == ("no", "yes")
    assert [sample.labels["eyeglasses"] for sample in source.samples] == ["yes", "no", "no"]


def test_who_is_the_same_person_on_request(draw):
    source = layouts.read(str(write(draw, LINES)), {"attributes": "identity, Eyeglasses"})
    assert list(source.tasks) == ["smile", "gender", "eyeglasses", "identity"]
    assert [sample.labels["identity"] for sample in source.samples] == ["7", "8", "7"]
    assert source.tasks["identity"].kind == "identity"


@pytest.mark.parametrize("classes", [("without", "with"), ("no", "yes"), ("yes", "no")])
def test_an_attribute_that_is_a_task_has_the_classes_of_the_task(draw, monkeypatch, classes):
    task = class_task("eyeglasses", classes)
    spelt = dataclasses.replace(task, spellings={"no": "without", "yes": "with"} if "with" in classes else {})
    monkeypatch.setitem(TASKS, "eyeglasses", spelt)
    source = layouts.read(str(write(draw, LINES)), {"attributes": "Eyeglasses"})
    yes, no = ("with", "without") if "with" in classes else ("yes", "no")
    assert source.tasks["eyeglasses"] == spelt
    assert [sample.labels["eyeglasses"] for sample in source.samples] == [yes, no, no]


def test_an_attribute_whose_task_knows_no_yes_and_no_is_refused(draw, monkeypatch):
    monkeypatch.setitem(TASKS, "eyeglasses", class_task("eyeglasses", ("without", "with")))
    with pytest.raises(DataError, match="'no' is not a label of eyeglasses. Known: with, without"):
        layouts.read(str(write(draw, LINES)), {"attributes": "Eyeglasses"})


def test_an_unknown_attribute_is_refused(draw):
    with pytest.raises(UsageError, match="Did you mean 'Eyeglasses'"):
        layouts.read(str(write(draw, LINES)), {"attributes": "eyeglass"})


@pytest.mark.parametrize("wrong", ["000002.jpg -1 1", "000002.jpg -1 1 0", "000002.jpg -1 1 -1 1"])
def test_a_wrong_line_is_counted_and_moves_no_other(draw, wrong):
    source = layouts.read(str(write(draw, [LINES[0], wrong, LINES[2]])))
    assert reasons(source) == {"celeba.line": 1}
    assert {one.file: one.labels["smile"] for one in source.samples} == {
        "000001.jpg": "smiling",
        "000003.jpg": "not smiling",
    }


def test_the_published_partition_is_used_where_no_splits_csv_is(draw):
    folder = write(draw, LINES)
    (folder / "list_eval_partition.txt").write_text("000001.jpg 2\n000002.jpg 1\n000003.jpg 0\n")
    assert [one.split for one in layouts.read(str(folder)).samples] == ["test", "val", "train"]


def test_a_file_without_attribute_names_is_a_sentence(draw):
    folder = draw(["img_celeba/000001.jpg"])
    (folder / "list_attr_celeba.txt").write_text("000001.jpg 1 -1 1\n")
    with pytest.raises(DataError, match="does not begin with a count"):
        layouts.read(str(folder))


@pytest.mark.data
def test_the_set_as_unpacked(data):
    source = layouts.read(str(data / "celeba"), {"attributes": "Eyeglasses"})
    splits = Counter(one.split for one in source.samples)
    assert splits == {"train": 20000, "val": 2000, "test": 4000, "fewshot": 1218}
    fewshot = Counter(one.labels["eyeglasses"] for one in source.in_split("fewshot"))
    assert fewshot == {"yes": 578, "no": 640}
    assert not source.left_out
    persons = {name: {one.person for one in source.in_split(name)} for name in splits}
    assert all(not persons[a] & persons[b] for a in persons for b in persons if a < b)


def test_people_with_few_training_pictures_are_no_identities(draw):
    folder = write(draw, LINES)
    (folder / "splits.csv").write_text("file,split\n000001.jpg,train\n000002.jpg,train\n000003.jpg,train\n")
    whole = layouts.read(str(folder), {"attributes": "identity:2"})
    assert [sample.labels.get("identity") for sample in whole.samples] == ["7", None, "7"]
    assert all("smile" in sample.labels for sample in whole.samples)
    (folder / "splits.csv").write_text("file,split\n000001.jpg,train\n000002.jpg,test\n000003.jpg,train\n")
    held = layouts.read(str(folder), {"attributes": "identity:3"})
    assert [sample.labels.get("identity") for sample in held.samples] == [None, "8", None]
    with pytest.raises(UsageError, match="identity:12"):
        layouts.read(str(folder), {"attributes": "identity:many"})
