"""Templates: every value is escaped, none is missing in silence, and the HTML of faces stands nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from mtl_model import kinds
from mtl_model.ui import render as rendering
from mtl_model.ui.render import named, render

TEMPLATES = Path(rendering.__file__).parent / "templates"


@pytest.fixture
def template(monkeypatch: pytest.MonkeyPatch) -> str:
    """A template that shows `value` on lines of its own."""
    text = "<p>\n  {% if value %}\n  <b>{{ value }}</b>\n\n  {{ value|named }} {# a gap #}\n  {% endif %}\n</p>\n"
    monkeypatch.setattr(
        rendering._ENVIRONMENT,
        "loader",
        type("Loader", (), {"load": staticmethod(lambda environment, name, _: environment.from_string(text))}),
    )
    return f"{id(text)}.html"


def test_values_are_escaped_and_lines_joined(template: str) -> None:
    assert render(template, value="<i>'&") == "<p><b>&lt;i&gt;&#39;&amp;</b><bdi>&lt;i&gt;&#39;&amp;</bdi> </p>"
    assert render(template, value=Markup("<i>x</i>")) == "<p><b><i>x</i></b><bdi><i>x</i></bdi> </p>"
    with pytest.raises(UndefinedError, match="value"):
        render(template)


def test_a_name_keeps_its_direction_and_is_escaped() -> None:
    assert named("<i>") == "<bdi>&lt;i&gt;</bdi>" and f"{named('a')}<br>" == "<bdi>a</bdi><br>"


def test_every_template_can_be_read() -> None:
    names = [path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html")]
    assert names
    for name in names:
        rendering._ENVIRONMENT.get_template(name)


@pytest.mark.parametrize("kind", kinds.names())
def test_the_shape_of_every_kind_has_a_template(kind: str) -> None:
    assert (TEMPLATES / "faces" / f"{kinds.named(kind).shape}.html").is_file()


def tags(source: str) -> list[str]:
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [text for text in constants if isinstance(text, str) and re.search(r"</?[a-z]+[ >]", text)]


def test_the_html_of_faces_stands_in_templates_alone() -> None:
    files = list((TEMPLATES.parent / "faces").glob("*.py"))
    assert files and tags('f"<b class={x}>"') and not tags("3 < a > 2")
    assert {file.name: tags(file.read_text(encoding="utf-8")) for file in files} == {file.name: [] for file in files}
