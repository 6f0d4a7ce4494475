"""A quantity and an order of classes from a table to a checkpoint: trained, measured, taught further."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model import checkpoint, wording
from mtl_model.config import FinetuneConfig, TrainConfig
from mtl_model.data import cache
from mtl_model.evaluate.metrics import evaluate
from mtl_model.evaluate.recalibration import recalibrate
from mtl_model.networks import bknet
from mtl_model.records import Face
from mtl_model.train import finetune
from mtl_model.train.loop import train
from mtl_model.train.prepare import prepare

SIDE = 24


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of 16 px; one face in every picture, all of it."""
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    whole = (Face((0.0, 0.0, SIDE, SIDE), 0.99),)
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, whole))


def write(folder: Path, count: int, header: str, first: int = 0) -> Path:
    """Pictures whose brightness, 0 to 199, is the quantity, and in steps of 50 the class."""
    folder.mkdir()
    rows = [header]
    for number in range(first, first + count):
        bright = (number * 37) % 200
        noise = np.random.default_rng(number).integers(0, 20, (SIDE, SIDE, 3))
        Image.fromarray((noise + bright).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{1000 + bright}.5,{('poor', 'fair', 'good', 'best')[bright // 50]}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def trained(tmp_path: Path) -> Path:
    data = write(tmp_path / "data", 160, "file,Weight (g),quality")
    config = TrainConfig(
        name="small", source=(f"csv:{data}",), columns="weight,quality=poor<fair<good<best", epochs=25, batch_size=16,
        warmup_steps=2, learning_rate=2e-3, augmentation=0.0, ema=0.9, keep_copies=True,
    )  # fmt: skip
    list(train(config, tmp_path / "runs" / "small"))
    return tmp_path / "runs" / "small"


def test_a_quantity_and_an_order_are_trained_measured_and_taught_further(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    network, card = checkpoint.load(folder)
    weight, quality = card.task("weight"), card.task("quality")
    assert (weight.kind, weight.unit, quality.kind) == ("number", "g", "ordinal")
    mean, deviation = weight.scale
    assert 1080 < mean < 1120 and 50 < deviation < 65
    assert network.state_dict()["branches.quality.6.weight"].shape[0] == 1
    record = evaluate(network, card, f"csv:{tmp_path / 'data'}", "val", options={"columns": "weight_(g),quality"})
    measured = record["tasks"]["weight"]
    assert measured["mean_error"]["value"] < deviation / 2 and measured["r2"]["value"] > 0.5
    assert record["tasks"]["quality"]["within_one"]["value"] > 0.9

    few = write(tmp_path / "few", 60, "file,weight,quality", first=500)  # the unit is known from the parent
    child = tmp_path / "runs" / "child"
    list(finetune.finetune(FinetuneConfig(name="child", data=str(few), epochs=3), child, folder))
    taught = checkpoint.load(child)[1]
    assert taught.task("weight").scale == weight.scale
    outcome = json.loads((child / "outcome.json").read_text())["tasks"]
    assert (outcome["weight"]["metric"], outcome["weight"]["unit"]) == ("mean_error", "g")
    assert outcome["weight"]["before"] is not None and outcome["quality"]["confusion_after"]


def test_a_quantity_is_taught_anew_on_the_scale_of_what_is_learned_from(tmp_path: Path) -> None:
    parent = trained(tmp_path)
    more = write(tmp_path / "more", 80, "file,Length (mm),state")
    child = tmp_path / "runs" / "child"
    list(finetune.finetune(FinetuneConfig(name="child", data=str(more), epochs=10), child, parent))
    card = checkpoint.load(child)[1]
    assert card.task("length").unit == "mm" and card.task("length").scale[1] > 40
    assert card.calibration_of("length") != type(card.calibration_of("length"))()
    outcome = json.loads((child / "outcome.json").read_text())
    assert outcome["tasks"]["length"]["after"] < card.task("length").scale[1]
    assert "mm of error on" in wording.outcome(**outcome)


def test_a_quantity_is_fitted_again(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    network, card = checkpoint.load(folder)
    with_more = write(tmp_path / "more", 240, "file,weight,quality", first=1000)
    (with_more / "splits.csv").write_text(
        "file,split\n" + "".join(f"{number}.png,val\n" for number in range(1000, 1240))
    )
    again = recalibrate(network, card, [f"csv:{with_more}"])
    assert again.calibration["weight"] != card.calibration["weight"]
    assert "weight" not in again.errors and again.errors.get("quality")


def test_few_numbers_beside_many_are_the_same_quantity(tmp_path: Path) -> None:
    many = write(tmp_path / "many", 80, "file,Weight (g),quality")
    few = write(tmp_path / "few", 9, "file,weight,quality", first=300)
    (few / "splits.csv").write_text("file,split\n" + "".join(f"{number}.png,train\n" for number in range(300, 309)))
    config = TrainConfig(source=(f"csv:{few}", f"csv:{many}"), keep_copies=True)
    data = prepare(config)
    (weight,) = (task for task in data.card.tasks if task.name == "weight")
    assert (weight.kind, weight.unit) == ("number", "g")
    labels: list[float] = [float(str(sample.labels["weight"])) for sample in data.train.samples]
    assert len(labels) > 60 and weight.scale == pytest.approx((np.mean(labels), np.std(labels)))
    assert data.train.targets["weight"].mean().item() == pytest.approx(0, abs=1e-5)
