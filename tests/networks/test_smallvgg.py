"""The networks of the independent branches, layer by layer as the text has them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from mtl_model.errors import UsageError
from mtl_model.networks import smallvgg

HEADS = {"age": partial(nn.Linear, out_features=1), "race": partial(nn.Linear, out_features=5)}


def layers(module: Any) -> list[tuple]:
    """Convolutions as (channels, groups), poolings as ("pool", side)."""
    return [
        (layer.out_channels, layer.groups) if isinstance(layer, nn.Conv2d) else ("pool", layer.kernel_size)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d)
    ]


def test_each_task_has_the_network_of_the_text() -> None:
    network: Any = smallvgg.build(HEADS, deep="age", separate=True)
    deep, shallow = network.trunk.columns["age"], network.trunk.columns["race"]
    assert layers(deep) == [(3, 3), (32, 1), ("pool", 3), (64, 1), (128, 1), (256, 1), (1024, 1), ("pool", 2)]
    assert layers(shallow) == [(16, 1), ("pool", 3), (32, 1), ("pool", 2), (32, 1), ("pool", 2)]
    assert [type(layer) for layer in network.branches["age"]] == [nn.Linear]
    assert [type(layer) for layer in network.branches["race"]] == [nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Linear]
    assert network.branches["age"][0].in_features == 1024 * 16 * 16
    assert (network.branches["race"][0].in_features, network.branches["race"][0].out_features) == (32 * 8 * 8, 128)


def test_nothing_is_shared_unless_asked_for() -> None:
    network: Any = smallvgg.build(HEADS, size_px=48, deep="age", width=0.1, separate=True)
    network(torch.rand(2, 3, 48, 48))["age"].sum().backward()
    assert all(parameter.grad is None for parameter in network.trunk.columns["race"].parameters())
    assert set(network.parts()) >= {"trunk.columns.age.blocks.0", "trunk.columns.race.blocks.0", "branches.age"}
    shared: Any = smallvgg.build(HEADS, size_px=48, deep="age", width=0.1)
    assert layers(shared.trunk)[-2] == (102, 1) and not hasattr(shared.trunk, "columns")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"deep": "aeg"}, "Did you mean 'age'"), ({"width": 0}, "width is 0"), ({"size_px": 12}, "12 px")],
)
def test_options_that_fit_no_network_are_refused(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        smallvgg.build(HEADS, **options)
