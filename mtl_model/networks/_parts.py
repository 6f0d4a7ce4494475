"""What networks share: a trunk that names its stages, and branches that leave from one of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class MultiTaskNet(nn.Module):
    """images (B, C, S, S) -> {task: logits (B, width)}.

    trunk: images -> {stage: features}. branches: {task: module on the features of one stage}. leaves: {task: stage}.
    """

    def __init__(self, trunk: nn.Module, branches: Mapping[str, nn.Module], leaves: Mapping[str, str]) -> None:
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleDict(branches)
        self.leaves = dict(leaves)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        stages = self.trunk(images)
        return {task: branch(stages[self.leaves[task]]) for task, branch in self.branches.items()}
