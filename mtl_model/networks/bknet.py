"""BKNet: four VGG blocks shared by all tasks, one branch of three linear layers a task.

Source: Sang, Cuong and Ha, "Multi-task learning for smile detection, emotion recognition and gender classification"
(2017), section III; the blocks follow Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_model.errors import UsageError
from mtl_model.networks._parts import PLACED, SIDE, Head, MultiTaskNet, late_branch, places

INPUT: dict[str, Any] = {"size_px": 48, "grey": True, "margin": 0.0, "mean": (0.5,), "std": (0.25,)}
LATE = PLACED
PLACES = 20  # the end of the third block
LAST_BLOCK = 21  # three blocks of two convolutions and their pooling come before
BLOCKS = ((32, 2), (64, 2), (128, 2), (256, 3))  # channels, convolutions


class Trunk(nn.Module):
    """Images (B, channels, S, S) -> {"final": features (B, 256 x (S / 16)^2), "places": of the third block (B, 1152)}."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, convolutions in BLOCKS:
            for _ in range(convolutions):
                convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.blocks = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        middle = self.blocks[: PLACES + 1](images)
        return {"final": self.blocks[PLACES + 1 :](middle).flatten(1), LATE: places(middle)}


class Columns(nn.Module):
    """A trunk of its own for each task, nothing shared: images -> {task: its features, "places": those of all side by side}.

    What the shared trunk is measured against: the independent branches of networks over UTKFace's labels."""

    def __init__(self, tasks: Sequence[str], channels: int) -> None:
        super().__init__()
        self.columns = nn.ModuleDict({task: Trunk(channels) for task in tasks})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        seen = {task: column(images) for task, column in self.columns.items()}
        places = torch.cat([one[LATE] for one in seen.values()], 1)
        return {task: one["final"] for task, one in seen.items()} | {LATE: places}


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
    that do not leave from the final one. separate: a trunk for each task that does."""
    if size_px % 16 or size_px < 16:
        raise UsageError(f"BKNet halves its input four times and cannot take {size_px} px. Give a multiple of 16.")
    features = BLOCKS[-1][0] * (size_px // 16) ** 2
    middle = BLOCKS[2][0] * SIDE**2
    leaves = {**dict.fromkeys(heads, "final"), **(leaves or {})}
    stages = {"final": features, LATE: middle}
    trunk: nn.Module = Trunk(channels)
    if separate:
        own = [task for task, stage in leaves.items() if stage != LATE]
        leaves |= dict(zip(own, own, strict=True))
        stages = {**dict.fromkeys(own, features), LATE: middle * len(own)}
        trunk = Columns(own, channels)
    branches = {
        task: late_branch(stages[LATE], head) if leaves[task] == LATE else branch(features, head, hidden, dropout)
        for task, head in heads.items()
    }
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return MultiTaskNet(trunk, branches, leaves, stages)
