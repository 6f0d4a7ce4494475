"""One of several named classes, by one output per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mtl_model.kinds._arithmetic import Family, categorical, log_softmax, masked_mean
from mtl_model.kinds._named import Calibration, Named
from mtl_model.kinds._parts import Loss
from mtl_model.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

LABEL_SMOOTHING = 0.02  # the sets' own annotators disagree in some per cent of the faces


def cross_entropy(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy with label smoothing. target: int64 (B,), index of the class."""
    log_probability = output.float().log_softmax(1)
    right = -log_probability.gather(1, target[:, None]).squeeze(1)
    return masked_mean((1 - LABEL_SMOOTHING) * right - LABEL_SMOOTHING * log_probability.mean(1), known)


def unsmoothed(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy as it stands in textbooks, whose minimum is 0; with smoothing it is well above."""
    return masked_mean(-output.float().log_softmax(1).gather(1, target[:, None]).squeeze(1), known)


class Classes(Named):
    """Named classes of which exactly one is right."""

    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": cross_entropy, "unsmoothed": unsmoothed}

    def width(self, task: Task) -> int:
        return len(task.classes)

    def family(self, task: Task, targets: np.ndarray) -> Family:
        return categorical(np.eye(len(task.classes))[targets])

    def log_probability(self, task: Task, logits: np.ndarray) -> np.ndarray:
        return log_softmax(logits)

    def snippet(self, task: Task, calibration: Calibration) -> str:
        return f"dict(zip({[*task.classes]}, softmax(output / {calibration.temperature}).round(3).tolist()))"


KIND = Classes()
