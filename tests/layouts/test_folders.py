from __future__ import annotations

import pytest

from mtl_model import layouts
from mtl_model.errors import DataError, UsageError
from mtl_model.events import Noted
from tests.codes import reasons


def labels(source) -> dict[str, dict]:
    return {sample.file: dict(sample.labels) for sample in source.samples}


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("smile/yes/a.jpg", {"smile": "smiling"}),
        ("smile/not smiling/a.jpg", {"smile": "not smiling"}),
        ("Gender/Women/a.jpg", {"gender": "female"}),
        ("gender/male/a.jpg", {"gender": "male"}),
        ("age/25/a.jpg", {"age": 25}),
        ("age/20-29/a.jpg", {"age": (20, 29)}),
        ("age/70+/deep/er/a.jpg", {"age": (70, 100)}),
    ],
)
def test_a_folder_a_task_with_a_folder_a_class(draw, file, found):
    source = layouts.read(str(draw([file])))
    assert source.kind == "folders"
    assert labels(source) == {file: found}


def test_several_tasks_at_once_known_and_new(draw):
    source = layouts.read(str(draw(["smile/yes/a.jpg", "age/25/b.jpg", "hat/with/c.jpg", "hat/without/d.jpg"])))
    assert set(source.tasks) == {"smile", "age", "hat"}
    assert source.tasks["hat"].classes == ("with", "without")
    assert labels(source)["hat/with/c.jpg"] == {"hat": "with"}


def test_one_photo_in_two_tasks_stays_in_one_split(draw):
    names = [f"{number}.jpg" for number in range(30)]
    source = layouts.read(str(draw([f"smile/yes/{one}" for one in names] + [f"age/25/{one}" for one in names])))
    where: dict[str, set[str]] = {}
    for sample in source.samples:
        where.setdefault(sample.file.rsplit("/", 1)[1], set()).add(sample.split)
    assert all(len(splits) == 1 for splits in where.values())


@pytest.mark.parametrize("option", ["flower", "Flower "])
def test_bare_class_folders_with_a_named_task(draw, option):
    source = layouts.read(str(draw(["rose/a.jpg", "daisy/b.jpg"])), {"task": option})
    assert labels(source) == {"rose/a.jpg": {"flower": "rose"}, "daisy/b.jpg": {"flower": "daisy"}}
    assert not source.notes


def test_bare_class_folders_of_a_known_task(draw):
    source = layouts.read(str(draw(["yes/a.jpg", "no/b.jpg", "maybe/c.jpg"])), {"task": "smile"})
    assert labels(source) == {"yes/a.jpg": {"smile": "smiling"}, "no/b.jpg": {"smile": "not smiling"}}
    assert reasons(source) == {"label_unknown": 1}


def test_bare_class_folders_without_a_name_are_named_after_their_folder_and_said(draw, tmp_path):
    draw(["flowers/rose/a.jpg", "flowers/daisy/b.jpg"])
    source = layouts.read(str(tmp_path / "flowers"))
    assert list(source.tasks) == ["flowers"]
    assert source.notes == (Noted("folders.named_after_folder", {"task": "flowers"}),)


@pytest.mark.parametrize("option", [{}, {"task": "flower"}])
def test_folders_of_splits(draw, option):
    names = ["train/rose/a.jpg", "train/daisy/b.jpg", "val/rose/c.jpg", "test/daisy/d.jpg"]
    source = layouts.read(f"folders:{draw(names)}", option)
    assert {one.file: one.split for one in source.samples} == dict(
        zip(names, ("train", "train", "val", "test"), strict=True)
    )
    assert {next(iter(one.labels.values())) for one in source.samples} == {"rose", "daisy"}


@pytest.mark.parametrize(
    ("names", "option", "found"),
    [
        (["upload/smile/yes/a.jpg", "upload/age/25/b.jpg"], {}, [{"age": 25}, {"smile": "smiling"}]),
        (["upload/rose/a.jpg", "upload/daisy/b.jpg"], {"task": "kind"}, [{"kind": "daisy"}, {"kind": "rose"}]),
    ],
)
def test_a_folder_that_only_wraps_the_rest(draw, names, option, found):
    source = layouts.read(str(draw(names)), option)
    assert sorted((dict(one.labels) for one in source.samples), key=str) == found


@pytest.mark.parametrize("name", ["train", "val", "test", "files", "img_celeba"])
def test_some_folders_are_never_a_class(draw, name):
    folder = draw([f"{name}/a.jpg", "loose.jpg"])
    assert layouts.layout("folders").matches(folder) is False
    with pytest.raises(DataError, match="lies in a class folder"):
        layouts.read(f"folders:{folder}")


def test_loose_pictures_and_single_classes_are_counted(draw):
    source = layouts.read(str(draw(["smile/yes/a.jpg", "loose.jpg", "hat/with/b.jpg", "files/c.jpg", "smile/d.jpg"])))
    assert labels(source) == {"smile/yes/a.jpg": {"smile": "smiling"}}
    assert reasons(source) == {
        "folders.no_class": 3,
        "folders.only_class": 1,
    }


GLASSES = [f"{word}/{number}.jpg" for word in ("with", "without") for number in range(3)]


@pytest.mark.parametrize("outer", ["", "upload/"])
@pytest.mark.parametrize("option", ["", "glasses"])
def test_loose_photos_and_a_second_folder_beside_a_task_are_left_out_and_said_per_folder(draw, outer, option):
    names = [f"{outer}glasses/{name}" for name in GLASSES]
    beside = [f"{outer}loose.jpg", f"{outer}glasses/loose.jpg", f"{outer}holiday/1.jpg", f"{outer}holiday/2.jpg"]
    source = layouts.read(str(draw([*names, *beside])), {"task": option} if option else {})
    assert {name: dict(labels) for name, labels in labels(source).items()} == {
        name: {"glasses": name.split("/")[-2]} for name in names
    }
    left = {reason.code: (reason.count, dict(reason.values)) for reason in source.left_out}
    assert left == {"folders.no_class": (2, {}), "folders.only_class": (2, {"folder": "holiday"})}
    assert not source.notes


def test_a_class_with_photos_of_its_own_and_folders_within_stays_a_class(draw):
    names = [*(f"rose/{number}.jpg" for number in range(5)), "rose/a/1.jpg", "rose/b/2.jpg", "daisy/3.jpg"]
    source = layouts.read(str(draw(names)), {"task": "flower"})
    assert [sample.labels["flower"] for sample in source.samples].count("rose") == 7


@pytest.mark.parametrize("task", ["", "glasses"])
def test_pictures_to_label_lie_in_a_folder_of_that_name_or_bare_beside_the_classes(draw, task):
    names = [*GLASSES, "unlabelled/4.jpg", "unlabelled/deep/5.jpg", "6.jpg"]
    source = layouts.read(str(draw(names)), {"task": task} if task else {})
    assert sorted(layouts.unlabelled(source)) == ["6.jpg", "unlabelled/4.jpg", "unlabelled/deep/5.jpg"]
    assert "unlabelled" not in next(iter(source.tasks.values())).classes


@pytest.mark.parametrize(
    ("columns", "names", "expected"),
    [
        ("hat=on|off", ["1.jpg", "on/2.jpg", "Off/deep/3.jpg", "on/off/4.jpg", "train/5.jpg"], ["on", "off", "off"]),
        ("hat=on|off", ["1.jpg"], []),
        ("hat=hat on|no hat", ["0/1.jpg", "no hat/2.jpg"], ["no hat"]),
        ("smile=yes|no", ["yes/1.jpg", "smiling/2.jpg", "3.jpg"], ["smiling", "smiling"]),
    ],
)
def test_a_declared_task_labels_the_folders_called_like_its_classes(draw, columns, names, expected):
    folder = draw(names)
    source = layouts.read(f"folders:{folder}", {"columns": columns})
    (name, task), *more = source.tasks.items()
    labelled = {sample.file for sample in source.samples}
    assert not more and sorted(sample.labels[name] for sample in source.samples) == sorted(expected)
    assert sorted(layouts.unlabelled(source)) == sorted(set(names) - labelled) and not source.left_out
    assert "0" not in task.spellings or name == "smile"


@pytest.mark.parametrize("columns", ["age", "hat=on|off,cap=on|off", "hat=on"])
def test_other_than_one_task_with_classes_cannot_be_declared_of_folders(draw, columns):
    with pytest.raises(UsageError):
        layouts.read(f"folders:{draw(['1.jpg'])}", {"columns": columns})
