"""Fitted on val and kept in the card: what each task's kind asks for to say how sure it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from mtl_model import kinds
from mtl_model.kinds import Fitted
from mtl_model.tasks import Task


def fit(
    tasks: tuple[Task, ...],
    outputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    known: Mapping[str, Tensor],
    quality: np.ndarray | None = None,
) -> dict[str, Fitted]:
    """{task: calibration} from logits, targets and masks of val; a task without labels there is left out.

    quality: float (N, Q), what is known of val's faces, as in `cache.Crops`."""
    result = {}
    for task in tasks:
        mask = known[task.name]
        if bool(mask.any()):
            logits, labels = outputs[task.name][mask].numpy(), targets[task.name][mask].numpy()
            seen = None if quality is None else quality[mask.numpy()]
            result[task.name] = kinds.of(task).calibrate(task, logits, labels, seen)
    return result
