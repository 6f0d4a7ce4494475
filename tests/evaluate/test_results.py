"""Figures kept in a card, and readings of test splits written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtl_model.card import CARD
from mtl_model.evaluate.results import keep_record, note_reading
from tests.cli import write_weights


def test_a_record_is_kept_beside_those_that_came_meanwhile(tmp_path: Path) -> None:
    """In the place of what the same command printed; two folders of one layout are two sets."""
    folder = write_weights(tmp_path / "weights") / "bknet"
    for name, value in (("a", 1), ("b", 2), ("a", 3)):
        (tmp_path / name).mkdir(exist_ok=True)
        record = {"source": "csv", "split": "test", "tasks": {}, "groups": {}, "n": value}
        keep_record(folder, record, f"csv:{tmp_path / name}", {"columns": "", "attributes": "Young"})
    kept = json.loads((folder / CARD).read_text())["metrics"]
    assert [one["n"] for one in kept] == [3, 2]
    assert kept[0]["command"].endswith("--source csv:DATA/a --split test --attributes Young")


@pytest.mark.parametrize("has_git", [True, False])
def test_a_reading_is_written_down_with_git_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_git: bool
) -> None:
    if not has_git:
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # no repository
    (tmp_path / "readings.md").write_text("| date |\n")
    record = {"tasks": {"age": {"mae": {"value": 4.4}}}, "source": "utkface", "n": 3}
    note_reading(tmp_path / "readings.md", "default", record)
    assert (tmp_path / "readings.md").read_text().endswith("| unknown | default | utkface | 3 | age mae 4.4 |\n")
