"""Named classes in an order, by cumulative logits: one output per step from a class to the next.

Source: Cao, Mirjalili and Raschka, "Rank consistent ordinal regression for neural networks with application to age
estimation" (CORAL), 2020, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mtl_model.kinds._arithmetic import binary_cost, masked_mean
from mtl_model.kinds._metric import SHARE, Metric
from mtl_model.kinds._named import Named
from mtl_model.kinds._parts import Loss
from mtl_model.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

STEPS = "classes"
LEAST_PROBABILITY = 1e-12


def coral(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of each step, summed: is the class beyond it? target: int64 (B,), index of the class."""
    steps = target.new_tensor(range(output.shape[1]))
    beyond = (target[:, None] > steps).to(output.dtype)
    return masked_mean(binary_cost(output.float(), beyond.float()).sum(1), known)


class Ordinal(Named):
    """Named classes in their order. Output k (B, C - 1) is the log odds that the class is beyond class k."""

    least_classes = 3
    losses: ClassVar[Mapping[str, Loss]] = {"coral": coral}
    metrics: ClassVar[Mapping[str, Metric]] = {
        **Named.metrics,
        "rank_error": Metric("Mean distance to the right class", STEPS, "rank_error", lower_is_better=True),
        "within_one": Metric("At most one class off", SHARE, "within_one"),
    }

    def check(self, task: Task) -> None:
        if len(task.classes) < self.least_classes:
            raise ValueError(
                f"The task {task.name} has {len(task.classes)} classes. Expected three at least for an order; give it the kind "
                "binary or classes."
            )

    def width(self, task: Task) -> int:
        return len(task.classes) - 1

    def layer(self, task: Task, features: int) -> nn.Module:
        """Return a layer of one weight vector that all steps share, and a bias per step, so that the steps stay in order."""
        import torch
        from torch import nn

        steps = self.width(task)

        class Thresholds(nn.Module):
            """Features (B, features) -> logits (B, steps)."""

            def __init__(self) -> None:
                super().__init__()
                bound = 1 / math.sqrt(features)
                self.weight = nn.Parameter(torch.empty(1, features).uniform_(-bound, bound))
                even = [math.log((steps - step) / (step + 1)) for step in range(steps)]  # all classes as likely
                self.bias = nn.Parameter(torch.tensor(even))

            def forward(self, inputs: Tensor) -> Tensor:
                return nn.functional.linear(inputs, self.weight) + self.bias

        return Thresholds()

    def log_probability(self, task: Task, logits: np.ndarray) -> np.ndarray:
        """Each class has what is beyond the class before it and not beyond itself. Of steps that are out of order, as an
        untrained network gives them, the later one counts with the smaller probability."""
        beyond = np.minimum.accumulate(1 / (1 + np.exp(-logits.astype(np.float64))), axis=1)
        edges = np.concatenate([np.ones((len(beyond), 1)), beyond, np.zeros((len(beyond), 1))], 1)
        probability = (edges[:, :-1] - edges[:, 1:]).clip(LEAST_PROBABILITY)
        return np.log(probability / probability.sum(1, keepdims=True))

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The divergence of each step from that of a parent's probabilities (B, C), summed.

        Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
        beyond = (1 - target.cumsum(1)[:, :-1]).clamp(0, 1)
        entropy = -(beyond.xlogy(beyond) + (1 - beyond).xlogy(1 - beyond))
        return masked_mean((binary_cost(output.float(), beyond) - entropy).sum(1), known)

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: object, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        distance = np.abs(prediction.argmax(1) - targets).astype(float)
        own = super().rows(task, prediction, targets, calibration, known)
        return {**own, "rank_error": distance, "within_one": (distance <= 1).astype(float)}

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """error: the distance to the right class that the probabilities let expect; of few pictures it does not move in steps."""
        distances = np.abs(np.arange(len(task.classes)) - targets[:, None])
        error = float((prediction * distances).sum(1).mean())
        rows = self.rows(task, prediction, targets, None, targets)
        return {"accuracy": float(rows["right"].mean()), "rank_error": float(rows["rank_error"].mean()), "error": error}


KIND = Ordinal()
