"""Which epoch is the best: each task's error on val, and one score from errors in different units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from mtl_model import kinds
from mtl_model.data.batches import Labelled
from mtl_model.tasks import Task

LOSS = "loss"
"""By which the best epoch can be chosen in place of a task: the weighted sum of the losses."""


def errors_on(
    tasks: Sequence[Task], predicted: Mapping[str, np.ndarray], data: Labelled
) -> dict[str, dict[str, float]]:
    """{task: {metric: figure}} without intervals: quick, for every epoch. "error" is what the choice is made by."""
    result = {}
    for task in tasks:
        mask = data.known[task.name].numpy()
        if mask.any():
            targets = data.targets[task.name].numpy()[mask]
            result[task.name] = kinds.of(task).epoch_figures(task, predicted[task.name][mask], targets)
    return result


def losses_on(tasks: Sequence[Task], outputs: Mapping[str, Tensor], data: Labelled) -> dict[str, float]:
    """{task: its loss on all labelled pictures}, of logits (N, width) in the order of data."""
    return {
        task.name: float(kinds.of(task).losses[task.loss](outputs[task.name], data.targets[task.name], known))
        for task in tasks
        if bool((known := data.known[task.name]).any())
    }


def score_of(
    figures: Mapping[str, Mapping[str, float]],
    reference: Mapping[str, float],
    select: str,
    weights: Mapping[str, float] | None = None,
) -> float:
    """The rule that chooses the best epoch: by how much each task's error on val has shrunk since the start, as a share
    of it, averaged over the tasks; years and shares of wrong answers so count alike. select names one task alone, or is LOSS:
    the least sum of the tasks' losses, times weights."""
    if select == LOSS and LOSS not in figures:  # no task of that name
        return -sum((weights or {}).get(name, 1.0) * figure[LOSS] for name, figure in figures.items())
    names = [select] if select else list(figures)
    return float(np.mean([1 - figures[name]["error"] / max(reference[name], 1e-9) for name in names]))
