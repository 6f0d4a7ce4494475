"""Augmentation: every picture in its own way, and the same way whenever and wherever it is drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mtl_model.card import CropSettings
from mtl_model.data import augmentation
from mtl_model.data.augmentation import DRAWS, augment, uniform

GREY = CropSettings()
COLOUR = CropSettings(48, False, 0.0, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def test_numbers_depend_on_seed_epoch_and_index_alone() -> None:
    numbers = uniform(3, 5, np.arange(100))
    assert (numbers[[7, 2]] == uniform(3, 5, np.array([7, 2]))).all()
    for other in (uniform(4, 5, np.arange(100)), uniform(3, 6, np.arange(100)), uniform(3, 5, np.arange(1, 101))):
        assert (numbers != other).mean() > 0.99


def test_numbers_are_evenly_spread_and_unrelated() -> None:
    numbers = uniform(0, 0, np.arange(20000))
    assert numbers.shape == (20000, DRAWS) and numbers.min() >= 0 and numbers.max() < 1
    assert np.abs(numbers.mean(0) - 0.5).max() < 0.01
    between = np.corrcoef(numbers.T) - np.eye(DRAWS)
    assert np.abs(between).max() < 0.04
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("settings", [GREY, COLOUR])
def test_a_picture_does_not_depend_on_its_batch(settings: CropSettings) -> None:
    images = torch.rand(12, len(settings.mean), 48, 48)
    numbers = uniform(1, 2, np.arange(12))
    together = augment(images.clone(), settings, numbers)
    for row in range(12):
        alone = augment(images[row : row + 1].clone(), settings, numbers[row : row + 1])
        assert torch.allclose(alone[0], together[row], atol=1e-5)


@pytest.mark.parametrize("settings", [GREY, COLOUR])
def test_it_changes_pictures_within_the_range_and_off_is_off(settings: CropSettings) -> None:
    images = torch.rand(64, len(settings.mean), 48, 48)
    numbers = uniform(0, 0, np.arange(64))
    assert augment(images, settings, numbers, 0) is images
    changed = augment(images.clone(), settings, numbers)
    assert changed.shape == images.shape and bool(changed.isfinite().all())
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (settings.mean, settings.std))
    values = changed * std + mean
    assert values.min() >= -1e-6 and values.max() <= 1 + 1e-6
    assert (changed - images).abs().mean((1, 2, 3)).min() > 0.01


def sharpness(pictures: torch.Tensor) -> torch.Tensor:
    """How much each pixel differs from its neighbour, a picture."""
    return (pictures[..., 1:] - pictures[..., :-1]).abs().mean((1, 2, 3))


def test_worse_pictures_are_drawn_as_often_as_is_said() -> None:
    """Small and out-of-focus ones lose their detail, overexposed ones reach white, and JPEGs are no longer what they were."""
    count = 2000
    numbers = torch.from_numpy(uniform(0, 0, np.arange(count)))
    pictures = 0.5 + 0.2 * torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)).expand(
        count, -1, -1, -1
    )
    blurred = augmentation._blur(pictures.clone(), numbers[:, 8:10], 1.0)
    lost = sharpness(blurred) / sharpness(pictures)
    assert abs(float((lost < 1).float().mean()) - 0.3) < 0.03 and float(lost[lost < 1].max()) < 0.9
    light = augmentation._light(pictures.clone(), numbers[:, 10:16], 1.0).mean((1, 2, 3)) / 0.6
    assert 0.5 < light.min() < 0.6 and 1.7 < light.max() < 1.95 and abs(float((light > 1).float().mean()) - 0.5) < 0.05
    stored = augmentation._compress(pictures.clone(), numbers[:, 24:26], 1.0)
    other = (stored - pictures).abs().mean((1, 2, 3))
    assert abs(float((other > 0).float().mean()) - 0.15) < 0.03 and 0 < float(other.max()) < 0.1


def test_half_of_the_pictures_are_mirrored() -> None:
    images = torch.zeros(400, 1, 48, 48) - 2
    images[..., :24] = 2
    changed = augment(images, GREY, uniform(0, 1, np.arange(400)), 1e-6)
    mirrored = (changed[..., 24:].mean((1, 2, 3)) > 0).float().mean()
    assert 0.4 < mirrored < 0.6


def test_scatter_reaches_as_far_as_it_is_told() -> None:
    """Where a white spot in the middle comes to lie says how far a picture was moved, its size how that was scaled."""
    images = torch.zeros(400, 1, 48, 48)
    images[:, :, 20:28, 20:28] = 1
    numbers = torch.from_numpy(uniform(0, 0, np.arange(400)))

    def moved(reach: float) -> tuple[float, float]:
        places = augmentation.moves(numbers.numpy(), 1.0, reach)
        pictures = augmentation._move(images.clone(), places)
        across = (pictures.sum((1, 2)) * torch.arange(48)).sum(1) / pictures.sum((1, 2, 3))
        return float((across - 23.5).abs().max()), float(pictures.sum((1, 2, 3)).std())

    (no_way, same), (way, sizes), (further, wider) = moved(0), moved(1), moved(1.5)
    assert no_way < 0.01 and same < 0.01
    assert further > 1.3 * way > 3 and wider > 1.3 * sizes > 3
    settings = CropSettings(48, True, 0.0, (0.5,), (1.0,))
    still, moved_about = (
        augment(images - 0.5, settings, numbers.numpy(), 0.5, scatter).mean(0) for scatter in (0.0, 2.0)
    )
    assert moved_about[0, 18].max() > still[0, 18].max() + 0.1  # beside the spot; light, noise and the like are in both


def test_some_pictures_become_old_prints() -> None:
    """Red and black halves: in an old print black is lifted, white is dimmed, and most are without their colours."""
    images = torch.zeros(800, 3, 48, 48)
    images[:, 0, :, :24] = 0.9
    numbers = torch.from_numpy(uniform(0, 0, np.arange(800)))[:, 26:32]
    printed = augmentation._print(images.clone(), numbers, 1.0)
    changed = (printed != images).flatten(1).any(1)
    assert 0.08 < changed.float().mean() < 0.17
    assert (augmentation._print(images.clone(), numbers, 0.4) != images).flatten(1).any(1).float().mean() < 0.08
    old = printed[changed]
    contrast = old[:, :, 0, 0].amax(1) - old[:, :, 0, 40].amin(1)
    assert old.min() >= 0 and old.max() < 0.95 and contrast.max() < 0.85
    without_colour = (old[:, 0, 0, 0] - old[:, 1, 0, 0]).abs() < 0.06
    assert 0.5 < without_colour.float().mean() < 0.9
    grey = augmentation._print(images[:, :1].clone(), numbers, 1.0)
    assert grey.shape == (800, 1, 48, 48)


def test_the_mirror_image_can_be_forbidden() -> None:
    images = torch.zeros(200, 1, 8, 8)
    images[..., :4] = 0.9
    for mirror in (True, False):
        settings = dataclasses.replace(GREY, mirror=mirror)
        changed = augment((images - 0.5) / 0.25, settings, uniform(0, 1, np.arange(200)), 1e-6)
        flipped = (changed[:, 0, 4, 6] > changed[:, 0, 4, 1]).float().mean()
        assert 0.3 < flipped < 0.7 if mirror else flipped == 0


def test_a_reach_moves_pictures_as_far_as_it_says_and_changes_nothing_else() -> None:
    """Keras' ranges: turns and shears to each side in degrees, shifts as shares of the side, zooms from 1 - zoom to 1 + zoom."""
    draws = uniform(0, 0, np.arange(400))
    draws[:, 0] = 1.0  # none is mirrored
    turn, shift, shear, zoom = (
        augmentation.moves(draws, 1.0, reach=augmentation.Reach(**one)).numpy()
        for one in ({"turn": 25}, {"shift": 0.1}, {"shear": 10}, {"zoom": 0.2})
    )
    assert np.degrees(np.arcsin(np.abs(turn[:, 1, 0]).max())) == pytest.approx(25, abs=0.5)
    assert np.abs(shift[:, :, 2]).max() / 2 == pytest.approx(0.1, abs=0.002) and np.ptp(shift[:, 0, 0]) == 0
    assert np.degrees(np.arcsin(np.abs(shear[:, 0, 1]).max())) == pytest.approx(10, abs=0.2)
    assert np.ptp(shear[:, 1, 0]) == 0
    assert (zoom[:, 0, 0].min(), zoom[:, 0, 0].max()) == pytest.approx((0.8, 1.2), abs=0.005)
    assert abs(np.corrcoef(zoom[:, 0, 0], zoom[:, 1, 1])[0, 1]) < 0.2
    images = torch.full((8, 1, 48, 48), 0.7)
    whole = augmentation.Reach(25, 0.1, 0.2, 0.2)
    assert torch.allclose(augment(images, GREY, draws[:8], reach=whole), images, atol=1e-5)
    assert not torch.allclose(augment(images, GREY, draws[:8]), images, atol=0.1)
