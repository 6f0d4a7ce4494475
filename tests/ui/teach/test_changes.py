"""What a person changes of the pictures of a run."""

from __future__ import annotations

import pytest

from mtl_model.errors import DataError, UsageError
from mtl_model.ui.teach import changes, dataset, teaching
from tests.codes import refused
from tests.ui.teach.conftest import Upload


def test_changes_are_counted_undone_and_survive(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/yes/2.png", "smile/no/3.png")
    changes.leave_out(run, ["smile/yes/1.png"])
    said = changes.relabel(run, "smile", {"smile/yes/2.png": "not smiling"})
    assert said == "smile/yes/2.png is now labelled Smile: not smiling."
    shown = dataset.read_labelled(run)
    assert shown.counts()["smile"] == {"not smiling": 2, "smiling": 0}
    assert [one.file for one in shown.chosen("", dataset.LEFT_OUT)] == ["smile/yes/1.png"]
    assert [one.file for one in shown.chosen("", dataset.CHANGED)] == ["smile/yes/2.png"]
    assert "smile/yes/2.png is as before" in changes.undo(run)
    changes.undo(run)
    assert dataset.read_labelled(run).counts()["smile"] == {"not smiling": 1, "smiling": 2}
    with refused("nothing_changed"):
        changes.undo(run)


def test_a_label_put_back_is_no_change(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/no/3.png")
    for word in ("not smiling", "smiling"):
        changes.relabel(run, "smile", {"smile/yes/1.png": word})
    assert teaching.read_edits(run.folder).get("labels") == {}


@pytest.mark.parametrize(
    ("file", "task", "word"),
    [("../x.png", "smile", "smiling"), ("smile/yes/1.png", "hair", "long"), ("smile/yes/1.png", "smile", "sad")],
)
def test_senseless_changes_are_refused(upload: Upload, file: str, task: str, word: str) -> None:
    run = upload("smile/yes/1.png", "smile/no/3.png")
    with pytest.raises((UsageError, DataError)):
        changes.relabel(run, task, {file: word})


def test_classes_are_merged_and_that_is_undone(upload: Upload) -> None:
    run = upload("hat/on/1.png", "hat/onn/2.png", "hat/off/3.png")
    changes.relabel(run, "hat", {"hat/off/3.png": "onn"})
    changes.rename(run, "hat", {"onn": "on"})
    assert dataset.read_labelled(run).counts()["hat"] == {"off": 0, "on": 3}
    changes.rename(run, "hat", {"on": "worn"})
    assert dataset.read_labelled(run).counts()["hat"] == {"off": 0, "worn": 3}
    for expected in ({"off": 0, "on": 3}, {"off": 0, "on": 1, "onn": 2}, {"off": 1, "on": 1, "onn": 1}):
        changes.undo(run)
        assert dataset.read_labelled(run).counts()["hat"] == expected
    with pytest.raises(UsageError):
        changes.rename(run, "hat", {"cap": "on"})


def test_pictures_left_out_together_come_back_together(upload: Upload) -> None:
    run = upload("smile/yes/1.png", "smile/yes/2.png", "smile/no/3.png")
    changes.leave_out(run, ["smile/no/3.png"])
    changes.leave_out(run, ["smile/yes/1.png", "smile/yes/2.png"])
    assert len(dataset.read_labelled(run).chosen("", dataset.LEFT_OUT)) == 3
    changes.undo(run)
    assert [one.file for one in dataset.read_labelled(run).chosen("", dataset.LEFT_OUT)] == ["smile/no/3.png"]


def test_several_pictures_are_labelled_in_one_step(upload: Upload) -> None:
    """Each with a label of its own, as guesses are taken; what was labelled before is given back by one undo."""
    names = [f"{number}.png" for number in range(4)]
    run = upload(*names, task="hat", classes=("on", "off"))
    changes.relabel(run, "hat", {"0.png": "off"})
    said = changes.relabel(run, "hat", {"0.png": "on", "1.png": "on", "2.png": "off"})
    assert said == "3 pictures are now labelled."
    assert dataset.read_labelled(run).counts()["hat"] == {"on": 2, "off": 1, "not labelled": 1}
    assert changes.undo(run) == "The last change is undone: 3 pictures are as before."
    assert dataset.read_labelled(run).counts()["hat"] == {"on": 0, "off": 1, "not labelled": 3}


def test_without_a_picture_nothing_is_changed(upload: Upload) -> None:
    run = upload("0.png", task="hat", classes=("on", "off"))
    for work in (lambda: changes.leave_out(run, []), lambda: changes.relabel(run, "hat", {})):
        with pytest.raises(UsageError, match="No picture is chosen"):
            work()


def test_a_class_without_pictures_is_renamed_and_stays(upload: Upload) -> None:
    run = upload("0.png", task="hat", classes=("on", "of", "cap"))
    changes.rename(run, "hat", {"of": "off"})
    changes.rename(run, "hat", {"cap": ""})
    assert dataset.read_labelled(run).counts()["hat"] == {"on": 0, "off": 0, "not labelled": 1}
    changes.relabel(run, "hat", {"0.png": "off"})
    assert dataset.read_labelled(run).counts()["hat"] == {"on": 0, "off": 1}
