"""A network as a drawing, made from the network itself: stages of its trunk, branches, where each leaves, parameters per part."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from torch import nn

from mtl_model.card import Card
from mtl_model.checkpoint import build_network
from mtl_model.inference import widths
from mtl_model.names import isolated
from mtl_model.networks import FINAL
from mtl_model.ui.render import render

BOX, HIGH, INPUT_HIGH = 152, 62, 42  # width and heights of the boxes, in px
BESIDE, BELOW, COLUMN = 36, 14, 16  # gaps between trunk and branches, between boxes, between trunks
MIDDLE = BOX / 2


@dataclass(frozen=True)
class Stage:
    """Blocks in a row whose maps are of one size. last: index of the last one. shape: of its map (C, H, W)."""

    last: int
    shape: tuple[int, ...]
    convolutions: int
    parameters: int


@dataclass(frozen=True)
class Branch:
    """The part of one task. leaves: indices of the stages that it takes features from. shape: of these features."""

    title: str
    leaves: tuple[int, ...]
    shape: tuple[int, ...]
    outputs: int
    parameters: int


@dataclass(frozen=True)
class Trunk:
    """A trunk with the branches that leave from it."""

    stages: tuple[Stage, ...]
    branches: tuple[Branch, ...]


def trunks_of(card: Card) -> list[Trunk]:
    """Return the parts of the network of a card: one trunk, or one per task. It is built without values."""
    network: Any = build_network(card, "meta")
    channels = 1 if card.crop.grey else 3
    shapes = network.trunk.shapes(channels, card.crop.size_px)
    columns = getattr(network.trunk, "columns", None)
    named = {"": network.trunk} if columns is None else {f"{task}/": columns[task] for task in columns}
    outputs, parts, trunks = widths(card.tasks), network.parts(), []
    for prefix, trunk in named.items():
        leaving = {
            task: stage.removeprefix(prefix) for task, stage in network.leaves.items() if stage.startswith(prefix)
        }
        leaves = {task: _blocks(trunk, stage) for task, stage in leaving.items()}
        stages = _stages(trunk, {name.removeprefix(prefix): shape for name, shape in shapes.items()}, leaves.values())
        branches = (
            Branch(
                card.task(task).title,
                tuple(number for number, stage in enumerate(stages) if stage.last in blocks),
                shapes[network.leaves[task]],
                outputs[task],
                parts[f"branches.{task}"],
            )
            for task, blocks in leaves.items()
        )
        trunks.append(Trunk(stages, tuple(branches)))
    return trunks


def _blocks(trunk: Any, stage: str) -> set[int]:
    """Return the blocks from which a stage of a trunk is taken."""
    if stage in trunk.grids:
        return set(trunk.grids[stage])
    return {len(trunk.blocks) - 1 if stage == FINAL else int(stage.removeprefix("block"))}


def _stages(trunk: Any, shapes: Any, leaves: Any) -> tuple[Stage, ...]:
    """Return the blocks of a trunk as few stages: a new one begins where the map is of another size, and behind a branch."""
    left, groups = set().union(*leaves), []
    for number, block in enumerate(trunk.blocks):
        shape = shapes[f"block{next(end for end in trunk.ends if end >= number)}"]
        if not groups or groups[-1][-1][1][1:] != shape[1:] or groups[-1][-1][0] in left:
            groups.append([])
        groups[-1].append((number, shape, block))
    return tuple(
        Stage(
            group[-1][0],
            group[-1][1],
            sum(isinstance(module, nn.Conv2d) for _, _, block in group for module in block.modules()),
            sum(parameter.numel() for _, _, block in group for parameter in block.parameters()),
        )
        for group in groups
    )


# -- the drawing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """A box of the drawing, with up to three lines of text."""

    style: str
    x: float
    y: float
    high: float
    texts: tuple[str, ...]

    @property
    def middle(self) -> float:
        return self.y + self.high / 2


def drawing(card: Card) -> Markup:
    """Return the network of a card as SVG, with a sentence that says the same."""
    trunks = trunks_of(card)
    size = (1 if card.crop.grey else 3, card.crop.size_px, card.crop.size_px)
    source = Box("input", 0, 0, INPUT_HIGH, ("Picture", _size(size)))
    boxes, lines = [source], []
    for number, trunk in enumerate(trunks):
        column = _column(trunk, number * (BOX + COLUMN))
        lines += _down([source, *column])
        boxes += column
        placed = _below(column, trunk) if len(trunks) > 1 else _beside(column, trunk)
        for box, branch in zip(placed, trunk.branches, strict=True):
            lines += [_line(column[leave], box) for leave in branch.leaves]
        boxes += placed
    width, height = max(box.x for box in boxes) + BOX, max(box.y + box.high for box in boxes)
    return render(
        "systems/network.html",
        boxes=boxes,
        lines=lines,
        width=width,
        height=height,
        box=BOX,
        middle=MIDDLE,
        label=sentence(trunks, size),
    )


def _column(trunk: Trunk, x: float) -> list[Box]:
    first, step = INPUT_HIGH + BELOW, HIGH + BELOW
    return [
        Box("stage", x, first + number * step, HIGH, (_size(stage.shape), _layers(stage), _count(stage.parameters)))
        for number, stage in enumerate(trunk.stages)
    ]


def _beside(column: Sequence[Box], trunk: Trunk) -> list[Box]:
    """Place branches right of a trunk, each near where it leaves and none upon another."""
    free, placed = INPUT_HIGH + BELOW, {}
    step, bottom = HIGH + BELOW, column[-1].y + HIGH
    order = sorted(range(len(trunk.branches)), key=lambda number: trunk.branches[number].leaves)
    for leaves, group in itertools.groupby(order, key=lambda number: trunk.branches[number].leaves):
        numbers = list(group)
        high = len(numbers) * step - BELOW
        top = max(free, min(column[leaves[-1]].middle - high / 2, bottom - high))
        for place, number in enumerate(numbers):
            placed[number] = _branch(trunk.branches[number], BOX + BESIDE, top + place * step)
        free = top + high + BELOW
    return [placed[number] for number in range(len(placed))]


def _below(column: Sequence[Box], trunk: Trunk) -> list[Box]:
    first = column[-1].y + HIGH + BELOW
    return [_branch(branch, column[0].x, first + place * (HIGH + BELOW)) for place, branch in enumerate(trunk.branches)]


def _branch(branch: Branch, x: float, y: float) -> Box:
    flow = f"{_size(branch.shape)} in, {branch.outputs:,} out"
    return Box("branch", x, y, HIGH, (branch.title, flow, _count(branch.parameters)))


def _down(column: Sequence[Box]) -> list[str]:
    """Return the lines from box to box of a column; the first box may stand left of it."""
    lines = [f"M{box.x + MIDDLE} {box.y + box.high}V{after.y}" for box, after in itertools.pairwise(column[1:])]
    source, first = column[:2]
    if source.x == first.x:
        return [f"M{first.x + MIDDLE} {source.y + source.high}V{first.y}", *lines]
    return [f"M{source.x + BOX} {source.middle}H{first.x + MIDDLE}V{first.y}", *lines]


def _line(stage: Box, branch: Box) -> str:
    if stage.x == branch.x:
        return f"M{stage.x + MIDDLE} {stage.y + stage.high}V{branch.y}"
    return f"M{stage.x + BOX} {stage.middle}H{stage.x + BOX + BESIDE / 2}V{branch.middle}H{branch.x}"


def _size(shape: Sequence[int]) -> str:
    """Write a shape as sides and channels, or as the number of features."""
    channels, *sides = shape
    return " × ".join(f"{side:,}" for side in (*sides, channels))


def _layers(stage: Stage) -> str:
    if not stage.convolutions:
        return "pooling"
    return f"{stage.convolutions} convolution{'s' * (stage.convolutions > 1)}"


def _count(parameters: int) -> str:
    return f"{parameters:,} parameters" if parameters else "no parameters"


def sentence(trunks: Sequence[Trunk], size: Sequence[int]) -> str:
    """Return what the drawing shows, for those who do not see it."""
    shared = "One trunk for all tasks" if len(trunks) == 1 else "One trunk per task"
    texts = [f"The network. Pictures of {_size(size)}. {shared}."]
    for trunk in trunks:
        of = "" if len(trunks) == 1 or not trunk.branches else f" of {isolated(trunk.branches[0].title)}"
        total = sum(stage.parameters for stage in trunk.stages)
        stages = "; ".join(f"{_size(stage.shape)} by {_layers(stage)}" for stage in trunk.stages)
        texts.append(f"Trunk{of}: {_count(total)} in {len(trunk.stages)} stages, {stages}.")
        last = len(trunk.stages) - 1
        for branch in trunk.branches:
            where = (
                "the end" if branch.leaves == (last,) else f"stage {', '.join(str(one + 1) for one in branch.leaves)}"
            )
            texts.append(
                f"The branch {isolated(branch.title)} leaves from {where} with {math.prod(branch.shape):,} features and has "
                f"{branch.outputs:,} output{'s' * (branch.outputs > 1)} and {_count(branch.parameters)}."
            )
    return " ".join(texts)
