"""The Systems tab: what a card says, what can be done where, and what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from mtl_model import jobs, runs, systems
from mtl_model.card import CARD, Card, write_card
from mtl_model.errors import DataError
from mtl_model.jobs import Job
from mtl_model.tasks import TASKS, class_task
from mtl_model.ui import shell
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.systems import cards, pictures, training
from mtl_model.ui.tabs import teach
from tests.ui.conftest import FakePredictor

FIGURES = {
    "flowers": {
        "command": "python -m mtl_model train --system flowers",
        "pictures": 881,
        "epochs": 20,
        "fraction": 0.5,
        "seconds": 375,
        "figures": [
            {"label": "Kind", "value": 0.88, "low": 0.83, "high": 0.92, "n": 219, "blind": 0.56},
            {"label": "Colour", "value": 0.71, "low": 0.6, "high": 0.81, "n": 83, "blind": 0.45},
        ],
        "curves": {
            "kind": {"loss": [0.7, 0.3], "error": [0.4, 0.2]},
            "colour": {"loss": [1.1, 0.8], "error": [0.6, 0.4]},
        },
    }
}

Build = Callable[..., tuple[gr.Blocks, Shared]]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """build(read_only) -> the page, with no data sets but flowers/ at hand."""
    monkeypatch.setattr(teach, "_tend", lambda runs: None)
    monkeypatch.setattr(systems, "_figures", lambda: FIGURES)
    monkeypatch.setenv("MTL_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "flowers").mkdir(parents=True)
    write_card(tmp_path / "weights" / "bknet", Card("bknet", {}, tuple(TASKS.values())))

    def made(read_only: bool = False) -> tuple[gr.Blocks, Shared]:
        options = UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs", read_only=read_only)
        load: Any = FakePredictor
        return shell.build(options, Models(options, load))

    return made


def states(shared: Shared) -> dict[str, tuple[str, Any, Any]]:
    """{system: (what is said, whether it can be trained, whether pictures can be answered)}"""
    *values, mistake = shared.events.known["systems"][0](("", "", ""))
    assert mistake == ""
    shown = [getattr(value, "visible", value) for value in values]
    return {name: tuple(shown[3 * number : 3 * number + 3]) for number, name in enumerate(systems.names())}


def buttons(page: gr.Blocks) -> list[str]:
    return [str(block.value) for block in page.blocks.values() if isinstance(block, gr.Button)]


def test_a_card_has_figures_beside_the_authors_and_curves(build: Build) -> None:
    build()
    text = str(cards.card("flowers"))
    for part in (
        "88.0 %",
        "83.0 to 92.0 %",
        "56.0 %",
        "gives none",
        "881 pictures",
        "6 minutes",
        "<polyline",
        "Kind from 0.7",
    ):
        assert part in text, part
    assert "not trained here yet" not in text
    author = str(cards.card("combined"))
    assert "92.8 %" in author and "on IMDB-WIKI" in author and "not trained here yet" in author


def test_what_is_never_answered_says_so(build: Build) -> None:
    build()
    texts = {name: str(cards.card(name)) for name in systems.names()}
    assert [name for name, text in texts.items() if "never answered here" in text] == ["verification"]


def test_a_button_is_there_where_the_data_are(build: Build, tmp_path: Path) -> None:
    page, shared = build()
    assert {"Train it here, about 25 minutes", "Train it here, at most an hour"} <= set(buttons(page))
    state = states(shared)
    assert state["flowers"] == ("", True, "hidden")
    said, trains, answers = state["combined"]
    assert "utkface, genki4k" in said and "$MTL_DATA" in said and (trains, answers) == ("hidden", "hidden")
    for name, training_of in (
        ("flowers-2", {"system": "flowers"}),
        ("alone", {"system": "flowers", "variant": "joint"}),
    ):
        write_card(tmp_path / "runs" / name, Card("bknet", {}, tuple(TASKS.values()), training=training_of))
    assert states(shared)["flowers"] == ("", True, True)
    assert shared.models.of_system("flowers") == ["flowers-2"]


def test_a_read_only_page_shows_the_cards_and_no_button(build: Build) -> None:
    page, shared = build(read_only=True)
    assert not [words for words in buttons(page) if "Train" in words or "pictures" in words]
    assert not {"systems", "system-train", "system-pictures"} & set(shared.events.known)
    shown = [str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert sum('class="halves"' in text for text in shown) == len(systems.names())


def test_a_training_is_queued_under_a_free_name(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, queued = build()[1].options, []
    monkeypatch.setattr(jobs, "_start_next", lambda folder: None)
    write_card(options.runs / "flowers", Card("bknet", {}, tuple(TASKS.values())))
    for expected in ("flowers-2", "flowers-3"):
        queued.append(training.begin("flowers", options))
        job = jobs.look(options.runs, expected)
        assert queued[-1] == expected and job and job.kind == "train"
        assert job.words[:5] == ("train", "--system", "flowers", "--name", expected)
        assert (options.runs / expected / runs.RECORD).is_file(), "it goes with everything that is deleted"
    jobs.stop(options.runs, "flowers-2")
    assert training.free_name("flowers", options.weights, options.runs) == "flowers-2", "nothing was learned under it"


def test_the_name_that_a_job_holds_can_be_trained_under(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "flowers"
    folder.mkdir(parents=True)
    (folder / runs.JOB).write_text("{}")
    with runs.claimed(folder, tmp_path, begun=False, resume=False):
        pass
    assert (folder / runs.JOB).is_file(), "how it ended is still to be read"
    assert runs.is_unused(folder) and not runs.is_unused(tmp_path)
    (folder / "notes.txt").touch()
    assert not runs.is_unused(folder)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Job("flowers", "train", ("train", "--system", "flowers"), "done", exit_code=1, log="It broke."), "It broke."),
        (Job("flowers", "train", ("train", "--system", "flowers"), "done", exit_code=0), ""),
        (Job("flowers", "train", ("train", "--system", "flowers"), "running"), ""),
        (Job("flowers", "train", ("train", "--system", "digits"), "killed"), ""),
    ],
)
def test_a_training_that_failed_at_once_is_said(
    job: Job, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "every", lambda folder: [job])
    text = training.ended_badly("flowers", tmp_path)
    assert said in text and bool(text) == bool(said)
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flowers" / CARD).touch()
    assert training.ended_badly("flowers", tmp_path) == "", "the panel of jobs says how it ended"


def flowers(folder: Path, part: str) -> None:
    for number in range(8):
        picture = folder / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 60, 3), 30 * number, np.uint8)).save(picture)
    for name in ("train", "val", "test"):
        rows = [f"{number}.png, {number % 2}, {number % 3}" for number in range(8)] if name == part else []
        (folder / f"{name}.txt").write_text("\n".join(rows))


def test_three_test_pictures_have_label_and_answer(tmp_path: Path) -> None:
    flowers(tmp_path / "flowers", "test")
    predictor: Any = FakePredictor("flowers-2")
    predictor.card = Card("bknet", {}, (class_task("kind", ("rose", "daisy")),))
    drawn = pictures.chosen("flowers", predictor.card.tasks, tmp_path, random.Random(0))
    assert len(drawn) == 3 == len({sample.path for sample in drawn}) and {sample.split for sample in drawn} == {"test"}
    two_faces = predictor.photo(np.zeros((40, 60, 3), np.uint8), "x")
    for reading in two_faces.readings:
        reading.estimates["kind"] = reading.estimates["smile"]
    predictor.photo = lambda rgb, name: two_faces
    text = str(pictures.answered("flowers", predictor, tmp_path, random.Random(0)))
    assert text.count("<img") == 3 and "flowers-2" in text and text.count("<bdi>not smiling</bdi>") == 3
    assert text.count(">rose<") + text.count(">daisy<") == 3


def test_without_a_test_picture_it_is_said(tmp_path: Path) -> None:
    flowers(tmp_path / "flowers", "train")
    with pytest.raises(DataError, match="no labelled test picture"):
        pictures.chosen("flowers", systems.named("flowers").tasks, tmp_path, random.Random(0))


def test_two_tabs_show_one_job_without_an_id_in_common(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, seen = build()[1], []
    monkeypatch.setattr(jobs, "every", lambda folder: [Job("flowers", "train", ("train",), "running", log="epoch 1")])
    monkeypatch.setattr("mtl_model.ui.at_work.button", lambda words, name: seen.append(name) or gr.Button())
    with gr.Blocks():
        shared.events.known["at-work"][0](("", "", ""))
    assert seen == ["systems-stop-flowers"]
