from __future__ import annotations

import dataclasses
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_model import checkpoint, runtimes
from mtl_model.card import Card, CropSettings, from_json
from mtl_model.errors import UsageError
from mtl_model.networks import bknet
from mtl_model.predictor import Predictor
from mtl_model.records import Face
from mtl_model.tasks import TASKS

ALL = ("torch", "onnx", "openvino")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.nn.Module, Card]:
    """A small network that was never trained, as it lies on disk."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)
    crop = CropSettings(**{**bknet.INPUT, "size_px": 16})
    card = Card("bknet", {"size_px": 16, "hidden": 8}, tuple(TASKS.values()), crop=crop, flip_averaging=True)
    checkpoint.save(tmp_path / "weights" / "small", checkpoint.build_network(card), card)
    return checkpoint.load(tmp_path / "weights" / "small")


def test_every_runtime_gives_the_same_answers(small: tuple[torch.nn.Module, Card], sample_picture: Any) -> None:
    for packages in ("onnxruntime", "openvino", "onnxscript"):
        pytest.importorskip(packages)
    network, card = small
    faces = [Face((20.0 * number, 10.0, 20.0 * number + 60, 80.0), 0.9) for number in range(3)]
    predictors = {runtime: Predictor("small", network, card, runtime=runtime) for runtime in ALL}
    for shown in (faces, faces[:1]):  # any number of faces
        first, *others = (
            [reading.estimates for reading in predictor.read(sample_picture, shown)]
            for predictor in predictors.values()
        )
        for answers in others:
            for expected, estimates in zip(first, answers, strict=True):
                for name, estimate in estimates.items():
                    assert estimate.scores == pytest.approx(expected[name].scores, abs=1e-3)
                    assert estimate.text == expected[name].text
    with ThreadPoolExecutor(4) as threads:  # one network, many visitors
        for runtime in ALL[1:]:
            expected = predictors[runtime].read(sample_picture, faces)[0].estimates["age"].scores
            for readings in threads.map(lambda _, own=predictors[runtime]: own.read(sample_picture, faces), range(8)):
                assert readings[0].estimates["age"].scores == pytest.approx(expected, abs=1e-6)


def test_an_export_is_made_once_and_auto_takes_it(
    small: tuple[torch.nn.Module, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, card = small
    assert runtimes.chosen("auto", card, "cpu") == "torch", "nothing is exported unless somebody asks for it"
    runtimes.start("onnx", network, card)
    model = onnx.load(io.BytesIO(runtimes.kept(card).read_bytes()))
    properties = {prop.key: prop.value for prop in model.metadata_props}
    assert from_json(json.loads(properties[runtimes.CARD])).tasks == card.tasks
    assert [output.name for output in model.graph.output] == [task.name for task in card.tasks]
    assert runtimes.chosen("auto", card, "cpu") == "onnx" and runtimes.chosen("auto", card, "cuda") == "torch"
    monkeypatch.setattr(runtimes, "to_onnx", lambda *_: pytest.fail("it was exported already"))
    runtimes.start("onnx", network, card)
    assert runtimes.chosen("auto", dataclasses.replace(card, weights_sha256="other"), "cpu") == "torch"


@pytest.mark.parametrize(
    ("runtime", "device", "absent"),
    [("tensorrt", "cpu", ""), ("onnx", "cuda", ""), ("onnx", "cpu", "onnxruntime"), ("openvino", "cpu", "openvino")],
)
def test_what_cannot_run_it_is_refused(
    runtime: str, device: str, absent: str, small: tuple[torch.nn.Module, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "installed", lambda *packages: absent not in packages)
    with pytest.raises(UsageError, match=absent or runtime):
        runtimes.chosen(runtime, small[1], device)
