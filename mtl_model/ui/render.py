"""HTML of the page: templates, by one Jinja environment that escapes every value, and the files of static/."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup

from mtl_model.drawing import colour_of

STATIC = Path(__file__).parent / "static"
BREAK = re.compile(r"(?<=[>}])\n\s*(?=[<{])")
"""A line break between two tags, blocks or values of a template."""


class Joined(Extension):
    """Join the lines of a template, so that it can be indented and no gap appears between two elements of one line."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return BREAK.sub("", source)


def render(template: str, **values: Any) -> Markup:
    """Return the HTML of a template, such as "faces/card.html". A value that it uses and does not get is an error."""
    return Markup(_ENVIRONMENT.get_template(template).render(values))


def asset(name: str) -> str:
    """Return the text of a file in static/."""
    return (STATIC / name).read_text(encoding="utf-8")


def escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def named(text: object) -> Markup:
    """A name that people chose, escaped; its direction stays inside it (see `names.isolated`)."""
    return Markup("<bdi>{}</bdi>").format(text)


def percent(share: float) -> str:
    return f"{round(100 * share)} %"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    extensions=[Joined],
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {"named": named, "percent": percent, "colour": colour_of}
