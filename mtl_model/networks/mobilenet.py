"""MobileNet as the shared trunk, one linear branch a task on its pooled features.

Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (2017), table 1.
Padding is TensorFlow's "same", activations end at 6 and the mean of the colours is the one of the first face networks, so
that published weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, layer, through, with_linear_branches

INPUT: dict[str, Any] = {
    "size_px": 128,
    "grey": False,
    "margin": 0.0,
    "mean": (0.48502, 0.45795, 0.40760),
    "std": (0.5,) * 3,
}
FEATURES = 1024
LATE = PLACED
PLACES = {5: 256, 8: 512}  # channels of the blocks that know where a feature is
LAST_BLOCK = 13  # holds a third of the weights
# stride of the depthwise convolution, channels that the 1 x 1 convolution after it gives
BLOCKS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))


class Trunk(nn.Module):
    """Images (B, channels, S, S) -> {"final": features (B, 1024), "places": those of two middle blocks (B, 6912)}."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = 32
        blocks: list[nn.Module] = [nn.Sequential(*layer(channels, width, 3, 2))]
        for stride, outside in BLOCKS:
            blocks.append(nn.Sequential(*layer(width, width, 3, stride, groups=width), *layer(width, outside, 1)))
            width = outside
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return through(self.blocks, images, PLACES)


def build(
    heads: Mapping[str, Head],
    channels: int = 3,
    size_px: int = 128,
    dropout: float = 0.2,
    leaves: Mapping[str, str] | None = None,
) -> MultiTaskNet:
    """channels: 3 for colour, 1 for grey crops. size_px: side of the crops; any, the features are pooled. leaves: {task: stage}
    for tasks that do not leave from the final one."""
    return with_linear_branches(Trunk(channels), FEATURES, sum(PLACES.values()), heads, dropout, leaves)
