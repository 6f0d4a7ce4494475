from __future__ import annotations

import dataclasses
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mtl_model import jobs, runs
from mtl_model.card import CARD, PENDING, Card, write_card
from mtl_model.errors import RunError
from mtl_model.events import Event, Failed, Started, Step, to_line
from mtl_model.jobs import Job
from mtl_model.runs import CHANGES, DATA, EVENTS, OUTCOME, REPORT, STATE, TEACH
from mtl_model.tasks import TASKS
from mtl_model.ui.teach import outcome_views, picture_views, progress_views, teaching, views
from mtl_model.ui.teach.teaching import CHECK, LEARN, Record, Run
from tests.codes import refused

FOUND = {"stamp": "1", "kind": "folders", "pictures": 4, "tasks": {}, "error": ""}


def made(runs: Path, *files: str, name: str = "one", **record: object) -> Path:
    """A run's folder with empty files (a name with / at the end is a folder)."""
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    teaching.write_record(folder, dataclasses.replace(Record(name, created="2026"), **record))  # type: ignore[arg-type]
    for file in files:
        (folder / file).mkdir() if file.endswith("/") else (folder / file).write_text("{}")
    return folder


def write_state(folder: Path) -> None:
    """A state as torch writes it."""
    with zipfile.ZipFile(folder / STATE, "w") as archive:
        archive.writestr("data.pkl", b"")


def job(
    kind: str, state: str, code: int | None = None, log: str = "", place: int = 0, latest: Event | None = None
) -> Job:
    return Job("one", kind, (), state, place=place, exit_code=code, log=log, latest=latest)


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
    assert views.status(run)
    assert [one.name for one in teaching.open_runs(tmp_path)] == (["one"] if PENDING in files else [])


def test_an_outcome_of_other_weights_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It went on learning, kept better weights, and was killed before these were measured."""
    folder = made(tmp_path, PENDING, REPORT)
    write_state(folder)
    write_card(folder, Card("bknet", {}, tuple(TASKS.values()), weights_sha256="new"))
    monkeypatch.setattr(jobs, "look", lambda runs, name: job(LEARN, "killed"))
    (folder / OUTCOME).write_text('{"weights_sha256": "new"}')
    assert teaching.read_run(tmp_path, "one").state == "done"
    (folder / OUTCOME).write_text('{"weights_sha256": "older"}')
    run = teaching.read_run(tmp_path, "one")
    assert run.state == "killed" and run.can_go_on


def test_going_on_is_offered_only_from_a_whole_state_of_these_pictures(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING, REPORT, found=FOUND)
    run = Run(folder, Record("one", learned={"edits": teaching.edits_digest(folder)}), job(LEARN, "killed"), "killed")
    assert not run.can_resume
    (folder / STATE).write_bytes(b"PK cut off")  # as a full disk leaves it
    assert not run.can_resume and "Go on learning" not in progress_views.progress(run, {}, [])
    write_state(folder)
    assert run.can_resume and "Go on learning" in progress_views.progress(run, {}, [])
    (folder / CHANGES).write_text('{"left_out": ["a.jpg"], "labels": {}}')
    assert not run.can_resume
    (folder / CHANGES).write_text('{"left_out": [], "labels": {}, "undo": []}')
    assert run.can_resume


def test_a_run_is_held_by_one_and_its_lock_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0)
    folder, lock = made(tmp_path), tmp_path / ".one.lock"
    with teaching.alone(tmp_path, "one") as run:
        assert run.record.name == "one"
        with pytest.raises(RunError, match="Something else has been done with 'one'"), runs.held(tmp_path, "one"):
            pass
        with runs.held(tmp_path, "two"):  # others do not wait
            pass
    assert lock.exists()
    with teaching.alone(tmp_path, "one"):
        shutil.rmtree(folder)
    assert not list(tmp_path.iterdir())
    with refused("gone"), teaching.alone(tmp_path, "one"):
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
    with refused("gone"):
        teaching.read_run(tmp_path / "runs", name)


DAMAGED = [
    (TEACH, '{"created": null}'),
    (TEACH, '{"name": '),
    (TEACH, '{"tasks": 5}'),
    (TEACH, '{"found": {"tasks": {"hat": {"classes": "on"}}}}'),
    (TEACH, '{"found": {"tasks": {"\\ud800": {"title": "x"}}}}'),
    (TEACH, '{"advanced": {"epochs": 3}}'),
    (TEACH, "[" * 100_000),
    (REPORT, '{"warnings": [null]}'),
    (OUTCOME, '{"sentence": 5}'),
    (CHANGES, '{"left_out": "all"}'),
    ("job.json", '{"kind": "check", "pid": "abc"}'),
    ("run.json", "[]"),
]


@pytest.mark.parametrize(("file", "text"), DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_makes_one_sentence_and_hides_no_other(tmp_path: Path, file: str, text: str) -> None:
    made(tmp_path, PENDING, name="two")
    (made(tmp_path, PENDING) / file).write_text(text)
    found = {run.name: run for run in teaching.open_runs(tmp_path)}
    assert set(found) == {"one", "two"} and found["two"].state == "empty"
    assert found["one"].state == "damaged" and f"The file {file} of 'one' is damaged" in found["one"].damage
    assert views.status(found["one"]) and found["one"].version()


def test_a_check_that_failed_leaves_the_report_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, PENDING, found=FOUND)
    (folder / REPORT).write_text('{"made": 100.0}')
    for began, code, failed in ((200.0, 1, True), (50.0, 1, False), (200.0, 0, False)):
        ended = dataclasses.replace(job(CHECK, "done", code, "The disk is full."), began=began)
        monkeypatch.setattr(jobs, "look", lambda runs, name, ended=ended: ended)
        run = teaching.read_run(tmp_path, "one")
        assert (run.state, run.check_failed) == ("checked", failed)
        html = picture_views.check(run, [])
        assert ("The disk is full." in html and "by the check before" in html) is failed
    monkeypatch.setattr(jobs, "look", lambda runs, name: job(CHECK, "running"))
    assert not teaching.read_run(tmp_path, "one").checked


def test_a_record_names_its_parent_as_the_command_line_does(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING)
    assert teaching.edit_record(folder, how="all").how == "all"
    plain = json.loads((folder / TEACH).read_text())
    assert plain["how"] == "all" and plain["from"] == "" and "parent" not in plain


def test_the_version_moves_with_what_is_shown_and_rests_else(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING)
    first = teaching.read_run(tmp_path, "one").version()
    (folder / "model.safetensors").write_bytes(b"x")
    assert teaching.read_run(tmp_path, "one").version() == first
    (folder / EVENTS).write_text("{}\n")
    second = teaching.read_run(tmp_path, "one").version()
    assert second != first
    waiting = dataclasses.replace(teaching.read_run(tmp_path, "one"), job=job(LEARN, "waiting", place=2))
    assert waiting.version() != dataclasses.replace(waiting, job=job(LEARN, "waiting", place=1)).version()


def test_events_are_read_on_and_half_a_line_waits(tmp_path: Path) -> None:
    started, step = to_line(Started("one", 4, 2, 0)), to_line(Step(1, 0, {"smile": 0.5}, 0.1, 10.0, 2.0))
    path = tmp_path / EVENTS
    path.write_text(f"{started}\nnonsense\n{step[:20]}")
    assert [type(one).__name__ for one in teaching.read_events(tmp_path)] == ["Started"]
    path.write_text(f"{started}\nnonsense\n{step}\n")
    assert [type(one).__name__ for one in teaching.read_events(tmp_path)] == ["Started", "Step"]
    path.write_text(f"{started}\n")  # a learning that began anew
    assert [type(one).__name__ for one in teaching.read_events(tmp_path)] == ["Started"]


def test_a_fault_is_told_by_its_event_else_by_the_log(tmp_path: Path) -> None:
    folder = made(tmp_path, PENDING)
    run = Run(folder, Record("one"), job(LEARN, "done", 1, "bar\n\nIt broke <b>here</b>.\n"), "failed")
    assert teaching.last_words(run) == "It broke <b>here</b>."
    assert "It broke &lt;b&gt;here&lt;/b&gt;." in progress_views.progress(run, {}, [])
    values = {"task": "smile", "step": 3, "losses": {"smile": "nan"}}
    failed = dataclasses.replace(run, job=job(LEARN, "done", 1, "It broke.", latest=Failed("loss_overflowed", values)))
    assert teaching.last_words(failed).startswith("The loss of smile overflowed at step 3 (losses: {'smile': nan}).")
    message = {"message": "No {face} was found."}
    failed = dataclasses.replace(run, job=job(CHECK, "done", 2, "bar", latest=Failed("no_face", message)))
    assert teaching.last_words(failed) == "No {face} was found."


@pytest.mark.parametrize(("edits", "told"), [(None, False), ("same", False), ("others", True)])
def test_what_was_changed_after_learning_is_said_before_it_is_accepted(
    tmp_path: Path, edits: str | None, told: bool
) -> None:
    folder = made(tmp_path, PENDING, REPORT, CARD, OUTCOME, CHANGES, found=FOUND)
    if edits is not None:
        digest = teaching.edits_digest(folder) if edits == "same" else edits
        teaching.edit_record(folder, learned={"edits": digest})
    run = teaching.read_run(tmp_path, "one")
    assert run.state == "done" and run.outdated is told
    assert ("You changed pictures or labels" in outcome_views.decide(run, {})) is told


def test_a_learning_that_began_anew_is_not_mixed_with_the_one_before(tmp_path: Path) -> None:
    first, second = Started("one", 30, 3, 0), Started("one", 60, 6, 0)
    path = made(tmp_path) / EVENTS
    path.write_text(to_line(first) + "\n")
    assert teaching.read_events(path.parent) == [first]
    teaching.forget_events(path.parent)
    path.write_text("".join(to_line(one) + "\n" for one in (second, Failed("much longer than what was there before"))))
    assert teaching.read_events(path.parent)[0] == second
    path.unlink()
    assert teaching.read_events(path.parent) == []
    path.write_text("".join(to_line(one) + "\n" for one in [second] * 5))
    assert teaching.read_events(path.parent) == [second] * 5


@pytest.mark.parametrize("beats", [True, False])
def test_what_is_no_better_than_guessing_is_said_again_before_it_is_accepted(tmp_path: Path, beats: bool) -> None:
    made(tmp_path, PENDING, REPORT, CARD, OUTCOME, found=FOUND)
    task = {"title": "Hat", "unit": "share", "new": True, "before": None, "after": 0.5, "n": 60, "beats_guess": beats}
    html = outcome_views.decide(teaching.read_run(tmp_path, "one"), {"tasks": {"hat": task}})
    assert ("no better than guessing" in html.partition('id="teach-accept"')[2].partition(">")[0]) is not beats


SHARE_OF = {"title": "Hat", "unit": "share", "new": True, "before": None, "n": 60, "folds": 5, "interval": [0.4, 0.6]}


@pytest.mark.parametrize(
    ("figures", "begins"),
    [
        ({"after": 0.53, "guess": 0.54, "beats_guess": False}, "Hat: no better than guessing, which gives 54."),
        (
            {"after": 0.9, "guess": 0.5, "beats_guess": True},
            "Hat: right for 90 of 100 pictures (40 to 60). Better than guessing, which gives 50.",
        ),
        (
            {"after": 0.9, "new": False, "before": 0.8, "difference": [0.01, 0.2]},
            "Hat: right for 90 of 100 pictures (40 to 60). Better.",
        ),
    ],
)
def test_results_lead_with_one_figure_and_guessing_comes_first_where_it_is_as_good(
    figures: dict[str, Any], begins: str
) -> None:
    html = outcome_views.summary({"tasks": {"hat": {**SHARE_OF, "metric": "balanced_accuracy", **figures}}})
    text = re.sub(r"<[^>]+>", "", html.split("</p>")[0])
    assert text.strip() == begins
    assert "each class counting the same, measured on 60 pictures" in html
    assert ("It is right for 53 of 100 pictures" in html) is (figures["after"] == 0.53)
