"""A quantity with its unit, by one output: regression, scaled by mean and deviation of train."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.errors import DataError
from mtl_model.kinds._arithmetic import Family, conformal_quantile, gaussian, masked_mean, short
from mtl_model.kinds._metric import OWN, PLAIN, SHARE, Metric, Rows
from mtl_model.kinds._parts import COVERED, Fitted, Kind, Loss
from mtl_model.names import caption
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task, number_of

if TYPE_CHECKING:
    from torch import Tensor

LEAST_INTERVAL = 10  # labels of val, below which an interval would say more than is known
HALF_NORMAL = 1.2816  # deviations on each side of the mean, between which COVERED of a normal quantity lies
EDGES = (
    -0.84,
    -0.25,
    0.25,
    0.84,
)  # in deviations: fifths of a normal quantity, by which rare ones are drawn more often
AXES = ("", "yaw", "pitch", "roll")
SPOKEN = 100  # steps per deviation to which an answer is rounded


def mean_squared_error(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean squared error. target: float32 (B,), in deviations from the mean of train, as for all losses here."""
    return masked_mean((output[:, 0].float() - target).square(), known)


def mean_absolute_error(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean absolute error, which few gross mistakes among the labels move less."""
    return masked_mean((output[:, 0].float() - target).abs(), known)


def huber(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Half the square up to one deviation, linear beyond.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964, section 1."""
    error = (output[:, 0].float() - target).abs()
    inside = error.clamp(max=1)
    return masked_mean(inside * (error - inside / 2), known)


@dataclass(frozen=True)
class NumberCalibration(Fitted):
    """margin: half the width of the interval, 0 where it is not known. threshold: the widest interval that is called sure. Both
    in the unit of the task."""

    RANGES: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "margin": (0, 1e12, "a number from 0 on"),
        "threshold": (0, 1e12, "a number from 0 on"),
    }
    margin: float = 0.0
    threshold: float = 0.0


def variance_explained(rows: Rows) -> float:
    """Coefficient of determination, R2; NaN where all true values are equal."""
    truth = rows["truth"]
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float((rows["bias"] ** 2).sum()) / spread if spread else float("nan")


class Number(Kind):
    """A prediction is float (N, 1), in deviations from the mean of train."""

    shape = "number"
    least_classes = 0
    losses: ClassVar[Mapping[str, Loss]] = {
        "mean_squared_error": mean_squared_error,
        "mean_absolute_error": mean_absolute_error,
        "huber": huber,
    }
    headlines = ("mean_error",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mean_error": Metric("Mean error", OWN, "error", lower_is_better=True),
        "bias": Metric("Mean of answer minus truth (0 is right)", OWN, "bias"),
        "coverage80_number": Metric("True value inside the interval (meant: 80 %)", SHARE, "covered"),
        "r2": Metric("Variance explained (R²)", PLAIN, variance_explained, whole=True),
    }
    Calibration = NumberCalibration

    def check(self, task: Task) -> None:
        if task.classes or task.bands:
            raise ValueError(f"The task {task.name} has classes. Expected none for a number; leave them away.")
        if task.scale and not (len(task.scale) == 2 and all(map(math.isfinite, task.scale)) and task.scale[1] > 0):
            raise ValueError(
                f"The scale of {task.name} is {list(task.scale)!r:.60}. Expected the mean and a deviation above 0; correct it."
            )
        if task.axis not in AXES:
            raise ValueError(
                f"The axis of {task.name} is {task.axis!r:.60}. Expected {', '.join(AXES[1:])} or none; correct it."
            )

    def hint(self, task: Task) -> str:
        return f"12.5 {task.unit}".rstrip()

    def summary(self, task: Task) -> str:
        return task.unit or "numbers"

    def parse(self, task: Task, text: str) -> Label:
        """Read a number, with or without its unit; a comma may stand for the point ("12,5")."""
        bare = text.casefold().removesuffix(task.unit.casefold()).strip() if task.unit else text
        number = number_of(bare)
        if number is None:
            raise DataError(
                f"'{text}' is not a label of {task.name}. Expected a number such as 12.5, without marks between thousands. "
                "Correct it, or leave the field blank."
            )
        return number

    def write(self, task: Task, label: Label) -> str:
        number = _number(task, label)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)

    def label_text(self, task: Task, label: Label) -> str:
        return f"{self.write(task, label)} {task.unit}".rstrip()

    def group_of(self, task: Task, label: Label) -> str:
        return "labelled"

    def fit(self, task: Task, labels: Sequence[Label], parent: Task | None = None) -> Task:
        """Take mean and deviation of the labels; those of the parent where there is one, since its weights speak in them."""
        if parent is not None and parent.scale:
            return dataclasses.replace(task, scale=parent.scale)
        values = np.array([_number(task, label) for label in labels])
        if not len(values):
            return task
        return dataclasses.replace(task, scale=(float(values.mean()), float(values.std()) or 1.0))

    def width(self, task: Task) -> int:
        return 1

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """targets: float32 (N,), in deviations from the mean of train."""
        known = np.array([label is not None for label in labels], bool)
        mean, deviation = _scale(task)
        values = [mean if label is None else _number(task, label) for label in labels]
        return ((np.array(values, float) - mean) / deviation).astype(np.float32), known

    def place(self, task: Task, targets: np.ndarray, frames: Callable[[], np.ndarray]) -> np.ndarray:
        """Raises DataError for roll in crops that are turned with the face: the answer would be lost with the turn."""
        if task.axis == "roll" and len(targets) and np.nanmax(np.abs(frames()[:, 1, 0])) > 0:
            raise DataError(
                f"{task.title} is an angle to the upright of the picture, and the crops are turned with the face. Expected crops "
                f"as the picture stands; leave --upright or the task {task.name} out."
            )
        return targets

    def move(self, task: Task, targets: Tensor, moves: Tensor) -> Tensor:
        """An angle of the head follows the picture: yaw and roll a mirror, roll a turn too. targets: (B,), or answers (B, 1)."""
        turns = moves[:, :, :2].to(targets.device)
        if task.axis == "yaw":
            mirrored = (turns.det() < 0).reshape(-1, *(1,) * (targets.ndim - 1))
            return self.mirror(task, targets).where(mirrored, targets)
        if task.axis == "roll":
            mean, deviation = _scale(task)
            angle = (targets.reshape(len(targets), 1, 1) * deviation + mean) * (math.pi / 180)
            across, down = (turns.inverse() @ _joined(angle.cos(), angle.sin())).unbind(1)
            moved = (down / across).atan() * (180 / math.pi)  # of the line through the eyes, which has no direction
            return ((moved - mean) / deviation).reshape(targets.shape)
        return targets

    def mirror(self, task: Task, logits: Tensor) -> Tensor:
        if task.axis not in ("yaw", "roll"):
            return logits
        mean, deviation = _scale(task)
        return -logits - 2 * mean / deviation

    def family(self, task: Task, targets: np.ndarray) -> Family:
        return gaussian(targets[:, None])

    def restate(self, task: Task, prediction: np.ndarray, of: Task) -> np.ndarray:
        """In deviations from the mean of this task's train."""
        (mean, deviation), (other_mean, other_deviation) = _scale(task), _scale(of)
        return (prediction * other_deviation + other_mean - mean) / deviation

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The squared distance from a teacher's answer (B, 1)."""
        return mean_squared_error(output, target[:, 0], known)

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """Fifths, as of a normal quantity."""
        return np.digitize(targets, EDGES)

    def predict(
        self, task: Task, logits: np.ndarray, calibration: NumberCalibration, quality: np.ndarray | None = None
    ) -> np.ndarray:
        return logits.astype(np.float64)

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> NumberCalibration:
        """The interval holds COVERED of val's errors. It is called sure while it is narrower than that of the labels of train
        themselves, which could be told without looking."""
        deviation = _scale(task)[1]
        threshold = 2 * HALF_NORMAL * deviation
        if len(targets) < LEAST_INTERVAL:
            return NumberCalibration(threshold=_brief(threshold))
        margin = conformal_quantile(np.abs(logits[:, 0].astype(float) - targets), COVERED) * deviation
        return NumberCalibration(_brief(margin), _brief(threshold))

    def estimate(self, task: Task, prediction: np.ndarray, calibration: NumberCalibration) -> Estimate:
        mean, deviation = _scale(task)
        decimals = max(0, math.ceil(math.log10(SPOKEN / deviation)))
        value = round(mean + deviation * float(prediction[0]), decimals)
        margin = calibration.margin
        return Estimate(
            text=f"{value:.{max(0, decimals - 1)}f} {task.unit}".rstrip(),
            value=value,
            sure=0 < 2 * margin <= calibration.threshold,
            scores={},
            low=round(value - margin, decimals) if margin else None,
            high=round(value + margin, decimals) if margin else None,
            unit=task.unit,
            shape=self.shape,
            title=task.title,
        )

    def pool(
        self, task: Task, estimates: Sequence[Estimate], weights: np.ndarray, calibration: NumberCalibration
    ) -> Estimate:
        """Return the mean; how far it may be off stays that of one picture, since what is wrong in one is wrong in the others."""
        mean, deviation = _scale(task)
        values = np.array([float(estimate.value) for estimate in estimates])
        return self.estimate(task, np.array([(weights @ values / weights.sum() - mean) / deviation]), calibration)

    def between(
        self, task: Task, first: Estimate, second: Estimate, share: float, calibration: NumberCalibration
    ) -> Estimate:
        return self.pool(task, [first, second], np.array([1 - share, share]), calibration)

    def unsure(self, estimate: Estimate, calibration: NumberCalibration) -> str:
        if not calibration.margin:
            return "How far it may be off is not known: there were too few pictures to measure it."
        return "The interval is as wide as that of all pictures that it learned from."

    def detail(self, estimate: Estimate) -> str:
        return "" if estimate.low is None else f"{estimate.low:g} to {estimate.high:g}"

    def difference(self, first: Estimate, second: Estimate) -> str:
        """Answers differ where neither lies in the interval of the other."""
        if _inside(first, second) or _inside(second, first):
            return ""
        apart = f"{abs(float(first.value) - float(second.value)):g} {first.unit}".rstrip()
        return f"{caption(first.title, f'{apart} apart')}; neither lies in the interval of the other."

    def rows(
        self,
        task: Task,
        prediction: np.ndarray,
        targets: np.ndarray,
        calibration: NumberCalibration,
        known: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """In the unit of the task; without an interval nothing is said of its coverage (NaN)."""
        mean, deviation = _scale(task)
        bias = deviation * (prediction[:, 0] - targets)
        error = np.abs(bias)
        covered = error <= calibration.margin if calibration.margin else np.full(len(error), np.nan)
        return {
            "truth": mean + deviation * targets.astype(float),
            "error": error,
            "bias": bias,
            "covered": covered.astype(float),
        }

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        error = float(self.rows(task, prediction, targets, NumberCalibration(), targets)["error"].mean())
        return {"mean_error": error, "error": error}

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        return "mean_error", self.rows(task, prediction, targets, NumberCalibration(), targets)["error"]

    def guess(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """The median, whose mean error is the least."""
        return np.array([np.median(targets)])

    def curves(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """ "errors": for each fifth of the true values its range, the mean error, the mean absolute error, and the number of
        samples."""
        rows = self.rows(task, prediction, targets, NumberCalibration(), targets)
        order = np.argsort(rows["truth"], kind="stable")
        fifths = [
            [
                f"{rows['truth'][part[0]]:.4g} to {rows['truth'][part[-1]]:.4g}",
                short(rows["bias"][part].mean()),
                short(rows["error"][part].mean()),
                len(part),
            ]
            for part in np.array_split(order, min(5, len(order)))
        ]
        return {"errors": fifths}

    def axes(self, task: Task) -> tuple[str, str]:
        return f"true {task.title.lower()}", task.unit

    def columns(self, task: Task) -> tuple[str, ...]:
        return (task.name, f"{task.name}_low", f"{task.name}_high")

    def cells(self, estimate: Estimate) -> tuple[object, ...]:
        low, high = ("" if edge is None else edge for edge in (estimate.low, estimate.high))
        return (estimate.value, low, high)

    def heads(self, task: Task) -> tuple[str, ...]:
        return (task.title, "From", "To")

    def table_cells(self, estimate: Estimate) -> tuple[tuple[str, float | str], ...]:
        return tuple(("", "") if edge is None else (f"{edge:g}", edge) for edge in (estimate.low, estimate.high))


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """(B, 1, 1) and (B, 1, 1) -> (B, 2, 1), without importing torch."""
    return first * first.new_tensor([[1.0], [0.0]]) + second * second.new_tensor([[0.0], [1.0]])


def _scale(task: Task) -> tuple[float, float]:
    """Mean and deviation of train; those of numbers as they are before the task is fitted."""
    mean, deviation = task.scale or (0.0, 1.0)
    return mean, deviation


def _number(task: Task, label: Label) -> float:
    if isinstance(label, float | int):
        return float(label)
    raise DataError(f"'{label}' is not a label of {task.name}. Expected a number such as 12.5; correct it.")


def _inside(estimate: Estimate, other: Estimate) -> bool:
    """Whether the value lies in the interval of the other; without one only an equal value does."""
    low = other.value if other.low is None else other.low
    high = other.value if other.high is None else other.high
    return float(low) <= float(estimate.value) <= float(high)


def _brief(number: float) -> float:
    """Four significant digits."""
    return float(f"{number:.4g}")


KIND = Number()
