"""What a branch's numbers mean. OUTPUTS: kind of a task -> width, encode, estimate; and from logits to distributions."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mtl_model.card import Card, TaskCalibration
from mtl_model.errors import CheckpointError
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task

INTERVAL = (0.1, 0.9)  # the percentiles between which four faces of five should lie


class Output(Protocol):
    def width(self, task: Task) -> int:
        """Numbers that the branch gives a sample."""
        ...

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """Targets as the task's loss takes them, and known, bool (N,): which labels are there."""
        ...

    def estimate(self, task: Task, probabilities: np.ndarray, calibration: TaskCalibration) -> Estimate:
        """One face's answer from its calibrated distribution, float (width,), summing to 1."""
        ...


class ClassOutput:
    """One probability a class."""

    def width(self, task: Task) -> int:
        return len(task.classes)

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """int64 (N,), the index of the class."""
        known = np.array([label is not None for label in labels], bool)
        index = {name: number for number, name in enumerate(task.classes)}
        targets = np.array([0 if label is None else index[str(label)] for label in labels], np.int64)
        return targets, known

    def estimate(self, task: Task, probabilities: np.ndarray, calibration: TaskCalibration) -> Estimate:
        top = int(probabilities.argmax())
        confidence = float(probabilities[top])
        return Estimate(
            title=task.title,
            text=task.classes[top],
            value=task.classes[top],
            sure=confidence >= calibration.threshold,
            scores={name: round(float(p), 6) for name, p in zip(task.classes, probabilities, strict=True)},
            confidence=round(confidence, 4),
        )


class YearOutput:
    """One probability a year of age."""

    def width(self, task: Task) -> int:
        return len(task.classes)

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """float32 (N, 2), first and last year; equal for an age that is known to the year."""
        known = np.array([label is not None for label in labels], bool)
        targets = np.zeros((len(labels), 2), np.float32)
        for row, label in zip(targets, labels, strict=True):
            if label is not None:
                row[:] = label  # a number fills both, a range gives one each
        return targets, known

    def estimate(self, task: Task, probabilities: np.ndarray, calibration: TaskCalibration) -> Estimate:
        value = round(float(median_years(probabilities[None])[0]), 1)
        low, high = (round(float(edge), 1) for edge in year_interval(probabilities[None], calibration.margin)[0])
        whole = math.floor(value + 0.5)
        return Estimate(
            title=task.title,
            text=f"{whole} year" if whole == 1 else f"{whole} years",
            value=value,
            sure=high - low <= calibration.threshold,
            scores={name: round(float(p), 6) for name, p in zip(task.classes, probabilities, strict=True)},
            low=min(low, value),
            high=max(high, value),
            group=band_of(task, value),
        )


OUTPUTS: dict[str, Output] = {"classes": ClassOutput(), "years": YearOutput()}


def band_of(task: Task, years: float) -> str:
    """The named band of an age, rounded half up to whole years; older than the last belongs to the last."""
    whole = math.floor(years + 0.5)
    for name, _, last in task.bands:
        if whole <= last:
            return name
    return task.bands[-1][0]


def class_of(task: Task, label: Label) -> str:
    """What a label is counted and grouped under: its class, the band of its years, or, for an age known as a range, that range
    ("20-29", "70+"), since it may reach over several bands."""
    if isinstance(label, tuple):
        low, high = label
        return f"{low:g}+" if high >= len(task.classes) - 1 else f"{low:g}-{high:g}"
    return label if isinstance(label, str) else band_of(task, label)


def percentiles(probabilities: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """float (N, S), the years below which the given shares of distributions (N, width) over years from 0 lie, clipped to
    the years there are. The probability of a year is spread evenly over half a year on each side of it."""
    width = probabilities.shape[1]
    edges = np.arange(width + 1) - 0.5
    sums = np.concatenate([np.zeros((len(probabilities), 1)), probabilities.cumsum(1)], 1)
    return np.array([np.interp(shares, one, edges) for one in sums]).reshape(-1, len(shares)).clip(0, width - 1)


def median_years(probabilities: np.ndarray) -> np.ndarray:
    """float (N,), the answer that distributions (N, width) over years give: the median, which makes the expected absolute
    error smallest; the mean is drawn towards the far ages (4.85 years on UTKFace val where the median has 4.77)."""
    return percentiles(probabilities, (0.5,))[:, 0]


def year_interval(probabilities: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """float (N, 2), the INTERVAL percentiles of distributions (N, width), widened by margin years on each side
    (narrowed by a negative one, but never past the median) and clipped to the years there are."""
    low, median, high = percentiles(probabilities, (INTERVAL[0], 0.5, INTERVAL[1])).T
    result = np.stack([np.minimum(low - margin, median), np.maximum(high + margin, median)], 1)
    return np.clip(result, 0, probabilities.shape[1] - 1)


def widths(tasks: Sequence[Task]) -> dict[str, int]:
    return {task.name: OUTPUTS[task.kind].width(task) for task in tasks}


class Pointwise(nn.Module):
    """A convolution of 1 x 1 as the matrix product that it is. On a CPU a convolution lays its weights out anew in every call,
    which for one face takes longer than the sums."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(convolution.weight.detach().flatten(1)), convolution.bias

    def forward(self, images: Tensor) -> Tensor:
        return functional.linear(images.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def _is_product(one: nn.Conv2d) -> bool:
    return one.kernel_size == one.stride == (1, 1) and one.padding == (0, 0) and one.groups == 1


def folded(network: nn.Module) -> nn.Module:
    """The same network for answering alone: each batch norm folded into the convolution before it, channels last, what
    is a matrix product done as one; equal to rounding, and on a CPU quicker by a sixth."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            first, second = module[index], module[index + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                first = module[index] = fuse_conv_bn_eval(first, second)
                module[index + 1] = nn.Identity()
            if isinstance(first, nn.Conv2d) and _is_product(first):
                module[index] = Pointwise(first)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


@torch.inference_mode()
def logits(network: nn.Module, images: Tensor, flip_averaging: bool) -> dict[str, Tensor]:
    """{task: float32 (N, width)} for images (N, C, S, S); with flip averaging the mean over each and its mirror image.

    The one function by which both the predictor and the evaluation ask a network."""
    count = len(images)
    outputs = network(torch.cat([images, images.flip(-1)]) if flip_averaging else images)
    if flip_averaging:
        outputs = {task: (output[:count] + output[count:]) / 2 for task, output in outputs.items()}
    return {task: output.float() for task, output in outputs.items()}


def distributions(outputs: Mapping[str, Tensor], card: Card) -> dict[str, np.ndarray]:
    """{task: float64 (N, width)} calibrated by the card, each row summing to 1.

    Raises: CheckpointError where a network's answers are not finite."""
    result = {}
    for task in card.tasks:
        scaled = outputs[task.name].double() / card.calibration_of(task.name).temperature
        if not bool(torch.isfinite(scaled).all()):
            raise CheckpointError(
                f"The network's answers for {task.name} are not numbers (NaN or infinite), as after a training that went wrong. "
                "Expected numbers; choose another checkpoint."
            )
        result[task.name] = torch.softmax(scaled, dim=1).cpu().numpy()
    return result
