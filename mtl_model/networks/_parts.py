"""What networks share: a trunk that names its stages, and branches that leave from one of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Head = Callable[[int], nn.Module]
"""Number of features -> the last layer of a task's branch, as the task's kind makes it."""
PLACED = "places"  # the stage that knows of everything in a face
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


def late_branch(features: int, head: Head) -> nn.Sequential:
    """A branch that is added to a trained trunk: the head on features of mean 0 and deviation 1, which fine-tuning sets once."""
    return nn.Sequential(nn.BatchNorm1d(features, affine=False), nn.Dropout(0.2), head(features))


class SameConvolution(nn.Conv2d):
    """A convolution that pads as TensorFlow does: with stride 2 more to the right and below.

    Where channels are convolved one by one on a CPU it works in float32 also under autocast: there the backward pass of a bf16
    depthwise convolution takes four times as long."""

    def forward(self, input: Tensor) -> Tensor:
        size, step, kernel = input.shape[-1], self.stride[0], self.kernel_size[0]
        needed = max(0, (-(-size // step) - 1) * step + kernel - size)
        even = needed // 2  # on both sides: the convolution pads by itself, without a copy
        if needed % 2:
            input, even = functional.pad(input, (even, needed - even) * 2), 0
        if self.groups == 1:
            return functional.conv2d(input, self.weight, self.bias, step, even)
        if input.device.type != "cpu":
            return functional.conv2d(input, self.weight, self.bias, step, even, groups=self.groups)
        with torch.autocast("cpu", enabled=False):
            return functional.conv2d(input.float(), self.weight, self.bias, step, even, groups=self.groups)


def layer(
    inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
) -> list[nn.Module]:
    convolution = SameConvolution(inside, outside, kernel, stride, groups=groups, bias=False)
    norm = nn.BatchNorm2d(outside, eps=1e-3, momentum=0.01)
    return [convolution, norm, nn.ReLU6(inplace=True)] if active else [convolution, norm]


def through(blocks: Iterable[nn.Module], images: Tensor, known: Container[int]) -> dict[str, Tensor]:
    """Images (B, channels, S, S) through all blocks -> {"final": pooled features (B, F), "places": what the blocks whose index is
    in `known` saw and where, side by side}."""
    seen = []
    for index, block in enumerate(blocks):
        images = block(images)
        if index in known:
            seen.append(places(images))
    return {"final": images.mean((2, 3)), PLACED: torch.cat(seen, 1)}


def with_linear_branches(
    trunk: nn.Module,
    features: int,
    channels: int,
    heads: Mapping[str, Head],
    dropout: float,
    leaves: Mapping[str, str] | None,
) -> MultiTaskNet:
    """Return a network with one branch per task, its head on the pooled features, or a late one where `leaves` says so.
    channels: of the blocks that are seen with their places."""
    stages = {"final": features, PLACED: channels * SIDE**2}
    leaves = {**dict.fromkeys(heads, "final"), **(leaves or {})}
    branches = {
        task: late_branch(stages[PLACED], head)
        if leaves[task] == PLACED
        else nn.Sequential(nn.Dropout(dropout), head(features))
        for task, head in heads.items()
    }
    return MultiTaskNet(trunk, branches, leaves, stages)


class Pointwise(nn.Module):
    """A convolution of 1 x 1 as the matrix product that it is. On a CPU a convolution lays its weights out anew in every call,
    which for one face takes longer than the sums."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(convolution.weight.detach().flatten(1)), convolution.bias

    def forward(self, images: Tensor) -> Tensor:
        return functional.linear(images.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def _is_product(one: nn.Conv2d) -> bool:
    return one.kernel_size == one.stride == (1, 1) and one.padding == (0, 0) and one.groups == 1


def folded(network: nn.Module) -> nn.Module:
    """The same network for answering alone: each batch norm folded into the convolution before it, channels last, what
    is a matrix product done as one; equal to rounding, and on a CPU quicker by a sixth."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                first = module[index] = fuse_conv_bn_eval(first, second)
                module[index + 1] = nn.Identity()
            if isinstance(first, nn.Conv2d) and _is_product(first):
                module[index] = Pointwise(first)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
