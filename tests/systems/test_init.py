"""The registry of published systems: recipes, data sets at hand, figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_model import systems
from mtl_model.errors import UsageError


def test_a_recipe_stands_below_the_folder_of_the_data_sets(tmp_path: Path) -> None:
    config = systems.recipe("combined", data=tmp_path)
    assert config.source == (f"utkface:{tmp_path}/utkface", f"genki4k:{tmp_path}/genki4k")
    assert systems.named("combined").folders == ("utkface", "genki4k")
    assert (config.system, config.variant, config.name) == ("combined", "", "")


def test_a_variant_replaces_what_it_names() -> None:
    assert not systems.recipe("combined").separate and systems.recipe("combined", "separate").separate
    assert systems.recipe("combined", "separate").variant == "separate"


@pytest.mark.parametrize(
    ("name", "variant", "near"), [("combind", "", "combined"), ("combined", "seperate", "separate")]
)
def test_a_name_that_is_not_there_gets_the_near_match(name: str, variant: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean '{near}'"):
        systems.recipe(name, variant)


def test_the_data_sets_are_looked_for_where_they_are_said_to_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MTL_DATA", raising=False)
    assert systems.data_folder() == Path("~/.cache/mtl_model/data").expanduser()
    monkeypatch.setenv("MTL_DATA", str(tmp_path))
    assert systems.data_folder() == tmp_path and systems.data_folder(tmp_path / "own") == tmp_path / "own"
    (tmp_path / "utkface").mkdir()
    assert systems.missing(systems.named("combined"), tmp_path) == ["genki4k"]
    text = systems.missing_text("A title", ["genki4k"], tmp_path)
    assert "genki4k" in text and str(tmp_path) in text and "--data" in text


def test_figures_reached_here_stand_beside_their_headlines() -> None:
    assert systems.reached("nothing") == {}
    for name in systems.names():
        figures = systems.reached(name).get("figures", [])
        assert not figures or [figure["label"] for figure in figures] == [
            headline.label for headline in systems.named(name).headlines
        ]
