"""What is at work in runs/: the chip in the head of every tab, and the panel with progress, curves, log, Stop and Resume.

All comes from the records in runs/, so every window shows the same, also after a reload and whoever began the work.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from mtl_model import jobs
from mtl_model.card import read_card
from mtl_model.errors import MtlError, UsageError
from mtl_model.runs import STATE
from mtl_model.tasks import Task
from mtl_model.ui.listeners import Events, alert, button, html, quoted
from mtl_model.ui.render import escape
from mtl_model.ui.teach import curves, dataset, progress_views, teaching, views
from mtl_model.ui.teach.teaching import TRAIN, Record, Run

ENDED = ("stopped", "killed", "failed")


def working(runs: Path) -> list[Run]:
    """Return what runs, then what waits, then what ended before it was done and can go on."""
    known = [job for job in jobs.every(runs) if job.state in jobs.ACTIVE or (runs / job.name / STATE).is_file()]
    return [run for run in (find(runs, job) for job in known) if run.busy or (run.state in ENDED and run.can_go_on)]


def find(runs: Path, job: jobs.Job) -> Run:
    """Return a job as a run; one that Teach did not begin has no settings."""
    try:
        return teaching.read_run(runs, job.name)
    except UsageError:
        ended = "failed" if job.exit_code else "stopped"
        return Run(runs / job.name, Record(job.name), job, ended if job.state == "done" else job.state)


def stop(runs: Path, run: Run) -> None:
    """Ask a training that Teach did not begin to end, and keep the best so far."""
    jobs.stop(runs, run.name, at_once=not run.begun)


def resume(runs: Path, run: Run) -> None:
    """Go on with a training that Teach did not begin, from its last state."""
    words = run.job.words if run.job else ()
    jobs.submit(runs, run.name, TRAIN, [*(word for word in words if word != "--resume"), "--resume"])


OF_TRAININGS: Mapping[str, Callable[[Path, Run], None]] = {"stop": stop, "resume": resume}


def listed(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Return what differs when the panel has to be drawn anew: what is on it, and what can be done about each."""
    return [(run.name, *progress_views.doable(run)) for run in runs]


def chip(runs: Sequence[Run]) -> str:
    """Return what the head of every tab says: what runs, and how many more; "" where nothing does."""
    busy = [run for run in runs if run.busy]
    more = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
    return f"{busy[0].name}: {views.status(busy[0])}{more}" if busy else ""


def build(
    runs: Path, events: Events, chosen: gr.State, actions: Mapping[str, Callable[[Run], Any]], place: str = "work"
) -> None:
    """Draw a card per job, wherever this is called: a tab that begins long work shows it where its jobs belong.

    chosen: a state that changes whenever `listed` does. actions: `stop` and `resume` of a run of Teach. place: begins the ids,
    so that two tabs can show the panel."""
    head_id = f"{place}-head"

    def draw(_: Any) -> None:
        shown, texts, queue = working(runs), [], jobs.every(runs)
        if not shown:
            return
        html(f'<h2 id="{head_id}" class="work-head" tabindex="-1">At work</h2>')
        for run in shown:
            with gr.Column(elem_classes="work"):
                script = f"mtl.live(element, props, watch); mtl.card(element, {quoted(run.name)}, 'Job')"
                texts.append(html(view(run, queue), js=script, html_template="<div></div>"))
                words, action = progress_views.doable(run)
                if action:
                    with gr.Row(elem_classes="actions"):
                        pressed = button(words, f"{place}-{action}-{run.name}").click
                    act, then = functools.partial(press, action, run.name), f"() => mtl.changed('', '{head_id}')"
                    events.on(f"work-{action}", [pressed], act, alert=alert(), then=then)
        seen, look = gr.Textbox(visible=False), functools.partial(_look, runs, [run.name for run in shown])
        timer = gr.Timer(1)  # its own: a listener that is drawn takes the place of all others of that component's event
        events.on("work", [timer.tick], look, [seen], [seen, *texts], alert=alert(), js="mtl.awake", queue=False)

    def press(action: str, name: str) -> None:
        job = jobs.look(runs, name)
        if job and job.kind == TRAIN:
            OF_TRAININGS[action](runs, find(runs, job))
        else:
            actions[action](teaching.read_run(runs, name))

    events.render("at-work", [chosen.change], draw, [chosen])


def _look(folder: Path, names: Sequence[str], seen: Any) -> list[Any]:
    """Return a version and the texts of these jobs, unless none has changed since that version was seen."""
    runs = {run.name: run for run in working(folder)}
    version = hashlib.sha256("|".join(run.version() for run in runs.values()).encode()).hexdigest()[:16]
    if version == seen:
        return [gr.skip()] * (1 + len(names))
    queue = jobs.every(folder)
    return [version, *(view(runs[name], queue) if name in runs else gr.skip() for name in names)]


def view(run: Run, queue: Sequence[jobs.Job]) -> str:
    """Return a job as HTML: what it does, how far it is, its curves, and its log in a fold."""
    tasks: Mapping[str, Task] = {}
    with contextlib.suppress(MtlError):
        known = dataset.read_labelled(run).tasks.values() if run.data.is_dir() else read_card(run.folder).tasks
        tasks = {task.name: task for task in known}
    plots = curves.curves(teaching.read_events(run.folder), tasks) if run.learns else ""
    log = escape(run.job.log) if run.job else ""
    return (
        f'<h3>{escape(run.name)}</h3><p class="small">{escape(views.status(run).capitalize())}</p>'
        f"{progress_views.line(run, queue)}"
        f'<div class="plots">{plots}</div>'
        + (f'<details class="fold"><summary>Log</summary><pre tabindex="0">{log}</pre></details>' if log else "")
    )
