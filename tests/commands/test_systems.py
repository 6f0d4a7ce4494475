"""The list of published systems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtl_model import systems
from mtl_model.cli import main
from mtl_model.commands.systems import figure_text


def test_systems_are_listed_with_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "data" / "utkface").mkdir(parents=True)
    words = ["systems", "--data", str(tmp_path / "data"), "--json", str(tmp_path / "list.json")]
    assert main(words) == 0
    text = capsys.readouterr().out
    rows = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in rows] == systems.names()
    (row,) = [row for row in rows if row["name"] == "combined"]
    assert row["missing"] == ["genki4k"] and f"not in {tmp_path / 'data'}: genki4k" in text
    assert [figure["author"] for figure in row["figures"]] == [0.9280, 0.9358, 0.6136]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        ({"metric": "accuracy", "author": 0.928, "here": {}}, "X: not measured here, 92.8 % by its author"),
        (
            {"metric": "mean_error", "author": None, "here": {"value": 7.25, "low": 7.0, "high": 7.5, "unit": "years"}},
            "X: 7.25 years here (7 to 7.5)",
        ),
    ],
)
def test_a_figure_is_said_in_its_unit(figure: dict, text: str) -> None:
    assert figure_text({"label": "X", **figure}) == text
