"""The HTML of a check or a learning at work: where it is, its queue, its curves, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl_model import jobs, wording
from mtl_model.card import CARD
from mtl_model.events import Evaluated, Event, Noted, Progressed, Stage, Started, Step
from mtl_model.records import PICTURE
from mtl_model.tasks import Task
from mtl_model.ui.render import escape
from mtl_model.ui.teach import curves, teaching
from mtl_model.ui.teach.teaching import CHECK, Run
from mtl_model.ui.teach.views import button, duration, plural, problem

STAGES: Mapping[str, str] = {
    Stage.READING: "reading them",
    Stage.DETECTING: "looking for the faces",
    Stage.CUTTING: "cutting out the faces",
    Stage.FEATURES: "working out what the network sees in them",
    Stage.FITTING: "trying which of that tells the answers best",
}
"""Stages that are called otherwise than on the command line."""
HERE: Mapping[str, wording.Words] = {"source_read": lambda kind, **read: wording.source_read("", **read)}
"""The layout stands in step 1."""


def bar(done: float, total: float, label: str) -> str:
    return f'<progress max="{max(total, 1):g}" value="{min(done, total):g}" aria-label="{escape(label)}"></progress>'


def job_line(run: Run, queue: Sequence[jobs.Job]) -> str:
    """What a waiting or running job does, with a bar where it says how far it is."""
    job = run.job
    if job is None or not run.busy:
        return ""
    if run.state == "waiting":
        told = f"<p>Waiting: number {job.place} in the queue. It starts by itself; you may close the page.</p>"
        return told + _queue(run, queue)
    doing = "Looking at every picture" if run.kind == CHECK else "Preparing the pictures"
    event = job.latest
    if not isinstance(event, Progressed):
        return f'<p>{doing}.</p><progress aria-label="{doing}"></progress>'
    left = "" if event.seconds_left is None else f", {duration(round(event.seconds_left))} left"
    whole = event.stage == Stage.CUTTING and run.record.reads == PICTURE
    what = "making them square" if whole else STAGES.get(event.stage) or wording.stage(event.stage)
    how_far = f"{escape(what)}, {event.done:,} of {event.total:,}{left}"
    return f"<p>{doing}: {how_far}.</p>{bar(event.done, event.total, doing)}"


def _queue(run: Run, queue: Sequence[jobs.Job]) -> str:
    ahead = [one for one in queue if one.state in jobs.ACTIVE and one.name != run.name]
    ahead = [one for one in ahead if one.state == "running" or (run.job and one.place < run.job.place)]
    items = "".join(
        f"<li>{escape(one.name)}: {'at work' if one.state == 'running' else f'number {one.place}'}</li>"
        for one in ahead
    )
    return f'<ol class="queue" aria-label="Before it in the queue">{items}</ol>' if items else ""


def progress(run: Run, tasks: Mapping[str, Task], queue: Sequence[jobs.Job]) -> str:
    """The learning itself: where it is, its curves, and what can be done about it."""
    if not run.learns:
        return ""
    events = teaching.read_events(run.folder)
    words, action = doable(run)
    actions = button(action, words, primary=action == "resume") if action else ""
    plots, notes = curves.curves(events, tasks), _notes(events[run.record.heard :])
    return f'{line(run, queue)}<p class="actions">{actions}</p><div class="plots">{plots}</div>{notes}'


def line(run: Run, queue: Sequence[jobs.Job]) -> str:
    """Return where a job is, or how it ended."""
    events = teaching.read_events(run.folder)
    if not run.busy:
        return _ending(run, events)
    if run.state == "waiting" or not run.learns:
        return job_line(run, queue)
    mine = events[run.record.heard :]  # what an earlier learning said is not where this one is
    return _stopping(mine) if run.stopping else _pace(mine) or job_line(run, queue)


def doable(run: Run) -> tuple[str, str]:
    """Return the words of the button that ends a job or goes on with it, and its action; "" twice where neither can be done."""
    if run.state == "waiting":
        return "Leave the queue", "stop"
    if run.busy:
        begun = _has_steps(teaching.read_events(run.folder)[run.record.heard :])
        return ("", "") if run.stopping else ("Stop, keep the best so far" if begun else "Stop", "stop")
    if run.can_go_on and run.state != "done":  # there it stands beside what it brought
        return "Go on learning", "resume"
    return "", ""


def _notes(events: Sequence[Event]) -> str:
    """What a person should know, less the outcome, which is shown in step 4."""
    notes = [event for event in events if isinstance(event, Noted) and event.code != "outcome"]
    items = "".join(f"<li>{escape(text)}</li>" for text in dict.fromkeys(wording.of(note, HERE) for note in notes))
    return f'<details class="fold" id="teach-notes"><summary>Notes</summary><ul>{items}</ul></details>' if items else ""


def _ending(run: Run, events: Sequence[Event]) -> str:
    """How it ended, and what can be done then."""
    again = (
        "Go on from where it was, or start again." if run.can_go_on else "Your pictures are still here; start again."
    )
    if run.state == "failed":
        words = teaching.last_words(run)
        if run.begun or run.can_go_on:
            return problem(f"The learning ended before it was done. {words}", again)
        return problem(f"Nothing was learned. {words}", "Your pictures are still here.")
    if run.state == "killed":
        why = teaching.no_room(run.folder)
        return problem(f"The learning was interrupted: its process ended before it was done. {why}".strip(), again)
    if run.state == "stopped" and not (run.folder / CARD).is_file():
        kept = "before there was anything to keep" if run.can_go_on else "before anything was learned"
        return f"<p>Stopped {kept}. {again}</p>"
    if broken := broken_off(run):
        return broken
    passes = [one for one in events if isinstance(one, Evaluated) and one.step]  # a fit has none
    if run.state not in ("stopped", "done", "accepted") or not passes:
        return ""
    best = [one.epoch + 1 for one in passes if one.best]
    kept = f"; round {best[-1]} was the best and is kept" if best else ""
    how = "Stopped" if run.can_go_on else "Done"
    return f"<p>{how} after {plural(passes[-1].epoch + 1, 'round')} over the pictures{kept}.</p>"


def broken_off(run: Run) -> str:
    """What is said where going on failed, after something was learned."""
    if run.state != "done" or not run.job or not (run.job.exit_code or run.job.state == "killed"):
        return ""
    words = teaching.last_words(run) if run.job.exit_code else "Its process was ended."
    return problem(f"Going on ended before it was done. {words}", "What was learned before is kept.")


def _stopping(events: Sequence[Event]) -> str:
    if _has_steps(events):
        return "<p>Stopping. The best so far is being kept and measured.</p>"
    return "<p>Stopping.</p>"


def _has_steps(events: Sequence[Event]) -> bool:
    """Return whether a loop has begun, of which the best so far can be kept; a fit is made at once."""
    return any(isinstance(event, Started) and event.steps for event in events)


def _pace(events: Sequence[Event]) -> str:
    started = next((one for one in reversed(events) if isinstance(one, Started)), None)
    step = next((one for one in reversed(events) if isinstance(one, Step)), None)
    if started is None or step is None:
        return ""
    looked = [one for one in events if isinstance(one, Evaluated)]
    best = [one.epoch + 1 for one in looked if one.best]
    told = f", best so far after round {best[-1]}" if best else ""
    done = max(step.step, looked[-1].step if looked else 0)
    number = min(started.epochs, 1 + max(step.epoch, looked[-1].epoch + 1 if looked else 0))
    return (
        f"<p>Round {number} of at most {started.epochs}{told}: {step.pictures_per_second:,.0f} pictures a second, at most "
        f"{duration(step.seconds_left)} left.</p>{bar(done, started.steps, 'Learning')}"
    )
