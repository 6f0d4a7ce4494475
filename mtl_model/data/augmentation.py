"""Each picture of a batch changed in its own way, on tensors: geometry, sharpness, light, noise, a hidden part.

A picture's parameters depend on (seed, epoch, index) alone: not on the batch it is in, the process that draws it, or
what was drawn before. So a resumed run and a run on several processes see the same pictures.
torchvision v2's transforms draw one set of parameters for a whole batch, from the global generator: not usable here.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from mtl_model.card import CropSettings
from mtl_model.quality import GREY

DRAWS = 32  # random numbers a picture
SHARPNESS = (0.35, 0.5, 0.7)  # shares of the side to which a small picture was sampled down
FOCUS = (0.01, 0.02, 0.03)  # deviation of a Gaussian blur, shares of the side


def uniform(seed: int, epoch: int, indices: np.ndarray, count: int = DRAWS) -> np.ndarray:
    """float32 (N, count) in [0, 1), a function of (seed, epoch, index) alone.

    Source: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014), as a hash.
    """
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch + 1))
        keys = _mix(state + indices.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03))
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = _mix(keys[:, None] + steps[None])
    return (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def _mix(value: np.ndarray | np.uint64) -> np.ndarray:
    value = np.asarray(value, np.uint64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@dataclass(frozen=True)
class Reach:
    """Turns and shears in degrees to each side, shifts and zooms as shares of the side; what moves in is the border's colour.

    Source: the arguments of Keras' ImageDataGenerator."""

    turn: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0


def augment(
    images: Tensor,
    settings: CropSettings,
    draws: np.ndarray,
    strength: float = 1.0,
    scatter: float = 1.0,
    reach: Reach | None = None,
) -> Tensor:
    """Return each image changed by its draws; where its parts went, `moves` says.

    images: float32 (N, C, S, S) as `to_tensor` makes them. draws: float32 (N, DRAWS) from `uniform`.
    strength: 0 returns the images as they are, 1 is the full range. scatter: multiplies the reach of turns, sizes and shifts.
    reach: of the geometry, which then is all that changes.
    Half of the pictures are mirrored, unless the settings forbid it.
    Returns a tensor of the same shape."""
    if strength == 0:
        return images
    mean = torch.tensor(settings.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(settings.std, device=images.device).view(1, -1, 1, 1)
    numbers = torch.from_numpy(draws).to(images.device)
    pictures = images * std + mean  # 0 to 1, where 0 is black: what geometry fills with
    places = moves(draws, strength, scatter, settings.mirror, reach).to(images.device)
    if reach:
        return (_move(pictures, places, "border") - mean) / std
    pictures = _move(pictures, places)
    pictures = _blur(pictures, numbers[:, 8:10], strength)
    pictures = _light(pictures, numbers[:, 10:16], strength)
    pictures = _print(pictures, numbers[:, 26:32], strength)
    pictures = _noise(pictures, numbers[:, 16:19], strength)
    pictures = _compress(pictures.clamp_(0, 1), numbers[:, 24:26], strength)
    pictures = _hide(pictures, numbers[:, 19:24], strength)
    return (pictures.clamp_(0, 1) - mean) / std


def _spread(numbers: Tensor, reach: float) -> Tensor:
    """[0, 1) -> [-reach, reach)"""
    return (numbers * 2 - 1) * reach


def moves(
    draws: np.ndarray, strength: float, scatter: float = 1.0, mirror: bool = True, reach: Reach | None = None
) -> Tensor:
    """Return the geometry of `augment`: mirror, turn by 15 degrees, scale by 0.7 to 1.1, aspect by 6 %, shift by 10 % of the
    side, or as far as `reach` says; at strength 0 nothing moves.

    Returns: float32 (N, 2, 3), a place in the changed image -> the place in the image it came from, both from -1 (left, top) to
    1; of a mirrored one the determinant is negative."""
    numbers = torch.from_numpy(draws)
    if strength == 0:
        return torch.eye(2, 3).expand(len(draws), 2, 3)
    strength *= scatter
    flip = torch.where(numbers[:, 0] < 0.5, -1.0, 1.0) if mirror else torch.ones(len(draws))
    angle = _spread(numbers[:, 1], math.radians(reach.turn if reach else 15) * strength)
    shear = _spread(numbers[:, 7], math.radians(reach.shear if reach else 0) * strength)
    scale = 1 + strength * (-0.3 + 0.4 * numbers[:, 2])
    aspect = 1 + _spread(numbers[:, 3], 0.06 * strength)
    across, down = 1 / (scale * aspect), aspect / scale
    if reach:
        across, down = (1 + _spread(numbers[:, column], reach.zoom * strength) for column in (2, 6))
    far = 2 * (reach.shift if reach else 0.1) * strength
    shift_x, shift_y = _spread(numbers[:, 4], far), _spread(numbers[:, 5], far)
    leaning = angle + shear
    rows = [
        torch.stack([flip * angle.cos() * across, flip * -leaning.sin() * down, shift_x], 1),
        torch.stack([angle.sin() * across, leaning.cos() * down, shift_y], 1),
    ]
    return torch.stack(rows, 1)


def _move(pictures: Tensor, places: Tensor, fill: str = "zeros") -> Tensor:
    """One resampling, by `moves` (N, 2, 3)."""
    grid = functional.affine_grid(places, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False, padding_mode=fill)


def _blur(pictures: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Three pictures in ten: sampled down and up again, as a small or distant face is, or out of focus."""
    side, size = pictures.shape[-1], pictures.shape[-2:]
    chosen = numbers[:, 0] < 0.3 * strength
    level = (numbers[:, 1] * (len(SHARPNESS) + len(FOCUS))).long()
    for number, share in enumerate(SHARPNESS + FOCUS):
        rows = (chosen & (level == number)).nonzero()[:, 0]
        if not len(rows):
            continue
        if number < len(SHARPNESS):
            small = max(8, round(side * share))
            shrunk = functional.interpolate(pictures[rows], size=(small, small), mode="area")
            pictures[rows] = functional.interpolate(shrunk, size=size, mode="bilinear", align_corners=False)
        else:
            sigma = side * share
            pictures[rows] = vision.gaussian_blur(pictures[rows], [2 * math.ceil(2 * sigma) + 1] * 2, [sigma] * 2)
    return pictures


def _light(pictures: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Contrast by 35 %, brightness by a factor of up to 1.8 up or down, so that some pictures are overexposed; in colour also
    tint by 10 %, and one picture in ten grey."""
    contrast = (1 + _spread(numbers[:, 0], 0.35 * strength)).view(-1, 1, 1, 1)
    brightness = _spread(numbers[:, 1], math.log(1.8) * strength).exp().view(-1, 1, 1, 1)
    centre = pictures.mean((1, 2, 3), keepdim=True)
    pictures = ((pictures - centre) * contrast + centre) * brightness
    if pictures.shape[1] == 3:
        weights = torch.tensor(GREY, device=pictures.device).view(1, 3, 1, 1)
        grey = (pictures * weights).sum(1, keepdim=True)
        loss_of_colour = torch.where(numbers[:, 2] < 0.1 * strength, 1.0, 0.3 * strength * numbers[:, 3]).view(
            -1, 1, 1, 1
        )
        tint = (1 + _spread(numbers[:, 3:6], 0.1 * strength)).view(-1, 3, 1, 1)
        pictures = torch.lerp(pictures * tint, grey.expand_as(pictures), loss_of_colour)
    return pictures


def _print(pictures: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """One picture in eight is an old print that was scanned: grey or brownish, faded (40 to 90 % of the contrast is left), with
    black that is no longer black."""
    chosen = (numbers[:, 0] < 0.125 * strength).view(-1, 1, 1, 1)
    left = (0.4 + 0.5 * numbers[:, 1]).view(-1, 1, 1, 1)
    black = (1 - left) * numbers[:, 2].view(-1, 1, 1, 1)
    old = pictures
    if pictures.shape[1] == 3:
        weights = torch.tensor(GREY, device=pictures.device).view(1, 3, 1, 1)
        grey = (pictures * weights).sum(1, keepdim=True)
        brown = torch.where(numbers[:, 3] < 0.5, numbers[:, 4], 0.0).view(-1, 1, 1, 1)  # the paper's, in half of them
        tint = 1 + brown * torch.tensor((0.08, 0.0, -0.2), device=pictures.device).view(1, 3, 1, 1)
        old = torch.where((numbers[:, 5] < 0.7).view(-1, 1, 1, 1), grey * tint, pictures)
    return torch.where(chosen, old * left + black, pictures)


def _noise(pictures: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """Up to 0.06 of sensor noise on three pictures in ten, from windows of one fixed field: it costs no generator."""
    side = pictures.shape[-1]
    level = torch.where(numbers[:, 0] < 0.3 * strength, numbers[:, 0] / 0.3 * 0.06, 0.0)
    rows = (level > 0).nonzero()[:, 0]
    if len(rows):
        field, corners = _field(side, pictures.device), (numbers[rows, 1:3] * side).int().tolist()
        for row, (top, left) in zip(rows.tolist(), corners, strict=True):
            pictures[row] += level[row] * field[: pictures.shape[1], top : top + side, left : left + side]
    return pictures


@lru_cache(maxsize=4)
def _field(side: int, device: torch.device) -> Tensor:
    return torch.randn((3, 2 * side, 2 * side), generator=torch.Generator().manual_seed(1)).to(device)


def _compress(pictures: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """One picture in seven has been a JPEG of quality 10 to 60. pictures: 0 to 1."""
    rows = (numbers[:, 0] < 0.15 * strength).nonzero()[:, 0]
    if len(rows):
        qualities = (10 + (50 * numbers[rows, 1]).int()).tolist()
        stored = map(_as_jpeg, pictures[rows].float().cpu(), qualities)
        pictures[rows] = torch.stack(list(stored)).to(pictures.device) / 255
    return pictures


def _as_jpeg(picture: Tensor, quality: int) -> Tensor:
    stream = io.BytesIO()
    vision.to_pil_image(picture).save(stream, "JPEG", quality=quality)
    return vision.to_image(Image.open(stream))


def _hide(pictures: Tensor, numbers: Tensor, strength: float) -> Tensor:
    """One picture in seven loses a box of 15 to 40 % of the side, filled with one shade."""
    chosen = numbers[:, 0] < 0.15 * strength
    size = 0.15 + 0.25 * numbers[:, 1]
    line = (torch.arange(pictures.shape[-1], device=pictures.device) + 0.5) / pictures.shape[-1]
    inside_x = (line[None] - numbers[:, 2:3]).abs() < size[:, None] / 2
    inside_y = (line[None] - numbers[:, 3:4]).abs() < size[:, None] / 2
    box = inside_y[:, None, :, None] & inside_x[:, None, None, :] & chosen.view(-1, 1, 1, 1)
    return torch.where(box, numbers[:, 4].view(-1, 1, 1, 1), pictures)
