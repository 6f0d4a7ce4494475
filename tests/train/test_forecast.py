"""What a learning would reach is said before it, from features that it then uses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import card, checkpoint, cli
from mtl_model.card import Card
from mtl_model.config import FinetuneConfig
from mtl_model.data import cache
from mtl_model.events import Progress, Stage, silent
from mtl_model.runs import CACHE
from mtl_model.tasks import TASKS
from mtl_model.train import features, finetune, forecast
from tests.train.test_finetune import (  # noqa: F401  the fixtures that these tests need too
    SIDE,
    config_for,
    glasses,
    save,
    seen,
    weights,
)


def tell(config: FinetuneConfig, weights: Path, progress: Progress = silent) -> dict[str, Any]:  # noqa: F811
    root = weights.parent / "runs" / "child" / CACHE
    return forecast.forecast(config, root, weights / "bknet", progress=progress)


def test_it_promises_what_the_learning_then_says_and_leaves_it_the_features(
    glasses: Path,  # noqa: F811
    weights: Path,  # noqa: F811
) -> None:
    worked: list[int] = []

    def count(stage: Stage, done: int, total: int) -> None:
        if stage == Stage.FEATURES and done == total:
            worked.append(total)

    found = tell(config_for(glasses), weights, count)
    folder = weights.parent / "runs" / "child"
    list(finetune.finetune(config_for(glasses), folder, weights / "bknet", progress=count))
    outcome = json.loads((folder / "outcome.json").read_text())
    promised, kept = found["tasks"]["glasses"], outcome["tasks"]["glasses"]
    assert {name: promised[name] for name in ("after", "interval", "curve", "twice", "n")} == {
        name: kept[name] for name in ("after", "interval", "curve", "twice", "n")
    }
    assert worked == [60, 0], "the learning works no features out again"
    assert found["parent"] == "bknet" and not found["refused"]
    torch.manual_seed(5)
    other = card.read_card(weights / "bknet")
    checkpoint.save(weights / "bknet", checkpoint.build_network(other), other)
    tell(config_for(glasses), weights, count)
    assert worked == [60, 0, 60], "another trunk sees other things"


def test_features_of_pictures_that_are_new_are_added_and_of_a_damaged_file_worked_out_anew(
    glasses: Path,  # noqa: F811
    weights: Path,  # noqa: F811
) -> None:
    worked: list[int] = []

    def count(stage: Stage, done: int, total: int) -> None:
        if stage == Stage.FEATURES and done == total:
            worked.append(total)

    first = tell(config_for(glasses), weights, count)
    (kept,) = (weights.parent / "runs" / "child" / CACHE / features.FOLDER).glob("*.npz")
    save(glasses / "glasses" / "with" / "new.png", 150, 999)
    tell(config_for(glasses), weights, count)
    (glasses / "glasses" / "with" / "new.png").unlink()
    again = tell(config_for(glasses), weights, count)
    assert again["tasks"] == first["tasks"]
    kept.write_bytes(b"half")
    assert tell(config_for(glasses), weights, count)["tasks"] == first["tasks"]
    assert worked == [60, 1, 0, 60]


def test_a_task_that_the_parent_knows_is_foretold_too(tmp_path: Path, weights: Path) -> None:  # noqa: F811
    for number in range(40):
        save(tmp_path / "data" / "smile" / ("yes", "no")[number % 2] / f"{number}.png", 150 * (number % 2), number)
    first = tell(config_for(tmp_path / "data"), weights)
    figures = first["tasks"]["smile"]
    assert figures["before"] is not None and figures["n"] == 40
    assert tell(config_for(tmp_path / "data"), weights)["tasks"] == first["tasks"], "from kept answers"


@pytest.mark.parametrize(("count", "missing"), [(9, "1 more of with"), (4, "6 more of with")])
def test_under_ten_of_a_class_it_is_refused_with_what_is_missing(
    tmp_path: Path,
    weights: Path,  # noqa: F811
    count: int,
    missing: str,
) -> None:
    """A picture without a face does not count."""
    for number in range(20):
        save(tmp_path / "data" / "glasses" / "without" / f"{number}.png", 0, number)
    for number in range(20):
        name = f"{number}.png" if number < count else f"faceless {number}.png"
        save(tmp_path / "data" / "glasses" / "with" / name, 150, 100 + number)
    refused = tell(config_for(tmp_path / "data"), weights)["refused"]["glasses"]
    assert refused["code"] == "too_few_taught" and missing in refused["message"]


def test_classes_that_the_parent_calls_otherwise_are_told_before_the_learning(
    tmp_path: Path,
    weights: Path,  # noqa: F811
) -> None:
    parent = card.read_card(weights / "bknet")
    hat = dataclasses.replace(TASKS["smile"], name="hat", title="Hat", classes=("off", "on"), spellings={})
    known = Card("bknet", parent.network_options, (hat,), crop=parent.crop)
    checkpoint.save(weights / "bknet", checkpoint.build_network(known), known)
    for number in range(40):
        save(tmp_path / "data" / "hat" / ("bare", "worn")[number % 2] / f"{number}.png", 150 * (number % 2), number)
    assert tell(config_for(tmp_path / "data"), weights)["refused"]["hat"]["code"] == "other_classes"
    (tmp_path / "changes.json").write_text(json.dumps({"renamed": {"hat": {"bare": "off", "worn": "on"}}}))
    changed = config_for(tmp_path / "data", changes=str(tmp_path / "changes.json"))
    assert tell(changed, weights)["tasks"]["hat"]["n"] == 40


def grey(path: Path, seed: int, coloured: bool) -> None:
    noise = np.random.default_rng(seed).integers(60, 200, (SIDE, SIDE, 3))
    pixels = noise if coloured else noise.mean(2, keepdims=True).repeat(3, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.mark.parametrize("telling", [True, False])
def test_what_has_nothing_to_do_with_the_face_is_named_where_it_tells_the_classes_apart(
    tmp_path: Path,
    weights: Path,  # noqa: F811
    telling: bool,
) -> None:
    for number in range(60):
        word, coloured = ("on", "off")[number % 2], number % 2 == 0 if telling else number % 4 < 2
        grey(tmp_path / "data" / "hat" / word / f"{number}.png", number, coloured)
    traps = tell(config_for(tmp_path / "data"), weights)["traps"]
    assert set(traps) == ({"hat"} if telling else set())
    if telling:
        assert traps["hat"]["fact"] in ("saturation", "bytes_per_pixel") and traps["hat"]["right"] > 0.9


def test_the_pictures_to_label_next_are_unsure_and_unlike_each_other(
    glasses: Path,  # noqa: F811
    weights: Path,  # noqa: F811
) -> None:
    for number in range(30):  # ten times the same picture, which nothing tells apart
        save(glasses / "glasses" / "unlabelled" / f"half {number}.png", 75, 500 + number // 10)
    for number in range(30):
        save(glasses / "glasses" / "unlabelled" / f"clear {number}.png", 150 * (number % 2), 600 + number)
    rows = tell(config_for(glasses), weights)["suggestions"]
    assert len(rows) == forecast.NEXT and len({row["file"] for row in rows}) == forecast.NEXT
    first = [cache.digest_of(glasses / row["file"]) for row in rows[:6]]
    assert len(set(first)) == 6, "no picture twice among the first"
    assert {row["guess"] for row in rows} <= {"with", "without"}


@pytest.mark.parametrize("command", ["suggest", "check"])
def test_the_command_line_says_it_and_writes_it(
    command: str,
    glasses: Path,  # noqa: F811
    weights: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    option = {"suggest": "--json", "check": "--forecast"}[command]
    places = ["--weights", str(weights), "--runs", str(tmp_path / "none"), "--cache", str(tmp_path / "kept")]
    words = [command, f"folders:{glasses}", "--from", "bknet", option, str(tmp_path / "told.json"), *places]
    assert cli.main([*words, "--device", "cpu"]) in (0, 1)
    assert "If you learn this now: right for about" in capsys.readouterr().out
    assert json.loads((tmp_path / "told.json").read_text())["tasks"]["glasses"]["n"] == 60
    assert [*(tmp_path / "kept" / features.FOLDER).glob("*.npz")]


@pytest.mark.parametrize(("count", "guessed"), [(5, True), (4, False)])
def test_from_five_of_each_class_the_others_are_guessed(
    tmp_path: Path,
    weights: Path,  # noqa: F811
    count: int,
    guessed: bool,
) -> None:
    """Loose photos of a declared task, some labelled by hand: too few to say how well, enough to help."""
    labels = {}
    for number in range(30):
        save(tmp_path / "data" / f"{number}.png", 150 * (number % 2), number)
        if number < 2 * count:
            labels[f"{number}.png"] = {"hat": ("off", "on")[number % 2]}
    (tmp_path / "changes.json").write_text(json.dumps({"labels": labels}))
    config = dataclasses.replace(
        config_for(tmp_path / "data"), layout="folders", columns="hat=off|on", changes=str(tmp_path / "changes.json")
    )
    told = tell(config, weights)
    assert told["refused"]["hat"]["code"] == "too_few_taught" and not told["tasks"]
    guesses = told["guesses"].get("hat", {})
    assert set(guesses) == ({f"{number}.png" for number in range(2 * count, 30)} if guessed else set())
    right = [word == ("off", "on")[int(file[:-4]) % 2] for file, (word, _) in guesses.items()]
    assert sum(right) >= 0.9 * len(right)
