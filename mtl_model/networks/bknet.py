"""BKNet: four VGG blocks shared by all tasks, one branch of three linear layers a task.

Source: Sang, Cuong and Ha, "Multi-task learning for smile detection, emotion recognition and gender classification"
(2017), section III; the blocks follow Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mtl_model.errors import UsageError
from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble

INPUT: dict[str, Any] = {"size_px": 48, "grey": True, "margin": 0.0, "mean": (0.5,), "std": (0.25,)}
LATE = PLACED
PLACES = (20,)  # the end of the third block
TAPS = {13: 6, 20: 3, 30: 3}  # the ends of three blocks: places a side
LAST_BLOCK = 21  # three blocks of two convolutions and their pooling come before
BLOCKS = ((32, 2), (64, 2), (128, 2), (256, 3))  # channels, convolutions


def blocks_of(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width, convolutions in BLOCKS:
        for _ in range(convolutions):
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return layers


def branch(features: int, head: Head, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        head(hidden),
    )


def build(
    heads: Mapping[str, Head],
    channels: int = 1,
    size_px: int = 48,
    hidden: int = 256,
    dropout: float = 0.5,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
) -> MultiTaskNet:
    """channels: 1 for grey crops, 3 for colour. size_px: side of the crops, a multiple of 16. leaves: {task: stage} for tasks
    that do not leave from the final one. separate: a trunk for each task."""
    if size_px % 16 or size_px < 16:
        raise UsageError(f"BKNet halves its input four times and cannot take {size_px} px. Give a multiple of 16.")
    network = assemble(
        lambda: Trunk(blocks_of(channels), PLACES, TAPS, end="flat"),
        heads,
        channels,
        size_px,
        lambda features, head: branch(features, head, hidden, dropout),
        dropout,
        leaves,
        separate,
    )
    for module in network.trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
