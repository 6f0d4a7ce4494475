"""Rank labels that look wrong, by answers of fits that did not know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtl_model import kinds
from mtl_model.tasks import Label, Task

MOST = 100


def suspicion(chances: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much each label looks wrong, and what looks right in its place.

    Args:
        chances: float (N, C), out-of-fold probabilities.
        targets: int (N,), the labels.

    Returns float (N,), the probability of the likeliest other class less that of the label, and int (N,), that class. Each
    probability is relative to the mean with which a class is given to its own pictures, so that a class that is hard for all is
    not suspected. A value above 0 says that another class is the likelier one.
    Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021, sections 3.1 and 4.
    """
    rows = np.arange(len(targets))
    present = np.bincount(targets, minlength=chances.shape[1]) > 0
    own = np.array([chances[targets == one, one].mean() if there else 1.0 for one, there in enumerate(present)])
    relative = np.where(present, chances / own.clip(1e-6), -np.inf)
    label = relative[rows, targets].copy()
    relative[rows, targets] = -np.inf
    other = relative.argmax(1)
    return relative[rows, other] - label, other


def suspects_of(task: Task, chances: np.ndarray, labels: Sequence[Label], files: Sequence[str]) -> list[dict[str, Any]]:
    """Return the labels that look wrong, at most MOST, the most suspicious first; [] for a kind without named classes.

    chances, labels, files: of the labelled pictures, out of fold.
    Each is {"file", "task", "label", "likelier", "suspicion"}."""
    classes = kinds.of(task).choices(task)
    if not classes:
        return []
    values, others = suspicion(chances, np.array([classes.index(str(label)) for label in labels]))
    return [
        {
            "file": files[row],
            "task": task.name,
            "label": str(labels[row]),
            "likelier": classes[others[row]],
            "suspicion": round(float(values[row]), 4),
        }
        for row in np.argsort(-values, kind="stable")[:MOST].tolist()
        if values[row] > 0
    ]
