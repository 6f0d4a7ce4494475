from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mtl_model import registry
from mtl_model.errors import UsageError

FOLDERS = ("kinds", "networks", "detectors", "layouts", "commands", "ui/tabs")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package `made` with a registry folder `things`, in place of the program's own."""
    folder = tmp_path / "made" / "things"
    folder.mkdir(parents=True)
    for name in ("__init__", "_parts", "alpha", "beta"):
        (folder / f"{name}.py").write_text("NAME = __name__\n")
    (folder / "broken.py").write_text("raise RuntimeError('imported')\n")
    (folder / "notes.txt").write_text("no module")
    (folder / "nested").mkdir()
    (folder / "nested" / "__init__.py").touch()
    monkeypatch.setattr(registry, "PACKAGE", tmp_path / "made")
    monkeypatch.setattr(registry, "__package__", "made")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def test_names_lists_entries_without_importing_them(made: Path):
    assert registry.names("things") == ["alpha", "beta", "broken"]
    assert "made.things.broken" not in sys.modules


def test_a_new_file_is_a_new_entry(made: Path):
    (made / "gamma.py").write_text("NAME = 'new'\n")
    assert "gamma" in registry.names("things")
    assert registry.load("things", "gamma").NAME == "new"


def test_one_broken_entry_hides_no_other(made: Path):
    assert registry.load("things", "alpha").NAME == "made.things.alpha"
    with pytest.raises(RuntimeError, match="imported"):
        registry.load("things", "broken")


@pytest.mark.parametrize("name", ["alhpa", "_parts", "__init__", "nested", "notes", "", "..errors", "os", "alpha.NAME"])
def test_only_listed_names_are_loaded(made: Path, name: str):
    with pytest.raises(UsageError, match=r"Unknown thing .*Known: alpha, beta, broken\."):
        registry.load("things", name)


def test_the_near_match_is_named(made: Path):
    with pytest.raises(UsageError, match="Did you mean 'alpha'"):
        registry.load("things", "alhpa")


def test_a_folder_that_is_not_there_has_no_entries():
    assert registry.names("nothing") == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_program_has_entries_in_each_folder(folder: str):
    names = registry.names(folder)
    assert names
    assert names == sorted(names)
