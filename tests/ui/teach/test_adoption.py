from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from mtl_model import runs
from mtl_model.card import CARD, PENDING, WEIGHTS, shipped_weights
from mtl_model.events import Noted, to_line
from mtl_model.runs import CHANGES, EVENTS, OUTCOME, RECORD, TEACH
from mtl_model.ui.teach import adoption, teaching

LEARNED = {"parent": "bknet", "how": "branch", "tasks": [], "advanced": {}}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """runs/old as a version before wrote it, learned from pictures that came three days ago."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in (CARD, WEIGHTS):
        shutil.copy(shipped_weights() / "bknet" / name, folder)
    (folder / PENDING).touch()
    (folder / OUTCOME).write_text('{"sentence": "Better."}')
    (folder / CHANGES).write_text('{"left_out": ["a.jpg"], "labels": {}, "undo": []}')
    (folder / TEACH).write_text(json.dumps({"name": "old", "from": "bknet", "created": "2026", "learned": LEARNED}))
    then = time.time() - 3 * 24 * 3600
    for age, name in enumerate((OUTCOME, CHANGES, WEIGHTS, TEACH)):
        os.utime(folder / name, (then - age, then - age))
    return folder


def test_an_old_run_is_taken_over_once(old: Path) -> None:
    adoption.adopt(old.parent)
    record = runs.read_record(old)
    assert record is not None and 2.9 < (time.time() - record.uploaded) / 24 / 3600 < 3.1
    run = teaching.read_run(old.parent, "old")
    assert run.state == "done" and not run.outdated and run.record.parent == "bknet"
    before = (old / RECORD).read_bytes()
    os.utime(old / TEACH)
    adoption.adopt(old.parent)
    assert (old / RECORD).read_bytes() == before


@pytest.mark.parametrize(("later", "state", "outdated"), [(WEIGHTS, "empty", False), (CHANGES, "done", True)])
def test_the_times_of_files_are_asked_for_the_last_time(old: Path, later: str, state: str, outdated: bool) -> None:
    os.utime(old / later)
    adoption.adopt(old.parent)
    run = teaching.read_run(old.parent, "old")
    assert (run.state, run.outdated) == (state, outdated)


@pytest.mark.parametrize("name", [CARD, TEACH, OUTCOME, CHANGES, "job.json", "report.json"])
def test_what_cannot_be_read_is_not_taken_over(old: Path, name: str) -> None:
    (old / name).write_text('{"created": null, "tasks": 5, "left_out": 5, "pictures": "5", "format": 1}')
    adoption.adopt(old.parent)
    assert not (old / RECORD).exists()


def test_a_training_that_was_killed_is_taken_over_and_what_is_not_ours_is_not(tmp_path: Path) -> None:
    for name, file, text in (
        ("training", EVENTS, to_line(Noted("splits_kept")) + "\n"),
        ("wandb", EVENTS, '{"event": "epoch"}\n'),
        ("empty", EVENTS, ""),
        ("yolo", "report.json", "{}"),
        ("half", PENDING, ""),
        ("corrections", TEACH, "{}"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    adoption.adopt(tmp_path)
    assert [path.parent.name for path in tmp_path.glob(f"*/{RECORD}")] == ["training"]
    adoption.adopt(tmp_path / "nowhere")
