from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mtl_model.card import Card
from mtl_model.tasks import TASKS, class_task
from mtl_model.ui.checkpoints import card_page
from mtl_model.ui.figures import METRICS
from mtl_model.ui.server.options import UiOptions


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 100}


RECORD: dict[str, Any] = {
    "source": "utkface",
    "split": "test",
    "n": 2371,
    "no_face": 41,
    "tasks": {"age": {"mae": figure(5.9), "cs5": figure(0.57)}, "gender": {"accuracy": figure(0.915)}},
    "groups": {
        "age": {"56+": {"age": {"mae": figure(8.3)}, "gender": {"accuracy": figure(0.93)}}},
        "age x gender": {"70+, female": {"gender": {"accuracy": figure(0.9)}}},
        "race": {"<Other>": {"gender": {"accuracy": figure(0.9)}}},
        "face": {"found": {"age": {"mae": figure(5.8)}}},
    },
    "command": "python -m mtl_model evaluate bknet --source utkface:DIR --split test",
}


@pytest.fixture
def text(tmp_path: Path) -> str:
    card = Card(
        "bknet",
        {},
        tuple(TASKS.values()),
        parameters=3_757_577,
        summary="A <small> network.",
        training={"data": {"utkface": {"pictures": 19000, "age": 19000}}, "command": "python -m mtl_model train"},
        metrics=(RECORD,),
        limits=("Children are often taken for the other gender.",),
    )
    return card_page.page("bknet", card, UiOptions(runs=tmp_path / "runs"), tmp_path / "bknet")


@pytest.mark.parametrize(
    ("source", "folder", "title"),
    [
        ("utkface", "faces", "UTKFace"),
        ("csv", "aaf", "All-Age-Faces"),
        ("csv", "<holiday>", "Pictures with a table of labels, &lt;holiday&gt;"),
        ("csv", "", "Pictures with a table of labels"),
    ],
)
def test_a_data_set_is_called_by_its_name(tmp_path: Path, source: str, folder: str, title: str) -> None:
    card = Card("bknet", {}, tuple(TASKS.values()), metrics=({**RECORD, "source": source, "data_set": folder},))
    assert f"<h4>{title}</h4>" in card_page.page("x", card, UiOptions(), tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        "Checkpoint bknet", "3,757,577 parameters", "A &lt;small&gt; network.", "UTKFace", "2,371 pictures",
        "Mean error", "5.9 years", "57.0 %", "55.0 to 59.0", "91.5 %", "56 and over", "70 and over, female", "&lt;Other&gt;",
        "By race",
        "Pictures in which a face was found", "19,000 pictures, 19,000 with age", "python -m mtl_model train",
        "python -m mtl_model evaluate bknet", "Children are often taken", card_page.MUST_NOT, "research", "until you delete them",
        "1–13, 14–23, 24–39, 40–55, 56 and over", "torch",
    ],
)  # fmt: skip
def test_the_card_is_readable(text: str, said: str) -> None:
    assert said in text


def test_what_was_taught_here_is_told_as_it_was(tmp_path: Path) -> None:
    """By the title of the task, with the passes and the time that it took, and with its figures, as the Models tab has them."""
    glasses = dataclasses.replace(class_task("brille_1", ("with", "without")), title="Brille & Co")
    taught = {"metric": "accuracy", "before": None, "after": 0.872, "interval": [0.733, 0.944], "n": 39}
    training = {
        "data": {"folders": {"pictures": 123, "brille_1": 123}},
        "epoch": 7,
        "epochs": 60,
        "seconds": 4.0,
        "outcome": {"tasks": {"brille_1": taught}, "changed": {}, "seconds": 57.0},
    }
    card = Card("bknet", {}, (glasses,), training=training, parent="default")
    said = card_page.page("mine", card, UiOptions(runs=tmp_path / "runs"), tmp_path / "mine")
    for words in (
        "<b>87.2 %</b>",
        "73.3 to 94.4",
        "39 held-out",
        "123 with brille &amp; co",
        "7, the best of at most 60",
        "57 seconds",
    ):
        assert words in said, words
    assert "brille_1" not in said and "Not measured yet" not in said


def test_every_place_is_named(text: str, tmp_path: Path) -> None:
    for path in (tmp_path / "runs", tmp_path / "bknet"):
        assert str(path) in text


def test_every_metric_of_the_evaluation_has_words() -> None:
    from mtl_model.evaluate import metrics

    assert set(metrics.all_metrics()) <= {*METRICS}


def test_a_metric_that_is_new_is_shown_under_its_name(tmp_path: Path) -> None:
    record = {**RECORD, "tasks": {"age": {"new_metric": figure(0.5)}}}
    assert "new_metric" in card_page.page("x", Card("bknet", {}, (), metrics=(record,)), UiOptions(), tmp_path)


def test_a_bare_card_makes_a_page(tmp_path: Path) -> None:
    text = card_page.page("x", Card("bknet", {}, tuple(TASKS.values())), UiOptions(), tmp_path)
    assert "Not measured yet." in text and "The card does not say." in text
