"""Yes or no by one output: the log odds of the second class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mtl_model.kinds._arithmetic import Family, bernoulli, binary_cost, masked_mean
from mtl_model.kinds._named import Calibration, Named
from mtl_model.kinds._parts import Loss
from mtl_model.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


def binary_cross_entropy(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of one logit. target: int64 (B,), 1 for the second class."""
    return masked_mean(binary_cost(output[:, 0].float(), target), known)


class Binary(Named):
    """Two named classes, decoded to both names; the second is the one that the output speaks for."""

    losses: ClassVar[Mapping[str, Loss]] = {"binary_cross_entropy": binary_cross_entropy}

    def check(self, task: Task) -> None:
        if len(task.classes) != 2:
            raise ValueError(
                f"The task {task.name} has {len(task.classes)} classes. Expected two for one output; give it the kind classes."
            )

    def width(self, task: Task) -> int:
        return 1

    def family(self, task: Task, targets: np.ndarray) -> Family:
        return bernoulli(targets[:, None])

    def log_probability(self, task: Task, logits: np.ndarray) -> np.ndarray:
        return -np.logaddexp(0, np.concatenate([logits, -logits], 1))

    def snippet(self, task: Task, calibration: Calibration) -> str:
        return f"{{{task.classes[1]!r}: round(float(1 / (1 + np.exp(-output[0] / {calibration.temperature}))), 3)}}"

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The divergence from a parent's probabilities (B, 2).

        Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
        entropy = -target.xlogy(target).sum(1)
        return masked_mean(binary_cost(output[:, 0].float(), target[:, 1]) - entropy, known)


KIND = Binary()
