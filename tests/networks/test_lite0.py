"""EfficientNet-Lite0 with branches of its own, or with SqueezeNet's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtl_model.errors import UsageError
from mtl_model.networks import lite0

HEADS = {"kind": lambda features: nn.Linear(features, 2), "colour": lambda features: nn.Linear(features, 3)}


def test_other_branches_leave_the_trunk_as_it_is():
    """So that the weights of a start fit, whatever the branches."""
    usual, other = lite0.build(HEADS), lite0.build(HEADS, branch="fire")
    assert {name: tensor.shape for name, tensor in usual.trunk.state_dict().items()} == {
        name: tensor.shape for name, tensor in other.trunk.state_dict().items()
    }
    assert other.branches["kind"].get_submodule("0.squeeze").in_channels == 1280
    with torch.no_grad():
        answers = other.eval()(torch.randn(2, 3, 112, 112))
    assert {task: tuple(answer.shape) for task, answer in answers.items()} == {"kind": (2, 2), "colour": (2, 3)}


def test_a_branch_that_is_not_there_is_a_sentence():
    with pytest.raises(UsageError, match="Unknown branch 'fyre'. Did you mean 'fire'"):
        lite0.build(HEADS, branch="fyre")
