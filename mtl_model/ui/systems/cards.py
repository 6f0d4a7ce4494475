"""The card of a published system as HTML: what it is, its network, its figures beside the author's, its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from mtl_model import kinds, systems
from mtl_model.systems import Headline, System
from mtl_model.train.prepare import card_for
from mtl_model.ui import figures
from mtl_model.ui.render import render
from mtl_model.ui.systems import network
from mtl_model.ui.teach import curves

ACROSS = "passes over the pictures"


def card(name: str) -> Markup:
    """Return the card of a system, without what can be done with it."""
    system, reached = systems.named(name), systems.reached(name)
    return render(
        "systems/card.html",
        name=name,
        system=system,
        drawing=network.drawing(card_for(systems.recipe(name), system.tasks)),
        figures=_figures(system, reached.get("figures", ())),
        answers=bool(kinds.shown(system.tasks)),
        trained=_trained(reached),
        command=reached.get("command", ""),
        curves=Markup(_curves(system, reached.get("curves", {}))),
    )


def _figures(system: System, here: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return a row per headline: reached here with its interval, by an answer that looks at no picture, by its author."""
    by_label = {figure["label"]: figure for figure in here}
    return [_figure(system, headline, by_label.get(headline.label, {})) for headline in system.headlines]


def _figure(system: System, headline: Headline, here: Mapping[str, Any]) -> dict[str, str]:
    task = next(task for task in system.tasks if task.name == headline.task)
    words, unit = figures.words_of(headline.metric, task)
    author = "" if headline.author is None else figures.number(headline.author, unit)
    return {
        "label": headline.label,
        "words": words,
        "set": figures.data_set(headline.source),
        "value": figures.number(here["value"], unit) if here else "",
        "between": f"{figures.number(here['low'], unit, False)} to {figures.number(here['high'], unit)}"
        if here
        else "",
        "blind": "" if here.get("blind") is None else figures.number(here["blind"], unit),
        "author": author,
        "note": headline.note if author else "",
    }


def _trained(reached: Mapping[str, Any]) -> str:
    """Return on how much the figures were reached, in a sentence; "" where the system was not trained yet."""
    if not reached:
        return ""
    return (
        f"Trained here on {reached['pictures']:,} pictures, {reached['epochs']} passes over them in "
        f"{minutes(reached['seconds'])}; measured on test pictures that it has not seen."
    )


def minutes(seconds: float) -> str:
    whole = max(1, round(seconds / 60))
    return f"{whole} minute{'s' * (whole > 1)}"


def _curves(system: System, known: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return the loss on train and the error on val of each task, as far as they were written down."""
    titles = {task.name: task.title for task in system.tasks}
    lines = {
        what: {titles.get(task, task): [*enumerate(curve[what], start=1)] for task, curve in known.items()}
        for what in ("loss", "error")
    }
    return curves.chart("Loss while training", lines["loss"], ACROSS, "loss (lower is better)") + curves.chart(
        "Error on validation pictures", lines["error"], ACROSS, "error (lower is better)"
    )
