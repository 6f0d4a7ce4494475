"""SqueezeNet 1.1 as the shared trunk, split behind its fire8; each branch is a fire9 and a classifier of its own.

Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size" (2016), table 1;
version 1.1 is its authors', with the Fire modules as torchvision has them. The split, and the pooling behind fire8, are those
of "Multi-Task Learning with Deep Neural Networks" (a tutorial on two labels of flowers). Version 1.0 pools there, 1.1 does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.models.squeezenet import Fire

from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble, fire_branch

INPUT: dict[str, Any] = {"size_px": 128, "grey": False, "margin": 0.0, "mean": (0.5,) * 3, "std": (0.25,) * 3}
LATE = PLACED
PLACES = (6, 9)  # fire5 and fire7: blocks that know where a feature is
TAPS = {3: 6, 6: 3, 9: 3, 10: 2}  # fire3, fire5, fire7 and fire8: places a side
LAST_BLOCK = 10  # fire8
POOLED_BEFORE = ("fire2", "fire4", "fire6")
FIRES = {  # channels that come in, squeezed to, expanded to by 1 x 1 and by 3 x 3
    "fire2": (64, 16, 64, 64),
    "fire3": (128, 16, 64, 64),
    "fire4": (128, 32, 128, 128),
    "fire5": (256, 32, 128, 128),
    "fire6": (256, 48, 192, 192),
    "fire7": (384, 48, 192, 192),
    "fire8": (384, 64, 256, 256),
}


def blocks_of(channels: int) -> list[nn.Module]:
    """Return 12 blocks: the first convolution, then the Fire modules with a pooling before some and one at the end."""
    blocks: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, 64, 3, stride=2), nn.ReLU(inplace=True))]
    for name, widths in FIRES.items():
        if name in POOLED_BEFORE:
            blocks.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        blocks.append(Fire(*widths))
    return [*blocks, nn.MaxPool2d(3, 2, ceil_mode=True)]


def build(
    heads: Mapping[str, Head],
    channels: int = 3,
    size_px: int = 128,
    dropout: float = 0.5,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
) -> MultiTaskNet:
    """channels: 3 for colour, 1 for grey crops. size_px: side of the crops; any from 32, the branches pool. dropout: 0.5 as in
    SqueezeNet; the tutorial has none. leaves: {task: stage} for tasks that do not leave from the final one. separate: a trunk
    for each task."""
    network = assemble(
        lambda: Trunk(blocks_of(channels), PLACES, TAPS, end="map"),
        heads,
        channels,
        size_px,
        lambda features, head: fire_branch(features, head, dropout),
        dropout,
        leaves,
        separate,
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # without batch norm the scale of the signal hangs on this
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network
