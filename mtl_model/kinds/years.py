"""An age in whole years, as a distribution over them; a label is an age or a range of ages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.errors import DataError
from mtl_model.kinds._parts import (
    LEAST_FITTED,
    RARE,
    SHARE,
    Calibration,
    Family,
    Kind,
    LeftOut,
    Loss,
    Metric,
    Steps,
    categorical,
    divergence,
    fit_temperature,
    log_softmax,
    masked_mean,
    short,
    softmax,
)
from mtl_model.names import caption
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task

if TYPE_CHECKING:
    from torch import Tensor

YEARS = "years"
INTERVAL = (0.1, 0.9)  # the percentiles between which four faces of five should lie
COVERED = 0.8  # of true ages, by the interval
MOST_WIDENING = 10.0  # on each side, as a share of the interval's width
UNSURE_SHARE = 1 / 6  # of the faces of val, by the width of their interval
LARGEST = 130  # years that a label can have
YEARS_APART = 5.0  # from which two answers about one face count as different

SIGMA_YEARS = 2.0
EXPECTATION_WEIGHT = 0.1
MEAN_WEIGHT, VARIANCE_WEIGHT = 0.2, 0.05


# -- losses: target is float (B, 2), first and last year, equal for a known age ----------------------------------


def soft_years(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """For a known age: the divergence from a normal label around it, plus the error of the expected age; for a range: minus the
    logarithm of the probability inside it.

    Source: DLDL-v2 (Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", 2018, section 3),
    with the weight of the second term taken small because the years are not scaled."""
    log_probability, years, low, high = _over_years(output, target)
    soft = (-((years - low) ** 2) / (2 * SIGMA_YEARS**2)).softmax(1)
    expected = (log_probability.exp() * years).sum(1)
    exact = divergence(log_probability, soft) + EXPECTATION_WEIGHT * (expected - low[:, 0]).abs()
    return masked_mean(exact.where(low[:, 0] == high[:, 0], _outside(log_probability, years, low, high)), known)


def years_cross_entropy(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Minus the logarithm of the probability of the year, or of the range.

    Source: Rothe, Timofte and Van Gool, "Deep Expectation of Real and Apparent Age" (DEX), 2018, section 3.3."""
    return masked_mean(_outside(*_over_years(output, target)), known)


def mean_variance(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """The cross-entropy, and for a known age half the squared error of the expected year and the variance around it, weighted.

    Source: Pan et al., "Mean-Variance Loss for Deep Age Estimation from a Face", 2018, section 3.2, with its weights."""
    log_probability, years, low, high = _over_years(output, target)
    probability = log_probability.exp()
    expected = (probability * years).sum(1)
    variance = (probability * (years - expected[:, None]) ** 2).sum(1)
    more = MEAN_WEIGHT * (expected - low[:, 0]) ** 2 / 2 + VARIANCE_WEIGHT * variance
    values = _outside(log_probability, years, low, high) + more.where(low[:, 0] == high[:, 0], more.new_zeros(()))
    return masked_mean(values, known)


def expected_error(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Regression: how many years the expected year lies from the age, or outside the range. Nothing shapes the
    distribution, so that only its mean says something."""
    log_probability, years, low, high = _over_years(output, target)
    expected = (log_probability.exp() * years).sum(1)
    return masked_mean((low[:, 0] - expected).clamp(min=0) + (expected - high[:, 0]).clamp(min=0), known)


def _over_years(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log probabilities (B, width), the years (width,), first and last year (B, 1) each, clipped to those."""
    last = output.shape[1] - 1
    low, high = target.clamp(0, last).split(1, dim=1)
    return output.float().log_softmax(1), low.new_tensor(range(last + 1)), low, high


def _outside(log_probability: Tensor, years: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(B,), minus the logarithm of the probability of the years from low to high."""
    inside = (years >= low.floor()) & (years <= high.ceil())
    return -log_probability.masked_fill(~inside, float("-inf")).logsumexp(1)


# -- distributions over years --------------------------------------------------------------------------------------


def percentiles(probabilities: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """float (N, S), the years below which the given shares of distributions (N, width) over years from 0 lie, clipped to
    the years there are. The probability of a year is spread evenly over half a year on each side of it."""
    width = probabilities.shape[1]
    edges = np.arange(width + 1) - 0.5
    sums = np.concatenate([np.zeros((len(probabilities), 1)), probabilities.cumsum(1)], 1)
    return np.array([np.interp(shares, row, edges) for row in sums]).reshape(-1, len(shares)).clip(0, width - 1)


def median_years(probabilities: np.ndarray) -> np.ndarray:
    """float (N,), the answer that distributions (N, width) over years give: the median, which makes the expected absolute
    error smallest; the mean is drawn towards the far ages (4.85 years on UTKFace val where the median has 4.77)."""
    return percentiles(probabilities, (0.5,))[:, 0]


def year_interval(probabilities: np.ndarray, margin: float = 0.0, widening: float = 0.0) -> np.ndarray:
    """float (N, 2), the INTERVAL percentiles of distributions (N, width), widened by margin years on each side (narrowed by a
    negative one, but never past the median), then by a share of its width on each side, and clipped to the years there are."""
    low, median, high = percentiles(probabilities, (INTERVAL[0], 0.5, INTERVAL[1])).T
    low, high = np.minimum(low - margin, median), np.maximum(high + margin, median)
    more = widening * (high - low)
    return np.clip(np.stack([low - more, high + more], 1), 0, probabilities.shape[1] - 1)


def conformal_margin(intervals: np.ndarray, labels: np.ndarray) -> float:
    """Years by which the intervals (N, 2) have to be widened (narrowed, if negative) so that they cover COVERED of ages like
    those known, labels (N, 2) with equal ends; 0 where fewer than LEAST_FITTED are known.

    Source: Romano, Patterson and Candes, "Conformalized Quantile Regression", 2019, section 4 (split conformal)."""
    exact = is_exact(labels)
    truth, chosen = labels[exact, 0], intervals[exact]
    if len(truth) < LEAST_FITTED:
        return 0.0
    outside = np.maximum(chosen[:, 0] - truth, truth - chosen[:, 1])
    share = min(1.0, np.ceil((len(truth) + 1) * COVERED) / len(truth))
    return float(np.quantile(outside, share, method="inverted_cdf"))


def least_widening(intervals: np.ndarray, labels: np.ndarray) -> float:
    """The share of their width by which the intervals (N, 2) have to be widened on each side so that they cover COVERED of the
    ages that are known, labels (N, 2) with equal ends; 0 where they do already, or fewer than LEAST_FITTED are known."""
    exact = is_exact(labels)
    truth, chosen = labels[exact, 0], intervals[exact]
    if len(truth) < LEAST_FITTED:
        return 0.0
    outside = np.maximum(chosen[:, 0] - truth, truth - chosen[:, 1]) / np.maximum(chosen[:, 1] - chosen[:, 0], 1e-6)
    return max(0.0, float(np.quantile(outside, COVERED, method="higher")))


def right_range(probabilities: np.ndarray, targets: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """float (N,), whether the range with the largest summed probability is the right one. ranges: (R, 2), those that
    the data set uses; a group by age holds one or two of them, and would make the answer easy."""
    last = probabilities.shape[1] - 1
    sums = np.stack([probabilities[:, int(low) : int(min(high, last)) + 1].sum(1) for low, high in ranges], 1)
    return (ranges[sums.argmax(1)] == targets).all(1).astype(float)


def is_exact(targets: np.ndarray) -> np.ndarray:
    """bool (N,), which ages are known to the year."""
    return targets[:, 0] == targets[:, 1]


def ranges_of(targets: np.ndarray) -> np.ndarray:
    """(R, 2), the different ranges among targets."""
    return np.unique(targets[~is_exact(targets)], axis=0)


def band_of(task: Task, years: float) -> str:
    """The named band of an age, rounded half up to whole years; older than the last belongs to the last."""
    whole = math.floor(years + 0.5)
    return next((name for name, _, last in task.bands if whole <= last), task.bands[-1][0])


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
        self, task: Task, logits: np.ndarray, calibration: Calibration, quality: np.ndarray | None = None
    ) -> np.ndarray:
        return softmax(logits.astype(np.float64) / calibration.temperature)

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

    def for_strangers(self, task: Task, calibration: Calibration, sets: Sequence[LeftOut]) -> YearsCalibration:
        """The widening under which the interval covers COVERED of the ages of each set."""
        own = as_years(calibration)
        intervals = [_interval(left_out.prediction, left_out.calibration) for left_out in sets]
        needed = [least_widening(of, left_out.targets) for of, left_out in zip(intervals, sets, strict=True)]
        widening = min(MOST_WIDENING, math.ceil(100 * max(needed)) / 100)
        wider = (1 + 2 * widening) / (1 + 2 * own.widening)
        return replace(own, widening=widening, threshold=round(own.threshold * wider, 2))

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Calibration) -> Estimate:
        value = round(float(median_years(prediction[None])[0]), 1)
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

    def unsure(self, estimate: Estimate, calibration: Calibration) -> str:
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

    def ages(self, targets: np.ndarray) -> np.ndarray:
        return targets[:, 0]

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Calibration, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Ages known as ranges have no error in years (NaN); those known to the year have no right range."""
        exact = is_exact(targets)
        truth, value, interval = (
            targets[:, 0],
            median_years(prediction),
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

    def alike(self, task: Task, prediction: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
        """By the band, and the width of the interval in years."""
        bands = [band_of(task, float(value)) for value in median_years(prediction)]
        return np.array(bands), np.diff(_interval(prediction, calibration))[:, 0]

    def like(self, estimate: Estimate) -> tuple[str, float]:
        return estimate.group or "", (estimate.high or 0) - (estimate.low or 0)

    def like_text(self, error: float, low: float, high: float) -> tuple[str, str, str]:
        between = f"with an interval of {int(low + 0.5)} to {int(high + 0.5)} years"
        return f"±{error:.1f} years", "Mean error", between

    def curves(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """ "errors": for each ten years of true age its name, the mean error, the mean absolute error, and the number of
        samples."""
        exact = is_exact(targets)
        truth, errors = targets[exact, 0], median_years(prediction[exact]) - targets[exact, 0]
        rows = []
        for decade in np.unique(truth // 10):
            those = errors[truth // 10 == decade]
            first = int(decade) * 10
            rows.append([f"{first}-{first + 9}", short(those.mean()), short(np.abs(those).mean()), len(those)])
        return {"errors": rows}

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


def ends(label: Label) -> tuple[float, float]:
    """First and last year of a label."""
    return (label[0], label[1]) if isinstance(label, tuple) else (float(label), float(label))


def as_years(calibration: Calibration) -> YearsCalibration:
    """The record itself; another kind's, with its temperature and threshold alone."""
    if isinstance(calibration, YearsCalibration):
        return calibration
    return YearsCalibration(calibration.temperature, calibration.threshold)


def _interval(prediction: np.ndarray, calibration: Calibration) -> np.ndarray:
    own = as_years(calibration)
    return year_interval(prediction, own.margin, own.widening)


KIND = Years()
