from __future__ import annotations

import dataclasses
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtl_model import jobs, wording
from mtl_model.card import shipped_weights
from mtl_model.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Noted,
    Progressed,
    Stage,
    Started,
    Step,
    Stopped,
    to_line,
)
from mtl_model.jobs import Job
from mtl_model.runs import EVENTS, STATE, STOP
from mtl_model.ui.teach import picture_views, progress_views, teaching
from mtl_model.ui.teach.actions import Steps
from mtl_model.ui.teach.teaching import LEARN, Record, Run

FIRST = [
    Noted("source_read", {"kind": "folders", "pictures": 200, "splits": {}, "left_out": [], "notes": []}),
    Started("one", 240, 60, 0),
    Step(8, 1, {"hat": 0.5}, 0.1, 346.0, 22.0),
    Evaluated(1, 8, {"hat": {"accuracy": 0.5}}, 0.5, True),
]


def run_of(
    folder: Path, state: str, events: list[Event], heard: int = 0, latest: Event | None = None, code: int | None = None
) -> Run:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / STATE, "w"):
        pass  # as torch writes it
    (folder / EVENTS).write_text("".join(to_line(one) + "\n" for one in events))
    record = Record(folder.name, heard=heard, found={"kind": "folders"})
    job = Job(folder.name, LEARN, (), "running" if state == "running" else "done", exit_code=code, latest=latest)
    return Run(folder, record, job, state)


def test_where_it_is(tmp_path: Path) -> None:
    html = progress_views.progress(run_of(tmp_path / "one", "running", FIRST), {}, [])
    assert "Round 3 of at most 60, best so far after round 2" in html and "Stop, keep the best so far" in html
    assert "<li>200 labelled pictures.</li>" in html
    (tmp_path / "one" / STOP).touch()
    html = progress_views.progress(run_of(tmp_path / "one", "running", FIRST), {}, [])
    assert "Stopping. The best so far" in html and "<button" not in html


def test_one_that_goes_on_is_not_taken_for_the_earlier_one(tmp_path: Path) -> None:
    latest = Progressed(Stage.FEATURES, 32, 130, 9.2)
    html = progress_views.progress(run_of(tmp_path / "one", "running", FIRST, heard=len(FIRST), latest=latest), {}, [])
    assert "working out what the network sees in them, 32 of 130, 9.0 seconds left" in html
    assert "Round" not in html and ">Stop</button>" in html and "polyline" not in html.partition("<figure")[0]


def test_how_it_ended(tmp_path: Path) -> None:
    outcome = Noted("outcome", {"tasks": {}, "changed": {}, "titles": {}})
    end = [outcome, Stopped(8, "no_better_epoch", {"epochs": 15, "best": 2})]
    asked = run_of(tmp_path / "one", "done", [*FIRST, *end])
    assert asked.can_go_on
    html = progress_views.progress(asked, {}, [])
    assert "Stopped after 2 rounds over the pictures; round 2 was the best" in html and wording.of(outcome) not in html
    whole = run_of(tmp_path / "two", "done", [*FIRST, *end, Finished(8, 1.0, 1)])
    assert not whole.can_go_on and "Done after 2 rounds" in progress_views.progress(whole, {}, [])


@pytest.mark.parametrize(
    ("latest", "shown"),
    [
        (None, '<progress aria-label="Preparing the pictures"></progress>'),
        (Failed("usage", {"message": "no progress"}), '<progress aria-label="Preparing the pictures"></progress>'),
        (Progressed(Stage.DETECTING, 0, 1200), "Preparing the pictures: looking for the faces, 0 of 1,200."),
        (Progressed(Stage.READING, 5, 9, 125.0), "Preparing the pictures: reading them, 5 of 9, 2 minutes left."),
        (Progressed("later_stage", 5, 9), "Preparing the pictures: later_stage, 5 of 9."),
    ],
)
def test_how_far_a_job_is_comes_from_its_latest_event(tmp_path: Path, latest: Event | None, shown: str) -> None:
    run = run_of(tmp_path / "one", "running", [], latest=latest)
    assert shown in progress_views.job_line(run, [])


def test_notes_of_an_older_version_are_shown_as_they_stand(tmp_path: Path) -> None:
    run = run_of(tmp_path / "one", "running", [])
    older = '{"event": "noted", "text": "folders: 200 <labelled> pictures."}'
    (tmp_path / "one" / EVENTS).write_text(f"{older}\n{to_line(FIRST[1])}\n")
    assert "<li>folders: 200 &lt;labelled&gt; pictures.</li>" in progress_views.progress(run, {}, [])


def test_a_fit_has_no_passes_and_nothing_to_keep_before_its_end(tmp_path: Path) -> None:
    begun: list[Event] = [Started("one", 0, 0, 0, {"folders": {"pictures": 60}})]
    latest = Progressed(Stage.FITTING, 2, 5, 9.0)
    html = progress_views.progress(run_of(tmp_path / "one", "running", begun, latest=latest), {}, [])
    assert "tells the answers best, 2 of 5" in html and ">Stop</button>" in html
    (tmp_path / "one" / STOP).touch()
    assert "best so far" not in progress_views.progress(run_of(tmp_path / "one", "running", begun), {}, [])
    ended = [*begun, Evaluated(0, 0, {"hat": {"accuracy": 0.8}}, -0.2, True), Noted("outcome"), Finished(0, 9.0, 0)]
    html = progress_views.progress(run_of(tmp_path / "two", "done", ended), {}, [])
    assert "pass" not in html and "<svg" not in html


@pytest.mark.parametrize(("events", "at_once"), [([], True), (FIRST[:1], True), (FIRST, False)])
def test_what_only_prepares_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event], at_once: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(jobs, "stop", lambda runs, name, at_once: asked.append(at_once))
    Steps(tmp_path, tmp_path).stop(run_of(tmp_path / "one", "running", events))
    assert asked == [at_once]


def test_a_run_that_goes_on_remembers_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path / "one", "done", FIRST)
    (tmp_path / "one" / ".state.pt.123").touch()
    teaching.write_record(tmp_path / "one", Record("one", parent="bknet", found={"kind": "folders"}))
    monkeypatch.setattr(jobs, "look", lambda *where: run.job)
    monkeypatch.setattr(jobs, "submit", lambda *words: None)
    Steps(tmp_path, shipped_weights()).resume(run)
    assert teaching.edit_record(tmp_path / "one").heard == len(FIRST)
    assert not (tmp_path / "one" / ".state.pt.123").exists(), "half a file of a killed process"


def test_going_on_that_failed_is_said_beside_what_was_learned_before(tmp_path: Path) -> None:
    latest = Failed("usage", {"message": "The run 'one' was started with other settings of: epochs."})
    html = progress_views.progress(run_of(tmp_path / "one", "done", FIRST, latest=latest, code=2), {}, [])
    assert "Going on ended before it was done." in html and "other settings of: epochs" in html
    assert "What was learned before is kept" in html
    assert "Going on" not in progress_views.progress(run_of(tmp_path / "one", "done", FIRST, code=0), {}, [])


@pytest.mark.parametrize("kind", [LEARN, teaching.CHECK])
def test_a_job_that_a_full_disk_ended_is_told_by_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It could write down neither its log nor its end."""
    run = run_of(tmp_path / "one", "killed", FIRST)
    killed = dataclasses.replace(run, job=Job("one", kind, (), "killed"))
    show = (
        (lambda: progress_views.progress(killed, {}, [])) if kind == LEARN else lambda: picture_views.check(killed, [])
    )
    assert "full" not in show()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5))
    assert "The disk of the server is full; make room first." in show()
    assert teaching.last_words(killed).startswith("The disk of the server is full")
