from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import checkpoint, export, inference, runtimes
from mtl_model.card import Card, CropSettings, read_card
from mtl_model.crops import to_tensor
from mtl_model.tasks import TASKS, class_task
from tests.cli import run, write_weights

GLASSES = dataclasses.replace(class_task("glasses", ("off", "on")), kind="binary", loss="binary_cross_entropy")


def test_the_example_answers_like_the_network_without_this_program(tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    torch.manual_seed(5)
    tasks = (TASKS["age"], class_task("hat", ("no 'hat'", "hat")), GLASSES)
    crop = CropSettings(size_px=16, grey=False, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    card = Card("bknet", {"size_px": 16, "hidden": 8, "channels": 3}, tasks, crop=crop)
    checkpoint.save(tmp_path / "weights" / "small", checkpoint.build_network(card), card)
    assert run(tmp_path / "weights", "export", "small", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["card.json", "example.py", "small.onnx"]
    assert read_card(tmp_path / "out").tasks == tasks
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "crop.png")
    answer = subprocess.run(
        [sys.executable, "example.py", str(tmp_path / "crop.png")], cwd=tmp_path / "out", capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    network, card = checkpoint.load(tmp_path / "weights" / "small")
    outputs = inference.logits(network, to_tensor(picture[None], card.crop), card)
    predicted = inference.predictions(outputs, card)
    age, hat, glasses = (line.split(" ", 1) for line in answer.stdout.splitlines())
    assert int(age[1]) == int(np.searchsorted(predicted["age"][0].cumsum(), 0.5))
    assert eval(hat[1]) == pytest.approx(dict(zip(("no 'hat'", "hat"), predicted["hat"][0], strict=True)), abs=2e-3)
    assert eval(glasses[1]) == pytest.approx({"on": predicted["glasses"][0][1]}, abs=2e-3)


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(runtimes, "to_onnx", lambda *_: pytest.fail("it was exported"))
    monkeypatch.setattr(runtimes, "installed", lambda *packages: True)
    (tmp_path / "file").touch()
    assert run(write_weights(tmp_path / "weights"), "export", "bknet", "--out", tmp_path / "file") == 2
    assert "--out" in capsys.readouterr().err


def test_every_kind_has_an_expression_that_is_python() -> None:
    for task in (*TASKS.values(), class_task("a", ('it"s', "b\\")), GLASSES):
        card = Card("bknet", {}, (task,))
        compile(export.example("name", card), "example.py", "exec")
