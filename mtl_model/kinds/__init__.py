"""Kinds of tasks, one file per kind: all that a kind is, from reading a label to showing an answer.

Nothing outside this folder asks for a kind by its name. A Task names its kind; `of` gives it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

from mtl_model import registry
from mtl_model.errors import CheckpointError, UsageError, unknown
from mtl_model.kinds._arithmetic import Family
from mtl_model.kinds._metric import OWN, PLAIN, POINTS, SHARE, Metric, Rows, Steps
from mtl_model.kinds._parts import LEAST, LEAST_FITTED, RARE, Calibration, Fitted, Kind, LeftOut, Part, Reliability
from mtl_model.records import Sample
from mtl_model.tasks import Label, Task

__all__ = [
    "LEAST",
    "LEAST_FITTED",
    "OWN",
    "PLAIN",
    "POINTS",
    "RARE",
    "SHARE",
    "Calibration",
    "Family",
    "Fitted",
    "Kind",
    "LeftOut",
    "Metric",
    "Part",
    "Reliability",
    "Rows",
    "Steps",
]

FOLDER = "kinds"
FORMAT_1 = ("temperature", "threshold", "margin")


class KindModule(Protocol):
    """What a file of this folder offers."""

    KIND: Kind


@functools.cache
def named(name: str) -> Kind:
    """Return the kind of that name. Raises UsageError with the near match for one that is not there."""
    return registry.load(FOLDER, name).KIND


def of(task: Task) -> Kind:
    """Return the kind of a task."""
    return named(task.kind)


def names() -> list[str]:
    return registry.names(FOLDER)


def parse_label(task: Task, text: str) -> Label | None:
    """Read one label as people write it; "" is no label. Raises DataError for one that the task does not know."""
    seen = text.strip()
    return of(task).parse(task, seen) if seen else None


def may_mirror(tasks: Iterable[Task]) -> bool:
    """Return whether a picture that all these tasks are learned from, or asked about, may be mirrored."""
    return all(task.mirror and of(task).mirrors for task in tasks)


def shown(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """Return the tasks that are answered about a face; the others are trained and evaluated only."""
    return tuple(task for task in tasks if task.shown and of(task).shown)


def answers_alike(task: Task, other: Task) -> bool:
    """Return whether both are answered in the same way: by one kind and in one unit, or both by named classes."""
    units = {task.unit, other.unit} - {""}
    alike = task.kind == other.kind or bool(of(task).choices(task) and of(other).choices(other))
    return alike and len(units) < 2


def covers(task: Task, other: Task) -> bool:
    """Return whether every label of `other` is a label of `task`, so that one branch serves both."""
    return answers_alike(task, other) and of(task).covers(task, other)


def fit(task: Task, samples: Iterable[Sample], parents: Sequence[Task] = ()) -> Task:
    """Return a task fitted on the samples of train.

    parents: the tasks of the checkpoints whose weights or answers are taken. Raises UsageError where these speak of a quantity
    in scales that differ."""
    same = [other for other in parents if (other.name, other.kind) == (task.name, task.kind)]
    if len({other.scale for other in same}) > 1:
        raise UsageError(
            f"The checkpoints to start from and to learn from know {task.name} on different scales. Expected one scale, as a "
            "checkpoint and what was taught from it have; name one of them alone."
        )
    labels = [sample.labels[task.name] for sample in samples if task.name in sample.labels]
    return of(task).fit(task, labels, next(iter(same), None))


def check_task(task: Task) -> None:
    """Raise CheckpointError for a task whose kind or loss is not known here, ValueError for one that lacks what its
    kind needs."""
    if task.kind not in names():
        raise CheckpointError(unknown(f"kind of task {task.name}", task.kind, names()))
    if task.loss not in of(task).losses:
        raise CheckpointError(unknown(f"loss of task {task.name}", task.loss, of(task).losses))
    try:
        of(task).check(task)
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def calibration_from(task: Task, plain: Mapping[str, Any]) -> Fitted:
    """Return what a card holds of a task as its kind's own record. Cards of format 1 kept the numbers of years for every kind.

    Raises TypeError for what is no field of the record; ranges of values are for `card_values.check`."""
    fields = {field.name for field in dataclasses.fields(of(task).Calibration)}
    own = {name: value for name, value in plain.items() if name in fields or name not in FORMAT_1}
    return of(task).Calibration(**own)


def headline(measured: Container[str]) -> str:
    """Return the metric that stands for a task among those that were measured; "" if there is none.

    No metric of one kind is a headline of another, so that the order of the kinds decides nothing; a contract test holds it."""
    names_in_order = dict.fromkeys(name for kind in reversed(names()) for name in named(kind).headlines)
    return next((name for name in names_in_order if name in measured), "")


def all_metrics() -> dict[str, Metric]:
    """Return every metric of every kind by name; kinds that share a name share the metric."""
    return {name: metric for kind in names() for name, metric in named(kind).metrics.items()}
