"""The server: a page that does not come up, and where a person opens it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mtl_model.card import Card, write_card
from mtl_model.errors import UsageError
from mtl_model.tasks import TASKS
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server import serving
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from tests.ui.conftest import FakePredictor


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    write_card(tmp_path / "bknet", Card("bknet", {}, tuple(TASKS.values())))
    options = UiOptions(weights=tmp_path, runs=tmp_path / "runs")
    load: Any = FakePredictor
    return Shared(options, Models(options, load), Access(options))


@pytest.mark.parametrize("error", [ValueError("Please set share=True"), OSError("Cannot find empty port")])
def test_a_page_that_does_not_come_up_is_said(
    shared: Shared, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(blocks: gr.Blocks, **options: Any) -> None:
        raise error

    monkeypatch.setattr(gr.Blocks, "launch", launch)
    monkeypatch.setattr(shared.decoders, "begin", lambda: None)
    with pytest.raises(UsageError, match="did not come up at http://127.0.0.1:7860") as said:
        serving.start(gr.Blocks(), shared)
    assert "share" not in str(said.value)


def test_what_is_switched_off_is_known_to_gradio() -> None:
    """A name that Gradio no longer knows would be a setting that does nothing."""
    assert set(serving.SWITCHED_OFF) <= set(inspect.signature(gr.Blocks.launch).parameters)


def test_where_a_person_opens_the_page() -> None:
    assert serving.address(UiOptions(host="0.0.0.0")) == "http://localhost:7860"
    assert serving.address(UiOptions(host="::1", ssl_certfile=Path("c"))) == "https://[::1]:7860"
