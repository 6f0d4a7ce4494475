"""Calibration: temperatures that make val's labels likeliest, and a threshold that calls one face in six unsure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_model.calibration import conformal_margin, fit, fit_temperature
from mtl_model.outputs import year_interval
from mtl_model.tasks import TASKS


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_made_up_answers_is_found_again(true_temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20000, 2))
    chances = torch.softmax(torch.tensor(logits), 1).numpy()[:, 1]
    labels = torch.tensor((random.random(20000) < chances).astype(int))
    found = fit_temperature(torch.tensor(logits * true_temperature), labels)
    assert found == pytest.approx(true_temperature, rel=0.06)


def test_a_range_counts_with_its_summed_probability() -> None:
    logits = torch.zeros(1, 101).double()
    logits[0, 20:30] = 5.0
    assert fit_temperature(logits, torch.tensor([[20.0, 29.0]])) < 0.3  # sharper is likelier
    assert fit_temperature(logits, torch.tensor([[60.0, 69.0]])) > 3.9


def test_one_face_in_six_is_unsure_of_its_age() -> None:
    random = np.random.default_rng(1)
    widths = random.uniform(1, 10, 600)
    years = np.arange(101)
    logits = torch.tensor(-((years[None] - 50) ** 2) / (2 * widths[:, None] ** 2))
    targets = torch.full((600, 2), 50.0)
    tasks = (TASKS["age"], TASKS["smile"])
    found = fit(
        tasks,
        {"age": logits, "smile": torch.zeros(600, 2)},
        {"age": targets, "smile": torch.zeros(600, dtype=torch.int64)},
        {"age": torch.ones(600, dtype=torch.bool), "smile": torch.zeros(600, dtype=torch.bool)},
    )
    age = found["age"]
    intervals = year_interval(torch.softmax(logits / age.temperature, 1).numpy(), age.margin)
    unsure = (intervals[:, 1] - intervals[:, 0] > age.threshold).mean()
    assert unsure == pytest.approx(1 / 6, abs=0.02)
    assert "smile" not in found  # nothing to fit it on


@pytest.mark.parametrize("count", [5, 99, 100])
def test_few_labels_give_no_temperature(count: int) -> None:
    labels = torch.tensor([0, 1] * 50)[:count]
    logits = torch.nn.functional.one_hot(labels, 2).double()  # all right: the sharper the likelier
    known = torch.ones(count, dtype=torch.bool)
    found = fit((TASKS["smile"],), {"smile": logits}, {"smile": labels}, {"smile": known})
    assert found["smile"].temperature == (1.0 if count < 100 else 0.25)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_the_margin_makes_the_interval_cover_four_ages_in_five_of_faces_not_fitted_on(scale: float) -> None:
    random = np.random.default_rng(2)
    centre = random.uniform(20, 70, 4000)
    truth = centre + random.normal(0, 5, 4000)
    intervals = np.stack([centre - 6.4 * scale, centre + 6.4 * scale], 1)
    labels = np.stack([truth, truth], 1)
    margin = conformal_margin(intervals[:2000], labels[:2000])
    covered = (truth >= intervals[:, 0] - margin) & (truth <= intervals[:, 1] + margin)
    assert covered[2000:].mean() == pytest.approx(0.8, abs=0.03)
    assert scale == 1.0 or (margin > 0) == (scale < 1)


def test_ranges_and_few_ages_give_no_margin() -> None:
    intervals, exact = np.tile([20.0, 30.0], (200, 1)), np.full((200, 2), 50.0)
    assert conformal_margin(intervals, exact + [0, 9]) == 0
    assert conformal_margin(intervals[:99], exact[:99]) == 0
    assert conformal_margin(intervals, exact) == 20
