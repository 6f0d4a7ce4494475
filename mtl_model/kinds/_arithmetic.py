"""The arithmetic of kinds: masked means, probabilities, convex families, what is fitted on val.

Tensors are worked on by their own methods, so that nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(4.0), 161))


@dataclass(frozen=True)
class Family:
    """An exponential family with its canonical link: the negative log likelihood is convex in the logits.

    Per output it is partition(logits) - targets * logits, whose derivative is expected(logits) - targets.

    targets: float32 (N, width), what the expected outputs should be. partition: logits (..., width) -> the log partition
    function, (...). expected: its gradient, (..., width). curvature: the largest eigenvalue of its second derivative.
    Source: McCullagh and Nelder, "Generalized Linear Models", 1989, sections 2.2 and 4.
    """

    targets: np.ndarray
    partition: Callable[[np.ndarray], np.ndarray]
    expected: Callable[[np.ndarray], np.ndarray]
    curvature: float

    def cost(self, logits: np.ndarray) -> np.ndarray:
        """Return the negative log likelihood, float (N, ...), of logits (N, ..., width)."""
        middle = (1,) * (logits.ndim - 2)
        targets = self.targets.reshape(len(self.targets), *middle, -1)
        return self.partition(logits) - (targets * logits).sum(-1)


def masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of values (B,) where known (B,) is true; 0, still on the graph, where it is true nowhere."""
    kept = values.where(known, values.new_zeros(()))
    return kept.sum() / known.sum().clamp(min=1)


def divergence(log_probability: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence (B,) of log probabilities (B, width) from target distributions (B, width)."""
    return (target.xlogy(target) - target * log_probability).sum(1)


def binary_cost(logit: Tensor, share: Tensor) -> Tensor:
    """Cross-entropy, of the same shape, of logits with probabilities, without overflow."""
    return logit.clamp(min=0) - logit * share + (-logit.abs()).exp().log1p()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (N, width)."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (N, width), each row summing to 1."""
    return np.exp(log_softmax(logits))


def categorical(chances: np.ndarray) -> Family:
    """Return the regression on distributions, chances (N, width): a softmax over the outputs."""

    def partition(logits: np.ndarray) -> np.ndarray:
        top = logits.max(-1)
        return top + np.log(np.exp(logits - top[..., None]).sum(-1))

    def expected(logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    return Family(chances.astype(np.float32), partition, expected, 0.5)


def bernoulli(chances: np.ndarray) -> Family:
    """Return the regression on probabilities of a yes, chances (N, width): each output by itself."""
    return Family(
        chances.astype(np.float32),
        lambda logits: np.logaddexp(0, logits).sum(-1),
        lambda logits: 1 / (1 + np.exp(-logits.clip(-60, 60))),
        0.25,
    )


def gaussian(values: np.ndarray) -> Family:
    """Return the regression on values (N, width) of deviation 1: least squares."""
    return Family(values.astype(np.float32), lambda logits: (logits**2).sum(-1) / 2, lambda logits: logits, 1.0)


def fit_temperature(logits: np.ndarray, loss: Callable[[np.ndarray], float]) -> float:
    """The temperature under which val's labels are likeliest. loss: mean negative log likelihood of scaled logits.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2. One number over a grid in steps
    of under 2 %: no optimiser that could fail."""
    losses = [loss(logits.astype(np.float64) / float(temperature)) for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def conformal_quantile(scores: np.ndarray, share: float) -> float:
    """Return the score (N,) that the given share of faces like these stay under.

    Source: Romano, Patterson and Candes, "Conformalized Quantile Regression", 2019, section 4 (split conformal)."""
    level = min(1.0, np.ceil((len(scores) + 1) * share) / len(scores))
    return float(np.quantile(scores, level, method="inverted_cdf"))


def short(number: float) -> float:
    return round(float(number), 4)


def percent(share: float) -> str:
    return f"{round(100 * share)} %"
