"""What all kinds of tasks share: the base class with its defaults, metrics, and all that named classes have in common.

A kind uses the methods of tensors and imports torch in `layer` alone, so that labels are parsed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.errors import DataError, unknown
from mtl_model.names import isolated
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

SHARE, POINTS, PLAIN = "share", "points", "plain"
"""Units of metrics: a share from 0 to 1, shown in per cent; a difference of shares; a number without a unit. Any other
is a word."""
SHAPES = ("bars", "curve", "number", "points", "text")
"""How an Estimate is shown."""
LEAST_FITTED = 100  # labels of val, below which a temperature or a margin would be noise
FEW_CHOSEN = 200  # labels of val, below which the share of wrong answers moves in steps
RARE, LEAST = 10, 2  # training pictures of a group: fewer say little; fewer cannot be learned at all
ECE_BINS = 15
TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(4.0), 161))

Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""f(output, target, known) -> scalar. output: float (B, width). target: as `Kind.encode` gives it; rows that are not
known hold any finite value. known: bool (B,). The mean over the known rows; with none a zero that still hangs on the graph."""
Rows = Mapping[str, np.ndarray]
"""What metrics look at: arrays of one length, one row per labelled sample; NaN where a row says nothing."""


@dataclass(frozen=True)
class Metric:
    """One figure of an evaluation.

    title: as people read it. unit: SHARE, POINTS, PLAIN or a word such as "years". of: the row whose mean it is, or a
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


@dataclass(frozen=True)
class Calibration:
    """Fitted on val: temperature divides the logits, threshold says from where an estimate is called sure (`Kind.unsure`)."""

    RANGES: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "temperature": (0.01, 100, "a number from 0.01 to 100"),
        "threshold": (0, 1, "a probability"),
    }
    """Field -> least, most, and what is expected in words."""
    temperature: float = 1.0
    threshold: float = 0.75


@dataclass(frozen=True)
class Family:
    """An exponential family with its canonical link: the negative log likelihood is convex in the logits.

    Per output it is partition(logits) - targets * logits, whose derivative is expected(logits) - targets.

    targets: float32 (N, width), what the expected outputs should be. partition: logits (..., width) -> the log partition
    function, (...). expected: its gradient, (..., width). curvature: the largest eigenvalue of its second derivative.
    Source: McCullagh and Nelder, "Generalized Linear Models", 1989, sections 2.2 and 4.
    """

    targets: np.ndarray
    partition: Callable[[np.ndarray], np.ndarray]
    expected: Callable[[np.ndarray], np.ndarray]
    curvature: float

    def cost(self, logits: np.ndarray) -> np.ndarray:
        """Return the negative log likelihood, float (N, ...), of logits (N, ..., width)."""
        middle = (1,) * (logits.ndim - 2)
        targets = self.targets.reshape(len(self.targets), *middle, -1)
        return self.partition(logits) - (targets * logits).sum(-1)


@dataclass(frozen=True)
class LeftOut:
    """What a network answers of a data set that it never saw: prediction (N, ...) by its own calibration, and the targets."""

    prediction: np.ndarray
    targets: np.ndarray
    calibration: Calibration


class Kind:
    """All that a kind of task is. Methods that a kind does not need have a default here.

    logits: float (N, width), the branch's outputs. prediction: what `predict` makes of them, one row per sample.
    targets: as `encode` gives them, for labelled samples only. quality: float (N, Q), what is known of each face besides, a
    column for each field of `records.Quality`, NaN where it is not known; None where nothing is.
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
    Calibration: ClassVar[type[Calibration]] = Calibration

    # -- data become a task --

    def check(self, task: Task) -> None:
        """Raise ValueError for a task that lacks what this kind needs."""

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

    def stratum(self, task: Task, label: Label) -> str:
        """Return what a split should hold an even share of."""
        return self.group_of(task, label)

    def unshown(self, task: Task, labels: Sequence[Label]) -> list[str]:
        """Return the groups that none of the labels falls into."""
        present = {self.group_of(task, label) for label in labels}
        return [group for group in self.groups(task) if group not in present]

    # -- learning --

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

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Loss by a teacher's answer. target: float, its uncalibrated prediction, one row per sample, as `predict` gives it.

        Here the divergence from a distribution (B, width), so that what is not taught stays.
        Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
        return masked_mean(divergence(output.float().log_softmax(1), target), known)

    def family(self, task: Task, targets: np.ndarray) -> Family | None:
        """Return the labels as a regression that is convex in the logits; None for a kind that only a loop can learn.

        targets: as `encode` gives them, of labelled samples only."""
        return None

    def mirror(self, task: Task, logits: Tensor) -> Tensor:
        """Return what the logits of a mirrored picture say of the picture itself."""
        return logits

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """Return int (N,), the bin of each target, by whose counts rare labels are drawn more often."""
        raise NotImplementedError

    # -- knowing --

    def predict(
        self, task: Task, logits: np.ndarray, calibration: Calibration, quality: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the calibrated prediction, one row per sample. quality: see `Kind`."""
        raise NotImplementedError

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> Calibration:
        """Fit what the card keeps on the labelled samples of val. quality: see `Kind`."""
        raise NotImplementedError

    def for_strangers(self, task: Task, calibration: Calibration, sets: Sequence[LeftOut]) -> Calibration:
        """Return the calibration with what keeps its word on data sets that were never seen too. sets: such ones, never empty."""
        return calibration

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Calibration) -> Estimate:
        """Return one face's answer from its row of the prediction."""
        raise NotImplementedError

    def unsure(self, estimate: Estimate, calibration: Calibration) -> str:
        """Return why an estimate counts as unsure, as a sentence."""
        return ""

    def detail(self, estimate: Estimate) -> str:
        """Return how sure an estimate is, in a few words: "28 to 41", "93 %"."""
        return ""

    def ages(self, targets: np.ndarray) -> np.ndarray | None:
        """Return float (N,), the age in years that each sample has at least; None for a kind that knows no ages."""
        return None

    def difference(self, first: Estimate, second: Estimate) -> str:
        """Return why two answers count as different, as a sentence; "" if they do not."""
        return "" if first.value == second.value else f"{first.caption} and {isolated(second.text)}."

    # -- measuring --

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Calibration, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return what the metrics look at. known: the targets of the whole split, of which `targets` may be a group."""
        raise NotImplementedError

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return quick figures of an epoch; "error" is what the choice of the epoch is made by."""
        raise NotImplementedError

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        """Return the metric by which parent and child are compared, and each sample's error (N,); NaN where it has none."""
        raise NotImplementedError

    def alike(self, task: Task, prediction: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
        """Return by what faces are alike: str (N,), the group of each answer, and float (N,), how certain it is, as
        `like` does."""
        raise NotImplementedError

    def like(self, estimate: Estimate) -> tuple[str, float]:
        """Return an estimate's group and how certain it is."""
        return str(estimate.value), estimate.confidence or 0.0

    def like_text(self, error: float, low: float, high: float) -> tuple[str, str, str]:
        """Return the error for faces like one, what it is, and the bin from low to high, in words."""
        raise NotImplementedError

    def confusion(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> list[list[int]] | None:
        """Return counts, one row per true class, one column per answer; None for a kind without classes."""
        return None

    def curves(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """Return what the charts show."""
        return {}

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


# -- arithmetic ----------------------------------------------------------------------------------------------------


def masked_mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean of values (B,) where known (B,) is true; 0, still on the graph, where it is true nowhere."""
    kept = values.where(known, values.new_zeros(()))
    return kept.sum() / known.sum().clamp(min=1)


def divergence(log_probability: Tensor, target: Tensor) -> Tensor:
    """Kullback-Leibler divergence (B,) of log probabilities (B, width) from target distributions (B, width)."""
    return (target.xlogy(target) - target * log_probability).sum(1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (N, width)."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (N, width), each row summing to 1."""
    return np.exp(log_softmax(logits))


def categorical(chances: np.ndarray) -> Family:
    """Return the regression on distributions, chances (N, width): a softmax over the outputs."""

    def partition(logits: np.ndarray) -> np.ndarray:
        top = logits.max(-1)
        return top + np.log(np.exp(logits - top[..., None]).sum(-1))

    def expected(logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    return Family(chances.astype(np.float32), partition, expected, 0.5)


def bernoulli(chances: np.ndarray) -> Family:
    """Return the regression on probabilities of a yes, chances (N, width): each output by itself."""
    return Family(
        chances.astype(np.float32),
        lambda logits: np.logaddexp(0, logits).sum(-1),
        lambda logits: 1 / (1 + np.exp(-logits.clip(-60, 60))),
        0.25,
    )


def fit_temperature(logits: np.ndarray, loss: Callable[[np.ndarray], float]) -> float:
    """The temperature under which val's labels are likeliest. loss: mean negative log likelihood of scaled logits.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2. One number over a grid in steps
    of under 2 %: no optimiser that could fail."""
    losses = [loss(logits.astype(np.float64) / float(temperature)) for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def short(number: float) -> float:
    return round(float(number), 4)


def percent(share: float) -> str:
    return f"{round(100 * share)} %"


# -- metrics of classes --------------------------------------------------------------------------------------------


def balanced_accuracy(rows: Rows) -> float:
    """Mean over the classes seen of the share of each that is found."""
    from sklearn.metrics import recall_score

    truth = rows["truth"]
    return float(recall_score(truth, rows["chances"].argmax(1), labels=np.unique(truth), average="macro"))


def area_under_curve(rows: Rows) -> float:
    """Area under the ROC curve; of several classes the mean over each against the rest. NaN where all are of one class."""
    from sklearn.metrics import roc_auc_score

    truth, chances = rows["truth"], rows["chances"]
    present = np.unique(truth)
    if len(present) < 2:
        return float("nan")
    if chances.shape[1] == 2:
        return float(roc_auc_score(truth, chances[:, 1]))
    return float(np.mean([roc_auc_score(truth == index, chances[:, index]) for index in present]))


def calibration_error(rows: Rows) -> float:
    """Expected calibration error of the top class over bins of equal mass.

    Source: Guo et al., 2017, section 2, with the bins of Nguyen and O'Connor, 2015."""
    confidence, right = rows["confidence"], rows["right"]
    bins = equal_mass(confidence)
    return float(sum(len(bin) * abs(confidence[bin].mean() - right[bin].mean()) for bin in bins) / len(confidence))


def equal_mass(confidence: np.ndarray) -> list[np.ndarray]:
    """Rows in bins of equal numbers, from the least to the most confident."""
    order = np.argsort(confidence, kind="stable")
    return np.array_split(order, min(ECE_BINS, len(order)))


class Named(Kind):
    """What every kind with named classes has in common; a prediction is float (N, C), the probability of each class."""

    shape = "bars"
    steps = Steps((*(number / 20 for number in range(20)), 0.98, 1.01), 0.15, are_chances=True)
    headlines = ("accuracy",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("Right answers", SHARE, "right"),
        "balanced_accuracy": Metric(
            "Right answers, each class counting the same", SHARE, balanced_accuracy, whole=True
        ),
        "auc": Metric("Ranking (area under the ROC curve)", PLAIN, area_under_curve, whole=True),
        "ece": Metric(
            "Distance between stated and true probability",
            SHARE,
            calibration_error,
            lower_is_better=True,
            whole=True,
            biased=True,
        ),
    }

    def log_probability(self, task: Task, logits: np.ndarray) -> np.ndarray:
        """float64 (N, C) from logits (N, width) that are scaled already."""
        raise NotImplementedError

    def choices(self, task: Task) -> tuple[str, ...]:
        return task.classes

    def parse(self, task: Task, text: str) -> Label:
        known = {spelling.casefold(): name for spelling, name in task.spellings.items()}
        known |= {name.casefold(): name for name in task.classes}
        name = known.get(text.casefold().replace("_", " "), known.get(text.casefold()))
        if name is None:
            raise DataError(
                f"'{text}' is not a label of {task.name}. Known: {', '.join(sorted(known))}. "
                "Write one of these, or leave the field blank for a picture without this label."
            )
        return name

    def group_of(self, task: Task, label: Label) -> str:
        return str(label)

    def groups(self, task: Task) -> tuple[str, ...]:
        return task.classes

    def lacking(self, counts: Sequence[int], least: int) -> str:
        enough = sum(count >= least for count in counts) > 1
        return "" if enough else f"two classes need {least} pictures each at least, better {RARE}"

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """targets: int64 (N,), the index of the class."""
        known = np.array([label is not None for label in labels], bool)
        index = {name: number for number, name in enumerate(task.classes)}
        strange = sorted({str(label) for label in labels if label is not None and str(label) not in index})
        if strange:
            raise DataError(unknown(f"class of {task.name}", strange[0], index))
        return np.array([0 if label is None else index[str(label)] for label in labels], np.int64), known

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        return targets

    def predict(
        self, task: Task, logits: np.ndarray, calibration: Calibration, quality: np.ndarray | None = None
    ) -> np.ndarray:
        return np.exp(self.log_probability(task, logits.astype(np.float64) / calibration.temperature))

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> Calibration:
        def loss(scaled: np.ndarray) -> float:
            return float(-self.log_probability(task, scaled)[np.arange(len(targets)), targets].mean())

        temperature = fit_temperature(logits, loss) if len(targets) >= LEAST_FITTED else 1.0
        return self.Calibration(round(temperature, 4))

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Calibration) -> Estimate:
        top = int(prediction.argmax())
        confidence = float(prediction[top])
        return Estimate(
            text=task.classes[top],
            value=task.classes[top],
            sure=confidence >= calibration.threshold,
            scores={name: round(float(p), 6) for name, p in zip(task.classes, prediction, strict=True)},
            confidence=round(confidence, 4),
            shape=self.shape,
            title=task.title,
        )

    def unsure(self, estimate: Estimate, calibration: Calibration) -> str:
        said, needed = percent(estimate.confidence or 0), percent(calibration.threshold)
        return f"The probability is {said}; under {needed} counts as unsure."

    def detail(self, estimate: Estimate) -> str:
        return f"{100 * (estimate.confidence or 0):.0f} %"

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Calibration, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        right = (prediction.argmax(1) == targets).astype(float)
        return {"truth": targets, "chances": prediction, "confidence": prediction.max(1), "right": right}

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """error: the share of wrong answers; of few pictures the log loss, since a share of these moves in steps
        (eyeglasses from 130 pictures, chosen by 30: 95.4 % right of others' faces, by the share 93.7 %)."""
        accuracy = float((prediction.argmax(1) == targets).mean())
        log_loss = float(-np.log(prediction[np.arange(len(targets)), targets].clip(1e-9)).mean())
        return {"accuracy": accuracy, "error": log_loss if len(targets) < FEW_CHOSEN else 1 - accuracy}

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        return "accuracy", (prediction.argmax(1) != targets).astype(float)

    def alike(self, task: Task, prediction: np.ndarray, calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
        """By the class and its probability."""
        return np.array(task.classes)[prediction.argmax(1)], prediction.max(1)

    def like_text(self, error: float, low: float, high: float) -> tuple[str, str, str]:
        said = f"{'under 1 %' if error < 0.005 else percent(error)} wrong"
        return said, "Share of wrong answers", f"with {round(100 * low)} to {percent(min(high, 1.0))}"

    def confusion(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> list[list[int]]:
        counts = np.zeros((len(task.classes),) * 2, int)
        np.add.at(counts, (targets, prediction.argmax(1)), 1)
        return counts.tolist()

    def curves(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """ "confusion": counts by truth and answer. "calibration": for each bin the mean confidence, the share of right
        answers, and the number of samples."""
        confidence, right = prediction.max(1), (prediction.argmax(1) == targets).astype(float)
        bins = [[short(confidence[bin].mean()), short(right[bin].mean()), len(bin)] for bin in equal_mass(confidence)]
        return {
            "classes": list(task.classes),
            "confusion": self.confusion(task, prediction, targets),
            "calibration": bins,
        }

    def columns(self, task: Task) -> tuple[str, ...]:
        return (task.name, f"{task.name}_confidence")

    def cells(self, estimate: Estimate) -> tuple[object, ...]:
        return (estimate.value, estimate.confidence)

    def heads(self, task: Task) -> tuple[str, ...]:
        return (task.title, "Probability")

    def table_cells(self, estimate: Estimate) -> tuple[tuple[str, float | str], ...]:
        confidence = estimate.confidence or 0.0
        return ((percent(confidence), confidence),)
