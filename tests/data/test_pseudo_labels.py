"""Labels that the detector gives: landmarks where no label says otherwise, and nothing looked for unless a task asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model import checkpoint
from mtl_model.card import DetectionSettings
from mtl_model.config import TrainConfig
from mtl_model.data import cache, pseudo_labels
from mtl_model.evaluate.metrics import evaluate
from mtl_model.events import Noted
from mtl_model.networks import bknet
from mtl_model.records import Face, Sample
from mtl_model.tasks import DETECTED, TASKS
from mtl_model.train.loop import train

LANDMARKS = ((20.0, 20.0), (30.0, 20.0), (25.0, 26.0), (21.0, 32.0), (29.0, 32.0))
FACE = Face((8.0, 4.0, 40.0, 44.0), 0.99, LANDMARKS)
FLAT = tuple(coordinate for place in LANDMARKS for coordinate in place)
TASK = DETECTED["landmarks"]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Sequence[Face] | None], list[str]]:
    """Makes the detector see these faces everywhere; returns the pictures that it was asked about."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))

    def set_faces(faces: Sequence[Face] | None) -> list[str]:
        asked: list[str] = []

        def look_at(paths: Sequence[str], *_: object) -> dict:
            asked.extend(paths)
            return dict.fromkeys(paths, None if faces is None else tuple(faces))

        monkeypatch.setattr(cache, "_look_at", look_at)
        return asked

    return set_faces


def picture(folder: Path, number: int = 0) -> str:
    path = folder / f"{number}.png"
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("faces", "label"),
    [
        ([FACE], FLAT),
        ([FACE, Face((0.0, 0.0, 4.0, 4.0), 0.9, ((1.0, 1.0),) * 5)], FLAT),
        ([], None),
        (None, None),
        ([dataclasses.replace(FACE, landmarks=())], None),
    ],
)
def test_the_landmarks_of_the_main_face_are_the_label(look, tmp_path: Path, faces, label) -> None:
    look(faces)
    (sample,) = pseudo_labels.detect([Sample(picture(tmp_path), {"smile": "smiling"})], [TASK], DetectionSettings())
    assert sample.labels.get("landmarks") == label and sample.labels["smile"] == "smiling"


def test_a_label_that_is_there_stays_and_nothing_is_looked_for_without_a_detected_task(look, tmp_path: Path) -> None:
    asked = look([FACE])
    samples = [Sample(picture(tmp_path), {"landmarks": (1.0,) * 10})]
    assert pseudo_labels.detect(samples, [TASKS["smile"]], DetectionSettings()) == samples and not asked
    (sample,) = pseudo_labels.detect(samples, [TASK], DetectionSettings())
    assert sample.labels["landmarks"] == (1.0,) * 10


def test_landmarks_are_learned_and_measured_beside_labels(look, monkeypatch, tmp_path: Path) -> None:
    look([FACE])
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    rows = ["file,split,smile"]
    for number in range(24):
        picture(tmp_path, number)
        rows.append(f"{number}.png,{('train', 'train', 'val', 'test')[number % 4]},{('yes', 'no', '')[number % 3]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    config = TrainConfig(
        name="small", source=(f"csv:{tmp_path}",), tasks="smile,landmarks", epochs=1, batch_size=4, keep_copies=True
    )
    folder = tmp_path / "runs" / "small"
    assert Noted("pseudo_labels", {"tasks": ["landmarks"]}) in list(train(config, folder))
    network, card = checkpoint.load(folder)
    assert [task.name for task in card.tasks] == ["smile", "landmarks"] and card.tasks[1].detected
    assert card.training["data"]["csv"] == {"pictures": 8, "smile": 8, "landmarks": 8}
    record = evaluate(network, card, f"csv:{tmp_path}", "test")
    assert set(record["tasks"]) == {"smile", "landmarks"}
