"""What a figure of an evaluation is, and how answers are parted by how certain they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mtl_model.tasks import Task

SHARE, POINTS, PLAIN, OWN = "share", "points", "plain", "own"
"""Units of metrics: a share from 0 to 1, shown in per cent; a difference of shares; a number without a unit; the unit of
the task itself. Any other is a word."""
Rows = Mapping[str, np.ndarray]
"""What metrics look at: arrays of one length, one row per labelled sample; NaN where a row says nothing."""


@dataclass(frozen=True)
class Metric:
    """One figure of an evaluation.

    title: as people read it. unit: SHARE, POINTS, PLAIN, OWN or a word such as "years". of: the row whose mean it is, or a
    function of all rows. lower_is_better: the direction. part: bool (N,) from the rows, those that count; by default
    all that are finite. whole: measured on a whole split only, not in each group of it. biased: upwards, so that its
    bootstrap interval is mirrored."""

    title: str
    unit: str
    of: str | Callable[[Rows], float]
    lower_is_better: bool = False
    part: Callable[[Rows], np.ndarray] | None = None
    whole: bool = False
    biased: bool = False

    def unit_for(self, task: Task | None) -> str:
        """Return the unit as it stands for a task; "" for the unit of a task that is not known."""
        return self.unit if self.unit != OWN else task.unit if task else ""

    def rows(self, rows: Rows) -> dict[str, np.ndarray]:
        """Return the rows that count."""
        chosen = self.part(rows) if self.part else np.ones(len(next(iter(rows.values()))), bool)
        if isinstance(self.of, str):
            chosen = chosen & np.isfinite(rows[self.of])
        return {name: values[chosen] for name, values in rows.items()}


@dataclass(frozen=True)
class Steps:
    """How certain answers are parted into bins of like ones: edges of the finest bins, each holding its lower one, and
    the widest bin that is still of like faces. are_chances: whether they are probabilities, which the share of wrong
    answers must not contradict."""

    edges: tuple[float, ...]
    widest: float
    are_chances: bool = False
