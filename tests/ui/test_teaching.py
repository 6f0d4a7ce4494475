from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from mtl_model import jobs
from mtl_model.card import CARD, PENDING, WEIGHTS
from mtl_model.errors import RunError, UsageError
from mtl_model.events import Failed, Started, Step, to_line
from mtl_model.jobs import Job
from mtl_model.ui import outcome_views, progress_views, teach_views, teaching
from mtl_model.ui.teaching import CHANGES, CHECK, DATA, LEARN, OUTCOME, REPORT, STATE, Record, Run

FOUND = {"stamp": "1", "kind": "folders", "pictures": 4, "tasks": {}, "error": ""}


def made(runs: Path, *files: str, name: str = "one", **record: object) -> Path:
    """A run's folder with empty files (a name with / at the end is a folder)."""
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    teaching.write_record(folder, dataclasses.replace(Record(name, created="2026"), **record))  # type: ignore[arg-type]
    for file in files:
        (folder / file).mkdir() if file.endswith("/") else (folder / file).write_text("{}")
    return folder


def job(kind: str, state: str, code: int | None = None, log: str = "", place: int = 0) -> Job:
    return Job("one", kind, (), state, place=place, exit_code=code, log=log)


STATES = [
    # files, found, job, state, step
    ((PENDING,), {}, None, "empty", 1),
    ((PENDING, f"{DATA}/"), {}, None, "arriving", 1),
    ((PENDING, f"{DATA}/"), FOUND, None, "uploaded", 1),
    ((PENDING,), FOUND, job(CHECK, "waiting", place=2), "waiting", 2),
    ((PENDING,), FOUND, job(CHECK, "running"), "running", 2),
    ((PENDING,), FOUND, job(CHECK, "killed"), "killed", 2),
    ((PENDING,), FOUND, job(CHECK, "done", 2), "failed", 2),
    ((PENDING,), FOUND, job(CHECK, "done", 0), "uploaded", 1),  # stopped on request
    ((PENDING, REPORT), FOUND, job(CHECK, "done", 1), "checked", 2),
    ((PENDING, REPORT), FOUND, job(LEARN, "waiting", place=1), "waiting", 3),
    ((PENDING, REPORT), FOUND, job(LEARN, "running"), "running", 3),
    ((PENDING, REPORT), FOUND, job(LEARN, "done", 0), "stopped", 3),
    ((PENDING, REPORT, STATE), FOUND, job(LEARN, "killed"), "killed", 3),
    ((PENDING, REPORT), FOUND, job(LEARN, "done", 1), "failed", 3),
    ((PENDING, REPORT, CARD), FOUND, job(LEARN, "killed"), "killed", 3),  # no outcome: not measured yet
    ((PENDING, REPORT, CARD, OUTCOME), FOUND, job(LEARN, "done", 0), "done", 4),
    ((PENDING, REPORT, CARD, OUTCOME), FOUND, job(LEARN, "running"), "running", 3),  # goes on learning
    ((REPORT, CARD, OUTCOME), FOUND, job(LEARN, "done", 0), "accepted", 4),
]


@pytest.mark.parametrize(("files", "found", "known", "state", "step"), STATES)
def test_the_files_tell_the_state(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[str, ...],
    found: dict[str, object],
    known: Job | None,
    state: str,
    step: int,
) -> None:
    made(tmp_path, *files, found=found)
    monkeypatch.setattr(jobs, "look", lambda runs, name: known)
    run = teaching.read_run(tmp_path, "one")
    assert (run.state, run.step) == (state, step)
    assert teach_views.status(run)
    assert [one.name for one in teaching.open_runs(tmp_path)] == (["one"] if PENDING in files else [])


def test_an_outcome_of_older_weights_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It went on learning, kept better weights, and was killed before these were measured."""
    folder = made(tmp_path, PENDING, REPORT, STATE, CARD, WEIGHTS, OUTCOME)
    monkeypatch.setattr(jobs, "look", lambda runs, name: job(LEARN, "killed"))
    assert teaching.read_run(tmp_path, "one").state == "done"
    later = (folder / OUTCOME).stat().st_mtime + 1
    os.utime(folder / WEIGHTS, (later, later))
    run = teaching.read_run(tmp_path, "one")
    assert run.state == "killed" and run.can_go_on


def test_a_run_is_held_by_one_and_its_lock_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching, "PATIENCE_SECONDS", 0)
    folder, lock = made(tmp_path), tmp_path / ".one.lock"
    with teaching.alone(tmp_path, "one") as run:
        assert run.record.name == "one"
        with pytest.raises(RunError, match="Something else has been done with 'one'"), teaching.held(tmp_path, "one"):
            pass
        with teaching.held(tmp_path, "two"):  # others do not wait
            pass
    assert lock.exists()
    with teaching.alone(tmp_path, "one"):
        shutil.rmtree(folder)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="nothing to teach called 'one'"), teaching.alone(tmp_path, "one"):
        pass


def test_a_lock_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / ".one.lock").mkdir()
    with pytest.raises(RunError, match="Nothing can be done with 'one'"), teaching.alone(tmp_path, "one"):
        pass


def test_who_has_looked_is_at_the_third_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, PENDING, REPORT, found=FOUND, looked=True)
    monkeypatch.setattr(jobs, "look", lambda runs, name: job(CHECK, "done", 0))
    assert teaching.read_run(tmp_path, "one").step == 3


@pytest.mark.parametrize("name", ["", "..", "../one", "a/b", "nobody", ".lock", "one\0"])
def test_no_other_folder_is_a_run(tmp_path: Path, name: str) -> None:
    made(tmp_path / "runs", PENDING)
    made(tmp_path, PENDING)
    with pytest.raises(UsageError, match="nothing to teach called"):
        teaching.read_run(tmp_path / "runs", name)


def test_a_damaged_record_is_no_run_and_hides_no_other(tmp_path: Path) -> None:
    made(tmp_path, PENDING)
    (made(tmp_path, PENDING, name="two") / teaching.RECORD).write_text('{"name": ')
    assert [run.name for run in teaching.open_runs(tmp_path)] == ["one"]


def test_a_record_keeps_the_time_of_the_last_upload(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING)
    os.utime(folder / teaching.RECORD, (1_000_000, 1_000_000))
    assert teaching.edit_record(folder, how="all").how == "all"
    assert (folder / teaching.RECORD).stat().st_mtime == 1_000_000
    plain = json.loads((folder / teaching.RECORD).read_text())
    assert plain["how"] == "all" and plain["from"] == "" and "parent" not in plain


def test_the_version_moves_with_what_is_shown_and_rests_else(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING)
    first = teaching.read_run(tmp_path, "one").version()
    (folder / "model.safetensors").write_bytes(b"x")
    assert teaching.read_run(tmp_path, "one").version() == first
    (folder / teaching.EVENTS).write_text("{}\n")
    second = teaching.read_run(tmp_path, "one").version()
    assert second != first
    waiting = dataclasses.replace(teaching.read_run(tmp_path, "one"), job=job(LEARN, "waiting", place=2))
    assert waiting.version() != dataclasses.replace(waiting, job=job(LEARN, "waiting", place=1)).version()


def test_events_are_read_on_and_half_a_line_waits(tmp_path: Path) -> None:
    started, step = to_line(Started("one", 4, 2, 0)), to_line(Step(1, 0, {"smile": 0.5}, 0.1, 10.0, 2.0))
    path = tmp_path / teaching.EVENTS
    path.write_text(f"{started}\nnonsense\n{step[:20]}")
    assert [type(one).__name__ for one in teaching.read_events(tmp_path)] == ["Started"]
    path.write_text(f"{started}\nnonsense\n{step}\n")
    assert [type(one).__name__ for one in teaching.read_events(tmp_path)] == ["Started", "Step"]
    path.write_text(f"{started}\n")  # a learning that began anew
    assert [type(one).__name__ for one in teaching.read_events(tmp_path)] == ["Started"]


def test_a_fault_is_told_in_the_words_of_the_loop_else_of_the_log(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING)
    run = Run(folder, Record("one"), job(LEARN, "done", 1, "bar\n\nIt broke <b>here</b>.\n"), "failed")
    assert teaching.last_words(run) == "It broke <b>here</b>."
    assert "It broke &lt;b&gt;here&lt;/b&gt;." in progress_views.progress(run, {}, [])
    (folder / teaching.EVENTS).write_text(to_line(Failed("The loss is no number any more.")) + "\n")
    assert teaching.last_words(run) == "The loss is no number any more."


@pytest.mark.parametrize(("changed", "told"), [(None, False), (-5, False), (5, True)])
def test_what_was_changed_after_learning_is_said_before_it_is_accepted(
    tmp_path: Path, changed: int | None, told: bool
) -> None:
    folder = made(tmp_path, PENDING, REPORT, CARD, OUTCOME, found=FOUND)
    if changed is not None:
        (folder / CHANGES).write_text("{}")
        at = (folder / OUTCOME).stat().st_mtime + changed
        os.utime(folder / CHANGES, (at, at))
    run = teaching.read_run(tmp_path, "one")
    assert run.state == "done" and run.outdated is told
    assert ("You changed pictures or labels" in outcome_views.decide(run)) is told


def test_a_learning_that_began_anew_is_not_mixed_with_the_one_before(tmp_path: Path) -> None:
    first, second = Started("one", 30, 3, 0), Started("one", 60, 6, 0)
    path = made(tmp_path) / teaching.EVENTS
    path.write_text(to_line(first) + "\n")
    assert teaching.read_events(path.parent) == [first]
    teaching.forget_events(path.parent)
    path.write_text("".join(to_line(one) + "\n" for one in (second, Failed("much longer than what was there before"))))
    assert teaching.read_events(path.parent)[0] == second
    path.unlink()
    assert teaching.read_events(path.parent) == []
    path.write_text("".join(to_line(one) + "\n" for one in [second] * 5))
    assert teaching.read_events(path.parent) == [second] * 5
