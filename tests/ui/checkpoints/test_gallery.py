from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from mtl_model import jobs
from mtl_model import runs as folders
from mtl_model.card import WEIGHTS, Card, read_card, write_card
from mtl_model.errors import CheckpointError, RunError, UsageError
from mtl_model.tasks import TASKS
from mtl_model.ui.checkpoints.gallery import Entry, Shelf, body
from mtl_model.ui.server.options import UiOptions
from tests.test_branches import BEARD, HAT, made

OUTCOME: dict[str, Any] = {
    "checkpoint": "child",
    "parent": "mine",
    "tasks": {
        "smile": {
            "metric": "accuracy",
            "unit": "share",
            "before": 0.91,
            "after": 0.96,
            "difference": [-0.01, 0.09],
            "n": 40,
        },
        "age": {"metric": "mae", "unit": "years", "before": None, "after": 4.4, "difference": None, "n": 40},
    },
    "changed": {"gender": 0.02},
    "sentence": "Smile: <91> to 96 %.",
}
FIGURE = {"value": 0.9357, "low": 0.9239, "high": 0.9458, "n": 2194}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    metrics = ({"source": "utkface", "split": "test", "tasks": {"gender": {"accuracy": FIGURE}}},)
    card = Card("bknet", {}, tuple(TASKS.values()), parameters=3_757_577, created="2026-11-24", metrics=metrics)
    for folder in (tmp_path / "weights" / "default", tmp_path / "runs" / "mine"):
        write_card(folder, card)
        (folder / WEIGHTS).write_bytes(b"0" * 1_500_000)
    summary = f"Fine-tuned from mine. {OUTCOME['sentence']}"
    child = dataclasses.replace(card, parent="mine", metrics=(), summary=summary, training={"outcome": OUTCOME})
    write_card(tmp_path / "runs" / "child", child)
    (tmp_path / "runs" / "child" / "outcome.json").write_text(json.dumps(OUTCOME))
    return Shelf(UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs"), "default")


def entry(shelf: Shelf, name: str) -> Entry:
    return next(entry for entry in shelf.entries() if entry.name == name)


def card_of(shelf: Shelf, name: str) -> str:
    return shelf.html(entry(shelf, name))


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_a_card_says_what_counts(shelf: Shelf) -> None:
    text = words(card_of(shelf, "mine"))
    for said in ("Age, gender and smile", "24 November 2026", "3.8 million parameters", "1.5 MB"):
        assert said in text
    assert "93.6 % right answers, 92.4 to 94.6, on 2,194 faces of UTKFace" in text and "Age Not measured" in text


def test_a_taught_one_says_what_it_brought(shelf: Shelf) -> None:
    text = words(card_of(shelf, "child"))
    assert "Smile: &lt;91&gt; to 96 %." in text and "Made from mine" in text
    assert (
        "96.0 % right answers, on 40 held-out pictures; before 91.0 %, difference −1.0 to +9.0 points, which could be"
        in text
    )
    assert "4.4 years mean error, on 40 held-out pictures " in text and "2.0 % differ" in text


def test_what_can_be_done_with_each(shelf: Shelf) -> None:
    assert [(one.name, one.changeable, one.parent) for one in shelf.entries()] == [
        ("default", False, ""),
        ("child", True, "mine"),
        ("mine", True, ""),
    ]
    assert entry(shelf, "mine").children == ("child",)
    assert not entry(dataclasses.replace(shelf, default="mine"), "mine").changeable


def test_the_first_one_stands_first_and_pending_ones_nowhere(shelf: Shelf) -> None:
    (shelf.options.runs / "mine" / "pending").touch()
    assert [one.name for one in shelf.entries()] == ["default", "child"]
    assert entry(shelf, "child").parent == ""


@pytest.mark.parametrize("text", ["{", json.dumps({"format": 1}), json.dumps({"format": 99})])
def test_a_damaged_card_does_not_hide_the_others(shelf: Shelf, text: str) -> None:
    (shelf.options.runs / "child" / "card.json").write_text(text)
    child = entry(shelf, "child")
    assert child.changeable and ((not child.whole and "Expected" in card_of(shelf, "child")) or "format" in text)
    assert entry(shelf, "mine").whole


GENDER: dict[str, Any] = {"split": "test", "tasks": {"gender": {"accuracy": {**FIGURE, "n": float("inf")}}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": [{"tasks": {"gender": {"accuracy": "good"}}}]}, "cannot be shown"),
        ({"parameters": 10**400}, "is not whole"),
        ({"created": "\ud800"}, "cannot be used"),
        ({"parent": []}, "is not whole"),
        ({"metrics": [GENDER]}, "not JSON"),
    ],
)
def test_a_card_written_by_hand_does_not_break_the_list(shelf: Shelf, changes: dict[str, Any], said: str) -> None:
    path = shelf.options.runs / "child" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert said in card_of(shelf, "child") and "Age, gender and smile" in card_of(shelf, "mine")
    for one in shelf.entries():
        shelf.html(one).encode()  # as it is sent


def test_a_card_that_cannot_even_be_parsed_does_not_break_the_list(shelf: Shelf) -> None:
    (shelf.options.runs / "child" / "card.json").write_text("[" * 100_000)
    assert "not JSON" in card_of(shelf, "child") and "Age, gender and smile" in card_of(shelf, "mine")


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    card = Card("<b>", {}, tuple(TASKS.values()), created="<i>", parent="<u>")
    text = body(card, tmp_path)
    assert "&lt;b&gt;, " in text and "<i>" not in text and "<u>" not in text


def test_renaming_takes_the_children_along(shelf: Shelf) -> None:
    runs = shelf.options.runs
    path = runs / "child" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "of a newer program": 1}))
    mine = runs / "mine" / "card.json"
    record = {"source": "csv", "command": "python -m mtl_model evaluate mine --source csv:DATA/x --split test"}
    mine.write_text(json.dumps({**json.loads(mine.read_text()), "metrics": [record]}))
    shelf.rename("mine", "yours")
    assert " evaluate yours --source" in read_card(runs / "yours").metrics[0]["command"]
    assert sorted(os.listdir(runs)) == ["child", "yours"] and read_card(runs / "child").parent == "yours"
    assert json.loads(path.read_text())["of a newer program"] == 1
    assert json.loads((runs / "child" / "outcome.json").read_text())["parent"] == "yours"


@pytest.mark.parametrize("to", ["child", "default", "pending", "../x", "a b", "", "corrections"])
def test_a_name_that_cannot_be_changes_nothing(shelf: Shelf, to: str) -> None:
    (shelf.options.runs / "pending").mkdir()
    with pytest.raises(UsageError):
        shelf.rename("mine", to)
    assert sorted(os.listdir(shelf.options.runs)) == ["child", "mine", "pending"]


def test_deleting(shelf: Shelf) -> None:
    shelf.delete("mine")
    (aside,) = shelf.deleted()
    assert "Made from mine" in words(card_of(shelf, "child")) and aside.name == "mine"
    assert sorted(os.listdir(shelf.options.runs)) == [aside.path.name, "child"]
    folders.bring_back(shelf.options.runs, aside.token, shelf.options.weights)
    assert shelf.deleted() == [] and card_of(shelf, "mine")


@pytest.mark.parametrize(
    ("name", "kind"), [("default", UsageError), ("none", CheckpointError), ("../weights", CheckpointError)]
)
def test_what_is_shipped_or_not_there_stays(shelf: Shelf, name: str, kind: type[Exception]) -> None:
    for change in (lambda: shelf.delete(name), lambda: shelf.rename(name, "other")):
        with pytest.raises(kind):
            change()
    assert (shelf.options.weights / "default" / "card.json").exists()


def test_the_one_that_the_page_begins_with_stays(shelf: Shelf) -> None:
    with pytest.raises(UsageError, match="begins with it"):
        dataclasses.replace(shelf, default="mine").delete("mine")


@pytest.mark.parametrize("words", [("finetune", "x", "--from", "mine"), ()])
def test_what_a_job_needs_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    job = jobs.Job("new" if words else "mine", "finetune", words, "running")
    monkeypatch.setattr(jobs, "every", lambda runs: [job])
    with pytest.raises(UsageError, match="is needed by"):
        shelf.delete("mine")
    monkeypatch.setattr(jobs, "every", lambda runs: [dataclasses.replace(job, state="done")])
    shelf.delete("mine")


def test_a_disk_that_refuses_is_said(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(RunError, match="No space left on device.*make room"):
        shelf.rename("mine", "yours")


@pytest.fixture
def branched(tmp_path: Path) -> Shelf:
    """Two checkpoints of one trunk, each with a task of its own, and one of another."""
    made(tmp_path / "weights" / "default", TASKS["smile"])
    made(tmp_path / "runs" / "hats", TASKS["smile"], HAT)
    made(tmp_path / "runs" / "beards", TASKS["smile"], BEARD)
    made(tmp_path / "runs" / "other", TASKS["smile"], HAT, trunk=1)
    return Shelf(UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs"), "default")


def test_a_learned_task_is_put_onto_another_with_the_same_trunk(branched: Shelf, tmp_path: Path) -> None:
    entries = branched.entries()
    offers = {one.name: [*branched.offers(one, entries)] for one in entries}
    assert offers == {
        "default": ["beards/beard", "hats/hat"],
        "beards": ["hats/hat"],
        "hats": ["beards/beard"],
        "other": [],
    }
    branched.join("hats", "beards/beard", "both")
    assert [task.name for task in read_card(tmp_path / "runs" / "both").tasks] == ["smile", "hat", "beard"]
    assert entry(branched, "both").parent == "hats" and "as in hats" in card_of(branched, "both")
    assert not [path for path in (tmp_path / "runs").iterdir() if path.name.startswith(".")], (
        "nothing is left beside it"
    )


@pytest.mark.parametrize(
    ("name", "offer", "to", "kind"),
    [
        ("hats", "beards/beard", "beards", UsageError),
        ("hats", "beards/beard", "../x", UsageError),
        ("hats", "beards/hat", "new", UsageError),
        ("hats", "other/hat", "new", UsageError),
        ("hats", "nobody/hat", "new", CheckpointError),
        ("nobody", "hats/hat", "new", CheckpointError),
        ("hats", "", "new", CheckpointError),
    ],
)
def test_what_cannot_be_put_together_is_refused_and_leaves_nothing(
    branched: Shelf, tmp_path: Path, name: str, offer: str, to: str, kind: type[Exception]
) -> None:
    before = sorted(path.name for path in (tmp_path / "runs").iterdir())
    with pytest.raises(kind):
        branched.join(name, offer, to)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == before


def test_what_is_unchanged_has_the_figure_of_the_parent_that_it_came_from(shelf: Shelf, tmp_path: Path) -> None:
    card = read_card(tmp_path / "runs" / "mine")
    same = {"outcome": {"tasks": {}, "changed": dict.fromkeys(TASKS, 0.0)}}
    for name, parent in (("first", "mine"), ("second", "first")):
        write_card(tmp_path / "runs" / name, dataclasses.replace(card, parent=parent, metrics=(), training=same))
        (tmp_path / "runs" / name / WEIGHTS).write_bytes(b"0")
    for name in ("first", "second"):
        text = words(card_of(shelf, name))
        assert "Gender 93.6 % as in mine: right answers, 92.4 to 94.6, on 2,194 faces of UTKFace" in text
        assert "Age Not measured" in text
    (tmp_path / "runs" / "mine" / "pending").touch()  # it is listed no more
    assert "Gender Unchanged answers the same as mine" in words(card_of(shelf, "first"))
    write_card(tmp_path / "runs" / "first", dataclasses.replace(card, parent="second", metrics=(), training=same))
    assert "Gender Unchanged" in words(card_of(shelf, "second")), (
        "a card written by hand may name its child as its parent"
    )
