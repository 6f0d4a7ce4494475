"""What networks share: a trunk whose blocks are stages, and branches that leave from one of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mtl_model.errors import UsageError, unknown

Head = Callable[[int], nn.Module]
"""Number of features -> the last layer of a task's branch, as the task's kind makes it."""
FINAL, PLACED, TAPPED = "final", "places", "taps"
"""Stages that are vectors: the end of a trunk; what a branch that is added later leaves from; all taps side by side. A branch may
leave from some taps alone, by their names: "taps:block8,block12"."""
LARGEST_PX = 1024  # side of a crop, as in card_values.py
SIDE = 3  # of the grid to which a middle stage is pooled, so that a feature still knows where in the face it was
Shapes = Mapping[str, tuple[int, ...]]
ENDS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "pooled": lambda maps: maps.mean((2, 3)),
    "flat": lambda maps: maps.flatten(1),
    "map": lambda maps: maps,
}
"""What the last map of a trunk becomes for the branches that leave there."""


class Trunk(nn.Module):
    """Blocks in a row. Images (B, C, S, S) -> {stage: map (B, C, H, W), or features (B, F)}.

    Stages: "block0", "block1", ... are maps, after each block that no norm or activation follows; "final" is the end of the
    trunk; "places" and "taps" are the means of some blocks over a grid, side by side.
    places: blocks of that stage. taps: {block: side of its grid}, where features are worth taking; the last block, pooled, if
    none is named. end: what "final" is, one of ENDS."""

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        places: Collection[int] = (),
        taps: Mapping[int, int] | None = None,
        end: str = "pooled",
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.end = end
        taps = taps or {len(self.blocks) - 1: 1}
        self.grids: dict[str, dict[int, int]] = {PLACED: dict.fromkeys(places, SIDE), TAPPED: dict(taps)}
        inside = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6)  # they may change the map before them in place
        following = [*self.blocks][1:]
        self.ends = [k for k in range(len(self.blocks)) if k == len(following) or not isinstance(following[k], inside)]

    def forward(self, images: Tensor, stages: Collection[str] = (FINAL,)) -> dict[str, Tensor]:
        """stages: those to return; the others are not kept, and blocks behind the last of them are not asked."""
        result: dict[str, Tensor] = {}
        pooled: dict[str, list[Tensor]] = {name: [] for name, grid in self.grids.items() if name in stages and grid}
        asked = [index for index in range(len(self.blocks)) if f"block{index}" in stages]
        asked += [index for name in pooled for index in self.grids[name]]
        last = len(self.blocks) - 1 if FINAL in stages else max(asked, default=-1)
        for index, block in zip(range(last + 1), self.blocks, strict=False):
            images = block(images)
            for name, features in pooled.items():
                if side := self.grids[name].get(index):
                    features.append(places(images, side))
            if (name := f"block{index}") in stages:
                result[name] = images
        if FINAL in stages:
            result[FINAL] = ENDS[self.end](images)
        return result | {name: torch.cat(features, 1) for name, features in pooled.items()}

    def shapes(self, channels: int, size_px: int) -> dict[str, tuple[int, ...]]:
        """{stage: its shape without the batch} for images of this size, by one black image."""
        names = [FINAL, *(name for name, grid in self.grids.items() if grid), *(f"block{index}" for index in self.ends)]
        device, training = next(self.parameters()).device, self.training
        with torch.no_grad():
            stages = self.eval()(torch.zeros(1, channels, size_px, size_px, device=device), names)
        self.train(training)
        return {name: tuple(stages[name].shape[1:]) for name in names}

    def taps(self, shapes: Shapes) -> dict[str, int]:
        """{stage: width} of the blocks worth taking features from, in the order of the stage "taps"."""
        return {f"block{k}": shapes[f"block{k}"][0] * side**2 for k, side in sorted(self.grids[TAPPED].items())}


class Columns(nn.Module):
    """A trunk of its own for each task, nothing shared. Images -> {"task/stage": that of the task's trunk, "places" and "taps":
    those of all side by side}.

    What a shared trunk is measured against: the independent branches of networks over UTKFace's labels."""

    def __init__(self, columns: Mapping[str, Trunk]) -> None:
        super().__init__()
        self.columns = nn.ModuleDict(columns)

    def forward(self, images: Tensor, stages: Collection[str]) -> dict[str, Tensor]:
        result: dict[str, Tensor] = {}
        together = [name for name in (PLACED, TAPPED) if name in stages]
        for task, column in self.columns.items():
            own = [stage.removeprefix(f"{task}/") for stage in stages if stage.startswith(f"{task}/")]
            if own or together:
                seen = column(images, {*own, *together})
                result |= {f"{task}/{name}": features for name, features in seen.items()}
        return result | {name: torch.cat([result[f"{task}/{name}"] for task in self.columns], 1) for name in together}

    def shapes(self, channels: int, size_px: int) -> dict[str, tuple[int, ...]]:
        result: dict[str, tuple[int, ...]] = {}
        for task, column in self.columns.items():
            of_column = column.shapes(channels, size_px)  # type: ignore[operator]
            result |= {f"{task}/{name}": shape for name, shape in of_column.items()}
            for name in {PLACED, TAPPED} & set(of_column):
                result[name] = (result.get(name, (0,))[0] + of_column[name][0],)
        return result

    def taps(self, shapes: Shapes) -> dict[str, int]:
        result: dict[str, int] = {}
        for task, column in self.columns.items():
            own = {
                name.removeprefix(f"{task}/"): shape for name, shape in shapes.items() if name.startswith(f"{task}/")
            }
            result |= {f"{task}/{name}": width for name, width in column.taps(own).items()}  # type: ignore[operator]
        return result


class MultiTaskNet(nn.Module):
    """images (B, C, S, S), or what `features` made of them (B, F) -> {task: logits (B, width)}.

    branches: {task: module on one stage, which may be a map: it pools for itself}. leaves: {task: stage}. channels, size_px: of
    the images. Raises UsageError for a stage that the trunk does not have."""

    def __init__(
        self,
        trunk: Trunk | Columns,
        branches: Mapping[str, nn.Module],
        leaves: Mapping[str, str],
        shapes: Shapes,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleDict(branches)
        self.leaves = {task: leaves[task] for task in branches}
        self.shapes = {stage: shapes[stage] for stage in dict.fromkeys(self.leaves.values())}
        self.width = sum(map(math.prod, self.shapes.values()))
        """Of what `features` gives."""
        self.taps = trunk.taps(shapes)
        """{stage: width} of what `tap` gives."""

    def own(self, task: str) -> list[nn.Module]:
        """What no other task uses: its branch, and its column where the trunk has one for it."""
        columns = getattr(self.trunk, "columns", {})
        return [self.branches[task], *([columns[task]] if task in columns else [])]

    def blocks_before(self, block: int) -> list[str]:
        """Names of the modules of all trunks that come before a block."""
        return [f"{trunk}.blocks.{index}" for trunk in self._trunks() for index in range(block)]

    def parts(self) -> dict[str, int]:
        """{part: number of its parameters}: each block of the trunk, or of each task's own trunk, and each branch."""
        modules = {
            **{f"{name}.blocks.{index}": block for name in self._trunks() for index, block in self._blocks(name)},
            **{f"branches.{task}": branch for task, branch in self.branches.items()},
        }
        return {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in modules.items()}

    def _trunks(self) -> list[str]:
        columns = getattr(self.trunk, "columns", None)
        return ["trunk"] if columns is None else [f"trunk.columns.{task}" for task in columns]

    def _blocks(self, trunk: str) -> list[tuple[int, nn.Module]]:
        return [*enumerate(self.get_submodule(f"{trunk}.blocks").children())]

    def tap(self, images: Tensor) -> dict[str, Tensor]:
        """{stage: features (B, width)} at the stages worth taking features from, whose widths are in `taps`."""
        features = self.trunk(images, (TAPPED,))[TAPPED]
        return dict(zip(self.taps, features.split([*self.taps.values()], 1), strict=True))

    def features(self, images: Tensor) -> Tensor:
        """(B, F), the stages that branches leave from, flat and side by side: worked out once, they can stand in for the images
        where the trunk is frozen."""
        stages = self.trunk(images, self.shapes)
        return torch.cat([stages[name].flatten(1) for name in self.shapes], 1)

    def stages(self, features: Tensor) -> dict[str, Tensor]:
        """{stage: (B, *shape)} from what `features` made."""
        parts = features.split([math.prod(shape) for shape in self.shapes.values()], 1)
        return {name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        stages = self.stages(images) if images.ndim == 2 else self.trunk(images, self.shapes)
        return {task: branch(stages[self.leaves[task]]) for task, branch in self.branches.items()}


def places(maps: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C * side * side), means over a coarse grid."""
    return functional.adaptive_avg_pool2d(maps, side).flatten(1)


class Selection(nn.Module):
    """Some of the taps, from all side by side (B, F). names: in their order; all if there are none.

    Raises UsageError for one that is not there."""

    def __init__(self, taps: Mapping[str, int], names: Collection[str]) -> None:
        super().__init__()
        for name in names:
            if name not in taps:
                raise UsageError(unknown("tap", name, taps))
        ends = dict(zip(taps, accumulate(taps.values()), strict=True))
        self.parts = [
            slice(ends[name] - width, ends[name]) for name, width in taps.items() if name in names or not names
        ]
        self.width = sum(part.stop - part.start for part in self.parts)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features[:, part] for part in self.parts], 1)


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


def map_branch(channels: int, head: Head, dropout: float) -> nn.Sequential:
    """A branch that leaves from a map (B, C, H, W): a convolution of its own, the mean over all places, the head."""
    convolution = nn.Conv2d(channels, channels, 3, padding=1)
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(convolution, nn.ReLU(inplace=True), *pool, head(channels))


def fire_branch(channels: int, head: Head, dropout: float) -> nn.Sequential:
    """SqueezeNet's end as the branch of a task, on a map (B, C, H, W): fire9, then its classifier.

    The classifier is a convolution of 1 x 1 and the mean over all places there. The mean comes first here, so that the head of
    any kind of task can follow: without an activation between the two the order changes nothing. Both SqueezeNet and the
    tutorial have a ReLU there, which sets negative logits to 0 and stops their gradients; it is left out."""
    from torchvision.models.squeezenet import Fire

    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(Fire(channels, 64, 256, 256), *pool, head(512))


def linear_branch(features: int, head: Head, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), head(features))


def assemble(
    trunk: Callable[[], Trunk],
    heads: Mapping[str, Head],
    channels: int,
    size_px: int,
    branch: Callable[[int, Head], nn.Module],
    dropout: float,
    leaves: Mapping[str, str] | None = None,
    separate: bool = False,
    own: Mapping[str, tuple[Callable[[], Trunk], Callable[[int, Head], nn.Module]]] | None = None,
) -> MultiTaskNet:
    """A trunk, or one per task, and a branch per task.

    branch: (features or channels, head) -> the network's own branch at the end of the trunk. leaves: {task: stage} for tasks
    that do not leave there; those that leave from taps are the head alone. separate: a trunk for each task but those that leave
    from "places" or "taps", which see all trunks side by side. own: {task: its trunk where they are separate, its branch at the
    end}, for tasks that have others than `trunk` and `branch`.
    Raises UsageError for a stage or a task that is not there."""
    if not 8 <= size_px <= LARGEST_PX:
        raise UsageError(f"size_px is {size_px}. Expected crops of 8 to {LARGEST_PX} px a side; give another size.")
    for task in leaves or {}:
        if task not in heads:
            raise UsageError(unknown("task in leaves", task, heads))
    leaves = {**dict.fromkeys(heads, FINAL), **(leaves or {})}
    chosen = {task: stage.partition(":")[2] for task, stage in leaves.items() if stage.partition(":")[0] == TAPPED}
    leaves |= dict.fromkeys(chosen, TAPPED)
    own = {task: own.get(task, (trunk, branch)) if own else (trunk, branch) for task in heads}
    apart = [task for task, stage in leaves.items() if stage not in (PLACED, TAPPED)] if separate else []
    made = Columns({task: own[task][0]() for task in apart}) if apart else trunk()
    shapes = made.shapes(channels, size_px)
    branches: dict[str, nn.Module] = {}
    for task, head in heads.items():
        stage = leaves[task]
        if task in apart:
            leaves[task] = f"{task}/{stage}"
        if leaves[task] not in shapes:
            names = dict.fromkeys(name.rpartition("/")[2] for name in shapes)
            raise UsageError(unknown(f"stage for {task} to leave from,", stage, names))
        features, *map_sides = shapes[leaves[task]]
        if stage == FINAL:
            branches[task] = own[task][1](features, head)
        elif task in chosen:
            taken = Selection(made.taps(shapes), [name for name in chosen[task].split(",") if name])
            branches[task] = nn.Sequential(taken, nn.Dropout(dropout), head(taken.width))
        elif map_sides:
            branches[task] = map_branch(features, head, dropout)
        else:
            branches[task] = late_branch(features, head)
    return MultiTaskNet(made, branches, leaves, shapes)


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
