from __future__ import annotations

import dataclasses
import json

import pytest
from torch import nn

from mtl_model.errors import CheckpointError, DataError
from mtl_model.kinds import parse_label
from mtl_model.tasks import AGE_BANDS, TASKS, Task, class_task, column_name, from_json, split_unit, to_json

COLOUR = class_task("hair_colour", ("Light brown", "black", "a_b"))


@pytest.mark.parametrize(
    ("task", "text", "label"),
    [
        ("age", "", None),
        ("age", "   ", None),
        ("age", "34", 34.0),
        ("age", " 34.5 ", 34.5),
        ("age", "0", 0.0),
        ("age", "116", 116.0),
        ("age", "34 years", 34.0),
        ("age", "20-29", (20.0, 29.0)),
        ("age", "20 - 29", (20.0, 29.0)),
        ("age", "7-7", 7.0),
        ("age", "70+", (70.0, 100.0)),
        ("age", "more than 70", (70.0, 100.0)),
        ("age", "More than 70 years", (70.0, 100.0)),
        ("gender", "", None),
        ("gender", "Female", "female"),
        ("gender", " MAN ", "male"),
        ("gender", "w", "female"),
        ("smile", "1", "smiling"),
        ("smile", "0", "not smiling"),
        ("smile", "-1", "not smiling"),
        ("smile", "not_smiling", "not smiling"),
        ("smile", "Not Smiling", "not smiling"),
        ("smile", "", None),
    ],
)
def test_labels_are_read_as_people_write_them(task: str, text: str, label: object):
    assert parse_label(TASKS[task], text) == label


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("age", "old"),
        ("age", "-5"),
        ("age", "131"),
        ("age", "29-20"),
        ("age", "20-"),
        ("age", "-"),
        ("age", "+"),
        ("age", "nan"),
        ("age", "inf"),
        ("age", "1-2-3"),
        ("gender", "0"),
        ("gender", "1"),
        ("gender", "-1"),
        ("gender", "mail"),
        ("smile", "2"),
        ("smile", "perhaps"),
    ],
)
def test_other_spellings_are_refused_with_a_sentence(task: str, text: str):
    with pytest.raises(DataError, match=f"^'{text.replace('+', '[+]')}' is not a label of {task}[.] (Known|Expected)"):
        parse_label(TASKS[task], text)


@pytest.mark.parametrize(
    ("text", "label"),
    [("light brown", "Light brown"), ("LIGHT_BROWN", "Light brown"), ("black", "black"), ("A_B", "a_b")],
)
def test_a_task_made_from_its_classes_reads_them(text: str, label: str):
    assert parse_label(COLOUR, text) == label
    assert COLOUR.title == "Hair colour"


def test_a_class_is_known_by_its_name_too():
    glasses = Task(
        name="glasses", title="Glasses", kind="classes", loss="cross_entropy",
        classes=("without glasses", "glasses"), spellings={"no": "without glasses", "yes": "glasses"},
    )  # fmt: skip
    found = [parse_label(glasses, text) for text in ("Without_Glasses", "glasses", "no", "yes")]
    assert found == ["without glasses", "glasses", "without glasses", "glasses"]
    with pytest.raises(DataError, match="Known: glasses, no, without glasses, yes"):
        parse_label(glasses, "1")


@pytest.mark.parametrize("task", [*TASKS.values(), COLOUR], ids=lambda task: task.name)
def test_a_task_survives_its_card(task: Task):
    assert from_json(task.name, json.loads(json.dumps(to_json(task)))) == task


@pytest.mark.parametrize("lacking", ["title", "kind", "loss", "classes", "spellings", "bands", "groups"])
def test_a_task_that_is_not_whole_is_refused(lacking: str):
    plain = to_json(TASKS["age"])
    del plain[lacking]
    with pytest.raises(KeyError):
        from_json("age", plain)


@pytest.mark.parametrize("name", ["file", "File", "split", "person", "type", "a b", "a.b"])
def test_a_card_whose_task_is_called_like_something_else_is_refused(name: str):
    with pytest.raises(CheckpointError, match=f"called '{name}'. Expected a name"):
        from_json(name, to_json(COLOUR))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hair Colour ", "hair_colour"),
        ("photos.v2", "photos_v2"),
        ("Type", "type_"),
        ("face", "face_"),
        ("File", "file_"),
        ("split", "split_"),
    ],
)
def test_columns_become_names_of_tasks(text, name):
    assert column_name(text) == name


def test_a_name_of_a_task_is_never_one_that_torch_has_taken():
    taken = [one for one in dir(nn.ModuleDict()) if "_" not in one and one.islower()]
    assert {"type", "values", "training"} < set(taken)
    for one in taken:
        nn.ModuleDict({column_name(one): nn.Identity()})


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_spelling_leads_to_a_class(task: Task):
    assert task.name in TASKS and TASKS[task.name] is task
    assert len(set(task.classes)) == len(task.classes) > 1
    for spelling, name in task.spellings.items():
        assert spelling == spelling.casefold()
        assert name in task.classes
    if task.kind == "classes":
        assert all(parse_label(task, name) == name for name in task.classes)


def test_the_age_bands_leave_no_year_out():
    years = [year for _, first, last in AGE_BANDS for year in range(first, last + 1)]
    assert years == list(range(101))
    assert [name for name, _, _ in AGE_BANDS] == ["1-13", "14-23", "24-39", "40-55", "56+"]


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        ("Height (cm)", ("Height", "cm")),
        ("speed [m/s] ", ("speed", "m/s")),
        ("share(%)", ("share", "%")),
        ("smile (0/1)", ("smile (0/1)", "")),
        ("height", ("height", "")),
        ("(cm)", ("(cm)", "")),
    ],
)
def test_a_unit_stands_in_brackets(column: str, parts: tuple[str, str]):
    assert split_unit(column) == parts


@pytest.mark.parametrize("mirror", [True, False])
def test_a_task_that_forbids_mirror_images_survives_its_card(mirror: bool) -> None:
    task = dataclasses.replace(class_task("digit", ("6", "9")), mirror=mirror)
    plain = to_json(task)
    assert ("mirror" in plain) is not mirror and from_json("digit", plain) == task
    with pytest.raises(TypeError, match="mirror"):
        from_json("digit", {**plain, "mirror": "no"})


@pytest.mark.parametrize("shown", [True, False])
def test_a_task_that_is_never_shown_survives_its_card(shown: bool) -> None:
    task = dataclasses.replace(TASKS["smile"], shown=shown)
    plain = to_json(task)
    assert from_json("smile", plain) == task and ("shown" in plain) is not shown
