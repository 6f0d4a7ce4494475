"""Teachers: the mean of their answers about the student's own crops, or a sentence why one cannot see them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl_model import checkpoint, crops
from mtl_model.card import Card, CropSettings, DetectionSettings
from mtl_model.errors import UsageError
from mtl_model.events import Noted
from mtl_model.inference import predictions
from mtl_model.tasks import TASKS, Task
from mtl_model.train.teachers import Teachers

GREY = CropSettings(size_px=16)
COLOUR = CropSettings(size_px=32, grey=False, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
COLOUR_16 = dataclasses.replace(COLOUR, size_px=16)
SMILE = TASKS["smile"]


def card_of(crop: CropSettings, tasks: tuple[Task, ...] = (SMILE, TASKS["age"]), **more: Any) -> Card:
    options = {"size_px": crop.size_px, "channels": 1 if crop.grey else 3}
    return Card("bknet", options, tasks, crop=crop, **more)


def teacher(folder: Path, card: Card, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    network = checkpoint.build_network(card)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.3)  # answers that are neither all alike nor certain
    checkpoint.save(folder, network, card)
    return folder


def pictures(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, side, side, 3), np.uint8)


def alone(folder: Path, images: torch.Tensor) -> np.ndarray:
    network, card = checkpoint.load(folder)
    with torch.inference_mode():
        return predictions(network(images), dataclasses.replace(card, calibration={}))["smile"]


def test_the_mean_of_their_uncalibrated_answers_is_what_they_teach(tmp_path: Path) -> None:
    calibration = {"smile": dataclasses.replace(card_of(GREY).calibration_of("smile"), temperature=3.0)}
    folders = [teacher(tmp_path / str(seed), card_of(GREY, calibration=calibration), seed) for seed in (1, 2)]
    images = crops.to_tensor(pictures(16), GREY)
    answers = Teachers(folders, card_of(GREY, (SMILE,)))(images)
    each = [alone(folder, images) for folder in folders]
    assert set(answers) == {"smile"}, "only what the student learns"
    assert np.abs(each[0] - each[1]).max() > 0.01
    assert np.allclose(answers["smile"].numpy(), np.mean(each, 0), atol=1e-5)


@pytest.mark.parametrize("theirs", [GREY, COLOUR, COLOUR_16, dataclasses.replace(GREY, size_px=32)], ids=str)
def test_a_teacher_gets_the_crop_in_its_own_size_and_colours(tmp_path: Path, theirs: CropSettings) -> None:
    """One shade a picture: whatever the size and the colours, the teacher sees what it would have cut itself."""
    folder = teacher(tmp_path / "one", card_of(theirs))
    shades = np.arange(5, dtype=np.uint8)[:, None, None, None] * 50
    own = COLOUR_16
    (answers,) = Teachers([folder], card_of(own, (SMILE,)))(
        crops.to_tensor(np.zeros((5, 16, 16, 3), np.uint8) + shades, own)
    ).values()
    whole = np.zeros((5, theirs.size_px, theirs.size_px, 3), np.uint8) + shades
    assert np.allclose(answers.numpy(), alone(folder, crops.to_tensor(whole, theirs)), atol=1e-4)


@pytest.mark.parametrize(
    ("theirs", "own", "says"),
    [
        (card_of(dataclasses.replace(GREY, margin=0.2)), card_of(GREY), "margin 0.2, this training with 0.0"),
        (card_of(dataclasses.replace(GREY, upright=True)), card_of(GREY), "upright True"),
        (card_of(COLOUR), card_of(GREY), "takes crops in colour"),
        (card_of(GREY, (TASKS["gender"],)), card_of(GREY), "answers gender. Expected a task of this training"),
        (
            card_of(GREY, (dataclasses.replace(SMILE, classes=("a", "b"), spellings={}),)),
            card_of(GREY),
            "with the same classes: smile, age",
        ),
        (
            card_of(GREY),
            card_of(GREY, detection=DetectionSettings(detector="other")),
            "detector mtcnn, this training with other",
        ),
    ],
)
def test_a_teacher_that_cannot_see_the_crops_or_knows_no_task_is_refused(
    tmp_path: Path, theirs: Card, own: Card, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        Teachers([teacher(tmp_path / "one", theirs)], own)


def test_they_say_what_they_answer_and_how_they_see_it(tmp_path: Path) -> None:
    folder = teacher(tmp_path / "big", card_of(dataclasses.replace(GREY, size_px=32)))
    teachers = Teachers([folder], card_of(GREY))
    values = {"teacher": "big", "tasks": ["smile", "age"], "from_px": 16, "to_px": 32}
    assert teachers.notes == [Noted("teacher", values)]
    assert teachers.digests == [checkpoint.load(folder)[1].weights_sha256]
