"""Compact: four blocks of two convolutions each, narrow enough to train on one CPU core in minutes; a linear branch per task.

Source: the blocks follow Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015), with batch norm, and strides in place
of pooling as in Springenberg et al., "Striving for Simplicity" (2015). It is made for comparisons: a stage per block, so that a
task can leave at any depth, as the losses at three depths of Szegedy et al., "Going deeper with convolutions" (2015) do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble, linear_branch

INPUT: dict[str, Any] = {"size_px": 48, "grey": False, "margin": 0.0, "mean": (0.5,) * 3, "std": (0.25,) * 3}
LATE = PLACED
PLACES = (2,)  # a block that knows where a feature is
TAPS = {1: 6, 2: 3, 3: 2}  # block: places a side
LAST_BLOCK = 3
BLOCKS = (24, 48, 96, 192)  # channels; each block halves the sides of its map


def block(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, stride in ((inside, 2), (outside, 1)):
        convolution = nn.Conv2d(width, outside, 3, stride, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def build(
    heads: Mapping[str, Head],
    channels: int = 3,
    size_px: int = 48,
    dropout: float = 0.2,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
) -> MultiTaskNet:
    """channels: 3 for colour, 1 for grey crops. size_px: side of the crops; any, the features are pooled. leaves: {task: stage}
    for tasks that do not leave from the final one. separate: a trunk for each task."""
    return assemble(
        lambda: Trunk(map(block, (channels, *BLOCKS), BLOCKS), PLACES, TAPS),
        heads,
        channels,
        size_px,
        lambda features, head: linear_branch(features, head, dropout),
        dropout,
        leaves,
        separate,
    )
