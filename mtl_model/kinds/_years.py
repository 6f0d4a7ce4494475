"""Losses over years and what distributions over them say; the arithmetic of the kind `years`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl_model.kinds._arithmetic import conformal_quantile, divergence, masked_mean
from mtl_model.kinds._parts import COVERED, LEAST_FITTED

if TYPE_CHECKING:
    from torch import Tensor

INTERVAL = (0.1, 0.9)  # the percentiles between which four faces of five should lie
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


def expected_square(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Regression: the squared distance of the expected year from the age, or from the range.

    Source: phamdinhkhanh, "Bài 35 - Multitask Learning - Multi Branch" (2020), section 5, the first of three."""
    log_probability, years, low, high = _over_years(output, target)
    expected = (log_probability.exp() * years).sum(1)
    below, above = (low[:, 0] - expected).clamp(min=0), (expected - high[:, 0]).clamp(min=0)
    return masked_mean(below.square() + above.square(), known)


def decomposed_age(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """sum_j p_j (j - p_j y)^2 over the years 1 to 100, as printed. A younger age counts as 1, an older one as 100.

    It is 0 where all probability is on the age, and far from there it pulls towards year 1: a small p_j leaves p_j j^2.
    Source: as `expected_square`, the second ("variance")."""
    probability, years, age, inside = _from_one(output, target)
    return masked_mean(inside.where(inside > 0, (probability * (years - probability * age).square()).sum(1)), known)


def decomposed_log_age(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """sum_j p_j (log j - p_j log y)^2 over the years 1 to 100, as printed.

    Source: as `expected_square`, the third ("MSE cross entropy")."""
    probability, years, age, inside = _from_one(output, target)
    terms = probability * (years.log() - probability * age.log()).square()
    return masked_mean(inside.where(inside > 0, terms.sum(1)), known)


def _from_one(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probabilities (B, 100) of the years 1 to 100, of which the first holds that of 0 too, these years, the age (B, 1), and
    (B,) minus the logarithm of the probability of a range, 0 for an age: the printed losses know no ranges."""
    log_probability, years, low, high = _over_years(output, target)
    probability = log_probability.exp()
    pooled = probability[:, 1:].clone()
    pooled[:, 0] += probability[:, 0]
    is_range = low[:, 0] != high[:, 0]
    outside = _outside(log_probability, years, low, high).where(is_range, low.new_zeros(()))
    return pooled, years[1:], low.clamp(min=1), outside


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
    those known, labels (N, 2) with equal ends; 0 where fewer than LEAST_FITTED are known."""
    exact = is_exact(labels)
    truth, chosen = labels[exact, 0], intervals[exact]
    if len(truth) < LEAST_FITTED:
        return 0.0
    outside = np.maximum(chosen[:, 0] - truth, truth - chosen[:, 1])
    return conformal_quantile(outside, COVERED)


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
