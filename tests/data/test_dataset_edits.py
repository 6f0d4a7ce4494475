"""What a person changed: left out, relabelled, and said in a sentence where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mtl_model import layouts
from mtl_model.data import dataset_edits
from mtl_model.errors import DataError


@pytest.fixture
def source(tmp_path: Path) -> layouts.Source:
    for name in ("smile/yes/a.png", "smile/yes/b.png", "smile/no/c.png", "age/20-29/d.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), (len(name), 9, 9)).save(path)
    return layouts.read(str(tmp_path / "data"))


def labels_of(source: layouts.Source) -> dict[str, dict]:
    return {dataset_edits.name_of(source, one.path): dict(one.labels) for one in source.samples}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"left_out": ["smile/yes/a.png"]}, {"smile/yes/a.png": None}),
        ({"labels": {"smile/yes/a.png": {"smile": "no"}}}, {"smile/yes/a.png": {"smile": "not smiling"}}),
        ({"labels": {"smile/no/c.png": {"age": "34"}}}, {"smile/no/c.png": {"smile": "not smiling", "age": 34.0}}),
        ({"labels": {"age/20-29/d.png": {"age": ""}}}, {"age/20-29/d.png": None}),
        ({"left_out": ["nobody.png"], "labels": {"nobody.png": {"smile": "no"}}}, {}),
    ],
)
def test_changes_touch_what_they_name_alone(
    source: layouts.Source, given: dict, expected: dict, tmp_path: Path
) -> None:
    file = tmp_path / "changes.json"
    file.write_text(json.dumps(given), encoding="utf-8")
    wanted = {**labels_of(source), **expected}
    after = labels_of(dataset_edits.apply(source, dataset_edits.read_changes(file)))
    assert after == {name: one for name, one in wanted.items() if one is not None}


@pytest.mark.parametrize("given", [{"smile": "perhaps"}, {"hat": "yes"}])
def test_a_label_that_cannot_be_is_refused(source: layouts.Source, given: dict) -> None:
    with pytest.raises(DataError, match="perhaps|hat"):
        dataset_edits.apply(source, dataset_edits.Changes(labels={"smile/yes/a.png": given}))


@pytest.mark.parametrize("text", ["", "[]", '{"labels": 3}', "{"])
def test_a_file_that_is_none_gets_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "changes.json").write_text(text)
    with pytest.raises(DataError, match="changes.json"):
        dataset_edits.read_changes(tmp_path / "changes.json")


@pytest.fixture
def hats(tmp_path: Path) -> layouts.Source:
    for name in ("hat/on/a.png", "hat/onn/b.png", "hat/off/c.png", "hat/cap/d.png", "hat/unlabelled/e.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), (len(name), 9, 9)).save(path)
    return layouts.read(str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("classes", "labels", "expected", "left"),
    [
        ({"onn": "on"}, {}, ["on", "on", "off", "cap"], ("cap", "off", "on")),
        ({"onn": "on", "cap": ""}, {}, ["on", "on", "off"], ("off", "on")),
        ({"on": "hat", "onn": "hat", "cap": "hat", "off": "bare"}, {}, ["hat", "hat", "bare", "hat"], ("bare", "hat")),
        ({"onn": "on"}, {"hat/off/c.png": {"hat": "onn"}}, ["on", "on", "on", "cap"], ("cap", "on")),
        ({}, {"hat/unlabelled/e.png": {"hat": "off"}}, ["on", "onn", "off", "cap", "off"], ("cap", "off", "on", "onn")),
    ],
)
def test_classes_are_merged_renamed_left_out_and_pictures_get_their_first_label(
    hats: layouts.Source, classes: dict, labels: dict, expected: list[str], left: tuple[str, ...]
) -> None:
    after = dataset_edits.apply(hats, dataset_edits.Changes(labels=labels, renamed={"hat": classes} if classes else {}))
    place = {one.path[-5]: one.labels["hat"] for one in after.samples}
    assert [place[letter] for letter in sorted(place)] == expected
    assert set(after.tasks["hat"].classes) >= set(expected) and set(left) >= set(expected)
