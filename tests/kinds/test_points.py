"""Landmarks: they follow the crop and the augmentation, and change sides in a mirror."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mtl_model import crops, kinds
from mtl_model.card import CropSettings
from mtl_model.data.augmentation import augment, moves, uniform
from mtl_model.data.batches import Batches, Labelled
from mtl_model.data.cache import Crops
from mtl_model.errors import CheckpointError, DataError
from mtl_model.kinds import points
from mtl_model.records import Face, Sample
from mtl_model.tasks import Task

TASK = Task("marks", "Marks", "points", "wing", ("left_eye", "right_eye", "nose"))
KIND = kinds.of(TASK)
PLAIN = KIND.Calibration()
SIDE = 64
CROP = CropSettings(size_px=SIDE, mean=(0.0,), std=(1.0,))
PLACES = np.array([[0.3, 0.4], [0.7, 0.35], [0.5, 0.6]])


def spot(place: np.ndarray) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3): a soft white spot, its middle at a place in shares of the side."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    near = np.exp(-((columns - place[0] * SIDE) ** 2 + (rows - place[1] * SIDE) ** 2) / (2 * 3.0**2))
    return np.repeat((255 * near).astype(np.uint8)[..., None], 3, 2)


def middle(image: torch.Tensor) -> np.ndarray:
    """Where the light of an image (1, SIDE, SIDE) lies, in shares of the side."""
    weights = image[0].numpy().clip(0) ** 2
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum() / SIDE


@pytest.mark.parametrize("mirror", [True, False])
def test_points_are_where_the_augmentation_takes_them(mirror: bool) -> None:
    """Each point drawn as a spot of light into a picture of its own, moved by what a picture of faces is moved by."""
    count = 24
    draws = uniform(1, 2, np.arange(count))
    draws[:, 8:] = 0.99  # geometry alone: no blur, no noise, no hidden part
    draws[:, 10:16] = 0.5
    places = moves(draws, 1.0, 1.0, mirror)
    targets = torch.from_numpy(np.tile(PLACES.reshape(1, -1), (count, 1))).float()
    moved = KIND.move(TASK, targets, places).numpy().reshape(count, 3, 2)
    flipped = (places[:, :, :2].det() < 0).numpy()
    assert flipped.any() == mirror and not flipped.all()
    swapped = [1, 0, 2]
    for point, place in enumerate(PLACES):
        images = crops.to_tensor(np.repeat(spot(place)[None], count, 0), CROP)
        seen = augment(images, dataclasses.replace(CROP, mirror=mirror), draws, 1.0)
        for row in range(count):
            name = swapped[point] if flipped[row] else point
            if (moved[row, name] > 0.15).all() and (moved[row, name] < 0.85).all():
                assert np.abs(middle(seen[row]) - moved[row, name]).max() < 0.02, (row, point)
    assert np.allclose(KIND.move(TASK, targets, moves(draws, 0.0)).numpy(), targets.numpy(), atol=1e-6)


def test_a_mirrored_picture_swaps_the_sides_of_its_logits_too() -> None:
    """What a perfect network says of a mirrored picture is, mirrored back, what it says of the picture itself."""
    mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    targets = torch.from_numpy(PLACES.reshape(1, -1)).float()
    flipped = KIND.move(TASK, targets, mirror)
    assert flipped[0, :4].tolist() == pytest.approx([0.3, 0.35, 0.7, 0.4])
    said = KIND.mirror(TASK, (flipped - 0.5) / points.SCALE)
    assert np.allclose(KIND.predict(TASK, said.numpy(), PLAIN), targets.numpy(), atol=1e-6)


@pytest.mark.parametrize("upright", [False, True])
def test_labels_in_the_picture_become_targets_in_the_crop_and_answers_come_back(upright: bool) -> None:
    """A spot of light in a picture lies in its crop where the frame says it does."""
    turned = math.radians(20)
    eyes = [
        (200 - 30 * math.cos(turned), 150 - 30 * math.sin(turned)),
        (200 + 30 * math.cos(turned), 150 + 30 * math.sin(turned)),
    ]
    mouth = [(x - 60 * math.sin(turned), y + 60 * math.cos(turned)) for x, y in eyes]
    nose = ((eyes[0][0] + mouth[1][0]) / 2, (eyes[0][1] + mouth[1][1]) / 2)
    face = Face((140, 100, 260, 240), 0.99, (*eyes, nose, *mouth))
    settings = dataclasses.replace(CROP, upright=upright, margin=0.2)
    rows, columns = np.mgrid[0:300, 0:400] + 0.5
    frame = crops.frame(face, settings)
    for place in ((170.0, 130.0), (230.0, 200.0)):
        light = np.exp(-((columns - place[0]) ** 2 + (rows - place[1]) ** 2) / (2 * 8.0**2))
        picture = np.repeat((255 * light).astype(np.uint8)[..., None], 3, 2)
        seen = middle(crops.to_tensor(crops.cut(picture, [face], settings), settings)[0])
        said = frame @ (*place, 1)
        assert np.abs(seen - said).max() < 0.01
        assert np.allclose(crops.inverse(frame) @ (*said, 1), place)
    label = (170.0, 130.0, 230.0, 200.0, 200.0, 150.0)
    targets, known = KIND.encode(TASK, [label, None])
    placed = KIND.place(TASK, targets, lambda: np.stack([frame, frame]))
    assert known.tolist() == [True, False] and placed.dtype == np.float32
    estimate = KIND.locate(KIND.estimate(TASK, placed[0], PLAIN), crops.inverse(frame))
    assert list(estimate.points) == list(TASK.classes)
    assert np.allclose([*estimate.points.values()], np.reshape(label, (3, 2)), atol=0.1)
    assert KIND.parse(TASK, str(estimate.value)) == pytest.approx(label, abs=0.1)


def test_a_batch_moves_points_and_a_teachers_points_with_its_pictures() -> None:
    labels = {"marks": tuple(PLACES.flatten().tolist())}
    samples = [Sample(str(row), labels) for row in range(16)]
    images = np.repeat(spot(PLACES[2])[None], 16, 0)
    frames = np.tile(np.eye(2, 3), (16, 1, 1))
    data = Labelled(
        [(samples, Crops(images, np.ones(16, np.int16), np.zeros((16, 4)), lambda: frames), np.arange(16))], (TASK,)
    )
    data.answers["marks"] = data.targets["marks"].clone()
    batches = Batches(data, CROP, size=16, seed=0, augmentation=0.7)
    batch = batches.load(batches.plans(0)[0], 0)
    assert torch.equal(batch.answers["marks"].values, batch.targets["marks"])
    assert batch.targets["marks"].std(0).min() > 0.01
    noses = batch.targets["marks"][:, 4:].numpy()
    assert (
        np.median([np.abs(middle(image) - nose).max() for image, nose in zip(batch.images, noses, strict=True)]) < 0.05
    )


def test_the_error_is_measured_by_the_distance_of_the_eyes_or_by_the_crop() -> None:
    targets = np.array([[0.3, 0.5, 0.7, 0.5, 0.5, 0.7], [0.4, 0.5, 0.4, 0.5, 0.5, 0.7]])
    answers = targets + 0.03 * np.array([1, 0] * 3)
    error = KIND.rows(TASK, answers, targets, PLAIN, targets)["error"]
    assert error[0] == pytest.approx(0.03 / 0.4) and np.isnan(error[1])
    assert KIND.epoch_figures(TASK, answers, targets)["error"] == pytest.approx(0.03 / 0.4)
    nose = dataclasses.replace(TASK, classes=("nose", "chin"))
    assert KIND.compare(nose, answers[:, :4], targets[:, :4])[1].tolist() == pytest.approx([0.03, 0.03])
    corners = dataclasses.replace(TASK, classes=("left_eye_outer", "right_eye_outer", "nose"))
    assert KIND.compare(corners, answers, targets)[1][0] == pytest.approx(0.03 / 0.4)
    assert KIND.rows(TASK, targets + 0.05, targets, PLAIN, targets)["failed"][0] == 1


def test_wing_is_the_published_one_in_px_of_a_crop_of_64() -> None:
    def loss(px: float) -> float:
        output = torch.full((1, 6), px / 64 / points.SCALE)
        return points.wing(output, torch.full((1, 6), 0.5), torch.tensor([True])).item()

    assert loss(4) == pytest.approx(10 * math.log(1 + 4 / 2), rel=1e-4)
    assert loss(30) == pytest.approx(30 - (10 - 10 * math.log(1 + 10 / 2)), rel=1e-4)
    assert loss(9.99) == pytest.approx(loss(10.01), abs=0.02), "without a step"


@pytest.mark.parametrize(
    ("names", "partners"),
    [
        (("left_eye", "right_eye"), (1, 0)),
        (("lefteye", "nose", "righteye", "bright_spot"), (2, 1, 0, 3)),
        (("mouth_left", "mouth_right"), (1, 0)),
        (("left_left_corner", "right_right_corner"), (1, 0)),
    ],
)
def test_sides_are_known_by_their_names(names: tuple[str, ...], partners: tuple[int, ...]) -> None:
    assert points._partners(names) == partners


def test_a_side_without_its_other_is_refused() -> None:
    with pytest.raises(CheckpointError, match="left_eye of marks has no other side"):
        kinds.check_task(dataclasses.replace(TASK, classes=("left_eye", "nose")))


@pytest.mark.parametrize("text", ["", "1 2 3 4 5", "1 2 3 4 5 x", "1 2 3 4 5 nan", "1 2 3 4 5 1e9", "1 2 3 4 5 6 7"])
def test_a_label_that_is_no_list_of_places_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="Expected 6 numbers"):
        KIND.parse(TASK, text)


def test_answers_of_two_checkpoints_differ_from_a_tenth_of_the_distance_of_the_eyes() -> None:
    first = KIND.estimate(TASK, np.array([0.3, 0.5, 0.7, 0.5, 0.5, 0.7]), PLAIN)
    near, far = (KIND.estimate(TASK, np.array([0.3, 0.5, 0.7, 0.5, 0.5, 0.7]) + by, PLAIN) for by in (0.02, 0.04))
    assert KIND.difference(first, near) == ""
    assert KIND.difference(first, far).startswith("Marks: 14 % of the distance between the eyes apart")
    outside = KIND.estimate(TASK, np.array([-0.1, 0.5, 0.7, 0.5, 0.5, 0.7]), PLAIN)
    assert first.sure and not outside.sure
