"""The Teach tab's HTML: the list of runs, what was uploaded, how to learn, and how far the learning is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtl_model import jobs
from mtl_model.card import Card
from mtl_model.events import Evaluated, Event, Noted, Started, Step
from mtl_model.tasks import Task
from mtl_model.ui import curves, teaching
from mtl_model.ui.teaching import CHECK, Run
from mtl_model.ui.views import escape

KINDS: Mapping[str, str] = {
    "folders": "folders named after their class",
    "csv": "a table of labels (CSV)",
    "utkface": "file names as in UTKFace",
    "genki4k": "labels.txt as in GENKI-4K",
    "fairface": "tables as in FairFace",
    "celeba": "tables as in CelebA",
    "imdbwiki": "file names as in IMDB-WIKI",
    "list": "lists of files with codes",
}
HOW_FAR: Mapping[str, tuple[str, str]] = {
    "branch": ("Only the branch", "Quick. What the network sees in a face stays as it is; other tasks stay exactly the same."),
    "last": ("The branches and the last block", "Slower, suits unusual pictures. Other tasks stay close to what they were."),
    "all": ("Everything", "Slowest, for a thousand pictures and more. Other tasks stay close to what they were."),
}  # fmt: skip
STATES: Mapping[str, str] = {
    "empty": "no pictures yet",
    "arriving": "upload not complete",
    "uploaded": "ready to be checked",
    "checked": "checked",
    "stopped": "stopped",
    "killed": "interrupted",
    "failed": "failed",
    "done": "waits for your decision",
    "accepted": "accepted",
}
FIELDS = (
    ("epochs", "Passes over the pictures", "number", "chosen by itself"),
    ("learning_rate", "Learning rate", "text", "chosen by itself"),
    ("seed", "Seed", "number", "0"),
)
PROGRESS = re.compile(r"^(?P<what>[^\[]+) \[[#-]*\] (?P<done>[\d,]+) of (?P<total>[\d,]+)(?:, (?P<left>\d+) s left)?")


def status(run: Run) -> str:
    """Where a run is, in a few words."""
    if run.state == "waiting" and run.job:
        return f"waiting, number {run.job.place} in the queue"
    if run.state == "running":
        return "being checked" if run.kind == CHECK else "learning"
    if run.state in ("killed", "failed"):
        return f"{'check' if run.kind == CHECK else 'learning'} {STATES[run.state]}"
    return STATES[run.state]


def runs_list(open_runs: Sequence[Run], current: str) -> str:
    """The open runs, each a button that opens it, and the one that begins another."""
    if not open_runs:
        return ""
    buttons = "".join(
        f'<button type="button" class="run" id="teach-run-{escape(run.name)}" data-run="{escape(run.name)}"'
        f"{' aria-current=true' if run.name == current else ''}><b>{escape(run.name)}</b>"
        f"<span>{escape(status(run))}</span></button>"
        for run in open_runs
    )
    new = '<button type="button" class="run" id="teach-new" data-run=""' + ("" if current else " aria-current=true")
    return f"{buttons}{new}><b>New</b><span>teach something else</span></button>"


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def tasks_text(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{one['title']} ({'in years' if one['kind'] == 'years' else ', '.join(one['classes'][:12])})"
        for one in tasks.values()
    )


def button(action: str, text: str, primary: bool = False, **more: str) -> str:
    extra = "".join(f' data-{name}="{escape(value)}"' for name, value in more.items())
    return (
        f'<button type="button" class="button{" primary" if primary else ""}" id="teach-{action}" data-do="{action}"{extra}>'
        f"{escape(text)}</button>"
    )


def problem(text: str, advice: str = "") -> str:
    return f'<p class="problem-line">{escape(text)}{" " + escape(advice) if advice else ""}</p>'


# -- 1 -------------------------------------------------------------------------------------------------------------


def found(run: Run) -> str:
    """What was understood of the upload, and the ways to put it right."""
    about = run.record.found
    if run.state == "empty":
        return ""
    if not about:
        return (
            problem(
                "Some pictures have come in, but the upload did not end.",
                "Choose the same folder again, or go on with what is there.",
            )
            + f'<p class="actions">{button("look", "Go on with these")}</p>'
        )
    kinds = "".join(
        f'<option value="{kind}"{" selected" if kind == about["kind"] else ""}>{escape(text)}</option>'
        for kind, text in KINDS.items()
    )
    fields = (
        f'<label>Read as <select id="teach-kind" data-set="kind"><option value="">what they look like</option>{kinds}'
        "</select></label>"
    )
    if about["bare"]:
        fields += (
            '<label>What the folders tell apart <input id="teach-task" data-set="task" maxlength="40" '
            f'value="{escape(about["task"])}" autocomplete="off"></label>'
        )
    lines = problem(about["error"]) if about["error"] else (
        f'<p class="understood"><b>{plural(about["pictures"], "picture")} with labels</b> of '
        f"{escape(tasks_text(about['tasks']))}, read as {escape(KINDS.get(about['kind'], about['kind']))}.</p>"
    )  # fmt: skip
    skipped = "".join(f"<li>{count:,}: {escape(reason)}</li>" for reason, count in about["skipped"].items())
    if skipped:
        total = sum(about["skipped"].values())
        lines += f'<details class="fold"><summary>Left out: {total:,}</summary><ul>{skipped}</ul></details>'
    lines += "".join(f'<p class="small">{escape(note)}</p>' for note in about["notes"])
    checkable = not (run.busy or run.checked or about["error"])
    ready = button("check", "Check these pictures", primary=True) if checkable else ""
    return f'<div class="found">{lines}<div class="fields">{fields}</div><p class="actions">{ready}</p></div>'


# -- 3 -------------------------------------------------------------------------------------------------------------


def form(run: Run, parent: Card | None, names: Sequence[str], seconds: float | None, ahead: str) -> str:
    """Tasks, where to start, how far, and Start. ahead: the name of the run that this one would wait for."""
    record = run.record
    if run.busy or run.state == "accepted":
        return ""
    known = {task.name for task in parent.tasks} if parent else set()
    chosen = set(record.tasks or record.found.get("tasks", {}))
    tasks = "".join(
        f'<label class="choice"><input type="checkbox" id="teach-learn-{escape(name)}" data-task="{escape(name)}"'
        f'{" checked" if name in chosen else ""}><span><b>{escape(one["title"])}</b><span class="small">'
        f"{'is learned further' if name in known else 'is new: it gets a branch of its own'}</span></span></label>"
        for name, one in record.found.get("tasks", {}).items()
    )
    options = "".join(
        f"<option{' selected' if name == record.parent else ''}>{escape(name)}</option>" for name in names
    )
    missing = "" if record.parent in names else f'<option selected value="">{escape(record.parent)} is gone</option>'
    ways = "".join(
        f'<label class="choice"><input type="radio" name="teach-how" id="teach-how-{how}" value="{how}" data-set="how"'
        f'{" checked" if how == record.how else ""}><span><b>{title}</b><span class="small">{text}</span></span></label>'
        for how, (title, text) in HOW_FAR.items()
    )
    fields = "".join(
        f'<label>{title} <input id="teach-{name}" type="{kind}" inputmode="decimal" data-advanced="{name}" '
        f'placeholder="{hint}" value="{escape(record.advanced.get(name, ""))}" autocomplete="off"></label>'
        for name, title, kind, hint in FIELDS
    )
    again = run.state in ("done", "stopped", "killed", "failed") and run.kind == teaching.LEARN
    time = f'<span class="small">About {duration(seconds)} on this machine.</span>' if seconds else ""
    wait = f'<span class="small">{escape(ahead)} comes first; this one waits its turn.</span>' if ahead else ""
    start = button("start", "Start from the beginning" if again else "Start learning", primary=not again)
    return (
        f'<fieldset><legend>What to learn</legend><div class="choices">{tasks}</div></fieldset>'
        f'<fieldset><legend>How far</legend><div class="choices">{ways}</div></fieldset>'
        f'<div class="fields"><label>Start from <select id="teach-from" data-set="from">{missing}{options}</select></label></div>'
        f'<details class="fold" id="teach-advanced"><summary>Advanced</summary><div class="fields">{fields}</div></details>'
        f'<p class="actions">{start}{time}{wait}</p>'
    )


def duration(seconds: float) -> str:
    """ "8.2 seconds", "40 seconds", "3 minutes", "1 hour 20 minutes" """
    if seconds < 10:
        return f"{max(0.1, seconds):.1f} seconds"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return (
        plural(minutes, "minute")
        if not hours
        else plural(hours, "hour") + (f" {plural(rest, 'minute')}" if rest else "")
    )


def bar(done: float, total: float, label: str) -> str:
    return f'<progress max="{max(total, 1):g}" value="{min(done, total):g}" aria-label="{escape(label)}"></progress>'


def job_line(run: Run) -> str:
    """What a waiting or running job does, with a bar where it says how far it is."""
    job = run.job
    if job is None or not run.busy:
        return ""
    if run.state == "waiting":
        return f"<p>Waiting: number {job.place} in the queue. It starts by itself; you may close the page.</p>"
    stopping = (run.folder / teaching.STOP).is_file()
    doing = "Looking at every picture" if run.kind == CHECK else "Preparing the pictures"
    said = [found for line in reversed(job.log.splitlines()) if (found := PROGRESS.match(line.strip()))]
    if stopping:
        return "<p>Stopping. The best so far is being kept.</p>"
    if not said:
        return f'<p>{doing}.</p><progress aria-label="{doing}"></progress>'
    done, total = (int(said[0][name].replace(",", "")) for name in ("done", "total"))
    left = f", {duration(float(said[0]['left']))} left" if said[0]["left"] else ""
    return f"<p>{doing}: {escape(said[0]['what'])}, {done:,} of {total:,}{left}.</p>{bar(done, total, doing)}"


def chosen(run: Run) -> str:
    """The settings of a learning in a line."""
    if run.kind != teaching.LEARN:
        return ""
    return status(run) if run.busy else f"{HOW_FAR[run.record.how][0].lower()}, from {run.record.parent}"


def progress(run: Run, tasks: Mapping[str, Task], queue: Sequence[jobs.Job]) -> str:
    """The learning itself: where it is, its curves, and what can be done about it."""
    if run.kind != teaching.LEARN:
        return ""
    events = teaching.read_events(run.folder)
    line, actions = _ending(run), ""
    asked = (run.folder / teaching.STOP).is_file()  # it stays until the learning begins again
    if run.busy:
        line = _pace(events) if run.state == "running" and not asked else ""
        line = line or job_line(run)
        if run.state == "waiting":
            line += _queue(run, queue)
        actions = button("stop", "Leave the queue" if run.state == "waiting" else "Stop, keep the best so far")
    elif run.can_resume and run.state != "accepted" and (run.state != "done" or asked):
        actions = button("resume", "Go on learning", primary=run.state != "done")
    notes = "".join(f"<li>{escape(one.text)}</li>" for one in events if isinstance(one, Noted))
    notes = (
        f'<details class="fold" id="teach-notes"><summary>Notes</summary><ul>{notes}</ul></details>' if notes else ""
    )
    plots = curves.curves(events, tasks)
    return f'{line}<p class="actions">{actions}</p><div class="plots">{plots}</div>{notes}'


def _ending(run: Run) -> str:
    if run.state == "failed":
        return problem(f"The learning ended with a fault. {teaching.last_words(run)}", _advice(run))
    if run.state == "killed":
        return problem("The learning was interrupted: its process is gone without a word.", _advice(run))
    if run.state == "stopped":
        return f"<p>Stopped before anything was learned. {_advice(run)}</p>"
    return ""


def _advice(run: Run) -> str:
    return (
        "Go on from where it was, or start again."
        if run.can_resume
        else "Nothing of your pictures is lost; start again."
    )


def _pace(events: Sequence[Event]) -> str:
    started = next((one for one in reversed(events) if isinstance(one, Started)), None)
    step = next((one for one in reversed(events) if isinstance(one, Step)), None)
    if started is None or step is None:
        return ""
    looked = [one for one in events if isinstance(one, Evaluated)]
    best = [one.epoch + 1 for one in looked if one.best]
    told = f", best so far after pass {best[-1]}" if best else ""
    done = max(step.step, looked[-1].step if looked else 0)
    number = min(started.epochs, 1 + max(step.epoch, looked[-1].epoch + 1 if looked else 0))
    return (
        f"<p>Pass {number} of at most {started.epochs}{told}: {step.pictures_per_second:,.0f} pictures a second, at most "
        f"{duration(step.seconds_left)} left.</p>{bar(done, started.steps, 'Learning')}"
    )


def _queue(run: Run, queue: Sequence[jobs.Job]) -> str:
    ahead = [one for one in queue if one.state in ("running", "waiting") and one.name != run.name]
    ahead = [one for one in ahead if one.state == "running" or (run.job and one.place < run.job.place)]
    items = "".join(
        f"<li>{escape(one.name)}: {'at work' if one.state == 'running' else f'number {one.place}'}</li>"
        for one in ahead
    )
    return f'<ol class="queue" aria-label="Before it in the queue">{items}</ol>' if items else ""
