"""SqueezeNet 1.1 up to fire8 is torchvision's, with one more pooling behind it."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import squeezenet1_1

from mtl_model.networks import FINAL, squeezenet


def test_the_trunk_is_torchvisions_up_to_fire8():
    torch.manual_seed(0)
    network = squeezenet.build({"kind": lambda features: nn.Linear(features, 2)}).eval()
    published = squeezenet1_1(weights=None).features[:12].eval()
    own, theirs = network.trunk.state_dict(), published.state_dict()
    assert [tensor.shape for tensor in own.values()] == [tensor.shape for tensor in theirs.values()]
    network.trunk.load_state_dict(dict(zip(own, theirs.values(), strict=True)))
    images = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        pooled = nn.functional.max_pool2d(published(images), 3, 2, ceil_mode=True)
        assert torch.allclose(network.trunk(images)[FINAL], pooled, atol=1e-5)


def test_a_branch_is_fire9_and_a_classifier():
    network = squeezenet.build({"kind": lambda features: nn.Linear(features, 2)})
    fire9 = squeezenet1_1(weights=None).features[12]
    own = [tuple(tensor.shape) for tensor in network.branches["kind"].state_dict().values()]
    assert own == [*(tuple(tensor.shape) for tensor in fire9.state_dict().values()), (2, 512), (2,)]
