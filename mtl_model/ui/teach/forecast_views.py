"""Teach as HTML: what learning now would bring, labels that look wrong, pictures that harm, pictures to label next."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mtl_model import kinds, promises, wording
from mtl_model.card import Card
from mtl_model.kinds import SHARE
from mtl_model.names import isolated
from mtl_model.run_records import Forecast
from mtl_model.tasks import Task
from mtl_model.ui.figures import quantity
from mtl_model.ui.render import render
from mtl_model.ui.teach import changes, curves, dataset
from mtl_model.ui.teach.dataset import Labelled, Picture
from mtl_model.ui.teach.teaching import Run
from mtl_model.ui.teach.views import plural

AT_ONCE = 12  # labels to go through, and pictures to label


def forecast(run: Run, shown: Labelled, parent: Card | None) -> str:
    """What learning now would bring, and what stands in its way. parent: the card of the checkpoint to start from."""
    if run.state == "accepted" or not run.checked:
        return ""
    found, questions = run.forecast, naming(run, shown, parent)
    asked = {question["task"] for question in questions}
    tasks: Mapping[str, Any] = found["tasks"] if found else {}
    other = bool(found) and found is not None and found["parent"] != run.record.parent
    moved = changes.moved_since(run, found) if found else 0
    state, ask = "", ""
    if run.forecasting:
        state = f"It is being worked out anew{f', from {run.record.parent}' if other else ''}."
    elif other and found:
        state, ask = f"That is what learning from {found['parent']} brings.", f"Work it out from {run.record.parent}"
    elif moved:
        again = f"after {changes.RENEWED} changes it is worked out anew by itself"
        state, ask = f"{plural(moved, 'picture')} changed since; {again}.", "Work it out now"
    elif not found and run.state == "checked":
        ask = "Work out what learning would bring"
    refused = [
        (name, reason["message"])
        for name, reason in (found["refused"] if found else {}).items()
        if name not in asked and reason["code"] != "too_few_taught"
    ]
    return str(
        render(
            "teach/forecast.html",
            tasks=[_task(name, figures, found, shown) for name, figures in tasks.items() if name in shown.tasks],
            refused=refused,
            naming=questions,
            state=state,
            working=run.forecasting,
            ask=ask if run.state == "checked" else "",
        )
    )


RECORDED = "These are frames of a recording: other people, rooms and clothes may be answered much worse."


def _task(name: str, figures: Mapping[str, Any], found: Forecast | None, shown: Labelled) -> dict[str, Any]:
    assert found
    other = RECORDED if shown.recorded else "Pictures of another kind may be read worse."
    warnings = [promises.trap(**found["traps"][name])] if name in found["traps"] else []
    return {
        "name": name,
        "title": figures["title"],
        "promise": promises.promise(figures),
        "meter": meter(figures),
        "growth": promises.growth(figures),
        "warnings": warnings,
        "confused": promises.confused(figures),
        "sure": wording.reliability(figures),
        "chart": growth_chart(figures),
        "measured": (
            f"Measured: each of {plural(figures['n'], 'picture')} was answered by what the others taught, in "
            f"{figures['folds']} rounds, from {found['parent']}. {other}"
        ),
    }


def growth_chart(figures: Mapping[str, Any]) -> Any:
    """The learning curve: what was measured, and what twice as many may give."""
    points, share = figures.get("curve") or (), figures["unit"] == SHARE
    if len(points) < 2 or not figures.get("beats_guess", True):
        return ""
    scale = 100 if share else 1
    line = [(float(count), scale * value) for count, value in points]
    ahead = [line[-1], (2 * line[-1][0], scale * figures["twice"])]
    up = "right of 100" if share else f"error in {figures['unit']}".strip()
    title = isolated(figures["title"])
    lines = {"measured": line, "may be": ahead}
    return Markup(curves.chart(title, lines, "pictures", up, "", 100.0 if share else float("inf")))


def meter(figures: Mapping[str, Any]) -> str:
    """A figure on a bar that marks guessing and the interval; of an error the best is at the left."""
    share, unit = figures["unit"] == SHARE, figures["unit"]
    value, guess = float(figures["after"]), figures.get("guess")
    low, high = figures.get("interval") or (value, value)
    most = 1.0 if share else 1.1 * max(high, guess or 0.0, 1e-9)

    def text(one: float) -> str:
        return f"{100 * one:.0f} of 100" if share else f"{quantity(one)} {unit}".strip()

    def place(one: float) -> float:
        return round(100 * min(max(one, 0.0), most) / most, 2)

    def brief(one: float) -> str:
        return f"{100 * one:.0f}" if share else text(one)

    said = f"{text(value)}, probably {text(low)} to {text(high)}"
    return render(
        "teach/meter.html",
        said=f"{said}; guessing gives {text(guess)}" if guess is not None else said,
        low=place(low),
        high=place(high),
        at=place(value),
        guess=None if guess is None else place(guess),
        blind="" if guess is None else brief(guess),
        value=brief(value),
        first="0",
        last="100" if share else text(most),
    )


# -- class names ---------------------------------------------------------------------------------------------------


def naming(run: Run, shown: Labelled, parent: Card | None) -> list[dict[str, Any]]:
    """The tasks that the checkpoint to start from knows by other classes, each with its choices."""
    known = {task.name: task for task in parent.tasks} if parent else {}
    questions = []
    for name, task in shown.tasks.items():
        theirs = known.get(name)
        choices = kinds.of(theirs).choices(theirs) if theirs else ()
        if theirs is None or kinds.covers(theirs, task) or not choices or not kinds.of(task).choices(task):
            continue
        rows = [(word, _choices(word, choices)) for word in kinds.of(task).choices(task)]
        questions.append({"task": name, "title": theirs.title, "parent": run.record.parent, "rows": rows})
    return questions


def _choices(word: str, known: Sequence[str]) -> list[tuple[str, str, bool]]:
    near = difflib.get_close_matches(word, known, 1, 0.3)
    return [*((name, name, name in near) for name in known), ("", "none of these: leave it out", not near)]


# -- pictures ------------------------------------------------------------------------------------------------------


def suspects(run: Run, shown: Labelled) -> str:
    """Labels that look wrong, less those that a person has decided on."""
    found = run.forecast
    rows = [row for row in (found["suspects"] if found else ()) if _is_open(row, shown)]
    if not rows:
        return ""
    return _review(
        id="suspects",
        title=f"{plural(len(rows), 'label')} that may be wrong.",
        text="The worst first, by what the other pictures taught.",
        keys="Keys: C changes the label, K keeps it, X leaves the picture out; arrows walk.",
        rows=[_suspect(row, shown) for row in rows[:AT_ONCE]],
        more=max(0, len(rows) - AT_ONCE),
    )


def _is_open(row: Mapping[str, Any], shown: Labelled) -> bool:
    picture, task = shown.by_file.get(str(row["file"])), str(row["task"])
    if picture is None or picture.out or task not in shown.tasks or task in shown.edits.kept.get(picture.file, ()):
        return False
    return dataset.label_text(shown.tasks[task], picture.labels.get(task)) == row["label"]


def _suspect(row: Mapping[str, Any], shown: Labelled) -> dict[str, Any]:
    task, picture = shown.tasks[str(row["task"])], shown.by_file[str(row["file"])]
    likelier = str(row["likelier"])
    others = [word for word in kinds.of(task).choices(task) if word not in (likelier, row["label"])][:8]
    buttons = [
        {"action": "relabel", "key": "c", "word": likelier, "text": f"Change to {likelier}", "first": True},
        {"action": "keep", "key": "k", "word": "", "text": "Keep"},
        {"action": "out", "key": "x", "word": "", "text": "Leave out"},
        *({"action": "relabel", "key": "", "word": word, "text": f"It is {word}"} for word in others),
    ]
    return _row(picture, task, f"labelled {isolated(row['label'])}, looks like {isolated(likelier)}", buttons)


def suggestions(run: Run, shown: Labelled) -> str:
    """Pictures without a label that are worth one."""
    found = run.forecast
    rows = []
    for row in found["suggestions"] if found else ():
        picture, task = shown.by_file.get(str(row["file"])), str(row["task"])
        if picture and not picture.out and task in shown.tasks and task not in picture.labels:
            rows.append(_suggestion(picture, shown.tasks[task], row))
    if not rows:
        return ""
    return _review(
        id="suggestions",
        title="Worth labelling next.",
        text="These pictures without a label would teach the most: it is least sure of them, and each is unlike the others.",
        keys="Keys: 1 to 9 choose a class, X leaves the picture out; arrows walk.",
        rows=rows[:AT_ONCE],
        more=max(0, len(rows) - AT_ONCE),
    )


def _suggestion(picture: Picture, task: Task, row: Mapping[str, Any]) -> dict[str, Any]:
    buttons = [
        {
            "action": "relabel",
            "key": str(number),
            "word": word,
            "text": f"{number} {word}",
            "first": word == row["guess"],
        }
        for number, word in enumerate(kinds.of(task).choices(task)[:9], 1)
    ]
    said = f"{isolated(task.title)}: it would say {isolated(row['guess'])}"
    return _row(picture, task, said, [*buttons, {"action": "out", "key": "x", "word": "", "text": "Leave out"}])


def _review(**values: Any) -> str:
    return str(render("teach/review.html", **values))


def _row(picture: Picture, task: Task, said: str, buttons: list[dict[str, Any]]) -> dict[str, Any]:
    name = picture.file.rsplit("/", 1)[-1]
    return {"file": picture.file, "task": task.name, "name": name, "said": said, "buttons": buttons}


def harmful(run: Run, shown: Labelled) -> list[tuple[str, list[str], str, bool]]:
    """What harms: its words, the files that are not left out yet, the code with the task, and whether a class suffers."""
    found = run.forecast
    told = []
    for finding in found["harmful"] if found else ():
        files = [file for file in finding["files"] if file in shown.by_file and not shown.by_file[file].out]
        if files:
            words = promises.harm(**{**finding, "count": len(files)})
            told.append(
                (words, files, f"{finding['code']}/{finding['values']['task']}", bool(finding["values"]["much"]))
            )
    return told
