"""Classes in an order, by cumulative logits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from mtl_model import kinds
from mtl_model.errors import CheckpointError
from mtl_model.kinds._parts import Calibration
from mtl_model.kinds.ordinal import KIND
from mtl_model.tasks import Task, order_task

QUALITY = order_task("quality", ("poor", "fair", "good", "best"))


def test_two_classes_have_no_order_of_their_own():
    assert order_task("glasses", ("without", "with")).kind == "classes"
    with pytest.raises(CheckpointError, match="has 2 classes"):
        kinds.check_task(Task("glasses", "Glasses", "ordinal", "coral", ("without", "with")))


@pytest.mark.parametrize(
    ("logits", "chances"),
    [
        ([50.0, 50.0, 50.0], [0, 0, 0, 1]),
        ([-50.0, -50.0, -50.0], [1, 0, 0, 0]),
        ([50.0, 0.0, -50.0], [0, 0.5, 0.5, 0]),
        ([0.0, 50.0, 0.0], [0.5, 0, 0, 0.5]),  # out of order: what is beyond fair was beyond poor
    ],
)
def test_probabilities_are_decoded_from_cumulative_ones(logits: list[float], chances: list[float]):
    (row,) = KIND.predict(QUALITY, np.array([logits], np.float32), Calibration())
    assert row.tolist() == pytest.approx(chances, abs=1e-6)


def test_any_outputs_make_a_distribution():
    logits = np.random.default_rng(0).normal(0, 20, (200, 3)).astype(np.float32)
    chances = KIND.predict(QUALITY, logits, Calibration())
    assert (chances > 0).all() and chances.sum(1).tolist() == pytest.approx([1] * 200)


def test_the_layer_shares_one_weight_vector_and_begins_with_all_classes_as_likely():
    torch.manual_seed(0)
    layer = KIND.layer(QUALITY, 16)
    assert {name: tuple(one.shape) for name, one in layer.named_parameters()} == {"weight": (1, 16), "bias": (3,)}
    spread = layer(torch.randn(50, 16)).detach()
    assert torch.allclose(spread[:, :1] - spread, spread[:1, :1] - spread[:1], atol=1e-5)  # the same distances for all
    (even,) = KIND.predict(QUALITY, layer(torch.zeros(1, 16)).detach().numpy(), Calibration())
    assert even.tolist() == pytest.approx([0.25] * 4)


def test_learned_steps_are_in_order():
    """By the paper's theorem 1 the biases of the optimum are; here they begin so and stay so."""
    torch.manual_seed(0)
    inputs = torch.randn(400, 4)
    target = (inputs[:, 0] * 2 + 1.5 + torch.randn(400) / 4).round().clamp(0, 3).long()
    layer, known = KIND.layer(QUALITY, 4), torch.ones(400, dtype=torch.bool)
    optimiser = torch.optim.Adam(layer.parameters(), 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        KIND.losses["coral"](layer(inputs), target, known).backward()
        optimiser.step()
    biases = dict(layer.named_parameters())["bias"].tolist()
    assert all(first > second for first, second in pairwise(biases))
    chances = KIND.predict(QUALITY, layer(inputs).detach().numpy(), Calibration())
    rows = KIND.rows(QUALITY, chances, target.numpy(), Calibration(), target.numpy())
    assert rows["right"].mean() > 0.75 and rows["within_one"].mean() == 1 and rows["rank_error"].mean() < 0.25


def test_a_far_mistake_costs_more_than_a_near_one():
    output = torch.tensor([[4.0, -4.0, -4.0]])  # fair
    losses = [
        KIND.losses["coral"](output, torch.tensor([target]), torch.ones(1, dtype=torch.bool)).item()
        for target in (1, 2, 3)
    ]
    assert losses[0] < losses[1] < losses[2]


def test_distance_is_counted_in_classes():
    chances = np.eye(4)[[0, 1, 3, 0]]
    targets = np.array([0, 2, 1, 3])
    rows = KIND.rows(QUALITY, chances, targets, Calibration(), targets)
    assert rows["rank_error"].tolist() == [0, 1, 2, 3] and rows["within_one"].tolist() == [1, 1, 0, 0]
    assert KIND.epoch_figures(QUALITY, chances, targets)["error"] == pytest.approx(1.5)
