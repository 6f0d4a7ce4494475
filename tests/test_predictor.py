"""From a picture to Readings, in a tiny checkpoint of its own and with the real detector."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mtl_model
from mtl_model import checkpoint, crops
from mtl_model.card import Card, CropSettings
from mtl_model.errors import CheckpointError, PictureError, UsageError
from mtl_model.predictor import Predictor, choose_device
from mtl_model.quality import quality_of
from mtl_model.records import Reading
from mtl_model.tasks import TASKS, class_task


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    card = Card("bknet", {"size_px": 16, "hidden": 8}, tuple(TASKS.values()), crop=CropSettings(size_px=16))
    for name in ("bknet", "other"):
        checkpoint.save(folder / name, checkpoint.build_network(card), card)
    return folder


@pytest.fixture(scope="module")
def predictor(weights: Path) -> Predictor:
    return Predictor.load(weights=weights, device="cpu")


def plain(readings: list[Reading]) -> list:
    return [(one.face.box, {task: estimate.scores for task, estimate in one.estimates.items()}) for one in readings]


def test_the_public_name_is_the_predictor() -> None:
    assert mtl_model.Predictor is Predictor


def test_every_way_to_hand_over_a_picture_gives_the_same(
    predictor: Predictor, sample_picture: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(sample_picture).save(tmp_path / "face.png")
    content = (tmp_path / "face.png").read_bytes()
    readings = predictor.predict(sample_picture)
    assert len(readings) == 1 and list(readings[0].estimates) == ["age", "gender", "smile"]
    cut = crops.cut(sample_picture, [readings[0].face], predictor.card.crop)[0]
    assert readings[0].quality == quality_of(cut, readings[0].face)
    for source in (tmp_path / "face.png", str(tmp_path / "face.png"), content, Image.open(io.BytesIO(content))):
        assert plain(predictor.predict(source)) == plain(readings)


def test_all_faces_from_left_to_right(predictor: Predictor, sample_picture: np.ndarray) -> None:
    canvas = np.zeros((600, 1100, 3), np.uint8)
    for left, side in ((0, 250), (250, 500), (800, 300)):
        canvas[:side, left : left + side] = np.asarray(Image.fromarray(sample_picture).resize((side, side)))
    readings = predictor.predict(canvas)
    lefts = [reading.face.box[0] for reading in readings]
    assert len(readings) == 3 and lefts == sorted(lefts)
    assert len(predictor.predict(canvas, smallest_face_px=80)) == 1
    assert predictor.find(canvas) == [reading.face for reading in readings]


def test_a_picture_without_a_face_has_no_readings(predictor: Predictor) -> None:
    assert predictor.predict(np.full((60, 60, 3), 127, np.uint8)) == []
    assert predictor.predict(np.zeros((10, 10, 3), np.uint8)) == []


def test_what_cannot_be_read_is_raised_by_predict_and_told_by_photo(predictor: Predictor) -> None:
    with pytest.raises(PictureError, match="not a picture"):
        predictor.predict(b"hello")
    photo = predictor.photo(b"hello", "notes.jpg")
    assert photo.photo == "notes.jpg" and photo.error and photo.readings == ()
    good = predictor.photo(np.zeros((30, 50, 3), np.uint8), "black.png")
    assert (good.error, good.width, good.height) == (None, 50, 30)


def test_threads_get_what_one_alone_gets(predictor: Predictor, sample_picture: np.ndarray) -> None:
    expected = plain(predictor.predict(sample_picture, smallest_face_px=40))
    found: list = []
    threads = [
        threading.Thread(
            target=lambda size=size: found.append(
                (size, plain(predictor.predict(sample_picture, smallest_face_px=size)))
            )
        )
        for size in (40, 400, 40, 400)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one for size, one in found if size == 40] == [expected] * 2
    assert [one for size, one in found if size == 400] == [[]] * 2


def test_a_phone_photo_takes_less_than_a_gigabyte(
    weights: Path, sample_picture: np.ndarray, tmp_path: Path, root: Path
) -> None:
    """12 megapixels, 48 faces, in a process of its own; what is counted is the growth over the loaded checkpoint."""
    Image.fromarray(np.tile(sample_picture, (6, 8, 1))).resize((4032, 3024)).save(tmp_path / "phone.jpg")
    code = f"""
import resource, sys
from mtl_model import Predictor
predictor = Predictor.load(weights={str(weights)!r}, device="cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
faces = len(predictor.predict({str(tmp_path / "phone.jpg")!r}))
unit = 1 if sys.platform == "darwin" else 1024
print(faces, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    faces, grown = (int(one) for one in done.stdout.split())
    assert faces >= 40 and grown < 1e9


def test_names(weights: Path) -> None:
    assert Predictor.load("other", weights=weights).name == "other"
    assert Predictor.load(weights=weights).name == "bknet"
    with pytest.raises(CheckpointError, match="Did you mean 'bknet'"):
        Predictor.load("bknt", weights=weights)


def test_devices() -> None:
    assert choose_device("cpu") == "cpu" and choose_device("auto") in ("cpu", "cuda")
    with pytest.raises(UsageError, match="Device 'tpu9' cannot be used"):
        choose_device("tpu9")


def test_a_device_that_cannot_pool_as_needed_is_refused() -> None:
    for name in ("mps", "nothing"):
        with pytest.raises(UsageError, match=f"'{name}' cannot be used here. Expected auto, cpu or cuda"):
            choose_device(name)


def test_a_task_that_is_not_shown_is_left_out(tmp_path: Path, sample_picture: np.ndarray) -> None:
    """Trained and evaluated alone; a checkpoint with nothing else is refused."""
    hidden = dataclasses.replace(class_task("race", ("White", "Black")), shown=False)
    for name, tasks in (("both", (TASKS["smile"], hidden)), ("none", (hidden,))):
        card = Card("bknet", {"size_px": 16, "hidden": 8}, tasks, crop=CropSettings(size_px=16))
        checkpoint.save(tmp_path / name, checkpoint.build_network(card), card)
    readings = Predictor.load("both", weights=tmp_path, device="cpu").predict(sample_picture)
    assert readings and all(list(reading.estimates) == ["smile"] for reading in readings)
    with pytest.raises(CheckpointError, match="what it learned \\(Race\\) is evaluated and never shown"):
        Predictor.load("none", weights=tmp_path, device="cpu")
