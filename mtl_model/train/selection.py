"""Which epoch is the best: each task's error on val, and one score from errors in different units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtl_model import kinds
from mtl_model.data.batches import Labelled
from mtl_model.tasks import Task


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


def score_of(figures: Mapping[str, Mapping[str, float]], reference: Mapping[str, float], select: str) -> float:
    """The rule that chooses the best epoch: by how much each task's error on val has shrunk since the start, as a share
    of it, averaged over the tasks; years and shares of wrong answers so count alike. select names one task alone."""
    names = [select] if select else list(figures)
    return float(np.mean([1 - figures[name]["error"] / max(reference[name], 1e-9) for name in names]))
