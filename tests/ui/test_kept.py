from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from mtl_model import corrections, jobs
from mtl_model.card import Card, write_card
from mtl_model.errors import MtlError, RunError
from mtl_model.tasks import TASKS
from mtl_model.ui import kept, uploads
from mtl_model.ui.options import UiOptions


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with one of each kind, and with what somebody else keeps there."""
    runs = tmp_path / "runs"
    write_card(runs / "mine", Card("bknet", {}, tuple(TASKS.values())))
    (runs / "uploaded" / "data").mkdir(parents=True)
    (runs / "uploaded" / "pending").touch()
    (runs / "stopped").mkdir()
    (runs / "stopped" / "events.jsonl").touch()
    for name in (f"{kept.GOING}x", "half/data/smile", "lock/.coming-x"):
        (runs / name).mkdir(parents=True)
    (runs / "lock" / ".uploads.lock").touch()
    corrections.add(runs, np.zeros((9, 9, 3), np.uint8), {"smile": "smiling"})
    (runs / "photos").mkdir()
    (runs / "photos" / "me.jpg").touch()
    (runs / "photos" / "data").mkdir()
    (runs / "notes.txt").touch()
    return runs


def left(runs: Path) -> set[str]:
    return {name for name in os.listdir(runs) if not name.endswith(".lock")}


def test_everything_of_ours_goes_and_nothing_else(runs: Path) -> None:
    assert kept.delete_everything(runs) == 5
    assert left(runs) == {"photos", "notes.txt"} and len(os.listdir(runs / "photos")) == 2
    assert not list(runs.glob(".mine*")), "nor a lock of its name"


def test_files_that_arrive_meanwhile_bring_nothing_back(runs: Path) -> None:
    folder = runs / "uploaded"
    (folder / "teach.json").write_text("{}")
    source = io.BytesIO(b"x")

    class Slow(io.BytesIO):
        """A file that comes in while everything is deleted."""

        def read(self, size: int | None = -1) -> bytes:
            kept.delete_everything(runs)
            return source.read(size)

    with pytest.raises(MtlError):
        uploads.add_files(folder, [("a.jpg", Slow(), 1)])
    assert left(runs) == {"photos", "notes.txt"}


def test_what_is_being_learned_is_ended_first(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [sys.executable, "-c", "input(); import time; time.sleep(600)"]
    monkeypatch.setattr(jobs, "command", lambda folder, words: script)
    for name in ("busy", "next"):
        (runs / name).mkdir()
        jobs.submit(runs, name, "finetune", [])
    number = jobs.every(runs)[0].pid
    assert number is not None and psutil.pid_exists(number)
    kept.delete_everything(runs)
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    assert left(runs) == {"photos", "notes.txt"} and jobs.every(runs) == []


def test_of_a_link_only_the_link_goes(runs: Path, tmp_path: Path) -> None:
    (runs / "mine").rename(tmp_path / "elsewhere")
    (runs / "mine").symlink_to(tmp_path / "elsewhere")
    kept.delete_everything(runs)
    assert (tmp_path / "elsewhere" / "card.json").exists() and not (runs / "mine").is_symlink()


def test_where_nothing_was_made_nothing_is_deleted(tmp_path: Path) -> None:
    assert kept.delete_everything(tmp_path / "runs") == 0


def test_what_cannot_be_deleted_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept.shutil, "rmtree", refuse)
    with pytest.raises(RunError, match="'mine' could not be deleted whole .Permission denied.. Expected"):
        kept.delete(runs / "mine")


def test_every_place_and_every_time_is_named(tmp_path: Path) -> None:
    options = UiOptions(runs=tmp_path / "runs", weights=tmp_path / "weights")
    text = kept.table(options, tmp_path / "weights" / "x")
    for said in (
        tmp_path / "runs" / "NAME" / "data",
        tmp_path / "runs" / "corrections",
        tmp_path / "weights",
        "7 days",
    ):
        assert str(said) in text
    assert "Delete everything" in text
    strangers = kept.table(UiOptions(runs=tmp_path / "runs", read_only=True), tmp_path)
    assert "Delete everything" not in strangers and "7 days" not in strangers
