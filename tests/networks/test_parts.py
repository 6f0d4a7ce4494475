"""What networks share: stages, and branches that leave from them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from mtl_model.networks._parts import FINAL, PLACED, TAPPED, Trunk, fire_branch


def trunk() -> Trunk:
    return Trunk([nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 1)], places=(0,), taps={1: 2})


@pytest.mark.parametrize(
    ("stages", "asked"),
    [
        ([FINAL], 3),
        (["block0"], 1),
        (["block1", "block0"], 2),
        ([PLACED], 1),
        ([TAPPED], 2),
        ([PLACED, "block2"], 3),
        ([], 0),
    ],
)
def test_blocks_behind_the_last_stage_are_not_asked(stages: Sequence[str], asked: int):
    network, calls = trunk(), []
    for index, block in enumerate(network.blocks):
        block.register_forward_hook(lambda *_, index=index: calls.append(index))
    assert set(network(torch.zeros(2, 1, 8, 8), stages)) == set(stages)
    assert calls == [*range(asked)]


def test_a_mean_before_the_classifier_gives_what_a_mean_behind_it_gives():
    """SqueezeNet's end, in the order in which it is published: a convolution of 1 x 1, then the mean over all places."""
    torch.manual_seed(0)
    linear, convolution = nn.Linear(512, 3), nn.Conv2d(512, 3, 1)
    branch, maps = fire_branch(32, lambda _: linear, 0.5).eval(), torch.randn(4, 32, 5, 5)
    convolution.load_state_dict({"weight": linear.weight[:, :, None, None], "bias": linear.bias})
    with torch.no_grad():
        published = convolution(branch[0](maps)).mean((2, 3))
        assert torch.allclose(branch(maps), published, atol=1e-5)
    assert (published < 0).any(), "without a ReLU on them, logits can be negative"
