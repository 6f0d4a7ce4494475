"""EfficientNet-Lite0 as the shared trunk, one linear branch a task on its pooled features, or
SqueezeNet's branch on its last map.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), table 1, in the "lite"
form of its authors: ReLU6, no squeeze-and-excite, first and last layers not scaled. Padding is TensorFlow's "same", so
that the published ImageNet weights fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mtl_model.errors import UsageError, unknown
from mtl_model.networks._parts import PLACED, Head, MultiTaskNet, Trunk, assemble, fire_branch, layer, linear_branch

INPUT: dict[str, Any] = {"size_px": 112, "grey": False, "margin": 0.0, "mean": (0.498,) * 3, "std": (0.502,) * 3}
FEATURES = 1280
LATE = PLACED
PLACES = (10, 13)  # blocks that know where a feature is
TAPS = {7: 6, 10: 3, 13: 3, 18: 2}  # block: places a side
LAST_BLOCK = 18  # the last inverted bottleneck, then the layer that widens to the features
# repeats, kernel, stride of the first, expansion, channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

BRANCHES = {"linear": ("pooled", linear_branch), "fire": ("map", fire_branch)}  # what the trunk ends in, the branch


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; added to its input where shapes allow."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        widen = layer(inside, wide, 1) if expansion != 1 else []
        depthwise = layer(wide, wide, kernel, stride, groups=wide)
        self.layers = nn.Sequential(*widen, *depthwise, *layer(wide, outside, 1, active=False))
        self.added = stride == 1 and inside == outside

    def forward(self, images: Tensor) -> Tensor:
        return images + self.layers(images) if self.added else self.layers(images)


def blocks_of(channels: int) -> list[nn.Module]:
    width = 32
    blocks: list[nn.Module] = layer(channels, width, 3, 2)
    for repeats, kernel, stride, expansion, outside in STAGES:
        for number in range(repeats):
            blocks.append(Block(width, outside, kernel, stride if number == 0 else 1, expansion))
            width = outside
    return [*blocks, *layer(width, FEATURES, 1)]


def build(
    heads: Mapping[str, Head],
    channels: int = 3,
    size_px: int = 112,
    dropout: float = 0.2,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
    branch: str = "linear",
) -> MultiTaskNet:
    """channels: 3 for colour, 1 for grey crops. size_px: side of the crops; any, the features are pooled. leaves: {task: stage}
    for tasks that do not leave from the final one. separate: a trunk for each task. branch: linear, or fire, SqueezeNet's.
    Raises UsageError for another branch."""
    if branch not in BRANCHES:
        raise UsageError(unknown("branch", branch, BRANCHES))
    end, branch_of = BRANCHES[branch]
    return assemble(
        lambda: Trunk(blocks_of(channels), PLACES, TAPS, end=end),
        heads,
        channels,
        size_px,
        lambda features, head: branch_of(features, head, dropout),
        dropout,
        leaves,
        separate,
    )
