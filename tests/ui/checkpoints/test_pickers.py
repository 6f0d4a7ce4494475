from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mtl_model import runs as folders
from mtl_model.card import Card, write_card
from mtl_model.records import PICTURE
from mtl_model.tasks import TASKS
from mtl_model.ui import shell
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.checkpoints.pickers import Pickers
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.tabs import teach
from tests.ui.conftest import FakePredictor


@pytest.fixture
def pickers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pickers:
    monkeypatch.setattr(teach, "_tend", lambda runs: None)
    for name in ("weights/default", "runs/mine", "runs/child"):
        write_card(tmp_path / name, Card("bknet", {}, tuple(TASKS.values())))
    options = UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs")
    load: Any = FakePredictor
    return shell.build(options, Models(options, load))[1].pickers


@pytest.mark.parametrize(
    ("chosen", "expected", "told"),
    [
        (("", ""), ("default", ""), ""),
        (("mine", "child"), ("mine", "child"), ""),
        (("mine", "mine"), ("mine", ""), ""),
        (("gone", "mine"), ("default", "mine"), "gone is no longer there; default answers now."),
        (("mine", "gone"), ("mine", ""), "gone is no longer there; mine answers now."),
        (("gone", "lost"), ("default", ""), "gone and lost are no longer there; default answers now."),
        ((5, []), ("default", ""), ""),
    ],
)
def test_the_choice_stays_where_it_is_still_there(pickers: Pickers, chosen: Any, expected: Any, told: str) -> None:
    checkpoint, compare, said, stamp, _, state, _ = pickers.offer(chosen[0], chosen[1], "")
    assert (checkpoint.value, compare.value) == expected and state == (stamp, *expected) and said == told
    assert [name for _, name in checkpoint.choices] == ["default", "child", "mine"]
    assert [name for _, name in compare.choices] == [
        "",
        *sorted({"default", "child", "mine"} - {expected[0]}, key=order),
    ]


def order(name: str) -> tuple[bool, str]:
    return name != "default", name


def test_with_one_checkpoint_there_is_nothing_to_compare(pickers: Pickers, tmp_path: Path) -> None:
    assert pickers.offer("default", "", "")[1].visible is True
    shutil.rmtree(tmp_path / "runs")
    assert pickers.offer("default", "", "")[1].visible == "hidden"


def test_a_tick_brings_nothing_until_something_changes(pickers: Pickers, tmp_path: Path) -> None:
    seen = pickers.stamp()
    assert pickers.tick(seen, None) == (gr.skip(), gr.skip())
    folders.set_aside(tmp_path / "runs" / "child")
    deleted = pickers.tick(seen, None)[0]
    assert deleted not in (seen, gr.skip())
    (aside,) = folders.asides(tmp_path / "runs")
    folders.bring_back(tmp_path / "runs", aside.token, tmp_path / "weights")
    assert pickers.tick(deleted, None)[0] not in (deleted, gr.skip())


def test_two_are_compared_only_where_they_read_the_same(pickers: Pickers, tmp_path: Path) -> None:
    write_card(tmp_path / "runs" / "flowers", Card("bknet", {}, tuple(TASKS.values()), subject=PICTURE))
    _, compare, told, _, subjects, state, _ = pickers.offer("mine", "flowers", "")
    assert [name for _, name in compare.choices] == ["", "default", "child"] and state[1:] == ("mine", "")
    assert told == "flowers reads whole pictures, mine reads faces: they are not compared."
    assert subjects["flowers"] == PICTURE and pickers.offer("flowers", "", "")[1].visible == "hidden"
