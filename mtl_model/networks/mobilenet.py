"""MobileNet as the shared trunk, one linear branch a task on its pooled features.

Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (2017), table 1.
Padding is TensorFlow's "same", activations end at 6 and the mean of the colours is the one of the first face networks, so
that published weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble, layer, linear_branch

INPUT: dict[str, Any] = {
    "size_px": 128,
    "grey": False,
    "margin": 0.0,
    "mean": (0.48502, 0.45795, 0.40760),
    "std": (0.5,) * 3,
}
FEATURES = 1024
LATE = PLACED
PLACES = (5, 8)  # blocks that know where a feature is
TAPS = {5: 6, 8: 3, 12: 3, 13: 2}  # block: places a side; see benchmarks/fewshot.py
LAST_BLOCK = 13  # holds a third of the weights
# stride of the depthwise convolution, channels that the 1 x 1 convolution after it gives
BLOCKS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))


def blocks_of(channels: int) -> list[nn.Module]:
    width = 32
    blocks: list[nn.Module] = [nn.Sequential(*layer(channels, width, 3, 2))]
    for stride, outside in BLOCKS:
        blocks.append(nn.Sequential(*layer(width, width, 3, stride, groups=width), *layer(width, outside, 1)))
        width = outside
    return blocks


def build(
    heads: Mapping[str, Head],
    channels: int = 3,
    size_px: int = 128,
    dropout: float = 0.2,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
) -> MultiTaskNet:
    """channels: 3 for colour, 1 for grey crops. size_px: side of the crops; any, the features are pooled. leaves: {task: stage}
    for tasks that do not leave from the final one. separate: a trunk for each task."""
    return assemble(
        lambda: Trunk(blocks_of(channels), PLACES, TAPS),
        heads,
        channels,
        size_px,
        lambda features, head: linear_branch(features, head, dropout),
        dropout,
        leaves,
        separate,
    )
