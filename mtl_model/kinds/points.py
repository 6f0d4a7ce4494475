"""Landmarks: points of a face by their names, such as the eyes and the corners of the mouth.

A label is "x1 y1 x2 y2 ..." in px of the upright picture, from its upper left corner, in the order of the task's classes, which
are the points' names. Targets and answers lie in the crop, as shares of its side. Names that differ in left and right alone
are a pair: a mirrored picture swaps them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.errors import DataError
from mtl_model.kinds._arithmetic import masked_mean, percent
from mtl_model.kinds._metric import SHARE, Metric
from mtl_model.kinds._parts import Fitted, Kind, Loss
from mtl_model.names import caption
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task

if TYPE_CHECKING:
    from torch import Tensor

SCALE = 0.1
"""Of the crop's side: an output is how many of these a coordinate lies from the crop's middle, so that outputs are of order 1."""
WING_PX, WING_CURVE_PX, WING_SIDE_PX = 10.0, 2.0, 64.0
EYES = (("left_eye", "right_eye"), ("left_eye_outer", "right_eye_outer"))
"""Pairs between which the distance of the eyes is measured, of which the first that a task has counts."""
FAILED = 0.1  # of the distance between the eyes, from which the points of a face count as missed
APART = 0.1  # of the same distance, from which two answers about one face count as different
MOST_PX = 100_000
SIDE = re.compile(r"(?<![a-z])(left|right)")


# -- losses: output and target are float (B, 2 P), x1, y1, x2, ...; the target in shares of the crop's side ---------------


def mse(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Squared error of a coordinate, in units of SCALE.

    Source: Sun, Wang and Tang, "Deep Convolutional Network Cascade for Facial Point Detection", 2013, section 4."""
    return masked_mean(_errors(output, target).square().mean(1), known)


def mae(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Absolute error of a coordinate, in units of SCALE: L1, see Feng et al., 2018, section 4.1."""
    return masked_mean(_errors(output, target).abs().mean(1), known)


def wing(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Logarithmic for small errors, linear for large ones.

    Source: Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks", 2018, section
    4.2, w = 10 and epsilon = 2 in px of a crop of 64 px."""
    errors = (_errors(output, target) * (SCALE * WING_SIDE_PX)).abs()
    curved = WING_PX * (errors / WING_CURVE_PX).log1p()
    straight = errors - (WING_PX - WING_PX * math.log1p(WING_PX / WING_CURVE_PX))
    return masked_mean(curved.where(errors < WING_PX, straight).mean(1), known)


def _errors(output: Tensor, target: Tensor) -> Tensor:
    return output.float() - (target - 0.5) / SCALE


class Points(Kind):
    """Targets and predictions are float (N, 2 P): x1, y1, x2, y2, ..., in shares of the crop's side, 0 to 1 inside it."""

    shape = "points"
    Calibration = Fitted
    least_classes = 1
    correctable = False  # a place in px is nothing that a person types
    losses: ClassVar[Mapping[str, Loss]] = {"wing": wing, "mse": mse, "mae": mae}
    headlines = ("nme",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "nme": Metric("Mean error, of the distance between the eyes", SHARE, "error", lower_is_better=True),
        "failures10": Metric("Faces with an error over 10 %", SHARE, "failed", lower_is_better=True),
    }

    def check(self, task: Task) -> None:
        alone = sorted({name for name, other in zip(task.classes, _partners(task.classes), strict=True) if other < 0})
        if alone:
            raise ValueError(
                f"The point {alone[0]} of {task.name} has no other side. Expected each left one with its right one, such as "
                "left_eye and right_eye; add the other, or rename it."
            )

    def covers(self, task: Task, other: Task) -> bool:
        """A label names its points by their order alone."""
        return other.classes == task.classes

    def hint(self, task: Task) -> str:
        return " ".join(["12.5 40"] * len(task.classes))

    def summary(self, task: Task) -> str:
        return f"{len(task.classes)} points"

    def parse(self, task: Task, text: str) -> Label:
        wanted = 2 * len(task.classes)
        try:
            numbers = tuple(float(part) for part in text.replace(";", " ").split())
        except ValueError:
            numbers = ()
        if len(numbers) != wanted or not all(abs(number) <= MOST_PX for number in numbers):
            raise DataError(
                f"'{text:.60}' is not a label of {task.name}. Expected {wanted} numbers, x and y in px of the picture for each "
                f"of {', '.join(task.classes)}; correct it, or leave the field blank."
            )
        return numbers

    def write(self, task: Task, label: Label) -> str:
        return _written(_flat(label))

    def label_text(self, task: Task, label: Label) -> str:
        return self.summary(task)

    def contradict(self, task: Task, first: Label, second: Label) -> bool:
        """Never: a copy of another size has its points elsewhere."""
        return False

    def group_of(self, task: Task, label: Label) -> str:
        return self.summary(task)

    def width(self, task: Task) -> int:
        return 2 * len(task.classes)

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """targets: float32 (N, 2 P), in px of the picture until `place` puts them into the crop."""
        known = np.array([label is not None for label in labels], bool)
        targets = np.zeros((len(labels), self.width(task)), np.float32)
        for row, label in zip(targets, labels, strict=True):
            if label is not None:
                row[:] = label
        return targets, known

    def place(self, task: Task, targets: np.ndarray, frames: Callable[[], np.ndarray]) -> np.ndarray:
        return _moved(targets, frames()).astype(np.float32) if len(targets) else targets

    def move(self, task: Task, targets: Tensor, moves: Tensor) -> Tensor:
        """Where the points of a picture are after the augmentation; in a mirrored one left and right change their names."""
        turns, shifts = moves[:, :, :2].to(targets.device), moves[:, None, :, 2].to(targets.device)
        places = (targets.reshape(len(targets), -1, 2) * 2 - 1 - shifts) @ turns.inverse().transpose(1, 2)
        moved = (places + 1) / 2
        swapped = moved[:, list(_partners(task.classes))]
        return swapped.where((turns.det() < 0)[:, None, None], moved).flatten(1)

    def mirror(self, task: Task, logits: Tensor) -> Tensor:
        points = logits.reshape(len(logits), -1, 2)[:, list(_partners(task.classes))]
        return (points * points.new_tensor([-1.0, 1.0])).flatten(1)

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The squared error to the teacher's points."""
        return mse(output, target, known)

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        return np.zeros(len(targets), int)

    def predict(
        self, task: Task, logits: np.ndarray, calibration: Any, quality: np.ndarray | None = None
    ) -> np.ndarray:
        return 0.5 + SCALE * logits.astype(np.float64)

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> Fitted:
        """Nothing: an answer says nothing of how sure it is."""
        return Fitted()

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Any) -> Estimate:
        return _with_points(
            Estimate(
                text=self.summary(task),
                value="",
                sure=bool(((prediction >= 0) & (prediction <= 1)).all()),
                scores={},
                shape=self.shape,
                title=task.title,
            ),
            dict(zip(task.classes, prediction.reshape(-1, 2), strict=True)),
            digits=4,
        )

    def locate(self, estimate: Estimate, to_picture: np.ndarray) -> Estimate:
        places = _moved(np.array([list(estimate.points.values())]), to_picture[None]).reshape(-1, 2)
        return _with_points(estimate, dict(zip(estimate.points, places, strict=True)), digits=1)

    def unsure(self, estimate: Estimate, calibration: Any) -> str:
        return "A point lies outside of the square that was looked at."

    def difference(self, first: Estimate, second: Estimate) -> str:
        """Points differ where they lie on average over APART of the distance between the eyes apart."""
        places = np.array([list(estimate.points.values()) for estimate in (first, second)])
        apart = float(np.linalg.norm(places[0] - places[1], axis=1).mean() / _unit(tuple(first.points), places[:1])[0])
        more = f"{percent(apart)} of the distance between the eyes apart"
        return f"{caption(first.title, more)}; more than {percent(APART)} count as different." if apart > APART else ""

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Any, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        error = self._error(task, prediction, targets)
        return {"error": error, "failed": np.where(np.isfinite(error), error > FAILED, np.nan)}

    def _error(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """float (N,), the mean distance of the points from where they are, of the distance between the eyes; of a task without
        eyes, of the crop's side. NaN where both eyes are in one place."""
        answer, truth = (some.reshape(len(some), -1, 2) for some in (prediction, targets))
        return np.linalg.norm(answer - truth, axis=2).mean(1) / _unit(task.classes, truth)

    def guess(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """The median of each coordinate."""
        return np.median(targets, axis=0)

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        error = float(np.nanmean(self._error(task, prediction, targets)))
        return {"nme": error, "error": error}

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        return "nme", self._error(task, prediction, targets)

    def columns(self, task: Task) -> tuple[str, ...]:
        return (task.name, *(f"{task.name}_{name}_{axis}" for name in task.classes for axis in "xy"))

    def cells(self, estimate: Estimate) -> tuple[object, ...]:
        return (estimate.value, *(number for place in estimate.points.values() for number in place))


def _partners(names: Sequence[str]) -> tuple[int, ...]:
    """The index of each name's other side; its own for a name without a side, -1 where the other side is missing."""
    others = [SIDE.sub(lambda side: "right" if side[0] == "left" else "left", name) for name in names]
    return tuple(list(names).index(other) if other in names else -1 for other in others)


def _unit(names: Sequence[str], places: np.ndarray) -> np.ndarray:
    """float (N,), what the errors of points (N, P, 2) are measured by: the distance between the eyes, or 1 without them."""
    pair = next((pair for pair in EYES if set(pair) <= set(names)), None)
    if pair is None:
        return np.ones(len(places))
    left, right = (places[:, list(names).index(name)] for name in pair)
    between = np.linalg.norm(left - right, axis=1)
    return np.where(between > 0, between, np.nan)


def _moved(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Points (N, 2 P) or (N, P, 2), each sample's taken through its affine map (N, 2, 3); returns (N, 2 P)."""
    pairs = points.reshape(len(points), -1, 2)
    return (pairs @ places[:, :, :2].transpose(0, 2, 1) + places[:, None, :, 2]).reshape(len(points), -1)


def _with_points(estimate: Estimate, places: Mapping[str, np.ndarray], digits: int) -> Estimate:
    points = {name: (round(float(x), digits), round(float(y), digits)) for name, (x, y) in places.items()}
    value = _written([number for place in points.values() for number in place])
    return dataclasses.replace(estimate, points=points, value=value)


def _flat(label: Label) -> Sequence[float]:
    return label if isinstance(label, tuple) else ()


def _written(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)


KIND = Points()
