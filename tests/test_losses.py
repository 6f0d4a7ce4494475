"""The losses: a mean over the labelled, and nothing at all from the rest."""

from __future__ import annotations

import math

import pytest
import torch

from mtl_model.losses import (
    LOSSES,
    LOSSES_OF,
    cross_entropy,
    distillation,
    expected_error,
    masked_mean,
    mean_variance,
    soft_years,
    years_cross_entropy,
)


def test_the_mean_is_over_the_labelled_samples_alone() -> None:
    values, known = torch.tensor([1.0, 100.0, 3.0]), torch.tensor([True, False, True])
    assert masked_mean(values, known).item() == 2.0
    assert masked_mean(values, torch.zeros(3, dtype=torch.bool)).item() == 0.0


@pytest.mark.parametrize(
    ("name", "width", "target"), [("cross_entropy", 2, [0, 1]), ("soft_years", 101, [[30, 30], [4, 9]])]
)
def test_without_labels_every_gradient_is_exactly_zero(name: str, width: int, target: list) -> None:
    output = torch.randn(2, width, requires_grad=True)
    loss = LOSSES[name](
        output,
        torch.tensor(target, dtype=torch.float32 if width > 2 else torch.int64),
        torch.zeros(2, dtype=torch.bool),
    )
    loss.backward()
    assert loss.item() == 0 and output.grad is not None and bool((output.grad == 0).all())


def test_an_unlabelled_row_changes_nothing_even_with_wild_numbers() -> None:
    output = torch.tensor([[2.0, 0.0], [float("inf"), 0.0]])
    alone = cross_entropy(output[:1], torch.tensor([0]), torch.tensor([True]))
    both = cross_entropy(output, torch.tensor([0, 0]), torch.tensor([True, False]))
    assert both.item() == alone.item()


def peak(year: int, width: float = 1.0) -> torch.Tensor:
    return -((torch.arange(101.0) - year) ** 2)[None] / (2 * width**2)


@pytest.mark.parametrize("name", LOSSES_OF["years"])
def test_years_near_the_truth_cost_less(name: str) -> None:
    known = torch.ones(1, dtype=torch.bool)
    costs = [LOSSES[name](peak(year), torch.tensor([[30.0, 30.0]]), known).item() for year in (30, 35, 60)]
    assert costs == sorted(costs) and costs[0] < 1


def test_a_loss_of_years_by_hand() -> None:
    """Half of the probability at 20, half at 40, for an age of 20: mean 30, variance 100."""
    known, output = torch.ones(1, dtype=torch.bool), torch.full((1, 101), -1e4)
    output[0, [20, 40]] = 0.0
    age, span = torch.tensor([[20.0, 20.0]]), torch.tensor([[25.0, 28.0]])
    assert expected_error(output, age, known).item() == pytest.approx(10)
    assert expected_error(output, span, known).item() == pytest.approx(2)
    assert years_cross_entropy(output, age, known).item() == pytest.approx(math.log(2))
    assert mean_variance(output, age, known).item() == pytest.approx(math.log(2) + 0.2 * 100 / 2 + 0.05 * 100)


def test_soft_years_is_nothing_for_its_own_label() -> None:
    known = torch.ones(1, dtype=torch.bool)
    assert soft_years(peak(30, 2.0), torch.tensor([[30.0, 30.0]]), known).item() == pytest.approx(0, abs=1e-4)


def test_a_range_costs_minus_the_logarithm_of_its_probability() -> None:
    output = torch.zeros(1, 101)
    loss = soft_years(output, torch.tensor([[20.0, 29.0]]), torch.ones(1, dtype=torch.bool))
    assert loss.item() == pytest.approx(-math.log(10 / 101), rel=1e-5)


def test_ages_past_the_last_year_train_as_the_last() -> None:
    known = torch.ones(1, dtype=torch.bool)
    old, last = (soft_years(peak(99), torch.tensor([[age, age]]), known) for age in (116.0, 100.0))
    assert old.item() == last.item()


def test_distillation_is_nothing_for_the_parents_own_answers_and_pulls_towards_them() -> None:
    output = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    known = torch.tensor([True, True, False, True])
    own = torch.softmax(output.detach(), 1)
    assert distillation(output, own, known).item() == pytest.approx(0, abs=1e-6)
    distillation(output, own.flip(1), known).backward()
    assert output.grad is not None and bool((output.grad[2] == 0).all()) and bool((output.grad[0] != 0).any())
