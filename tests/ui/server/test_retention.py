from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from mtl_model import jobs
from mtl_model import runs as folders
from mtl_model.card import PENDING, Card, write_card
from mtl_model.data import corrections
from mtl_model.errors import MtlError, RunError, UsageError
from mtl_model.runs import TEACH
from mtl_model.tasks import TASKS
from mtl_model.ui.server import retention
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach import uploads


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with one of each kind, and with what other programs keep there."""
    runs = tmp_path / "runs"
    write_card(runs / "mine", Card("bknet", {}, tuple(TASKS.values())))
    folders.begin(runs, "uploaded", {PENDING: None, TEACH: {}})
    (runs / "uploaded" / "data").mkdir()
    (runs / "older").mkdir()
    (runs / "older" / TEACH).write_text("{}")
    for name in (".deleted-" + 32 * "a", ".discarded-1700000000-0123abcd-mine", ".deleted-photos", "empty"):
        (runs / name).mkdir()
    corrections.add(runs, np.zeros((9, 9, 3), np.uint8), {"smile": "smiling"})
    for name in ("holiday/data/mine.jpg", "yolo_exp1/best.pt", "yolo_exp1/report.json", "notes.txt"):
        (runs / name).parent.mkdir(parents=True, exist_ok=True)
        (runs / name).touch()
    return runs


def listed(options: UiOptions, folder: Path) -> str:
    return "; ".join(f"{what}: {how_long} {where}" for what, how_long, where in retention.places(options, folder))


OTHERS = {".deleted-photos", "empty", "holiday", "yolo_exp1", "notes.txt"}


def left(runs: Path) -> set[str]:
    return {name for name in os.listdir(runs) if not name.endswith(".lock")}


def test_everything_of_ours_goes_and_nothing_else(runs: Path) -> None:
    assert retention.delete_everything(runs) == (3, 4)
    assert left(runs) == OTHERS
    for name in ("holiday/data/mine.jpg", "yolo_exp1/best.pt", "yolo_exp1/report.json"):
        assert (runs / name).exists()
    assert not list(runs.glob(".mine*")), "nor a lock of its name"


def test_corrections_of_somebody_else_stay(runs: Path) -> None:
    (runs / "corrections" / "essay.txt").touch()
    assert retention.delete_everything(runs) == (3, 5)
    assert [path.name for path in (runs / "corrections").rglob("*")] == ["essay.txt"]
    (runs / "corrections" / "labels.csv").write_text("file,grade\nessay.txt,B\n")
    assert retention.delete_everything(runs) == (0, 5)
    assert (runs / "corrections" / "labels.csv").exists()


def test_files_that_arrive_meanwhile_bring_nothing_back(runs: Path) -> None:
    folder = runs / "uploaded"
    source = io.BytesIO(b"x")

    class Slow(io.BytesIO):
        """A file that comes in while everything is deleted."""

        def read(self, size: int | None = -1) -> bytes:
            retention.delete_everything(runs)
            return source.read(size)

    with pytest.raises(MtlError):
        uploads.add_files(folder, [("a.jpg", Slow(), 1)])
    assert left(runs) == OTHERS


def test_what_is_being_learned_is_ended_first(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [sys.executable, "-c", "input(); import time; time.sleep(600)"]
    monkeypatch.setattr(jobs, "command", lambda folder, words: script)
    for name in ("busy", "next"):
        folders.begin(runs, name, {})
        jobs.submit(runs, name, "finetune", [])
    number = jobs.every(runs)[0].pid
    assert number is not None and psutil.pid_exists(number)
    retention.delete_everything(runs)
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    assert left(runs) == OTHERS and jobs.every(runs) == []


def test_of_a_link_only_the_link_goes(runs: Path, tmp_path: Path) -> None:
    (runs / "mine").rename(tmp_path / "elsewhere")
    (runs / "mine").symlink_to(tmp_path / "elsewhere")
    retention.delete_everything(runs)
    assert (tmp_path / "elsewhere" / "card.json").exists() and not (runs / "mine").is_symlink()


def test_where_nothing_was_made_nothing_is_deleted(tmp_path: Path) -> None:
    assert retention.delete_everything(tmp_path / "runs") == (0, 0)


def test_what_cannot_be_deleted_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.shutil, "rmtree", refuse)
    with pytest.raises(RunError, match="could not be deleted whole .Permission denied.. Expected"):
        retention.delete_everything(runs)


def test_pictures_that_were_kept_are_listed_and_deleted_alone(runs: Path) -> None:
    (runs / "uploaded" / "data" / "a.jpg").write_bytes(b"x" * 3_400_000)
    write_card(runs / "uploaded", Card("bknet", {}, tuple(TASKS.values())))
    (runs / "uploaded" / "model.safetensors").touch()
    options = UiOptions(runs=runs, weights=runs)
    assert "uploaded was taught with" not in listed(options, runs)
    folders.accept(runs / "uploaded", keep=True)
    text = listed(options, runs)
    assert "Pictures that uploaded was taught with, 3 MB" in text and str(runs / "uploaded" / "data") in text
    assert uploads.expire(runs, days=-1) == [] and (runs / "uploaded" / "data" / "a.jpg").exists()
    retention.delete_pictures(runs, "uploaded")
    assert not (runs / "uploaded" / "data").exists() and (runs / "uploaded" / "card.json").exists()
    for name in ("uploaded", "holiday", "..", "mine"):
        with pytest.raises(UsageError, match="are kept any more"):
            retention.delete_pictures(runs, name)
    assert (runs / "holiday" / "data" / "mine.jpg").exists()


def test_every_place_and_every_time_is_named(tmp_path: Path) -> None:
    options = UiOptions(runs=tmp_path / "runs", weights=tmp_path / "weights")
    text = listed(options, tmp_path / "weights" / "x")
    for said in (
        tmp_path / "runs" / "NAME" / "data",
        tmp_path / "runs" / "corrections",
        tmp_path / "weights",
        "7 days",
    ):
        assert str(said) in text
    strangers = listed(UiOptions(runs=tmp_path / "runs", read_only=True), tmp_path)
    assert "7 days" not in strangers
