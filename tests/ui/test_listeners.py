"""Every listener is made by `Events`, and whatever comes in, its answer is a sentence at worst."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import types
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mtl_model import jobs
from mtl_model.card import Card, write_card
from mtl_model.errors import PictureError, UsageError
from mtl_model.jobs import Job
from mtl_model.runs import new_record, set_aside, write_record
from mtl_model.tasks import TASKS
from mtl_model.ui import listeners, shell
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.listeners import UNEXPECTED, Events, alert, sentence_for
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.tabs import teach
from tests.ui.conftest import FakePredictor

HOSTILE: list[Any] = [
    None,
    "",
    "nobody",
    "../x",
    "\0",
    "\ud800",
    "[" * 3000,
    -1,
    1e999,
    [],
    {},
    {"path": "/etc/hostname"},
]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[gr.Blocks, Shared]:
    monkeypatch.setattr(teach, "_tend", lambda runs: None)
    for name in ("weights/bknet", "runs/mine"):
        write_card(tmp_path / name, Card("bknet", {}, tuple(TASKS.values())))
    options = UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs")
    load: Any = FakePredictor
    return shell.build(options, Models(options, load))


def fail(error: Exception, outputs: int = 0) -> Any:
    """Return what a listener answers whose handler raises this."""

    def handler() -> None:
        raise error

    with gr.Blocks():
        events, places = Events(Access(UiOptions())), [gr.Textbox() for _ in range(outputs)]
        events.on("fail", [gr.Button().click], handler, (), places, alert=alert())
    return events.known["fail"][0]()


def test_a_known_error_is_its_sentence() -> None:
    assert fail(PictureError("The file '<b>' is cut off.")) == (
        '<p class="alert" role="alert">The file &#x27;&lt;b&gt;&#x27; is cut off.</p>'
    )
    assert "No space left" in sentence_for(OSError(28, "No space left on device"))


def test_an_unknown_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert UNEXPECTED in fail(ValueError("secret"))
    assert "secret" in caplog.text


def test_a_mistake_leaves_the_other_outputs_as_they_are() -> None:
    one, two, said = fail(UsageError("No."), outputs=2)
    assert one == two == gr.skip() and "No." in said


def test_a_stranger_reads_no_path(tmp_path: Path) -> None:
    assert str(tmp_path.parent) not in fail(UsageError(f"Nothing in {tmp_path / 'x'}."))


@pytest.mark.parametrize(
    ("count", "result", "answer"), [(0, None, ""), (1, "a", ["a", ""]), (2, ("a", "b"), ["a", "b", ""])]
)
def test_success_clears_the_mistake(count: int, result: Any, answer: Any) -> None:
    with gr.Blocks():
        events = Events(Access(UiOptions()))
        places = [gr.Textbox() for _ in range(count)]
        events.on("do", [gr.Button().click], lambda: result, (), places, alert=alert())
    assert events.known["do"][0]() == answer


def test_every_event_answers_whatever_comes_in(
    built: tuple[gr.Blocks, Shared], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, shared = built
    runs, at_work = shared.options.runs, [Job("one", "train", (), "running"), Job("next", "train", (), "waiting")]
    for name in ("one", "next", "kept/data"):
        (runs / name).mkdir(parents=True)
    write_record(runs / "kept", dataclasses.replace(new_record(), kept=True))
    write_card(runs / "gone", Card("bknet", {}, tuple(TASKS.values())))
    set_aside(runs / "gone")
    monkeypatch.setattr(jobs, "every", lambda runs: at_work)
    monkeypatch.setenv("MTL_DATA", str(runs / "nothing"))
    asked: set[str] = set()
    with gr.Blocks() as drawn:
        while left := [name for name in shared.events.known if name not in asked]:  # drawing cards makes more
            for name in left:
                asked.add(name)
                for value in HOSTILE:
                    handler, count = shared.events.known[name]
                    with contextlib.suppress(gr.Error):
                        said = handler(*[value] * count)
                        assert UNEXPECTED not in repr(said), (name, value)
    assert asked == {
        *("predict", "models", "card", "offer", "pick", "tick", "about", "rename", "delete", "bring-back"),
        *("cards", "at-work", "work", "work-stop", "kept-pictures", "delete-pictures", "delete-everything"),
        *("systems", "system-train", "system-pictures"),
    }
    assert made_elsewhere(page) == made_elsewhere(drawn) == []


def test_the_tab_of_the_design_is_whole(
    built: tuple[gr.Blocks, Shared], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (root / "docs" / "design.md").read_text(encoding="utf-8")
    tab: Any = types.ModuleType("tasks")
    exec(next(block for block in text.split("```python")[1:] if "TITLE" in block).partition("```")[0], tab.__dict__)
    monkeypatch.setattr(shell, "load_tabs", lambda public_only=False: [tab])
    options = built[1].options
    load: Any = FakePredictor
    page, shared = shell.build(options, Models(options, load))
    tell, _ = shared.events.known["tasks"]
    assert tell(("", "bknet", "")) == ["Age, Gender, Smile", ""] and "alert" in tell(("", "nobody", ""))[1]
    assert made_elsewhere(page) == [] and tab.TITLE in [
        block.label for block in page.blocks.values() if isinstance(block, gr.Tab)
    ]


def made_elsewhere(page: gr.Blocks) -> list[str]:
    """Return the names of the listeners that `Events` did not make."""
    ours = Path(listeners.__file__)
    functions = [(one.name, one.renderable.fn if one.renderable else one.fn) for one in page.fns.values()]
    return [str(name) for name, function in functions if function and Path(function.__code__.co_filename) != ours]


def test_the_check_sees_a_listener_that_was_made_elsewhere() -> None:
    with gr.Blocks() as page:
        gr.Button().click(lambda: None, api_name="mine")
        gr.render()(lambda: None)
    assert len(made_elsewhere(page)) == 2
