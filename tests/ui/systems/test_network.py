"""Drawings of networks: they hold what the network holds, and nothing lies upon anything else."""

from __future__ import annotations

import itertools
import re

import pytest

from mtl_model import checkpoint, systems
from mtl_model.card import Card
from mtl_model.train.prepare import card_for
from mtl_model.ui.systems import network


def card_of(name: str, variant: str = "") -> Card:
    return card_for(systems.recipe(name, variant), systems.named(name).tasks)


@pytest.mark.parametrize("name", systems.names())
def test_every_parameter_stands_in_one_part(name: str) -> None:
    card = card_of(name)
    trunks = network.trunks_of(card)
    parts = [part for trunk in trunks for part in (*trunk.stages, *trunk.branches)]
    whole = sum(parameter.numel() for parameter in checkpoint.build_network(card, "meta").parameters())
    assert sum(part.parameters for part in parts) == whole
    assert {branch.title for trunk in trunks for branch in trunk.branches} == {task.title for task in card.tasks}
    assert len(trunks) == (len(card.tasks) if systems.named(name).config.separate else 1)
    assert all(len(trunk.stages) <= 8 for trunk in trunks)


def leaving(stage: str) -> network.Trunk:
    card = card_of("attributes")
    options = {**card.network_options, "leaves": {"smile": stage}}
    (trunk,) = network.trunks_of(Card(card.network, options, card.tasks, crop=card.crop))
    return trunk


@pytest.mark.parametrize(
    ("stage", "leaves"), [("block1", (1,)), ("final", (3,)), ("places", (2,)), ("taps", (1, 2, 3))]
)
def test_a_branch_leaves_where_the_network_has_it(stage: str, leaves: tuple[int, ...]) -> None:
    smile, *others = leaving(stage).branches
    assert smile.leaves == leaves and {branch.leaves for branch in others} == {(3,)}


def test_a_stage_ends_where_a_branch_leaves() -> None:
    card = card_of("combined")
    options = {**card.network_options, "leaves": {"smile": "block2"}}
    early = network.trunks_of(Card(card.network, options, card.tasks, crop=card.crop))[0]
    assert early.stages[0].last == 2 and early.stages[0].shape == early.stages[1].shape
    assert len(early.stages) == len(network.trunks_of(card)[0].stages) + 1


@pytest.mark.parametrize("name", systems.names())
def test_no_box_lies_upon_another(name: str) -> None:
    text = str(network.drawing(card_of(name)))
    number = r'="([\d.]+)"'
    boxes = [
        tuple(map(float, box)) for box in re.findall(f"<rect x{number} y{number} width{number} height{number}", text)
    ]
    for (x, y, wide, high), (x2, y2, wide2, high2) in itertools.combinations(boxes, 2):
        assert x + wide <= x2 or x2 + wide2 <= x or y + high <= y2 or y2 + high2 <= y
    view = re.search(r'viewBox="-1 -1 ([\d.]+) ([\d.]+)"', text)
    assert view and max(x + wide for x, _, wide, _ in boxes) < float(view[1])
    assert max(y + high for _, y, _, high in boxes) < float(view[2])


def test_the_drawing_is_said_in_words() -> None:
    text = str(network.drawing(card_of("flowers")))
    label = re.search(r'role="img" aria-label="([^"]+)"', text)
    assert label and all(
        part in label[1] for part in ("128 × 128 × 3", "Kind", "Colour", "512", "from the end", "2 outputs")
    )
