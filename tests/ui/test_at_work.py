from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from mtl_model import jobs
from mtl_model.card import PENDING, Card, write_card
from mtl_model.events import Evaluated, Event, Started, Step, Stopped, to_line
from mtl_model.jobs import Job
from mtl_model.runs import EVENTS, REPORT, STOP
from mtl_model.tasks import DETECTED, TASKS, number_task
from mtl_model.ui import at_work
from mtl_model.ui.listeners import Events
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach.teaching import CHECK, LEARN, TRAIN
from tests.ui.conftest import PATIENCE_MS, serving
from tests.ui.teach.test_teaching import made, write_state

FOUND = {"stamp": "1", "kind": "folders", "pictures": 4, "tasks": {}, "error": ""}
LEARNING = [Started("one", 240, 60, 0), *(Step(step, 1, {"hat": 1 / step}, 0.1, 346.0, 22.0) for step in (4, 8))]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """queue(Job, ...): these are the jobs now; returns the names of those at work."""

    def fill(*queued: Job) -> list[str]:
        for job in queued:
            folder = made(tmp_path, PENDING, REPORT, name=job.name, found=FOUND)
            (folder / EVENTS).write_text("".join(to_line(event) + "\n" for event in LEARNING))
        monkeypatch.setattr(jobs, "every", lambda runs: [*queued])
        monkeypatch.setattr(jobs, "look", lambda runs, name: {job.name: job for job in queued}.get(name))
        return [run.name for run in at_work.working(tmp_path)]

    return fill


def test_what_runs_and_waits_and_can_go_on(queue: Any, tmp_path: Path) -> None:
    for name in ("broken", "done"):
        write_state(made(tmp_path, name=name))
    ended = (
        Job("broken", LEARN, (), "killed"),
        Job("never", LEARN, (), "killed"),
        Job("done", CHECK, (), "done", exit_code=0),
    )
    assert queue(Job("one", LEARN, (), "running"), Job("next", CHECK, (), "waiting", place=1), *ended) == [
        "one",
        "next",
        "broken",
    ]


def test_a_job_that_teach_did_not_begin_is_shown(queue: Any, tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    job = Job("system", "train", (), "running", log="epoch 1")
    queue(job)
    (tmp_path / "system" / "teach.json").unlink()
    (run,) = at_work.working(tmp_path)
    assert run.state == "running" and "epoch 1" in at_work.view(run, [job])


def test_the_chip_names_what_runs(queue: Any, tmp_path: Path) -> None:
    assert at_work.chip([]) == ""
    queue(Job("one", LEARN, (), "running"), Job("next", CHECK, (), "waiting", place=1))
    assert at_work.chip(at_work.working(tmp_path)) == "one: learning and 1 more"


def test_a_job_says_how_far_it_is_with_curves_and_a_log(queue: Any, tmp_path: Path) -> None:
    job = Job("one", LEARN, (), "running", log="<b>hat</b>")
    queue(job)
    text = at_work.view(at_work.working(tmp_path)[0], [job])
    for part in (
        "Round 2 of at most 60",
        "22 seconds left",
        "<progress",
        "<polyline",
        "Hat from",
        "<details",
        "&lt;b&gt;hat",
    ):
        assert part in text, part


def drawn(runs: Path) -> tuple[Events, list[str], list[str]]:
    """Draw the panel; return its events, the buttons, and what was done."""
    events, done = Events(Access(UiOptions())), []
    actions = {name: lambda run, name=name: done.append(f"{name} {run.name}") for name in ("stop", "resume")}
    with gr.Blocks():
        at_work.build(runs, events, gr.State(), actions)
    with gr.Blocks() as page:
        events.known["at-work"][0](None)
    return events, [str(block.value) for block in page.blocks.values() if isinstance(block, gr.Button)], done


def test_what_can_be_done_with_each(queue: Any, tmp_path: Path) -> None:
    write_state(made(tmp_path, name="broken"))
    queue(
        Job("one", LEARN, (), "running"), Job("next", CHECK, (), "waiting", place=1), Job("broken", LEARN, (), "killed")
    )
    events, buttons, done = drawn(tmp_path)
    assert buttons == ["Stop, keep the best so far", "Leave the queue", "Go on learning"]
    assert events.known["work-resume"][0]() == "" and events.known["work-stop"][0]() == ""
    assert done == ["resume broken", "stop next"]
    (tmp_path / "one" / STOP).touch()
    assert drawn(tmp_path)[1] == ["Leave the queue", "Go on learning"], "it is stopping"


def test_a_training_that_teach_did_not_begin_can_be_stopped_and_goes_on(
    queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("system", TRAIN, ("train", "--system", "flowers"), "running")
    queue(job)
    write_state(tmp_path / "system")
    (tmp_path / "system" / "teach.json").unlink()
    done: list[Any] = []
    monkeypatch.setattr(jobs, "stop", lambda runs, name, at_once: done.append((name, at_once)))
    monkeypatch.setattr(jobs, "submit", lambda runs, name, kind, words: done.append((name, kind, words)))
    events, buttons, _ = drawn(tmp_path)
    assert buttons == ["Stop, keep the best so far"] and events.known["work-stop"][0]() == ""
    queue(replace(job, state="done", exit_code=0))
    (tmp_path / "system" / "teach.json").unlink()
    events, buttons, _ = drawn(tmp_path)
    assert buttons == ["Go on learning"] and events.known["work-resume"][0]() == ""
    assert done == [("system", False), ("system", TRAIN, [*job.words, "--resume"])]


def test_a_training_that_was_stopped_keeps_its_best_and_its_card_says_what_is_drawn(tmp_path: Path) -> None:
    marks, pitch = replace(DETECTED["landmarks"], name="marks", title="Marks"), number_task("pitch", "°")
    folder = tmp_path / "system"
    write_card(folder, Card("narrow", {}, (marks, pitch, TASKS["smile"])))
    write_state(folder)
    measured = {"marks": {"nme": 0.24}, "pitch": {"mean_error": 4.7}, "smile": {"accuracy": 0.71}}
    passed: list[Event] = [
        Started("system", 240, 60, 0),
        Evaluated(0, 4, measured, -1.0, True),
        Stopped(6, "asked_to_stop"),
    ]
    (folder / EVENTS).write_text("".join(to_line(event) + "\n" for event in passed))
    run = at_work.find(tmp_path, Job("system", TRAIN, (), "done", exit_code=0))
    text = at_work.view(run, [])
    assert run.can_go_on and "round 1 was the best and is kept" in text and "before there was" not in text
    right, share, angle = (figure.split("</figcaption>")[0] for figure in text.split("<figure")[1:])
    assert "Smile" in right and "Marks" not in right, "an error is no right answer"
    assert "Marks" in share and "24%" in share.replace(" ", "") and "4.7°" in angle.replace(" ", "")


def test_where_nothing_is_at_work_nothing_is_drawn(tmp_path: Path) -> None:
    events, buttons, _ = drawn(tmp_path)
    assert buttons == [] and "work" not in events.known


def test_a_look_brings_nothing_until_something_changes(queue: Any, tmp_path: Path) -> None:
    queue(Job("one", LEARN, (), "running"))
    look = drawn(tmp_path)[0].known["work"][0]
    version, text, mistake = look("")
    assert "Round 2" in text and mistake == "" and look(version) == [gr.skip(), gr.skip(), ""]
    with (tmp_path / "one" / EVENTS).open("a") as events:
        events.write(to_line(Step(9, 2, {"hat": 0.1}, 0.1, 346.0, 22.0)) + "\n")
    assert "Round 3" in look(version)[1]
    (tmp_path / "one" / "teach.json").write_text("{")
    assert look(version)[2] == ""


@pytest.mark.browser
def test_every_window_follows_a_training_and_can_stop_it_and_go_on(chrome: Any, root: Path, tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "data" / ("round", "square")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 90, (48, 48, 3), np.uint8)
        Image.fromarray(noise + np.uint8(90 * (number % 2))).save(path)
    options = {"--source": f"folders:{tmp_path / 'data'}", "--detector": "whole", "--network": "compact"}
    options |= {"--epochs": "100000", "--save-steps": "5", "--threads": "1"}
    with serving(root, tmp_path) as running:
        words = [
            "train",
            "--name",
            "shapes",
            "--runs",
            str(running.runs),
            *(word for pair in options.items() for word in pair),
        ]
        jobs.submit(running.runs, "shapes", TRAIN, words)
        windows = [chrome.new_page() for _ in range(2)]
        try:
            for window in windows:
                window.set_default_timeout(PATIENCE_MS)
                window.goto(running.address)
                window.get_by_role("tab", name="Models").click()
                window.get_by_role("heading", name="shapes").wait_for()
            first, second = windows
            assert "shapes" in first.locator("#chip").inner_text()
            first.get_by_text("Round").first.wait_for()
            first.get_by_role("button", name="Stop").click()
            second.get_by_role("button", name="Go on learning").click()
            first.get_by_role("button", name="Stop").wait_for()
            second.reload()
            second.get_by_role("tab", name="Models").click()
            second.get_by_role("button", name="Stop").click()  # at once: its process has hardly begun
            for window in windows:
                window.get_by_role("button", name="Go on learning").wait_for()
            assert jobs.look(running.runs, "shapes").state == "done"  # pyright: ignore[reportOptionalMemberAccess]
        finally:
            jobs.kill(running.runs, "shapes")
            for window in windows:
                window.close()
