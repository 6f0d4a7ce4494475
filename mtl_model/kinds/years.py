"""An age in whole years, as a distribution over them; a label is an age or a range of ages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from mtl_model.errors import DataError
from mtl_model.kinds._arithmetic import Family, categorical, fit_temperature, log_softmax, short, softmax
from mtl_model.kinds._metric import SHARE, Metric, Steps
from mtl_model.kinds._parts import LEAST_FITTED, RARE, Calibration, Kind, LeftOut, Loss
from mtl_model.kinds._years import (
    SIGMA_YEARS,
    conformal_margin,
    decomposed_age,
    decomposed_log_age,
    expected_error,
    expected_square,
    is_exact,
    least_widening,
    mean_variance,
    median_years,
    percentiles,
    ranges_of,
    right_range,
    soft_years,
    year_interval,
    years_cross_entropy,
)
from mtl_model.names import caption
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task, band_of

YEARS = "years"
MOST_WIDENING = 10.0  # on each side, as a share of the interval's width
UNSURE_SHARE = 1 / 6  # of the faces of val, by the width of their interval
LARGEST = 130  # years that a label can have
OF_MEAN = ("expected_error", "expected_square")
"""Losses that teach the mean of the distribution alone."""
QUANTILES = tuple((index + 0.5) / 1000 for index in range(1000))
YEARS_APART = 5.0  # from which two answers about one face count as different


def answers_of(task: Task, prediction: np.ndarray) -> np.ndarray:
    """float (N,), the ages that distributions (N, width) answer with: the median, or the mean where the task was taught by a loss
    that shapes nothing else."""
    return prediction @ np.arange(prediction.shape[1]) if task.loss in OF_MEAN else median_years(prediction)


def _between(first: float, last: float):
    return lambda rows: (rows["truth"] >= first) & (rows["truth"] <= last)


@dataclass(frozen=True)
class YearsCalibration(Calibration):
    """threshold: the widest interval in years that is called sure. margin: years added to each end of the interval. widening:
    share of its width by which each end then moves out, so that it keeps its word on data sets that were never seen."""

    RANGES: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        **Calibration.RANGES,
        "threshold": (0, 1000, "a number of years"),
        "margin": (-100, 100, "a number of years from -100 to 100"),
        "widening": (0, MOST_WIDENING, "a share of the interval's width from 0 to 10"),
    }
    margin: float = 0.0
    widening: float = 0.0


class Years(Kind):
    """A prediction is float (N, width), the probability of each year."""

    shape = "curve"
    steps = Steps(tuple(float(number) for number in range(0, 102, 2)), 8.0)
    losses: ClassVar[Mapping[str, Loss]] = {
        "soft_years": soft_years,
        "years_cross_entropy": years_cross_entropy,
        "mean_variance": mean_variance,
        "expected_error": expected_error,
        "expected_square": expected_square,
        "decomposed_age": decomposed_age,
        "decomposed_log_age": decomposed_log_age,
    }
    headlines = ("mae", "accuracy_ranges")
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mae": Metric("Mean error", YEARS, "error", lower_is_better=True),
        "cs5": Metric("At most 5 years off", SHARE, "within_5"),
        "coverage80": Metric("True age inside the interval (meant: 80 %)", SHARE, "covered"),
        "accuracy_five_groups": Metric("Right age group of the five", SHARE, "right_group"),
        "mae_0_12": Metric("Mean error, ages 0 to 12", YEARS, "error", True, _between(0, 12), whole=True),
        "mae_21_60": Metric("Mean error, ages 21 to 60", YEARS, "error", True, _between(21, 60), whole=True),
        "mae_over_60": Metric("Mean error, over 60", YEARS, "error", True, _between(61, 1000), whole=True),
        "accuracy_ranges": Metric("Right age range", SHARE, "right_range"),
    }
    Calibration = YearsCalibration

    def check(self, task: Task) -> None:
        if not task.bands:
            raise ValueError(
                f"The task {task.name} has no bands. Expected named ranges of years, such as AGE_BANDS; add them."
            )
        if list(task.classes) != [str(year) for year in range(len(task.classes))]:
            raise ValueError(
                f"The classes of {task.name} are not the years from 0 on, one by one. Expected these; correct them."
            )

    def hint(self, task: Task) -> str:
        return "34, or 30-39"

    def summary(self, task: Task) -> str:
        return YEARS

    def parse(self, task: Task, text: str) -> Label:
        """A number ("34", "34.5"), a range ("20-29") or an open range ("70+", "more than 70")."""
        number = text.casefold().replace("years", "").replace("more than", "").strip()
        open_ended = number.endswith("+") or "more than" in text.casefold()
        try:
            if open_ended:
                low = float(number.rstrip("+"))
                high = max(low, float(len(task.classes) - 1))
            elif "-" in number[1:]:
                low, high = (float(part) for part in number.split("-", 1))
            else:
                low = high = float(number)
        except ValueError:
            low, high = -1.0, -1.0
        if not 0 <= low <= high <= LARGEST:
            raise DataError(
                f"'{text}' is not a label of {task.name}. Expected years from 0 to {LARGEST} such as 34, or a range such as "
                "20-29 or 70+. Correct it, or leave the field blank."
            )
        return low if low == high else (low, high)

    def write(self, task: Task, label: Label) -> str:
        return f"{label[0]:g}-{label[1]:g}" if isinstance(label, tuple) else f"{label:g}"

    def label_text(self, task: Task, label: Label) -> str:
        return f"{label[0]:g} to {label[1]:g} years" if isinstance(label, tuple) else f"{label:g} years"

    def contradict(self, task: Task, first: Label, second: Label) -> bool:
        """Ranges contradict each other where they do not overlap."""
        low_first, high_first = ends(first)
        low_second, high_second = ends(second)
        return high_first < low_second or high_second < low_first

    def group_of(self, task: Task, label: Label) -> str:
        """The band, or, for an age known as a range, that range ("20-29", "70+"), since it may reach over several bands."""
        if isinstance(label, tuple):
            low, high = label
            return f"{low:g}+" if high >= len(task.classes) - 1 else f"{low:g}-{high:g}"
        return band_of(task, float(label))

    def groups(self, task: Task) -> tuple[str, ...]:
        return tuple(name for name, _, _ in task.bands)

    def expected_groups(self, task: Task, counted: Sequence[str]) -> Sequence[str]:
        """Of a set that knows ages as ranges, bands that nothing is counted under say nothing."""
        return counted if set(counted) - set(self.groups(task)) else self.groups(task)

    def lacking(self, counts: Sequence[int], least: int) -> str:
        return "" if sum(counts) >= RARE else f"it needs {RARE} pictures with an age at least"

    def stratum(self, task: Task, label: Label) -> str:
        return str(int(sum(ends(label)) / 2) // 10)

    def unshown(self, task: Task, labels: Sequence[Label]) -> list[str]:
        spans = [ends(label) for label in labels]
        return [
            name for name, first, last in task.bands if not any(low <= last and first <= high for low, high in spans)
        ]

    def width(self, task: Task) -> int:
        return len(task.classes)

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """targets: float32 (N, 2), first and last year; equal for an age that is known to the year."""
        known = np.array([label is not None for label in labels], bool)
        targets = np.zeros((len(labels), 2), np.float32)
        for row, label in zip(targets, labels, strict=True):
            if label is not None:
                row[:] = label  # a number fills both, a range gives one each
        return targets, known

    def family(self, task: Task, targets: np.ndarray) -> Family:
        """A known age is a normal label around it, a range all its years alike."""
        years = np.arange(len(task.classes))
        low, high = targets.clip(0, years[-1])[:, :1], targets.clip(0, years[-1])[:, 1:]
        normal = softmax(-((years - low) ** 2) / (2 * SIGMA_YEARS**2))
        inside = (years >= np.floor(low)) & (years <= np.ceil(high))
        return categorical(np.where(low == high, normal, inside / inside.sum(1, keepdims=True)))

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """The decade; all from 80 on are one bin."""
        return np.minimum(targets.mean(1) // 10, 8).astype(int)

    def predict(
        self, task: Task, logits: np.ndarray, calibration: YearsCalibration, quality: np.ndarray | None = None
    ) -> np.ndarray:
        return softmax(logits.astype(np.float64) / calibration.temperature)

    def snippet(self, task: Task, calibration: YearsCalibration) -> str:
        return f"int(np.searchsorted(softmax(output / {calibration.temperature}).cumsum(), 0.5))"

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> YearsCalibration:
        years = np.arange(logits.shape[1])
        clipped = targets.clip(0, logits.shape[1] - 1)
        inside = (years >= np.floor(clipped[:, :1])) & (years <= np.ceil(clipped[:, 1:]))

        def loss(scaled: np.ndarray) -> float:
            """A range counts with its summed probability."""
            chosen = np.where(inside, log_softmax(scaled), -np.inf)
            top = chosen.max(1, keepdims=True)
            return float(-(top[:, 0] + np.log(np.exp(chosen - top).sum(1))).mean())

        temperature = fit_temperature(logits, loss) if len(targets) >= LEAST_FITTED else 1.0
        intervals = year_interval(softmax(logits.astype(np.float64) / temperature))
        margin = round(conformal_margin(intervals, targets), 2)
        widths = intervals[:, 1] - intervals[:, 0] + 2 * margin
        threshold = round(float(np.quantile(widths, 1 - UNSURE_SHARE)), 2)
        return YearsCalibration(round(temperature, 4), threshold, margin)

    def for_strangers(self, task: Task, calibration: YearsCalibration, sets: Sequence[LeftOut]) -> YearsCalibration:
        """The widening under which the interval covers COVERED of the ages of each set."""
        needed = [least_widening(year_interval(of.prediction, of.calibration.margin), of.targets) for of in sets]
        widening = min(MOST_WIDENING, math.ceil(100 * max(needed)) / 100)
        wider = (1 + 2 * widening) / (1 + 2 * calibration.widening)
        return replace(calibration, widening=widening, threshold=round(calibration.threshold * wider, 2))

    def estimate(self, task: Task, prediction: np.ndarray, calibration: YearsCalibration) -> Estimate:
        value = round(float(answers_of(task, prediction[None])[0]), 1)
        low, high = (round(float(edge), 1) for edge in _interval(prediction[None], calibration)[0])
        whole = math.floor(value + 0.5)
        return Estimate(
            text=f"{whole} year" if whole == 1 else f"{whole} years",
            value=value,
            sure=high - low <= calibration.threshold,
            scores={name: round(float(p), 6) for name, p in zip(task.classes, prediction, strict=True)},
            low=min(low, value),
            high=max(high, value),
            group=band_of(task, value),
            shape=self.shape,
            title=task.title,
        )

    def pool(
        self, task: Task, estimates: Sequence[Estimate], weights: np.ndarray, calibration: YearsCalibration
    ) -> Estimate:
        """Return the mean of the distributions' quantiles, each weighted by its picture and by one over the square of its
        interval's width.

        What is wrong in the best picture alone is wrong in all of them, and stays: its interval is the narrowest that the answer
        can have. What the other pictures have beyond that is noise of their own, whose variance falls with their number.
        Source: Lichtendahl, Grushka-Cockayne and Winkler, "Is It Better to Average Probabilities or Quantiles?", 2013."""
        widths = np.array([_width(estimate) for estimate in estimates])
        best = float(widths[weights.argmax()])
        shares = weights / np.maximum(widths, 1.0) ** 2
        shares = shares / shares.sum()
        estimate = self._averaged(task, estimates, shares, calibration)
        more = max(0.0, _width(estimate) ** 2 - best**2)
        return _with_width(task, estimate, math.sqrt(best**2 + more * float((shares**2).sum())), calibration)

    def between(
        self, task: Task, first: Estimate, second: Estimate, share: float, calibration: YearsCalibration
    ) -> Estimate:
        estimate = self._averaged(task, [first, second], np.array([1 - share, share]), calibration)
        width = _width(first) + share * (_width(second) - _width(first))
        return _with_width(task, estimate, width, calibration)

    def _averaged(
        self, task: Task, estimates: Sequence[Estimate], shares: np.ndarray, calibration: YearsCalibration
    ) -> Estimate:
        """The answer whose quantiles are the mean of those of others, weighted by shares (N,), which sum to 1."""
        scores = np.array([[estimate.scores[name] for name in task.classes] for estimate in estimates])
        quantiles = shares @ percentiles(scores / scores.sum(1, keepdims=True), QUANTILES)
        below = np.interp(np.arange(len(task.classes) + 1) - 0.5, quantiles, QUANTILES, left=0.0, right=1.0)
        return self.estimate(task, np.diff(below), calibration)

    def unsure(self, estimate: Estimate, calibration: YearsCalibration) -> str:
        span = int((estimate.high or 0) - (estimate.low or 0) + 0.5)
        return f"The interval spans {span} years; more than {int(calibration.threshold + 0.5)} count as unsure."

    def detail(self, estimate: Estimate) -> str:
        return f"{estimate.low or 0:.0f} to {estimate.high or 0:.0f}"

    def difference(self, first: Estimate, second: Estimate) -> str:
        """Ages differ from YEARS_APART on, and wherever their groups differ."""
        apart = abs(float(first.value) - float(second.value))
        reasons = []
        if first.group != second.group:
            reasons.append(f"{caption(first.title, 'another group')}, {first.group} and {second.group}.")
        if apart > YEARS_APART:
            more = f"{apart:.1f} years apart"
            reasons.append(f"{caption(first.title, more)}; more than {YEARS_APART:.0f} count as different.")
        return " ".join(reasons)

    def youngest(self, estimate: Estimate) -> float:
        return estimate.low or 0.0

    def ages(self, targets: np.ndarray) -> np.ndarray:
        return targets[:, 0]

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: YearsCalibration, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Ages known as ranges have no error in years (NaN); those known to the year have no right range."""
        exact = is_exact(targets)
        truth, value, interval = (
            targets[:, 0],
            answers_of(task, prediction),
            _interval(prediction, calibration),
        )
        error = np.where(exact, np.abs(value - truth), np.nan)
        right_group = [
            band_of(task, answer) == band_of(task, age) for answer, age in zip(value.round(1), truth, strict=True)
        ]
        in_range = np.full(len(targets), np.nan)
        if (~exact).any():
            in_range[~exact] = right_range(prediction[~exact], targets[~exact], ranges_of(known))
        return {
            "truth": truth,
            "error": error,
            "within_5": np.where(exact, error <= 5, np.nan),
            "covered": np.where(exact, (truth >= interval[:, 0]) & (truth <= interval[:, 1]), np.nan),
            "right_group": np.where(exact, right_group, np.nan),
            "right_range": in_range,
        }

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """error: the mean absolute error in years; of a set that knows ranges alone, the share of wrong ones."""
        rows = self.rows(task, prediction, targets, YearsCalibration(), targets)
        exact = is_exact(targets)
        figures: dict[str, float] = {}
        if (~exact).any():
            figures["accuracy_ranges"] = float(rows["right_range"][~exact].mean())
            figures["error"] = 1 - figures["accuracy_ranges"]
        if exact.any():
            figures |= {"mae": float(rows["error"][exact].mean()), "coverage80": float(rows["covered"][exact].mean())}
            figures["error"] = figures["mae"]
        return figures

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        """Ages known as ranges count by the range where there are no others."""
        rows = self.rows(task, prediction, targets, YearsCalibration(), targets)
        if not is_exact(targets).any():
            return "accuracy_ranges", 1 - rows["right_range"]
        return "mae", rows["error"]

    def alike(self, task: Task, prediction: np.ndarray, calibration: YearsCalibration) -> tuple[np.ndarray, np.ndarray]:
        """By the band, and the width of the interval in years."""
        bands = [band_of(task, float(value)) for value in answers_of(task, prediction)]
        return np.array(bands), np.diff(_interval(prediction, calibration))[:, 0]

    def like(self, estimate: Estimate) -> tuple[str, float]:
        return estimate.group or "", (estimate.high or 0) - (estimate.low or 0)

    def like_text(self, error: float, low: float, high: float) -> tuple[str, str, str]:
        between = f"with an interval of {int(low + 0.5)} to {int(high + 0.5)} years"
        return f"±{error:.1f} years", "Mean error", between

    def guess(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """The ages of all."""
        return self.family(task, targets).targets.mean(0)

    def curves(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """ "errors": for each ten years of true age its name, the mean error, the mean absolute error, and the number of
        samples."""
        exact = is_exact(targets)
        truth, errors = targets[exact, 0], answers_of(task, prediction[exact]) - targets[exact, 0]
        rows = []
        for decade in np.unique(truth // 10):
            those = errors[truth // 10 == decade]
            first = int(decade) * 10
            rows.append([f"{first}-{first + 9}", short(those.mean()), short(np.abs(those).mean()), len(those)])
        return {"errors": rows}

    def axes(self, task: Task) -> tuple[str, str]:
        return "true age", YEARS

    def columns(self, task: Task) -> tuple[str, ...]:
        return (task.name, f"{task.name}_low", f"{task.name}_high")

    def cells(self, estimate: Estimate) -> tuple[object, ...]:
        return (estimate.value, estimate.low, estimate.high)

    def heads(self, task: Task) -> tuple[str, ...]:
        return (task.title, "From", "To", "Group")

    def table_cells(self, estimate: Estimate) -> tuple[tuple[str, float | str], ...]:
        low, high = estimate.low or 0.0, estimate.high or 0.0
        return (
            (str(int(low + 0.5)), low),
            (str(int(high + 0.5)), high),
            (estimate.group or "", float(estimate.value)),
        )


def _width(estimate: Estimate) -> float:
    return (estimate.high or 0.0) - (estimate.low or 0.0)


def _with_width(task: Task, estimate: Estimate, width: float, calibration: YearsCalibration) -> Estimate:
    """Return an estimate whose interval is scaled about its value to another width, in years."""
    value, factor = float(estimate.value), width / max(_width(estimate), 1e-6)
    low = max(0.0, round(value - factor * (value - (estimate.low or 0)), 1))
    high = min(len(task.classes) - 1.0, round(value + factor * ((estimate.high or 0) - value), 1))
    return replace(estimate, low=low, high=high, sure=high - low <= calibration.threshold)


def ends(label: Label) -> tuple[float, float]:
    """First and last year of a label."""
    return (label[0], label[1]) if isinstance(label, tuple) else (float(label), float(label))


def _interval(prediction: np.ndarray, calibration: YearsCalibration) -> np.ndarray:
    return year_interval(prediction, calibration.margin, calibration.widening)


KIND = Years()
