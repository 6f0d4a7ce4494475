"""The error for faces like one: by the answers, on val, enough of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import cache, checkpoint
from mtl_model.batches import Labelled
from mtl_model.cache import Crops
from mtl_model.calibration import LEAST
from mtl_model.card import Card, CropSettings, TaskCalibration
from mtl_model.errors import DataError
from mtl_model.recalibration import errors_like, recalibrate
from mtl_model.records import Sample
from mtl_model.tasks import TASKS


def test_what_val_has_too_few_labels_of_keeps_its_calibration_and_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))
    lines = ["file,gender,smile,split"]
    for number in range(LEAST + 10):
        Image.fromarray(np.full((24, 24, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'female' if number % 2 else 'male'},{'yes' if number < 20 else ''},val")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    rows = ({"group": {"age": "56+"}, "error": 3.0, "n": 30},)
    errors = {"age": rows, "smile": rows}
    old = {task: TaskCalibration(2.0, 0.6) for task in TASKS}
    options = {"size_px": 16, "hidden": 8}
    crop = CropSettings(size_px=16)
    card = Card("bknet", options, tuple(TASKS.values()), crop=crop, calibration=old, errors=errors)
    torch.manual_seed(0)
    fitted = recalibrate(checkpoint.build_network(card), card, [f"csv:{tmp_path}"])
    assert {task for task in TASKS if fitted.calibration[task] != old[task]} == {"gender"}
    assert fitted.errors["age"] == fitted.errors["smile"] == rows and fitted.errors["gender"]
    known = tuple(cache.short_digest(tmp_path / f"{number}.png") for number in range(10))
    notes: list[str] = []
    taught = dataclasses.replace(card, taught=known)
    recalibrate(checkpoint.build_network(card), taught, [f"csv:{tmp_path}"], note=notes.append)
    assert len(notes) == 1 and notes[0].startswith("10 of 110 pictures of split 'val'")
    (tmp_path / "labels.csv").write_text("\n".join(lines[:11]))
    with pytest.raises(DataError, match="All 10 pictures of split 'val'"):
        recalibrate(checkpoint.build_network(card), taught, [f"csv:{tmp_path}"])
    (tmp_path / "labels.csv").write_text("\n".join(lines[:50]))
    with pytest.raises(DataError, match="fewer than 100 labels of every task"):
        recalibrate(checkpoint.build_network(card), card, [f"csv:{tmp_path}"])


def test_rows_go_by_the_answers_and_the_card_finds_them_again() -> None:
    """Thirty faces answered as 30 and female, ten years older in truth; thirty as 70 and male, right, too few of them known."""
    samples = [Sample(str(row), {"age": 40.0, "gender": "male"}) for row in range(30)]
    samples += [Sample(str(row), {"age": 70.0 if row < 10 else (60.0, 79.0), "smile": "smiling"}) for row in range(30)]
    crops = Crops(np.zeros((60, 16, 16, 3), np.uint8), np.ones(60, np.int16), np.zeros((60, 4)))
    card = Card("bknet", {}, tuple(TASKS.values()))
    data = Labelled([(samples, crops, np.arange(60))], card.tasks)
    years = np.zeros((60, 101))
    years[np.arange(60), [30] * 30 + [70] * 30] = 1
    gender = np.eye(2)[[0] * 30 + [1] * 30]
    smile = np.eye(2)[[1] * 60]
    errors = dict(errors_like(card, {"age": years, "gender": gender, "smile": smile}, data))
    first = {"age": "24-39", "gender": "female"}
    assert errors["age"] == (
        {"group": first, "error": 10.0, "n": 30},
        {"group": {"age": "24-39"}, "error": 10.0, "n": 30},
    )
    assert [row["error"] for row in errors["gender"]] == [1.0, 1.0]
    assert errors["smile"][0] == {"group": {"age": "56+", "gender": "male"}, "error": 0.0, "n": 30}
    card = Card("bknet", {}, tuple(TASKS.values()), errors=errors)
    assert (found := card.error_like("age", first)) and found["error"] == 10.0
    assert (found := card.error_like("age", {**first, "gender": "male"})) and found["group"] == {"age": "24-39"}
    assert card.error_like("age", {"age": "1-13", "gender": "male"}) is None
