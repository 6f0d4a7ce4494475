"""What each branch is taught by. LOSSES: name -> f(output, target, known) -> scalar.

output: float (B, width), logits. target: as outputs.OUTPUTS encodes it; rows that are not known hold any finite value.
known: bool (B,), which samples carry the label. The result is the mean over those; with none it is a zero that still
hangs on the graph, so that every branch has a gradient (of exactly zero).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LABEL_SMOOTHING = 0.02  # the sets' own annotators disagree in some per cent of the faces
SIGMA_YEARS = 2.0
EXPECTATION_WEIGHT = 0.1
MEAN_WEIGHT, VARIANCE_WEIGHT = 0.2, 0.05


def masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of values (B,) where known (B,) is true; 0, still on the graph, where it is true nowhere."""
    kept = torch.where(known, values, torch.zeros_like(values))
    return kept.sum() / known.sum().clamp(min=1)


def cross_entropy(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy with label smoothing. target: int64 (B,), index of the class."""
    values = functional.cross_entropy(output.float(), target, reduction="none", label_smoothing=LABEL_SMOOTHING)
    return masked_mean(values, known)


def soft_years(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """For a known age: the divergence from a normal label around it, plus the error of the expected age; for a range:
    minus the logarithm of the probability inside it.

    target: float (B, 2), first and last year, equal for a known age. Source: DLDL-v2 (Gao et al., "Age Estimation
    Using Expectation of Label Distribution Learning", 2018, section 3), with the weight of the second term
    taken small because the years are not scaled.
    """
    log_probability, years, low, high = _years(output, target)
    soft = torch.softmax(-((years - low) ** 2) / (2 * SIGMA_YEARS**2), dim=1)
    divergence = functional.kl_div(log_probability, soft, reduction="none").sum(1)
    expected = (log_probability.exp() * years).sum(1)
    exact = divergence + EXPECTATION_WEIGHT * (expected - low[:, 0]).abs()
    return masked_mean(torch.where(low[:, 0] == high[:, 0], exact, _outside(log_probability, years, low, high)), known)


def years_cross_entropy(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Minus the logarithm of the probability of the year, or of the range. target: as soft_years takes it.

    Source: Rothe, Timofte and Van Gool, "Deep Expectation of Real and Apparent Age" (DEX), 2018, section 3.3."""
    return masked_mean(_outside(*_years(output, target)), known)


def mean_variance(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """The cross-entropy, and for a known age half the squared error of the expected year and the variance around it,
    weighted. target: as soft_years takes it.

    Source: Pan et al., "Mean-Variance Loss for Deep Age Estimation from a Face", 2018, section 3.2, with its weights."""
    log_probability, years, low, high = _years(output, target)
    probability = log_probability.exp()
    expected = (probability * years).sum(1)
    variance = (probability * (years - expected[:, None]) ** 2).sum(1)
    more = MEAN_WEIGHT * (expected - low[:, 0]) ** 2 / 2 + VARIANCE_WEIGHT * variance
    values = _outside(log_probability, years, low, high) + torch.where(low[:, 0] == high[:, 0], more, 0.0)
    return masked_mean(values, known)


def expected_error(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Regression: how many years the expected year lies from the age, or outside the range. target: as soft_years takes it.
    Nothing shapes the distribution, so that only its mean says something."""
    log_probability, years, low, high = _years(output, target)
    expected = (log_probability.exp() * years).sum(1)
    return masked_mean((low[:, 0] - expected).clamp(min=0) + (expected - high[:, 0]).clamp(min=0), known)


def _years(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log probabilities (B, width), the years (width,), first and last year (B, 1) each, clipped to those."""
    years = torch.arange(output.shape[1], device=output.device, dtype=torch.float32)
    low, high = target.clamp(0, output.shape[1] - 1).split(1, dim=1)
    return functional.log_softmax(output.float(), dim=1), years, low, high


def _outside(log_probability: Tensor, years: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(B,), minus the logarithm of the probability of the years from low to high."""
    inside = (years >= low.floor()) & (years <= high.ceil())
    return -torch.logsumexp(log_probability.masked_fill(~inside, float("-inf")), dim=1)


def distillation(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """The divergence of the output from a parent's answers, so that what is not taught stays. target: float (B, width),
    probabilities. Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
    log_probability = functional.log_softmax(output.float(), dim=1)
    return masked_mean(functional.kl_div(log_probability, target, reduction="none").sum(1), known)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "soft_years": soft_years,
    "years_cross_entropy": years_cross_entropy,
    "mean_variance": mean_variance,
    "expected_error": expected_error,
}
LOSSES_OF = {
    "classes": ("cross_entropy",),
    "years": ("soft_years", "years_cross_entropy", "mean_variance", "expected_error"),
}
"""{kind of a task: the losses that take its targets}"""
