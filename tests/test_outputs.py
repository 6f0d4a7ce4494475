"""From numbers to what people read: widths, encodings, intervals, words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_model import outputs, registry
from mtl_model.card import Card, TaskCalibration
from mtl_model.errors import CheckpointError
from mtl_model.outputs import (
    OUTPUTS,
    band_of,
    class_of,
    distributions,
    folded,
    logits,
    median_years,
    widths,
    year_interval,
)
from mtl_model.tasks import TASKS, Label, parse_label

AGE, SMILE = TASKS["age"], TASKS["smile"]


def spike(year: int) -> np.ndarray:
    chances = np.zeros(101)
    chances[year] = 1
    return chances


def test_widths() -> None:
    assert widths(list(TASKS.values())) == {"age": 101, "gender": 2, "smile": 2}


def test_encoding_marks_what_is_not_labelled() -> None:
    targets, known = OUTPUTS["classes"].encode(SMILE, ["smiling", None, "not smiling"])
    assert targets.tolist() == [1, 0, 0] and known.tolist() == [True, False, True]
    targets, known = OUTPUTS["years"].encode(AGE, [34.0, None, (20.0, 29.0)])
    assert targets.tolist() == [[34, 34], [0, 0], [20, 29]] and known.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("years", "band"),
    [(0, "1-13"), (13.4, "1-13"), (13.5, "14-23"), (23.49, "14-23"), (39.5, "40-55"), (55.5, "56+"), (116, "56+")],
)
def test_bands_round_half_up(years: float, band: str) -> None:
    assert band_of(AGE, years) == band


@pytest.mark.parametrize(
    ("label", "word"),
    [
        (13.4, "1-13"), (13.5, "14-23"), (116.0, "56+"), ((10.0, 19.0), "10-19"), ((70.0, 100.0), "70+"),
        ((60.0, 130.0), "60+"), ((34.5, 35.0), "34.5-35"),
    ],
)  # fmt: skip
def test_an_age_is_counted_by_its_band_and_a_range_by_itself(label: Label, word: str) -> None:
    assert class_of(AGE, label) == word
    assert isinstance(label, float) or class_of(AGE, parse_label(AGE, word) or "") == word


def test_median_years_and_interval() -> None:
    even = np.full((1, 101), 1 / 101)
    assert median_years(even)[0] == pytest.approx(50)
    two_ages = (0.6 * spike(20) + 0.4 * spike(80))[None]
    assert median_years(two_ages)[0] == pytest.approx(20, abs=0.5)  # the mean, 44, is no age that was seen
    low, high = year_interval(even)[0]
    assert (low, high) == (pytest.approx(9.6), pytest.approx(90.4))
    assert year_interval(even, margin=5)[0].tolist() == pytest.approx([4.6, 95.4])
    low, high = year_interval(spike(30)[None])[0]
    assert 29.5 <= low < high <= 30.5
    assert year_interval(spike(0)[None])[0][0] == 0  # never below birth


@pytest.mark.parametrize(
    ("year", "text", "group"), [(1, "1 year", "1-13"), (34, "34 years", "24-39"), (0, "0 years", "1-13")]
)
def test_an_age_in_words(year: int, text: str, group: str) -> None:
    estimate = OUTPUTS["years"].estimate(AGE, spike(year), TaskCalibration(threshold=5))
    assert (estimate.text, estimate.value, estimate.group, estimate.sure) == (text, float(year), group, True)
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low <= year <= estimate.high
    assert list(estimate.scores) == [str(one) for one in range(101)]


@pytest.mark.parametrize(("chance", "sure"), [(0.74, False), (0.75, True)])
def test_a_class_under_the_threshold_is_unsure(chance: float, sure: bool) -> None:
    estimate = OUTPUTS["classes"].estimate(SMILE, np.array([1 - chance, chance]), TaskCalibration(threshold=0.75))
    assert (estimate.value, estimate.text, estimate.confidence, estimate.sure) == ("smiling", "smiling", chance, sure)
    assert estimate.scores == {"not smiling": pytest.approx(1 - chance), "smiling": chance}


def test_a_wide_interval_is_unsure() -> None:
    even = np.full(101, 1 / 101)
    assert not OUTPUTS["years"].estimate(AGE, even, TaskCalibration(threshold=20)).sure


def test_a_temperature_flattens_and_rows_sum_to_one() -> None:
    outputs = {"smile": torch.tensor([[0.0, 4.0]])}
    card = Card("bknet", {}, (SMILE,), calibration={"smile": TaskCalibration(temperature=2.0)})
    plain, flat = (distributions(outputs, one)["smile"] for one in (Card("bknet", {}, (SMILE,)), card))
    assert plain[0, 1] > flat[0, 1] > 0.5
    assert flat.sum(1).tolist() == pytest.approx([1.0])


class Lopsided(torch.nn.Module):
    """Answers with the brightness of the left half."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"smile": images[..., : images.shape[-1] // 2].mean((1, 2, 3))[:, None].repeat(1, 2)}


def test_flip_averaging_is_the_mean_over_both_mirror_images() -> None:
    images = torch.zeros(1, 1, 4, 4)
    images[..., :2] = 1
    assert logits(Lopsided(), images, False)["smile"].tolist() == [[1, 1]]
    assert logits(Lopsided(), images, True)["smile"].tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("name", registry.names("networks"))
def test_folding_changes_no_answer(name: str) -> None:
    module = registry.load("networks", name)
    torch.manual_seed(0)
    side, channels = module.INPUT["size_px"], 1 if module.INPUT["grey"] else 3
    network = module.build({"age": 101, "hat": 2}, channels=channels, size_px=side, leaves={"hat": module.LATE})
    images = torch.randn(4, channels, side, side)
    network.train()(images)  # running figures other than 0 and 1
    network.eval()
    quick = folded(network)
    assert not any(isinstance(one, torch.nn.BatchNorm2d) for one in quick.modules())
    assert not any(isinstance(one, torch.nn.Conv2d) and one.kernel_size == (1, 1) for one in quick.modules())
    with torch.inference_mode():
        before, after = network(images), quick(images)
    assert all(torch.allclose(before[task], after[task], atol=1e-4) for task in before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_not_numbers_are_a_sentence(value: float) -> None:
    card = Card("bknet", {}, (TASKS["smile"],))
    with pytest.raises(CheckpointError, match="answers for smile are not numbers"):
        outputs.distributions({"smile": torch.tensor([[0.0, 1.0], [value, 0.0]])}, card)
