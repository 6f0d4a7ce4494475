"""What networks share: a trunk that names its stages, and branches that leave from one of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 3  # of the grid to which a middle stage is pooled, so that a feature still knows where in the face it was


class MultiTaskNet(nn.Module):
    """images (B, C, S, S), or what `features` made of them (B, F) -> {task: logits (B, width)}.

    trunk: images -> {stage: features (B, widths[stage])}. widths: those widths. branches: {task: module on the features of one
    stage}. leaves: {task: stage}. Raises ValueError for a stage that the trunk does not have.
    """

    def __init__(
        self,
        trunk: nn.Module,
        branches: Mapping[str, nn.Module],
        leaves: Mapping[str, str],
        widths: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleDict(branches)
        self.leaves, self.widths = dict(leaves), dict(widths)
        for task in branches:
            if self.leaves.get(task) not in self.widths:
                raise ValueError(f"branch {task} leaves from {self.leaves.get(task)}, which is no stage of the trunk")

    def own(self, task: str) -> list[nn.Module]:
        """What no other task uses: its branch, and its column where the trunk has one for it."""
        columns = getattr(self.trunk, "columns", {})
        return [self.branches[task], *([columns[task]] if task in columns else [])]

    def features(self, images: Tensor) -> Tensor:
        """(B, F), all stages side by side: worked out once, they can stand in for the images where the trunk is frozen."""
        stages = self.trunk(images)
        return torch.cat([stages[name] for name in self.widths], 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if images.ndim == 2:
            stages = dict(zip(self.widths, images.split(list(self.widths.values()), 1), strict=True))
        else:
            stages = self.trunk(images)
        return {task: branch(stages[self.leaves[task]]) for task, branch in self.branches.items()}


def places(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C * SIDE * SIDE), means over a coarse grid."""
    return functional.adaptive_avg_pool2d(maps, SIDE).flatten(1)


def late_branch(features: int, width: int) -> nn.Sequential:
    """A branch that is added to a trained trunk: linear on features of mean 0 and deviation 1, which fine-tuning sets once."""
    return nn.Sequential(nn.BatchNorm1d(features, affine=False), nn.Dropout(0.2), nn.Linear(features, width))
