"""The About tab: the chosen checkpoint's card as a page that people can read, what is kept, and where it lies."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mtl_model import __version__, kinds
from mtl_model.card import Card
from mtl_model.errors import CheckpointError
from mtl_model.names import isolated, printable
from mtl_model.tasks import Task
from mtl_model.ui.checkpoints import gallery
from mtl_model.ui.faces.face_cards import group_text
from mtl_model.ui.figures import METRICS, SHARES, SOURCES, Figure, number, words_of
from mtl_model.ui.render import escape, named
from mtl_model.ui.server import retention
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared, guarded_route
from mtl_model.ui.teach import dataset
from mtl_model.ui.teach.views import duration

TITLE = "About"
ORDER = 90
PUBLIC = True

MUST_NOT = (
    "It must not be used to decide anything about a person, to watch people or to tell who they are. Apparent age and "
    "gender are how a face looks to others in one picture, not what a person is."
)
ATTRIBUTES = {"face": "Pictures in which a face was found"}
log = logging.getLogger("mtl_model.ui")
PACKAGES = ("torch", "torchvision", "facenet-pytorch", "gradio", "numpy", "pillow")


def build(shared: Shared) -> None:
    async def about(request: Request) -> Response:
        name = request.query_params.get("checkpoint") or shared.models.default
        card = await asyncio.to_thread(shared.models.card, name)
        places = shared.access.sees_paths(request)
        try:
            return JSONResponse({"html": page(name, card, shared.options, shared.models.folder(name), places)})
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:  # a card written by hand
            log.info("a card cannot be shown", exc_info=error)
            raise CheckpointError(f"{gallery.UNSHOWN} Choose another checkpoint.") from None

    async def delete(request: Request) -> Response:
        count, left = await asyncio.to_thread(retention.delete_everything, shared.options.runs)
        await asyncio.to_thread(dataset.forget)
        await asyncio.to_thread(shared.models.refresh)
        return JSONResponse({"runs": count, "left": left})

    async def delete_pictures(request: Request) -> Response:
        await asyncio.to_thread(retention.delete_pictures, shared.options.runs, request.query_params.get("name", ""))
        return JSONResponse({})

    shared.routes.append(Route("/mtl/about", guarded_route(shared, about), methods=["GET"]))
    if not shared.options.read_only:
        for what, endpoint in (("everything", delete), ("pictures", delete_pictures)):
            shared.routes.append(Route(f"/mtl/{what}/delete", guarded_route(shared, endpoint), methods=["POST"]))
    gr.HTML(
        '<div class="about" aria-live="polite"></div>',
        elem_id="about",
        apply_default_css=False,
        js_on_load="mtl.about(element)",
    )


def page(name: str, card: Card, options: UiOptions, folder: Path, places: bool = True) -> str:
    """Everything about one checkpoint, and about the program, as HTML.

    places: whether the reader may know where things lie on this machine, and what is installed there."""
    sections = (
        ("What it is", _what(card)),
        ("How good it is", _measured(card)),
        ("Where it fails, and what it must not be used for", _limits(card)),
        ("What it was trained on", _training(card)),
        ("Terms of use", _terms(card)),
        ("What is kept, and where", retention.table(options, folder, places)),
        ("Versions", _pairs(_versions(card)) if places else ""),
    )
    body = "".join(f"<section><h3>{title}</h3>{text}</section>" for title, text in sections if text)
    return f"<h2>Checkpoint {escape(name)}</h2>{body}"


def _pairs(pairs: Iterable[tuple[str, object]]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs if value)
    return f"<dl>{rows}</dl>" if rows else ""


def _what(card: Card) -> str:
    bands = "".join(
        f"<p>{named(task.title)} is told in {len(task.bands)} groups of years: "
        + ", ".join(escape(group_text(band)) for band, _, _ in task.bands)
        + ".</p>"
        for task in kinds.shown(card.tasks)
        if task.bands
    )
    summary = f'<p class="lead">{escape(card.summary)}</p>' if card.summary else ""
    tasks = ", ".join(
        f"{isolated(task.title)} ({', '.join(map(isolated, kinds.of(task).choices(task))) or kinds.of(task).summary(task)})"
        for task in kinds.shown(card.tasks)
    )
    size, colour = card.crop.size_px, "grey" if card.crop.grey else "colour"
    pairs = (
        ("Estimates", tasks),
        ("Network", f"{card.network}, {card.parameters:,} parameters" if card.parameters else card.network),
        ("Looks at", f"{'the whole picture, ' if card.reads_whole else ''}{size} × {size} pixels, {colour}"),
        ("Made", card.created),
        ("Made from", card.parent),
    )
    return summary + _pairs(pairs) + bands


def _measured(card: Card) -> str:
    if gallery.outcome_of(card):
        lead = "On pictures of those it was taught with that were held apart:"
        return f'<p class="small">{lead}</p>{gallery.figures(card)}' + "".join(
            _record(one, card) for one in card.metrics
        )
    return "".join(_record(one, card) for one in card.metrics) or "<p>Not measured yet.</p>"


# -- figures -------------------------------------------------------------------------------------------------------


def _record(record: Mapping[str, Any], card: Card) -> str:
    """One data set's figures: a block of bars for each task, then the groups, then the command."""
    source, split = str(record.get("source", "")), str(record.get("split", ""))
    title = SOURCES.get(source, source)
    missed = int(record.get("no_face", 0))
    count = f"{int(record.get('n', 0)):,} pictures of the part called {split}, which it was not trained on"
    if missed:
        count += f"; in {missed:,} no face was found, and the centre was looked at"
    tasks = {task.name: task for task in kinds.shown(card.tasks)}
    hidden = {task.name for task in card.tasks} - tasks.keys()
    blocks = "".join(
        f"<h5>{named(_title(tasks, name))}</h5>{_bars(_named(figures, tasks.get(name)))}"
        for name, figures in record.get("tasks", {}).items()
        if name not in hidden
    )
    groups = "".join(
        _group(attribute, levels, tasks) for attribute, levels in record.get("groups", {}).items() if levels
    )
    if groups:
        groups = f'<details class="fold"><summary>By group</summary><div>{groups}</div></details>'
    command = str(record.get("command", ""))
    again = f'<p class="small">Measured by <code>{escape(printable(command))}</code></p>' if command else ""
    return (
        f'<article class="record"><h4>{escape(title)}</h4><p class="small">{escape(count)}. The thin line is the range '
        f"in which the figure lies with a probability of 95 %.</p>{blocks}{groups}{again}</article>"
    )


def _title(tasks: Mapping[str, Task], name: str) -> str:
    return tasks[name].title if name in tasks else name


def _named(figures: Mapping[str, Figure], task: Task | None) -> list[tuple[str, str, Figure]]:
    known = [name for name in METRICS if name in figures]
    others = [name for name in figures if name not in METRICS]
    return [(*words_of(name, task), figures[name]) for name in (*known, *others)]


def _group(attribute: str, levels: Mapping[str, Any], tasks: Mapping[str, Task]) -> str:
    """For each task its main figure, a bar for each level of the attribute."""
    blocks = []
    for task in dict.fromkeys(task for level in levels.values() for task in level):
        measured = {name for level in levels.values() for name in level.get(task, {})}
        metric = kinds.headline(measured)
        if not metric:
            continue
        words, unit = words_of(metric, tasks.get(task))
        rows = [
            (_level_text(attribute, level, tasks), unit, found[task][metric])
            for level, found in levels.items()
            if metric in found.get(task, {})
        ]
        blocks.append(f"<h5>{named(_title(tasks, task))}: {escape(words.lower())}</h5>{_bars(rows)}")
    name = ATTRIBUTES.get(attribute) or f"By {_title(tasks, attribute).replace('_', ' ').lower()}"
    return f"<h4>{escape(name)}</h4>{''.join(blocks)}" if blocks else ""


def _level_text(attribute: str, level: str, tasks: Mapping[str, Task]) -> str:
    """A group of a task, or of two crossed ("70+, female"), as people read it; what a data set names stays as it is spelt."""
    if not set(attribute.split(" x ")) <= set(tasks):
        return level
    return ", ".join(group_text(part) for part in level.split(", "))


def _bars(rows: Sequence[tuple[str, str, Figure]]) -> str:
    """rows: what is measured, its unit, the figure. Bars of one block share a scale for each unit."""
    longest = max([float(one.get("high", one["value"])) for _, unit, one in rows if unit not in SHARES] + [1e-9])
    return '<table class="figures"><tbody>' + "".join(_bar(*row, longest) for row in rows) + "</tbody></table>"


def _bar(words: str, unit: str, figure: Figure, longest: float) -> str:
    value, low, high = (float(figure.get(edge, figure["value"])) for edge in ("value", "low", "high"))
    top = 1.0 if unit in SHARES else longest
    left, middle, right = (f"{100 * min(max(one / top, 0), 1):.1f}%" for one in (low, value, high))
    return (
        f'<tr><th scope="row">{named(words)}</th><td class="figure"><b>{number(value, unit)}</b> '
        f'<span class="small">{number(low, unit, False)} to {number(high, unit, False)}</span></td>'
        f'<td class="whisker" aria-hidden="true"><span class="bar" style="width:{middle}"></span>'
        f'<span class="range" style="left:{left};right:calc(100% - {right})"></span></td></tr>'
    )


# -- words ---------------------------------------------------------------------------------------------------------


def _limits(card: Card) -> str:
    sentences = (*card.limits, MUST_NOT)
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>"


def _training(card: Card) -> str:
    known = card.training
    titles = {task.name: task.title.lower() for task in card.tasks}
    rows = "".join(
        f"<tr><th scope=row>{escape(SOURCES.get(source, source))}</th><td>{escape(_counts(counts, titles))}</td></tr>"
        for source, counts in dict(known.get("data") or {}).items()
        if isinstance(counts, Mapping)
    )
    table = f'<table class="plain"><tbody>{rows}</tbody></table>' if rows else ""
    notes = "".join(f"<li>{escape(one)}</li>" for one in known.get("notes") or ())
    seconds = float(gallery.outcome_of(card).get("seconds") or known.get("seconds") or 0)
    kept, most = known.get("epoch") or known.get("epochs"), known.get("epochs")
    passes = f"{kept}, the best of at most {most}" if kept != most else kept
    pairs = [("Passes over the data", passes), ("Time", duration(seconds) if seconds else "")]
    command = str(known.get("command") or "")
    again = f'<p class="small">Trained by <code>{escape(printable(command))}</code></p>' if command else ""
    return table + _pairs(pairs) + (f"<ul>{notes}</ul>" if notes else "") + again or "<p>The card does not say.</p>"


def _counts(counts: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    pictures = counts.get("pictures")
    labels = [
        f"{int(count):,} with {isolated(titles.get(name, name))}"
        for name, count in counts.items()
        if name != "pictures" and count
    ]
    return ", ".join([*([f"{int(pictures):,} pictures"] if pictures is not None else []), *labels])


def _terms(card: Card) -> str:
    terms = card.terms or (
        "The weights were learned from pictures that are given out for research only: use them for research and "
        "teaching, not for a commercial purpose."
    )
    return f"<p>{escape(terms)}</p><p>The program itself may be used freely, under the MIT licence.</p>"


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
