"""Ages as distributions over years: labels, losses, intervals, words, what is fitted on val."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mtl_model import kinds
from mtl_model.errors import CheckpointError, DataError
from mtl_model.kinds._parts import Calibration, LeftOut, Loss
from mtl_model.kinds._years import (
    conformal_margin,
    decomposed_age,
    decomposed_log_age,
    expected_error,
    expected_square,
    least_widening,
    mean_variance,
    median_years,
    right_range,
    soft_years,
    year_interval,
    years_cross_entropy,
)
from mtl_model.kinds.years import KIND, YearsCalibration, answers_of
from mtl_model.records import Estimate
from mtl_model.tasks import TASKS, Label, Task, band_of

AGE = TASKS["age"]


def spike(year: int) -> np.ndarray:
    chances = np.zeros(101)
    chances[year] = 1
    return chances


def peak(year: int, width: float = 1.0) -> torch.Tensor:
    return -((torch.arange(101.0) - year) ** 2)[None] / (2 * width**2)


def test_encoding_marks_what_is_not_labelled() -> None:
    targets, known = KIND.encode(AGE, [34.0, None, (20.0, 29.0)])
    assert targets.tolist() == [[34, 34], [0, 0], [20, 29]] and known.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("value", "band"),
    [(0, "1-13"), (13.4, "1-13"), (13.5, "14-23"), (23.49, "14-23"), (39.5, "40-55"), (55.5, "56+"), (116, "56+")],
)
def test_bands_round_half_up(value: float, band: str) -> None:
    assert band_of(AGE, value) == band


@pytest.mark.parametrize(
    ("label", "word"),
    [
        (13.4, "1-13"), (13.5, "14-23"), (116.0, "56+"), ((10.0, 19.0), "10-19"), ((70.0, 100.0), "70+"),
        ((60.0, 130.0), "60+"), ((34.5, 35.0), "34.5-35"),
    ],
)  # fmt: skip
def test_an_age_is_counted_by_its_band_and_a_range_by_itself(label: Label, word: str) -> None:
    assert KIND.group_of(AGE, label) == word
    assert isinstance(label, float) or KIND.group_of(AGE, KIND.parse(AGE, word)) == word


@pytest.mark.parametrize("label", [34.0, 34.5, (20.0, 29.0)])
def test_a_label_is_written_as_it_is_read(label: Label) -> None:
    assert KIND.parse(AGE, KIND.write(AGE, label)) == label


@pytest.mark.parametrize(
    ("first", "second", "torn"),
    [(30.0, 30.0, False), (30.0, 31.0, True), (25.0, (20.0, 29.0), False), ((20.0, 29.0), (30.0, 39.0), True)],
)
def test_ranges_contradict_each_other_where_they_do_not_overlap(first: Label, second: Label, torn: bool) -> None:
    assert KIND.contradict(AGE, first, second) is torn and KIND.contradict(AGE, second, first) is torn


def test_an_open_range_past_the_last_year_is_a_label() -> None:
    narrow = dataclasses.replace(AGE, classes=tuple(str(year) for year in range(81)))
    assert KIND.parse(narrow, "70+") == (70, 80) and KIND.parse(narrow, "85+") == 85


def test_a_set_of_ranges_expects_no_bands() -> None:
    assert KIND.expected_groups(AGE, ["1-13", "56+"]) == ("1-13", "14-23", "24-39", "40-55", "56+")
    assert KIND.expected_groups(AGE, ["20-29", "70+"]) == ["20-29", "70+"]
    assert KIND.unshown(AGE, [(60.0, 69.0), 30.0]) == ["1-13", "14-23", "40-55"]


def test_years_need_bands() -> None:
    with pytest.raises(CheckpointError, match="no bands"):
        kinds.check_task(Task("age", "Age", "years", "soft_years", ("0", "1")))


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
    estimate = KIND.estimate(AGE, spike(year), YearsCalibration(threshold=5))
    assert (estimate.text, estimate.value, estimate.group, estimate.sure) == (text, float(year), group, True)
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low <= year <= estimate.high
    assert list(estimate.scores) == [str(number) for number in range(101)]


def test_a_wide_interval_is_unsure_and_says_so() -> None:
    calibration = YearsCalibration(threshold=20)
    estimate = KIND.estimate(AGE, np.full(101, 1 / 101), calibration)
    assert not estimate.sure and {"81", "20"} <= set(KIND.unsure(estimate, calibration).replace(";", "").split())


def test_the_range_with_the_largest_sum_is_the_answer() -> None:
    chances = 0.4 * spike(25)[None] + 0.6 * spike(35)[None]
    ranges = np.array([[20, 29], [30, 39], [70, 130]])
    assert right_range(chances, np.array([[30, 39]]), ranges).tolist() == [1]
    assert right_range(chances, np.array([[20, 29]]), ranges).tolist() == [0]


def estimate(value: float, group: str = "24-39") -> Estimate:
    return Estimate(f"{value} years", value, True, {}, low=value - 5, high=value + 5, group=group, title="Age")


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (estimate(30), estimate(35), ""),
        (estimate(30), estimate(35.1), "Age: 5.1 years apart; more than 5 count as different."),
        (estimate(39), estimate(40, "40-55"), "Age: another group, 24-39 and 40-55."),
    ],
)
def test_what_counts_as_another_age(first: Estimate, second: Estimate, why: str) -> None:
    assert KIND.difference(first, second) == why


# -- losses --


@pytest.mark.parametrize("name", [name for name in KIND.losses if not name.startswith("decomposed")])
def test_years_near_the_truth_cost_less(name: str) -> None:
    known = torch.ones(1, dtype=torch.bool)
    costs = [KIND.losses[name](peak(year), torch.tensor([[30.0, 30.0]]), known).item() for year in (30, 35, 60)]
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


# -- what is fitted on val --


def test_a_range_counts_with_its_summed_probability() -> None:
    logits = np.zeros((100, 101))
    logits[:, 20:30] = 5.0
    sharp, flat = (np.tile([low, low + 9.0], (100, 1)) for low in (20.0, 60.0))
    assert KIND.calibrate(AGE, logits, sharp).temperature < 0.3  # sharper is likelier
    assert KIND.calibrate(AGE, logits, flat).temperature > 3.9


def test_one_face_in_six_is_unsure_of_its_age() -> None:
    widths = np.random.default_rng(1).uniform(1, 10, 600)
    logits = -((np.arange(101)[None] - 50) ** 2) / (2 * widths[:, None] ** 2)
    age = KIND.calibrate(AGE, logits, np.full((600, 2), 50.0))
    intervals = year_interval(KIND.predict(AGE, logits, age), age.margin)
    unsure = (intervals[:, 1] - intervals[:, 0] > age.threshold).mean()
    assert unsure == pytest.approx(1 / 6, abs=0.02)


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


def spread_around(years: np.ndarray, deviation: float) -> np.ndarray:
    """Logits (N, 101) of normal distributions around years (N,)."""
    return -((np.arange(101)[None] - years[:, None]) ** 2) / (2 * deviation**2)


@pytest.mark.parametrize(("deviations", "widened"), [((5, 4), False), ((5, 9), True), ((9, 5), True)])
def test_the_interval_keeps_its_word_on_the_worst_of_the_sets_never_seen(
    deviations: tuple[float, float], widened: bool
) -> None:
    random = np.random.default_rng(3)
    centre = random.uniform(30, 70, 2000)
    logits = spread_around(centre, 5)
    ages = [np.tile((centre + random.normal(0, deviation, 2000))[:, None], 2) for deviation in (5, *deviations)]
    home = KIND.calibrate(AGE, logits, ages[0])
    prediction = KIND.predict(AGE, logits, home)
    sets = [LeftOut(prediction, targets, home) for targets in ages[1:]]
    calibration = KIND.for_strangers(AGE, home, sets)
    covered = [KIND.rows(AGE, prediction, of, calibration, of)["covered"].mean() for of in ages]
    assert min(covered[1:]) == pytest.approx(0.8, abs=0.03)
    assert (calibration.widening > 0.1) == widened == (covered[0] > 0.85)
    assert (calibration.temperature, calibration.margin) == (home.temperature, home.margin)
    edges = year_interval(prediction, home.margin), year_interval(prediction, home.margin, calibration.widening)
    sure, still_sure = (
        np.diff(of)[:, 0] <= each.threshold for of, each in zip(edges, (home, calibration), strict=True)
    )
    assert (sure == still_sure).mean() > 0.95
    again = [dataclasses.replace(left_out, calibration=calibration) for left_out in sets]
    assert KIND.for_strangers(AGE, calibration, again).widening == calibration.widening  # not by what is wide already
    assert KIND.for_strangers(AGE, calibration, again).threshold == pytest.approx(calibration.threshold, abs=0.02)


def test_sets_that_know_few_ages_widen_nothing() -> None:
    intervals, exact = np.tile([20.0, 30.0], (200, 1)), np.full((200, 2), 50.0)
    assert least_widening(intervals[:99], exact[:99]) == 0
    assert least_widening(intervals, exact + [0, 9]) == 0
    assert least_widening(intervals, exact) == 2
    assert least_widening(intervals, exact - 25) == 0


def test_ranges_and_few_ages_give_no_margin() -> None:
    intervals, exact = np.tile([20.0, 30.0], (200, 1)), np.full((200, 2), 50.0)
    assert conformal_margin(intervals, exact + [0, 9]) == 0
    assert conformal_margin(intervals[:99], exact[:99]) == 0
    assert conformal_margin(intervals, exact) == 20


def test_a_card_of_the_first_format_is_read_without_what_a_kind_does_not_have() -> None:
    numbers = {"temperature": 1.5, "threshold": 0.8, "margin": 0.4}
    assert kinds.calibration_from(AGE, numbers) == YearsCalibration(1.5, 0.8, 0.4, widening=0.0)
    assert kinds.calibration_from(TASKS["smile"], numbers) == Calibration(1.5, 0.8)


@pytest.mark.parametrize("text", ["ten", "-3", "131", "20-10", "1-2-3", "+", "nan"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        KIND.parse(AGE, text)


@pytest.mark.parametrize(
    ("loss", "age", "wrong"),
    [
        (decomposed_age, 28, {year: year / 28 for year in range(1, 8)}),  # 1 + 2 + ... + 7 = 28
        (decomposed_log_age, 24, {year: math.log(year) / math.log(24) for year in range(2, 5)}),  # 2 x 3 x 4 = 24
    ],
)
def test_a_printed_loss_is_0_for_the_age_and_for_a_wrong_answer(loss: Loss, age: int, wrong: dict[int, float]) -> None:
    """Each term is 0 where p_j is j / y, which young years can sum to 1 with."""
    known, target = torch.ones(1, dtype=torch.bool), torch.tensor([[float(age)] * 2])
    for chances in ({age: 1.0}, wrong):
        assert sum(chances.values()) == pytest.approx(1)
        output = torch.full((1, 101), -40.0)
        output[0, list(chances)] = torch.tensor([math.log(chance) for chance in chances.values()])
        assert loss(output, target, known).item() == pytest.approx(0, abs=1e-4)
    assert loss(torch.zeros(1, 101), target, known).item() > 0.1


def test_an_age_taught_by_its_mean_is_answered_by_its_mean() -> None:
    chances = np.zeros((1, 101))
    chances[0, [10, 20, 90]] = 0.4, 0.3, 0.3
    assert answers_of(AGE, chances) == pytest.approx([20], abs=0.6)
    taught = dataclasses.replace(AGE, loss="expected_square")
    assert answers_of(taught, chances) == pytest.approx([37])
    assert KIND.estimate(taught, chances[0], YearsCalibration()).value == pytest.approx(37)
    output, known = torch.from_numpy(chances).clamp(min=1e-9).log().float(), torch.ones(1, dtype=torch.bool)
    assert expected_square(output, torch.tensor([[40.0, 40.0]]), known).item() == pytest.approx(9, abs=0.01)
    assert expected_square(output, torch.tensor([[30.0, 39.0]]), known).item() == pytest.approx(0, abs=0.01)
