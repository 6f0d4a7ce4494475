"""A task's loss: labels, a teacher's answers, or both in one sample."""

from __future__ import annotations

import pytest
import torch

from mtl_model import kinds
from mtl_model.data.batches import Answers, Batch
from mtl_model.tasks import TASKS
from mtl_model.train.objective import LARGEST_LOSS, SMALLEST_LOSS, slopes, task_loss

SMILE = TASKS["smile"]
LOSS = kinds.of(SMILE).losses[SMILE.loss]
OUTPUT = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([1, 0, 1, 0])
SOFT = torch.tensor([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5], [1.0, 0.0]])


def batch(
    known: list[bool], given: list[bool] | None, labelled: int | None = None, answered: int | None = None
) -> Batch:
    answers = {}
    if given is not None:
        answers["smile"] = Answers(SOFT, torch.tensor(given), sum(given) if answered is None else answered)
    count = sum(known) if labelled is None else labelled
    return Batch(torch.zeros(4, 1), {"smile": TARGET}, {"smile": torch.tensor(known)}, {"smile": count}, answers)


KNOWN, GIVEN = [True, True, False, False], [False, True, True, False]
LABELS = LOSS(OUTPUT, TARGET, torch.tensor(KNOWN)).item()
TAUGHT = kinds.of(SMILE).distil(OUTPUT, SOFT, torch.tensor(GIVEN)).item()
NONE = [False] * 4


@pytest.mark.parametrize(
    ("known", "given", "weight", "wanted"),
    [
        (KNOWN, None, 1.0, LABELS),
        (NONE, GIVEN, 1.0, TAUGHT),
        (KNOWN, GIVEN, 1.0, LABELS + TAUGHT),
        (KNOWN, GIVEN, 0.25, LABELS + 0.25 * TAUGHT),
        (KNOWN, NONE, 1.0, LABELS),
        (NONE, None, 1.0, 0.0),
        (NONE, NONE, 1.0, 0.0),
    ],
)
def test_a_loss_is_the_mean_over_labels_plus_the_weighted_mean_over_answers(
    known: list[bool], given: list[bool] | None, weight: float, wanted: float
) -> None:
    output = OUTPUT.clone().requires_grad_()
    loss = task_loss(SMILE, output, batch(known, given), weight)
    assert loss.item() == pytest.approx(wanted, rel=1e-6)
    loss.backward()
    assert output.grad is not None
    reached = [label or bool(given and given[row]) for row, label in enumerate(known)]
    assert (output.grad.abs().sum(1) > 0).tolist() == reached


def test_the_mean_over_two_processes_is_that_over_the_whole_batch() -> None:
    """One process holds the one label, the other the one answer."""
    first, second = (
        task_loss(SMILE, OUTPUT, batch(known, given, labelled=1, answered=1), 0.5, processes=2).item()
        for known, given in (([True, False, False, False], NONE), (NONE, [False, False, True, False]))
    )
    whole = task_loss(SMILE, OUTPUT, batch([True, False, False, False], [False, False, True, False]), 0.5).item()
    assert (first + second) / 2 == pytest.approx(whole, rel=1e-6)


def test_a_batch_teaches_by_labels_or_by_answers() -> None:
    assert batch(KNOWN, None).teaches("smile") and batch(NONE, GIVEN).teaches("smile")
    assert not batch(NONE, None).teaches("smile") and not batch(NONE, NONE).teaches("smile")


@pytest.mark.parametrize(
    ("combine", "losses", "wanted"),
    [
        ("sum", [0.5, 4.0, 0.0], [1.0, 1.0, 1.0]),
        ("log", [0.5, 4.0, 0.001], [2.0, 0.25, 1000.0]),
        ("log", [0.0, 1e-38, float("inf")], [0.0, 0.0, 0.0]),
    ],
)
def test_the_slope_of_the_combined_loss_by_each_task(combine: str, losses: list[float], wanted: list[float]) -> None:
    values = torch.tensor(losses, requires_grad=True)
    assert slopes(values.detach(), combine).tolist() == pytest.approx(wanted, rel=1e-5)
    combined = values.clip(SMALLEST_LOSS, LARGEST_LOSS).log().sum() if combine == "log" else values.sum()
    combined.backward()
    assert values.grad is not None and values.grad.tolist() == pytest.approx(wanted, rel=1e-5)
