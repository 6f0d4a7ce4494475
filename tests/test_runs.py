from __future__ import annotations

import errno
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mtl_model import runs
from mtl_model.card import CARD, PENDING, WEIGHTS, Card, write_card
from mtl_model.errors import CheckpointError, RunError
from mtl_model.run_records import Count, Outcome, Record, Report
from mtl_model.runs import CACHE, CHANGES, COUNT, DATA, EVENTS, LOG, OUTCOME, RECORD, REPORT, STATE
from mtl_model.tasks import TASKS
from tests.codes import refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run as Teach begins it."""
    return runs.begin(tmp_path / "runs", "new", {PENDING: None, "teach.json": {"name": "new"}})


def learned(folder: Path) -> Path:
    """The run with pictures and what was learned from them."""
    write_card(folder, Card("bknet", {}, tuple(TASKS.values())))
    (folder / WEIGHTS).touch()
    for name in (f"{DATA}/smile/anna.jpg", f"{CACHE}/faces.sqlite", f"{runs.COMING}x/anna.jpg", ".state.pt.123"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    for name in (REPORT, STATE, LOG, CHANGES):
        (folder / name).write_text('{"left_out": ["anna.jpg"]}')
    (folder / COUNT).write_text('{"files": 1, "total_bytes": 5}')
    (folder / OUTCOME).write_text('{"pictures": {"better": [{"file": "anna.jpg"}]}, "sentence": "Better.", "more": 1}')
    (folder / EVENTS).write_text(
        '{"event": "noted", "text": "anna.jpg"}\n{"event": "saved", "kind": "state", "step": 1}\n'
    )
    return folder


def no_space(*arguments: Any, **more: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def listed(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


# -- begun, held ---------------------------------------------------------------------------------------------------


def test_a_run_is_begun_whole_and_bears_the_record(folder: Path) -> None:
    assert listed(folder) == [PENDING, RECORD, "teach.json"]
    plain = json.loads((folder / RECORD).read_text())
    assert (plain["program"], plain["format"]) == ("mtl_model", 1) and time.time() - plain["uploaded"] < 60
    with pytest.raises(FileExistsError):
        runs.begin(folder.parent, "new", {})
    assert listed(folder.parent) == [".new.lock", "new"]


@pytest.mark.parametrize("name", ["write_plain", "write_text"])
def test_a_disk_that_is_full_leaves_nothing_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(runs, name, no_space)
        with pytest.raises(OSError, match="No space"):
            runs.begin(tmp_path / "runs", "new", {PENDING: None})
    assert listed(tmp_path / "runs") == []
    assert runs.begin(tmp_path / "runs", "new", {PENDING: None}).is_dir()


def test_the_lock_of_a_run_goes_with_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0)
    with runs.held(folder.parent, "new"):
        with pytest.raises(RunError, match="Something else has been done with 'new'"), runs.held(folder.parent, "new"):
            pass
        with runs.held(folder.parent, "two"):  # others do not wait
            pass
    with runs.held(folder.parent, "new"):
        runs.delete(folder)
    assert listed(folder.parent) == []


def test_a_training_bears_the_record_from_its_first_moment(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "new"
    with runs.claimed(folder, tmp_path, begun=False, resume=False):
        assert runs.is_ours(folder)
        (folder / STATE).touch()
    assert runs.is_ours(folder)
    with runs.claimed(tmp_path / "runs" / "two", tmp_path, begun=False, resume=False):
        pass
    assert not (tmp_path / "runs" / "two").exists(), "nothing was learned"


# -- read ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        (REPORT, Report, '{"pictures": "3"}'),
        (REPORT, Report, '{"warnings": ["anna.jpg"]}'),
        (OUTCOME, Outcome, '{"tasks": {"age": {"n": null}}}'),
        (OUTCOME, Outcome, "{"),
        (RECORD, Record, '{"program": "mtl_model", "format": 2}'),
        (RECORD, Record, '{"program": "another"}'),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, kind: type[Any], text: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(RunError, match=f"The file {name} of 'new' is damaged.*Expected"):
        runs.read(folder / name, kind)


def test_a_file_is_read_again_when_it_is_another(folder: Path) -> None:
    assert runs.read(folder / REPORT, Report) is None
    (folder / REPORT).write_text('{"pictures": 1}')
    assert runs.read(folder / REPORT, Report) == {"pictures": 1}
    (folder / REPORT).write_text('{"pictures": 22}')
    assert runs.read(folder / REPORT, Report) == {"pictures": 22}


def test_only_a_whole_state_is_one(folder: Path) -> None:
    assert not runs.has_state(folder)
    with zipfile.ZipFile(folder / STATE, "w") as archive:
        archive.writestr("data.pkl", b"x" * 1000)
    assert runs.has_state(folder)
    (folder / STATE).write_bytes((folder / STATE).read_bytes()[:600])
    assert not runs.has_state(folder)


# -- whose it is ---------------------------------------------------------------------------------------------------


OURS = {"run.json": '{"program": "mtl_model", "format": 1}'}


@pytest.mark.parametrize(
    ("name", "files", "ours"),
    [
        ("mine", OURS, True),
        ("holiday", {"data/mine.jpg": ""}, False),
        ("yolo_exp1", {"best.pt": "", "report.json": "{}"}, False),
        ("other", {"card.json": '{"format": 1}'}, False),
        ("other", {"run.json": '{"id": 7}'}, False),
        ("other", {"run.json": '{"program": "mtl_model", "format": 99}'}, False),
        ("other", {"pending": "", "job.json": "{}", "events.jsonl": "", "state.pt": "", ".run.lock": ""}, False),
        ("corrections", OURS, False),
        (".deleted-" + 32 * "a", {}, True),
        (".deleted-photos", {}, False),
        (".discarded-1700000000-0123abcd-mine", {}, True),
        (".discarded-photos", {}, False),
        (".incoming-0a_bcdef", {}, True),
        (".incoming-photos", {}, False),
        (".git", OURS, False),
    ],
)
def test_only_what_bears_the_record_is_ours(tmp_path: Path, name: str, files: dict[str, str], ours: bool) -> None:
    place = tmp_path / name
    place.mkdir()
    for file, text in files.items():
        (place / file).parent.mkdir(exist_ok=True)
        (place / file).write_text(text)
    assert runs.is_ours(place) is ours


def test_a_whole_card_is_a_record(tmp_path: Path) -> None:
    write_card(tmp_path / "mine", Card("bknet", {}, tuple(TASKS.values())))
    assert runs.is_ours(tmp_path / "mine")


# -- its pictures and its end --------------------------------------------------------------------------------------


def test_accepting_takes_the_pictures_and_their_names(folder: Path) -> None:
    runs.accept(learned(folder))
    assert set(listed(folder)) == {CARD, WEIGHTS, OUTCOME, EVENTS, RECORD, "teach.json"}
    assert not [path for path in folder.rglob("*") if path.is_file() and b"anna" in path.read_bytes()]
    assert json.loads((folder / OUTCOME).read_text())["more"] == 1, "what a later version wrote stays"
    assert runs.read_record(folder) is not None and not runs.read_record(folder).kept  # type: ignore[union-attr]


def test_pictures_that_are_kept_stay_with_what_was_changed_of_them(folder: Path) -> None:
    runs.accept(learned(folder), keep=True)
    assert set(listed(folder)) == {CARD, WEIGHTS, OUTCOME, EVENTS, RECORD, "teach.json", DATA, CHANGES, COUNT}
    assert runs.read_record(folder).kept and runs.count_pictures(folder) == Count(files=1, total_bytes=5)  # type: ignore[union-attr]
    runs.clear_pictures(folder)
    assert not runs.has_pictures(folder) and not runs.read_record(folder).kept  # type: ignore[union-attr]


def test_what_cannot_be_accepted_goes_on_waiting_with_its_pictures(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned(folder)
    with monkeypatch.context() as patched:
        patched.setattr(runs, "write_plain", no_space)
        with pytest.raises(OSError, match="No space"):
            runs.accept(folder)
    assert (folder / PENDING).exists() and (folder / DATA / "smile" / "anna.jpg").exists()
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        runs.accept(folder)
    assert (folder / PENDING).exists() and (folder / DATA).exists()


def test_what_is_set_aside_can_be_brought_back_for_ten_minutes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, now = folder.parent, time.time()
    token = runs.set_aside(folder)
    assert not folder.exists() and [(aside.name, aside.waited) for aside in runs.asides(place)] == [("new", True)]
    monkeypatch.setattr(time, "time", lambda: now + runs.UNDO_SECONDS - 5)
    assert runs.sweep(place) == []
    assert runs.bring_back(place, token, tmp_path) == "new" and listed(folder) == [PENDING, RECORD, "teach.json"]
    with refused("expired"):
        runs.bring_back(place, token, tmp_path)
    token = runs.set_aside(folder)
    monkeypatch.setattr(time, "time", lambda: now + 2 * runs.UNDO_SECONDS)
    with refused("expired"):
        runs.bring_back(place, token, tmp_path)
    assert runs.sweep(place) == [] and not list(place.glob(".discarded*"))


@pytest.mark.parametrize("token", ["", "..", "*", "1700000000-00000000"])
def test_no_other_token_brings_anything_back(folder: Path, token: str) -> None:
    runs.set_aside(folder)
    with refused("expired"):
        runs.bring_back(folder.parent, token, folder)


def test_nothing_is_brought_back_over_another(folder: Path, tmp_path: Path) -> None:
    token = runs.set_aside(folder)
    runs.begin(folder.parent, "new", {})
    with refused("taken"):
        runs.bring_back(folder.parent, token, tmp_path)
    runs.delete(folder)
    (tmp_path / "shipped" / "new").mkdir(parents=True)
    with refused("taken"):
        runs.bring_back(folder.parent, token, tmp_path / "shipped")


def test_the_sweep_takes_what_a_killed_server_left_and_nothing_else(tmp_path: Path) -> None:
    for name in (".deleted-" + 32 * "a", ".deleted-photos", ".incoming-new_aaaa", ".incoming-old_aaaa", "holiday"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".incoming-old_aaaa", (1000, 1000))
    assert runs.sweep(tmp_path) == []
    assert listed(tmp_path) == [".deleted-photos", ".incoming-new_aaaa", "holiday"]
