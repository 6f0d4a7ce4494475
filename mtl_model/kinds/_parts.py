"""What all kinds of tasks share: the base class with its defaults.

A kind uses the methods of tensors and imports torch in `layer` alone, so that labels are parsed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.kinds._arithmetic import Family, divergence, masked_mean
from mtl_model.kinds._metric import Metric, Steps
from mtl_model.names import isolated
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

SHAPES = ("bars", "curve", "number", "points", "text")
"""How an Estimate is shown."""
LEAST_FITTED = 100  # labels of val, below which a temperature or a margin would be noise
RARE, LEAST = 10, 2  # training pictures of a group: fewer say little; fewer cannot be learned at all
COVERED = 0.8  # of true values, by an interval

Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""f(output, target, known) -> scalar. output: float (B, width). target: as `Kind.encode` gives it; rows that are not
known hold any finite value. known: bool (B,). The mean over the known rows; with none a zero that still hangs on the graph."""


@dataclass(frozen=True)
class Fitted:
    """What a kind fits on val and the card keeps; each kind has a record of its own."""

    RANGES: ClassVar[Mapping[str, tuple[float, float, str]]] = {}
    """Field -> least, most, and what is expected in words."""


@dataclass(frozen=True)
class Calibration(Fitted):
    """Fitted on val: temperature divides the logits, threshold says from where an estimate is called sure (`Kind.unsure`).

    doubt: the share of every answer that is spread evenly over named classes (`Kind.cautious`)."""

    RANGES: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "temperature": (0.01, 100, "a number from 0.01 to 100"),
        "threshold": (0, 1, "a probability"),
        "doubt": (0, 1, "a share"),
    }
    temperature: float = 1.0
    threshold: float = 0.75
    doubt: float = field(default=0.0, kw_only=True)


@dataclass(frozen=True)
class Reliability:
    """Of n answers `sure` were called sure; their mean probability is `said`, and the share `right` of them was right."""

    sure: int
    n: int
    said: float
    right: float


@dataclass(frozen=True)
class LeftOut:
    """What a network answers of a data set that it never saw: prediction (N, ...) by its own calibration, of the kind's own
    class, and the targets."""

    prediction: np.ndarray
    targets: np.ndarray
    calibration: Any


@dataclass(frozen=True)
class Part:
    """One of the tasks that a label is taken apart into. read: text of the whole label -> that of the part; "" without one."""

    task: Task
    read: Callable[[str], str]


class Kind:
    """All that a kind of task is. Methods that a kind does not need have a default here.

    logits: float (N, width), the branch's outputs. prediction: what `predict` makes of them, one row per sample.
    targets: as `encode` gives them, for labelled samples only. calibration: of the kind's own class, `Calibration`.
    quality: float (N, Q), what is known of each face besides, a column for each field of `records.Quality`, NaN where it is not
    known; None where nothing is.
    """

    shape: ClassVar[str]
    losses: ClassVar[Mapping[str, Loss]]
    """By name, the usual one first."""
    metrics: ClassVar[Mapping[str, Metric]]
    headlines: ClassVar[tuple[str, ...]]
    """Metrics, of which the first that was measured stands for the task."""
    steps: ClassVar[Steps | None] = None
    """By which the error for faces like one is told; None where it is not."""
    shown: ClassVar[bool] = True
    """False: trained and evaluated, and never answered by `predict`."""
    mirrors: ClassVar[bool] = True
    """False: a mirrored picture says something else, or nothing. No task of such a picture sees it mirrored."""
    correctable: ClassVar[bool] = True
    """Whether a person can say in the form on a face's card what is right."""
    Calibration: ClassVar[type[Any]] = Calibration
    """The record that `calibrate` returns, a Fitted; without arguments, what holds before it was fitted."""
    least_classes: ClassVar[int] = 2
    """Classes that a task needs at least."""

    # -- data become a task --

    def check(self, task: Task) -> None:
        """Raise ValueError for a task that lacks what this kind needs."""

    def covers(self, task: Task, other: Task) -> bool:
        """Return whether every label of another task that is answered alike is a label of this one."""
        return set(other.classes) <= set(task.classes)

    def complete(self, task: Task, words: Sequence[str]) -> Task:
        """Return a task that an option declared for a column, with what the words of the column say of it."""
        return task

    def parts(self, task: Task, absent: bool) -> tuple[Part, ...]:
        """Return the tasks that a label can be taken apart into, such as the symbols of a text; () for a label that is one.

        absent: whether a part that a label lacks is a class of its own; else it is not labelled."""
        return ()

    def choices(self, task: Task) -> tuple[str, ...]:
        """Return the labels a person can choose from; () where a label is written as text."""
        return ()

    def hint(self, task: Task) -> str:
        """Return an example of a label that is written as text."""
        return ""

    def summary(self, task: Task) -> str:
        """Return what the task answers with, in a few words."""
        return ", ".join(self.choices(task))

    # -- a label --

    def parse(self, task: Task, text: str) -> Label:
        """Read a label as people write it; text is stripped and not empty. Raises DataError with the labels it knows."""
        raise NotImplementedError

    def write(self, task: Task, label: Label) -> str:
        """Return a label as `parse` reads it."""
        return str(label)

    def label_text(self, task: Task, label: Label) -> str:
        """Return a label as people say it."""
        return self.write(task, label)

    def contradict(self, task: Task, first: Label, second: Label) -> bool:
        return first != second

    def join(self, task: Task, first: Label, second: Label) -> Label | None:
        """Return the label of two pictures side by side; None where they have none together."""
        return None

    def person(self, label: Label) -> str:
        """Return whom a picture with this label shows, where the label says it, so that no person is in two splits."""
        return ""

    def group_of(self, task: Task, label: Label) -> str:
        """Return the group that a label is counted and reported under."""
        raise NotImplementedError

    def groups(self, task: Task) -> tuple[str, ...]:
        """Return the groups that are there whether or not a label falls into them."""
        return ()

    def expected_groups(self, task: Task, counted: Sequence[str]) -> Sequence[str]:
        """Return the groups of which each split should hold pictures. counted: those that labels fall into."""
        return [*self.groups(task), *(group for group in counted if group not in self.groups(task))]

    def lacking(self, counts: Sequence[int], least: int) -> str:
        """Return what is missing to learn from so many pictures per group, as the end of a sentence; "" if nothing is.

        least: pictures of a class that can be parted into those to learn from, to stop by and to measure with."""
        return "" if sum(counts) >= RARE else f"it needs {RARE} labelled pictures at least"

    def missing(self, task: Task, counts: Mapping[str, int], least: int) -> str:
        """Return what so many usable pictures per group lack to be taught, as the end of a sentence; "" if nothing."""
        return self.lacking([*counts.values()], least)

    def stratum(self, task: Task, label: Label) -> str:
        """Return what a split should hold an even share of."""
        return self.group_of(task, label)

    def unshown(self, task: Task, labels: Sequence[Label]) -> list[str]:
        """Return the groups that none of the labels falls into."""
        present = {self.group_of(task, label) for label in labels}
        return [group for group in self.groups(task) if group not in present]

    # -- learning --

    def fit(self, task: Task, labels: Sequence[Label], parent: Task | None = None) -> Task:
        """Return the task with what it has to know of the labels of train before any is encoded.

        parent: the same task of the checkpoint whose weights or answers are taken, where there is one."""
        return task

    def width(self, task: Task) -> int:
        """Return the number of outputs of the branch per sample."""
        raise NotImplementedError

    def layer(self, task: Task, features: int) -> nn.Module:
        """Return the branch's last layer: features (B, features) -> outputs (B, width).

        Called by networks alone, so that torch is there; here alone a kind may import it."""
        from torch import nn

        return nn.Linear(features, self.width(task))

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """Return targets (N, ...) as the losses take them, and known, bool (N,)."""
        raise NotImplementedError

    def restate(self, task: Task, prediction: np.ndarray, of: Task) -> np.ndarray:
        """Return predictions for `of`, the same task as a teacher knows it, in the terms of this task."""
        return prediction

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Loss by a teacher's answer. target: float, its uncalibrated prediction, one row per sample, as `predict` gives it.

        Here the divergence from a distribution (B, width), so that what is not taught stays.
        Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
        return masked_mean(divergence(output.float().log_softmax(1), target), known)

    def family(self, task: Task, targets: np.ndarray) -> Family | None:
        """Return the labels as a regression that is convex in the logits; None for a kind that only a loop can learn.

        targets: as `encode` gives them, of labelled samples only."""
        return None

    def place(self, task: Task, targets: np.ndarray, frames: Callable[[], np.ndarray]) -> np.ndarray:
        """Return targets, as `encode` gives them, in terms of the crops.

        frames: returns float64 (N, 2, 3), a place (x, y, 1) in px of each sample's picture -> the place in its crop, 0 to 1
        inside it; slow when first asked."""
        return targets

    def move(self, task: Task, targets: Tensor, moves: Tensor) -> Tensor:
        """Return the targets, or a teacher's answers, (B, ...), of pictures that the augmentation has moved.

        moves: float (B, 2, 3), a place in the moved crop -> the place it came from, both from -1 to 1; where the picture was also
        mirrored the determinant is negative."""
        return targets

    def mirror(self, task: Task, logits: Tensor) -> Tensor:
        """Return what the logits of a mirrored picture say of the picture itself."""
        return logits

    def together(self, task: Task, targets: np.ndarray, random: np.random.Generator) -> list[np.ndarray] | None:
        """Return rows of the targets that have to be drawn into one batch, each row once; None where each can be drawn alone."""
        return None

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """Return int (N,), the bin of each target, by whose counts rare labels are drawn more often."""
        raise NotImplementedError

    # -- knowing --

    def predict(
        self, task: Task, logits: np.ndarray, calibration: Any, quality: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the calibrated prediction, one row per sample. quality: see `Kind`."""
        raise NotImplementedError

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> Fitted:
        """Fit what the card keeps on the labelled samples of val. quality: see `Kind`."""
        raise NotImplementedError

    def snippet(self, task: Task, calibration: Any) -> str:
        """Return an expression of Python that answers from `output`, float (width,), what the network gives for one crop. It may
        use `np` and `softmax`. It goes into the example beside an exported network, which runs without this program."""
        return "output.tolist()"

    def cautious(self, calibration: Any) -> Fitted:
        """Return what holds for a task that was learned from few pictures of one kind, where others will be asked about."""
        return calibration

    def for_strangers(self, task: Task, calibration: Any, sets: Sequence[LeftOut]) -> Fitted:
        """Return the calibration with what keeps its word on data sets that were never seen too. sets: such ones, never empty."""
        return calibration

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Any) -> Estimate:
        """Return one face's answer from its row of the prediction."""
        raise NotImplementedError

    def pool(self, task: Task, estimates: Sequence[Estimate], weights: np.ndarray, calibration: Any) -> Estimate:
        """Return one answer about a face from those of several pictures of it: here that of the best picture.

        weights: float (N,), above 0, how much each picture can tell, by its quality."""
        return estimates[int(weights.argmax())]

    def between(self, task: Task, first: Estimate, second: Estimate, share: float, calibration: Any) -> Estimate:
        """Return the answer that lies a share of the way, 0 to 1, from one to another, so that what is shown of a number does not
        jump; here the second."""
        return second

    def locate(self, estimate: Estimate, to_picture: np.ndarray) -> Estimate:
        """Return an estimate about a crop in px of the picture.

        to_picture: (2, 3), a place (x, y, 1) in shares of the crop's side -> px of the picture."""
        return estimate

    def unsure(self, estimate: Estimate, calibration: Any) -> str:
        """Return why an estimate counts as unsure, as a sentence."""
        return ""

    def detail(self, estimate: Estimate) -> str:
        """Return how sure an estimate is, in a few words: "28 to 41", "93 %"."""
        return ""

    def ages(self, targets: np.ndarray) -> np.ndarray | None:
        """Return float (N,), the age in years that each sample has at least; None for a kind that knows no ages."""
        return None

    def youngest(self, estimate: Estimate) -> float | None:
        """Return the least age in years that an answer allows; None for a kind that knows no ages."""
        return None

    def difference(self, first: Estimate, second: Estimate) -> str:
        """Return why two answers count as different, as a sentence; "" if they do not."""
        return "" if first.value == second.value else f"{first.caption} and {isolated(second.text)}."

    # -- measuring --

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Any, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return what the metrics look at. known: the targets of the whole split, of which `targets` may be a group."""
        raise NotImplementedError

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return quick figures of an epoch; "error" is what the choice of the epoch is made by."""
        raise NotImplementedError

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        """Return the metric by which parent and child are compared, and each sample's error (N,); NaN where it has none."""
        raise NotImplementedError

    def alike(self, task: Task, prediction: np.ndarray, calibration: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return by what faces are alike: str (N,), the group of each answer, and float (N,), how certain it is, as
        `like` does."""
        raise NotImplementedError

    def like(self, estimate: Estimate) -> tuple[str, float]:
        """Return an estimate's group and how certain it is."""
        return str(estimate.value), estimate.confidence or 0.0

    def like_text(self, error: float, low: float, high: float) -> tuple[str, str, str]:
        """Return the error for faces like one, what it is, and the bin from low to high, in words."""
        raise NotImplementedError

    def guess(self, task: Task, targets: np.ndarray) -> np.ndarray | None:
        """Return the best answer without looking at the picture, as one row of a prediction; None for a kind without one."""
        return None

    def balance(self, task: Task, targets: np.ndarray) -> tuple[str, np.ndarray] | None:
        """Return the metric in which each group counts the same, and the group of each sample, int (N,); None where the groups
        are about as large as each other, or mean nothing."""
        return None

    def reliability(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Any
    ) -> Reliability | None:
        """Return what came true of the answers that are called sure; None for a kind that names no probability."""
        return None

    def confusion(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> list[list[int]] | None:
        """Return counts, one row per true class, one column per answer; None for a kind without classes."""
        return None

    def curves(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return what the charts show."""
        return {}

    def axes(self, task: Task) -> tuple[str, str]:
        """Return what the axes of a chart of errors are called: across, and up."""
        return "", ""

    # -- showing --

    def columns(self, task: Task) -> tuple[str, ...]:
        """Return the names of the CSV's columns."""
        return (task.name,)

    def cells(self, estimate: Estimate) -> tuple[object, ...]:
        """Return the CSV's cells, in the order of `columns`."""
        return (estimate.value,)

    def heads(self, task: Task) -> tuple[str, ...]:
        """Return the titles of the table's columns on the page."""
        return (task.title,)

    def table_cells(self, estimate: Estimate) -> tuple[tuple[str, float | str], ...]:
        """Return the table's cells after the answer: what each says, and what its column is sorted by."""
        return ()
