"""Narrow: four VGG blocks of few channels and one layer of shared features: small pictures of 40 px, a linear branch per task.

A megabyte or two of weights, and 2 ms of one CPU core per training picture. The features are one vector that all tasks share, as
in the networks for a number's digits and for landmarks with attributes; the blocks follow BKNet.

Source: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural Networks"
(2014), section 5.1 (shared features, a softmax per position); Zhang et al., "Facial Landmark Detection by Deep Multi-task
Learning" (2014), section 3.2 (40 x 40 grey, four convolutional layers, one shared layer). Both are larger or use other
activations: here each convolution has a batch norm and a ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mtl_model.errors import UsageError
from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble, linear_branch

INPUT: dict[str, Any] = {"size_px": 40, "grey": True, "margin": 0.0, "mean": (0.5,), "std": (0.25,)}
LATE = PLACED
PLACES = (20,)  # the end of the third block
TAPS = {13: 6, 20: 3, 26: 3}  # the ends of three blocks: places a side
LAST_BLOCK = 21  # three blocks of two convolutions and their pooling come before
WIDTHS = (16, 32, 64, 128)  # channels
HALVED = 8  # by how much three poolings shrink a side


def blocks_of(channels: int, size_px: int, features: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number, width in enumerate(WIDTHS):
        for _ in range(2):
            layers += _convolution(channels, width, 3)
            channels = width
        if number < 3:
            layers.append(nn.MaxPool2d(2))
    return [*layers, *_convolution(channels, features, size_px // HALVED, padding=0)]


def _convolution(inside: int, outside: int, kernel: int, padding: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inside, outside, kernel, padding=padding, bias=False)
    return [convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]


def build(
    heads: Mapping[str, Head],
    channels: int = 1,
    size_px: int = 40,
    features: int = 256,
    dropout: float = 0.3,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
) -> MultiTaskNet:
    """channels: 1 for grey crops, 3 for colour. size_px: side of the crops, a multiple of 8. features: length of the vector that
    the branches share. leaves: {task: stage} for tasks that do not leave from the final one. separate: a trunk for each task."""
    if size_px % HALVED:
        raise UsageError(f"Narrow halves its input three times and cannot take {size_px} px. Give a multiple of 8.")
    network = assemble(
        lambda: Trunk(blocks_of(channels, size_px, features), PLACES, TAPS, end="flat"),
        heads,
        channels,
        size_px,
        lambda width, head: linear_branch(width, head, dropout),
        dropout,
        leaves,
        separate,
    )
    for module in network.trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
