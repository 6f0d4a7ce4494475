"""What kinds with named classes share: labels, estimates, temperatures, metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from mtl_model.errors import DataError, unknown
from mtl_model.kinds._arithmetic import fit_temperature, percent, short
from mtl_model.kinds._metric import PLAIN, SHARE, Metric, Rows, Steps
from mtl_model.kinds._parts import LEAST_FITTED, RARE, Calibration, Kind, Reliability
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task, band_of, number_of

FEW_CHOSEN = 200  # labels of val, below which the share of wrong answers moves in steps
ECE_BINS = 15
UNEVEN = 1.5  # times that the largest class may be larger than the smallest before each counts the same


DOUBT = 0.1
"""Share of a new task's answers that may be about what its pictures never showed. Of gender, learned from 50 to 250 CelebA
faces a class, 83 % are right on UTKFace and 82 on FairFace: the mean probability was 92 and 89 %, and is 87 and 85. Of smile on
GENKI-4K 88 % are right: it was 87, and is 83."""


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


class Confident(Kind):
    """Answers with a probability: what says how sure they are, and shows it."""

    def unsure(self, estimate: Estimate, calibration: Calibration) -> str:
        said, needed = percent(estimate.confidence or 0), percent(calibration.threshold)
        return f"The probability is {said}; under {needed} counts as unsure."

    def detail(self, estimate: Estimate) -> str:
        return f"{100 * (estimate.confidence or 0):.0f} %"

    def columns(self, task: Task) -> tuple[str, ...]:
        return (task.name, f"{task.name}_confidence")

    def cells(self, estimate: Estimate) -> tuple[object, ...]:
        return (estimate.value, estimate.confidence)

    def heads(self, task: Task) -> tuple[str, ...]:
        return (task.title, "Probability")

    def table_cells(self, estimate: Estimate) -> tuple[tuple[str, float | str], ...]:
        confidence = estimate.confidence or 0.0
        return ((percent(confidence), confidence),)


class Named(Confident):
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

    def complete(self, task: Task, words: Sequence[str]) -> Task:
        """Take classes that are all ranges of whole numbers, such as 1-13, as bands: a number belongs to the one it lies in, one
        below the first to the first, one beyond the last to the last."""
        ranges = [re.fullmatch(r"(\d+)-(\d+)", name) for name in task.classes]
        bands = tuple((found[0], int(found[1]), int(found[2])) for found in ranges if found)
        rising = all(low <= high for _, low, high in bands) and all(
            before[2] < after[1] for before, after in pairwise(bands)
        )
        return replace(task, bands=bands) if bands and len(bands) == len(ranges) and rising else task

    def choices(self, task: Task) -> tuple[str, ...]:
        return task.classes

    def parse(self, task: Task, text: str) -> Label:
        known = {spelling.casefold(): name for spelling, name in task.spellings.items()}
        known |= {name.casefold(): name for name in task.classes}
        name = known.get(text.casefold().replace("_", " "), known.get(text.casefold()))
        if name is None and task.bands and (number := number_of(text)) is not None:
            name = band_of(task, number)
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

    def missing(self, task: Task, counts: Mapping[str, int], least: int) -> str:
        """Each class that is shown needs so many, and two have to be shown."""
        short = {word: count for word, count in counts.items() if count < least}
        if len(counts) - len(short) > 1:
            short = {word: count for word, count in short.items() if count}
        listed = ", ".join(f"{least - count} more of {word} (there are {count})" for word, count in short.items())
        return f"it needs {listed}" if listed else "" if len(counts) > 1 else "it needs two classes"

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
        chances = np.exp(self.log_probability(task, logits.astype(np.float64) / calibration.temperature))
        return (
            (1 - calibration.doubt) * chances + calibration.doubt / chances.shape[1] if calibration.doubt else chances
        )

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> Calibration:
        def loss(scaled: np.ndarray) -> float:
            return float(-self.log_probability(task, scaled)[np.arange(len(targets)), targets].mean())

        temperature = fit_temperature(logits, loss) if len(targets) >= LEAST_FITTED else 1.0
        return self.Calibration(round(temperature, 4))

    def cautious(self, calibration: Calibration) -> Calibration:
        """No answer is made surer than the fit has it: where all are right out of fold, the likeliest temperature is 0."""
        return replace(calibration, temperature=max(1.0, calibration.temperature), doubt=DOUBT)

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

    def pool(
        self, task: Task, estimates: Sequence[Estimate], weights: np.ndarray, calibration: Calibration
    ) -> Estimate:
        """Return the mean of the probabilities, in which a doubtful picture pulls to neither side; it is never surer than the
        surest picture."""
        scores = np.array([[estimate.scores[name] for name in task.classes] for estimate in estimates])
        return self.estimate(task, weights @ scores / weights.sum(), calibration)

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Any, known: np.ndarray
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

    def guess(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """The class of most samples."""
        counts = np.bincount(targets, minlength=len(task.classes))
        return counts / max(1, counts.sum())

    def balance(self, task: Task, targets: np.ndarray) -> tuple[str, np.ndarray] | None:
        _, groups, counts = np.unique(targets, return_inverse=True, return_counts=True)
        return ("balanced_accuracy", groups) if counts.max() > UNEVEN * counts.min() else None

    def reliability(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Calibration
    ) -> Reliability:
        confidence, right = prediction.max(1), prediction.argmax(1) == targets
        sure = confidence >= calibration.threshold
        if not sure.any():
            return Reliability(0, len(targets), 0.0, 0.0)
        return Reliability(int(sure.sum()), len(targets), short(confidence[sure].mean()), short(right[sure].mean()))

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
