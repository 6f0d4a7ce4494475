"""The Teach tab's HTML: the list of runs, what was uploaded, and how to learn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mtl_model import wording
from mtl_model.card import Card
from mtl_model.layouts import LeftOut
from mtl_model.names import isolated
from mtl_model.ui.render import escape, named
from mtl_model.ui.teach import teaching
from mtl_model.ui.teach.teaching import CHECK, Run

KINDS: Mapping[str, str] = {
    "folders": "folders named after their class",
    "csv": "a table of labels (CSV)",
    "utkface": "file names as in UTKFace",
    "genki4k": "labels.txt as in GENKI-4K",
    "fairface": "tables as in FairFace",
    "celeba": "tables as in CelebA",
    "list": "lists of files with codes",
}
HOW_FAR: Mapping[str, tuple[str, str]] = {
    "branch": ("Only the new branch", "Fast and safe: all other answers stay exactly the same."),
    "last": ("Further", "Slower, for unusual pictures. It may be better, and changes other answers a little."),
    "all": ("Everything", "Slowest, for a thousand pictures and more. It changes other answers."),
}  # fmt: skip
BRANCH = "The branch is the part of a model that gives the answer; the rest, which sees the face, serves all answers."
STATES: Mapping[str, str] = {
    "damaged": "cannot be read",
    "empty": "no pictures yet",
    "arriving": "upload not complete",
    "uploaded": "ready to be checked",
    "checked": "checked",
    "stopped": "stopped",
    "killed": "interrupted",
    "failed": "failed",
    "done": "waits for your decision",
    "accepted": "kept",
}
AT_ONCE = 4  # reasons why something is left out; more are folded away
FIELDS = (
    ("epochs", "Passes over the pictures", "number", "chosen by itself"),
    ("learning_rate", "Learning rate", "text", "chosen by itself"),
    ("seed", "Seed", "number", "0"),
)


def status(run: Run) -> str:
    """Where a run is, in a few words."""
    if run.state == "waiting" and run.job:
        return f"waiting, number {run.job.place} in the queue"
    if run.state == "running":
        return "being checked" if run.kind == CHECK else "learning"
    if run.state in ("killed", "failed"):
        return f"{'check' if run.kind == CHECK else 'learning'} {STATES[run.state]}"
    if run.state == "uploaded" and run.record.found.get("error"):
        return "nothing to learn from yet"
    if run.state == "uploaded" and not run.record.found["tasks"]:
        return "its classes are to be named"
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
        f"{isolated(task['title'])} "
        f"({', '.join(map(isolated, task['classes'][:12])) or 'in ' + (task.get('measured_in') or task['kind'])})"
        for task in tasks.values()
    )


def understood(about: Mapping[str, Any]) -> str:
    """What was understood of an upload, in a line."""
    later = about.get("unlabelled", 0)
    if not about["tasks"]:
        return f"{plural(later, 'photo')} without a class"
    return f"{plural(about.get('pictures', 0) + later, 'picture')}: {tasks_text(about['tasks'])}"


def button(action: str, text: str, primary: bool = False, **more: str) -> str:
    extra = "".join(f' data-{name}="{escape(value)}"' for name, value in more.items())
    place = escape("".join(f"-{more[name]}" for name in ("task", "from", "key") if name in more))
    return (
        f'<button type="button" class="button{" primary" if primary else ""}" id="teach-{action}{place}" '
        f'data-do="{action}"{extra}>'
        f"{escape(text)}</button>"
    )


def problem(text: str, advice: str = "") -> str:
    return f'<p class="problem-line">{escape(text)}{" " + escape(advice) if advice else ""}</p>'


# -- 1 -------------------------------------------------------------------------------------------------------------


def found(run: Run, left_out: Sequence[LeftOut] = ()) -> str:
    """What was understood of the upload, and the ways to put it right. left_out: with examples, while the pictures are there."""
    about = run.record.found
    if run.state == "empty":
        return ""
    if not about:
        return (
            problem(
                "The upload is not complete.",
                "It may still go on in another window; else choose the same folder again, or go on with what is there.",
            )
            + f'<p class="actions">{button("look", "Go on with these")}</p>'
        )
    kinds = "".join(
        f'<option value="{kind}"{" selected" if kind == about["kind"] else ""}>{escape(text)}</option>'
        for kind, text in KINDS.items()
    )
    if not (about["tasks"] or about["error"]):
        return (
            f'<p class="understood"><b>{plural(about["unlabelled"], "photo")}, and no class yet.</b> What are they to be told '
            "apart as? Name two classes or more; then label them by clicks and keys.</p>"
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
    later = (
        f" {plural(about['unlabelled'], 'picture')} without a label can be labelled in step 2."
        if about.get("unlabelled")
        else ""
    )
    lines = problem(about["error"]) if about["error"] else (
        f'<p class="understood"><b>{plural(about["pictures"], "picture")} with labels</b> of '
        f"{escape(tasks_text(about['tasks']))}, read as {escape(KINDS.get(about['kind'], about['kind']))}.{later}</p>"
    )  # fmt: skip
    if run.record.classes:
        lines, fields = f'<p class="understood"><b>{escape(understood(about))}</b></p>', ""
    examples = {_key(asdict(reason)): reason.examples for reason in left_out}
    older = [{"code": sentence, "values": {}, "count": count} for sentence, count in about.get("skipped", {}).items()]
    reasons = [*about.get("left_out", ()), *older]
    if reasons:
        total = sum(reason["count"] for reason in reasons)
        items = "".join(_reason(reason, examples.get(_key(reason), ())) for reason in reasons)
        opened = " open" if len(reasons) <= AT_ONCE else ""
        lines += f'<details class="fold"{opened}><summary>Left out: {total:,}</summary><ul>{items}</ul></details>'
    notes = [note if isinstance(note, str) else wording.text(note["code"], note["values"]) for note in about["notes"]]
    lines += "".join(f'<p class="small">{escape(note)}</p>' for note in notes)
    checkable = not (run.busy or run.checked or about["error"])
    ready = button("check", "Check these pictures", primary=True) if checkable else ""
    fields = f'<div class="fields">{fields}</div>' if fields else ""
    return f'<div class="found">{lines}{fields}<p class="actions">{ready}</p></div>'


def _key(reason: Mapping[str, Any]) -> str:
    return json.dumps([reason["code"], reason["values"]], allow_nan=False)


def _reason(reason: Mapping[str, Any], examples: Sequence[str]) -> str:
    words = escape(wording.text(reason["code"], reason["values"]))
    return f"<li>{reason['count']:,}: {words}{_examples(examples, reason['count'])}</li>"


def _examples(some: Sequence[str], count: int) -> str:
    lines = "".join(f"<li>{named(one[:300])}</li>" for one in some)
    more = f"<li>and {count - len(some):,} more</li>" if count > len(some) else ""
    return f'<ul class="small">{lines}{more}</ul>' if some else ""


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
        f'{" checked" if name in chosen else ""}><span><b>{named(one["title"])}</b><span class="small">'
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
    again = run.state == "done" or run.can_resume
    time = f'<span class="small">About {duration(seconds)} on this machine.</span>' if seconds else ""
    wait = f'<span class="small">{escape(ahead)} comes first; this one waits its turn.</span>' if ahead else ""
    start = button("again", "Start from the beginning") if again else button("start", "Start learning", primary=True)
    return (
        f'<fieldset><legend>What to learn</legend><div class="choices">{tasks}</div></fieldset>'
        f'<fieldset><legend title="{escape(BRANCH)}">How far</legend><div class="choices">{ways}</div></fieldset>'
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


def chosen(run: Run) -> str:
    """The settings of a learning in a line."""
    if run.kind != teaching.LEARN:
        return ""
    learned = run.record.as_learned()
    return status(run) if run.busy else f"{HOW_FAR[learned.how][0].lower()}, from {learned.parent}"
