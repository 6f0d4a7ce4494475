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
    log_probability = functional.log_softmax(output.float(), dim=1)
    years = torch.arange(output.shape[1], device=output.device, dtype=torch.float32)
    target = target.clamp(0, output.shape[1] - 1)
    low, high = target[:, :1], target[:, 1:]

    soft = torch.softmax(-((years - low) ** 2) / (2 * SIGMA_YEARS**2), dim=1)
    divergence = functional.kl_div(log_probability, soft, reduction="none").sum(1)
    expected = (log_probability.exp() * years).sum(1)
    exact = divergence + EXPECTATION_WEIGHT * (expected - low[:, 0]).abs()

    inside = (years >= low.floor()) & (years <= high.ceil())
    ranged = -torch.logsumexp(log_probability.masked_fill(~inside, float("-inf")), dim=1)
    return masked_mean(torch.where(low[:, 0] == high[:, 0], exact, ranged), known)


def distillation(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """The divergence of the output from a parent's answers, so that what is not taught stays. target: float (B, width),
    probabilities. Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
    log_probability = functional.log_softmax(output.float(), dim=1)
    return masked_mean(functional.kl_div(log_probability, target, reduction="none").sum(1), known)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "soft_years": soft_years}
