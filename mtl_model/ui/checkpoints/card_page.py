"""The card of a checkpoint as a page that people can read: templates/checkpoints/about.html."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_model import __version__, kinds
from mtl_model.card import Card
from mtl_model.names import isolated, printable
from mtl_model.tasks import Task
from mtl_model.ui.checkpoints import gallery
from mtl_model.ui.faces.face_cards import group_text
from mtl_model.ui.figures import METRICS, SHARES, Figure, data_set, number, words_of
from mtl_model.ui.render import render
from mtl_model.ui.server import retention
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach.views import duration

MUST_NOT = (
    "It must not be used to decide anything about a person, to watch people or to tell who they are. Apparent age and "
    "gender are how a face looks to others in one picture, not what a person is."
)
TERMS = (
    "The weights were learned from pictures that are given out for research only: use them for research and teaching, not for "
    "a commercial purpose."
)
ATTRIBUTES = {"face": "Pictures in which a face was found"}
PACKAGES = ("torch", "torchvision", "facenet-pytorch", "gradio", "numpy", "pillow")


def page(name: str, card: Card, options: UiOptions, folder: Path, places: bool = True) -> str:
    """Return everything about a checkpoint and the program as HTML.

    places: whether the reader may know where things lie on this machine, and what is installed there. Raises: any exception
    for a card that was written by hand and holds what cannot be shown."""
    known, shown = card.training, kinds.shown(card.tasks)
    titles = {task.name: task.title.lower() for task in card.tasks}
    taught = gallery.outcome_of(card)
    return render(
        "checkpoints/about.html",
        name=name,
        card=card,
        facts=_facts(card),
        banded=[(task.title, [group_text(band) for band, _, _ in task.bands]) for task in shown if task.bands],
        outcome=gallery.figures(card) if taught else "",
        records=[_record(record, card) for record in card.metrics],
        limits=(*card.limits, MUST_NOT),
        sources=[
            (data_set(source), _counts(counts, titles))
            for source, counts in dict(known.get("data") or {}).items()
            if isinstance(counts, Mapping)
        ],
        training=_training(known, float(taught.get("seconds") or known.get("seconds") or 0)),
        notes=list(known.get("notes") or ()),
        command=printable(str(known.get("command") or "")),
        terms=card.terms or TERMS,
        versions=_versions(card) if places else [],
        places=retention.places(options, folder),
        shows_places=places,
    )


def _facts(card: Card) -> list[tuple[str, object]]:
    tasks = ", ".join(
        f"{isolated(task.title)} ({', '.join(map(isolated, kinds.of(task).choices(task))) or kinds.of(task).summary(task)})"
        for task in kinds.shown(card.tasks)
    )
    size, colour = card.crop.size_px, "grey" if card.crop.grey else "colour"
    return [
        ("Estimates", tasks),
        ("Network", f"{card.network}, {card.parameters:,} parameters" if card.parameters else card.network),
        ("Looks at", f"{'the whole picture, ' if card.reads_whole else ''}{size} × {size} pixels, {colour}"),
        ("Made", card.created),
        ("Made from", card.parent),
    ]


def _record(record: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """One data set's figures: bars for each task, then the groups, then the command."""
    source, split, missed = str(record.get("source", "")), str(record.get("split", "")), int(record.get("no_face", 0))
    count = f"{int(record.get('n', 0)):,} pictures of the part called {split}, which it was not trained on"
    if missed:
        count += f"; in {missed:,} no face was found, and the centre was looked at"
    tasks = {task.name: task for task in kinds.shown(card.tasks)}
    hidden = {task.name for task in card.tasks} - tasks.keys()
    groups = [_group(attribute, levels, tasks) for attribute, levels in record.get("groups", {}).items() if levels]
    return {
        "title": data_set(source, str(record.get("data_set", ""))),
        "count": count,
        "tasks": [
            (_title(tasks, name), _bars(_named(figures, tasks.get(name))))
            for name, figures in record.get("tasks", {}).items()
            if name not in hidden
        ],
        "groups": [group for group in groups if group[1]],
        "command": printable(str(record.get("command", ""))),
    }


def _title(tasks: Mapping[str, Task], name: str) -> str:
    return tasks[name].title if name in tasks else name


def _named(figures: Mapping[str, Figure], task: Task | None) -> list[tuple[str, str, Figure]]:
    known = [name for name in METRICS if name in figures]
    others = [name for name in figures if name not in METRICS]
    return [(*words_of(name, task), figures[name]) for name in (*known, *others)]


def _group(attribute: str, levels: Mapping[str, Any], tasks: Mapping[str, Task]) -> tuple[str, list[Any]]:
    """For each task its main figure, a bar for each level of the attribute."""
    blocks = []
    for task in dict.fromkeys(task for level in levels.values() for task in level):
        metric = kinds.headline({name for level in levels.values() for name in level.get(task, {})})
        if metric:
            words, unit = words_of(metric, tasks.get(task))
            rows = [
                (_level_text(attribute, level, tasks), unit, figures[task][metric])
                for level, figures in levels.items()
                if metric in figures.get(task, {})
            ]
            blocks.append((_title(tasks, task), words.lower(), _bars(rows)))
    return ATTRIBUTES.get(attribute) or f"By {_title(tasks, attribute).replace('_', ' ').lower()}", blocks


def _level_text(attribute: str, level: str, tasks: Mapping[str, Task]) -> str:
    """A group of a task, or of two crossed ("70+, female"), as people read it; what a data set names stays as it is spelt."""
    if not set(attribute.split(" x ")) <= set(tasks):
        return level
    return ", ".join(group_text(part) for part in level.split(", "))


def _bars(rows: Sequence[tuple[str, str, Figure]]) -> list[dict[str, str]]:
    """rows: what is measured, its unit, the figure. Bars of one block share a scale for each unit."""
    longest = max(
        [float(figure.get("high", figure["value"])) for _, unit, figure in rows if unit not in SHARES] or [1.0]
    )
    bars = []
    for words, unit, figure in rows:
        value, low, high = (float(figure.get(edge, figure["value"])) for edge in ("value", "low", "high"))
        top = 1.0 if unit in SHARES else longest
        left, middle, right = (f"{100 * min(max(edge / top, 0), 1):.1f}%" for edge in (low, value, high))
        between = f"{number(low, unit, False)} to {number(high, unit, False)}"
        bars.append(
            {
                "words": words,
                "value": number(value, unit),
                "between": between,
                "left": left,
                "middle": middle,
                "right": right,
            }
        )
    return bars


def _training(known: Mapping[str, Any], seconds: float) -> list[tuple[str, object]]:
    kept, most = known.get("epoch") or known.get("epochs"), known.get("epochs")
    passes = f"{kept}, the best of at most {most}" if kept != most else kept
    return [("Passes over the data", passes), ("Time", duration(seconds) if seconds else "")]


def _counts(counts: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    pictures = counts.get("pictures")
    labels = [
        f"{int(count):,} with {isolated(titles.get(name, name))}"
        for name, count in counts.items()
        if name != "pictures" and count
    ]
    return ", ".join([*([f"{int(pictures):,} pictures"] if pictures is not None else []), *labels])


def _versions(card: Card) -> list[tuple[str, str]]:
    trained = dict(card.training.get("versions") or {})
    pairs = [("mtl_model", __version__), ("Python", platform.python_version()), ("System", platform.platform())]
    for package in PACKAGES:
        try:
            pairs.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    if trained:
        pairs.append(("Trained with", ", ".join(f"{name} {version}" for name, version in trained.items())))
    return pairs
