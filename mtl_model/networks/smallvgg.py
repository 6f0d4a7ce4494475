"""Small VGG-like networks of unequal depth: a deep one for hard tasks, a shallow one for the others, meant to stand apart.

Source: phamdinhkhanh, "Bài 35 - Multitask Learning - Multi Branch" (2020), section 4.2; the blocks follow Simonyan and Zisserman,
"Very Deep Convolutional Networks" (2015). ReLU comes before batch norm, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mtl_model.errors import UsageError, unknown
from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble

INPUT: dict[str, Any] = {
    "size_px": 96,
    "grey": False,
    "margin": 0.0,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}
LATE = PLACED
LAST_BLOCK = 10  # the last convolution of the shallow trunk
DROPOUT = 0.25
HIDDEN = 128
DEEP, SHALLOW = (64, 128, 256, 1024), (16, 32, 32)  # channels; the deep one begins with 32


def convolution(inside: int, outside: int, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inside, outside, 3, padding=1, groups=groups),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(outside, eps=1e-3),
    ]


def deep_trunk(channels: int, width: float) -> Trunk:
    """A depthwise convolution and one of 32 channels, pooled by 3; four more, pooled by 2."""
    first, *others = (max(1, round(width * one)) for one in (32, *DEEP))
    blocks = [*convolution(channels, channels, channels), *convolution(channels, first)]
    blocks += [nn.MaxPool2d(3), nn.Dropout(DROPOUT)]
    for inside, outside in zip((first, *others), others, strict=False):
        blocks += convolution(inside, outside)
    return Trunk([*blocks, nn.MaxPool2d(2), nn.ReLU()], (13,), {13: 3, 21: 3}, end="flat")


def shallow_trunk(channels: int) -> Trunk:
    """Three convolutions, pooled by 3, 2 and 2."""
    first, second, third = SHALLOW
    blocks = [*convolution(channels, first), nn.MaxPool2d(3), nn.Dropout(DROPOUT)]
    blocks += [*convolution(first, second), nn.MaxPool2d(2), nn.Dropout(DROPOUT)]
    return Trunk([*blocks, *convolution(second, third), nn.MaxPool2d(2)], (8,), {8: 3, 13: 3}, end="flat")


def shallow_branch(features: int, head: Head) -> nn.Module:
    return nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(inplace=True), nn.BatchNorm1d(HIDDEN), head(HIDDEN))


def deep_branch(features: int, head: Head) -> nn.Module:
    return nn.Sequential(head(features))


def build(
    heads: Mapping[str, Head],
    channels: int = 3,
    size_px: int = 96,
    deep: str = "",
    width: float = 1.0,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
) -> MultiTaskNet:
    """deep: names of the tasks that get the deep network, with + between them; a shared trunk is deep if there is one. width:
    multiplies the channels of the deep trunk. separate: a trunk for each task, as the text has it."""
    chosen = [name for name in deep.split("+") if name]
    for name in chosen:
        if name not in heads:
            raise UsageError(unknown("task to be deep", name, heads))
    if not 0 < width <= 2:
        raise UsageError(f"width is {width}. Expected a number above 0 and at most 2; give another.")
    if size_px < 24:
        raise UsageError(f"The pictures are pooled by 12 and cannot be of {size_px} px. Give 24 px or more.")
    makers = (lambda: deep_trunk(channels, width)), (lambda: shallow_trunk(channels))
    network = assemble(
        makers[0] if chosen else makers[1],
        heads,
        channels,
        size_px,
        shallow_branch,
        DROPOUT,
        leaves,
        separate,
        own={name: (makers[name not in chosen], deep_branch if name in chosen else shallow_branch) for name in heads},
    )
    for module in network.trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network
