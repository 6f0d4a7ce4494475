"""Two classes by one output."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mtl_model.kinds._parts import Calibration
from mtl_model.kinds.binary import KIND, binary_cross_entropy
from mtl_model.tasks import Task

GLASSES = Task("glasses", "Glasses", "binary", "binary_cross_entropy", ("without", "with"))


@pytest.mark.parametrize(("logit", "answer", "confidence"), [(2.0, "with", 0.8808), (-2.0, "without", 0.8808)])
def test_one_output_speaks_for_the_second_class(logit: float, answer: str, confidence: float) -> None:
    (row,) = KIND.predict(GLASSES, np.array([[logit]], np.float32), Calibration())
    estimate = KIND.estimate(GLASSES, row, Calibration())
    assert (estimate.value, estimate.confidence) == (answer, confidence)
    assert list(estimate.scores) == ["without", "with"] and sum(estimate.scores.values()) == pytest.approx(1)


def test_the_loss_is_that_of_torch_and_finite_for_wild_logits() -> None:
    output, target = torch.tensor([[0.3], [-1.0], [200.0], [-200.0]]), torch.tensor([1, 0, 0, 1])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(output[:, 0], target.float())
    assert binary_cross_entropy(output, target, torch.ones(4, dtype=torch.bool)).item() == pytest.approx(
        expected.item()
    )


def test_probabilities_of_wild_logits_are_numbers() -> None:
    chances = KIND.predict(GLASSES, np.array([[1e4], [-1e4]], np.float32), Calibration())
    assert chances.tolist() == [[0, 1], [1, 0]]


def test_three_classes_are_no_yes_or_no() -> None:
    with pytest.raises(ValueError, match="has 3 classes"):
        KIND.check(dataclasses.replace(GLASSES, classes=("a", "b", "c")))
