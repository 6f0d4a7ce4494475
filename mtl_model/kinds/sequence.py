"""A text of up to L symbols, such as a house's number: its length, and one of C symbols at each position.

A label is the text itself, leading zeros and all ("007"); "?" stands for a symbol that nobody could read. The outputs are, for
each of L positions, C logits of the symbols, one of "nothing here", and one of the length that ends there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mtl_model.errors import DataError
from mtl_model.kinds._arithmetic import divergence, fit_temperature, log_softmax, masked_mean
from mtl_model.kinds._metric import SHARE, Metric
from mtl_model.kinds._named import FEW_CHOSEN, Confident
from mtl_model.kinds._parts import LEAST_FITTED, Calibration, Loss, Part
from mtl_model.records import Estimate
from mtl_model.tasks import Label, Task, class_task

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN = "?"
NONE, MORE = "none", "more"
"""Classes of a text's parts: nothing stands at this position; more symbols than there are positions."""
DIGITS = tuple("0123456789")
MOST = 20  # positions
COUNTED = 8  # lengths with a figure of their own
LEAST_CHANCE = 1e-12


# -- losses: target is int64 (B, 1 + L), the length less one, then for each position the index of its symbol, C for nothing, -1
# for a symbol that is not known


def length_and_symbols(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Sum of the cross-entropies of the length and of the symbols that are there; positions behind the last one are ignored.

    Source: Goodfellow et al., "Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural
    Networks", 2014, section 4."""
    symbols, lengths = _parted(output, target.shape[1] - 1)
    absent = symbols.shape[2] - 1
    counts = (target[:, 1:] >= 0) & (target[:, 1:] < absent)
    return masked_mean(_cost(symbols[..., :absent], target[:, 1:], counts) + _cost_of_length(lengths, target), known)


def absent_as_symbol(output: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """The same with "nothing here" as one more symbol, the eleventh of ten digits, so that every position counts."""
    symbols, lengths = _parted(output, target.shape[1] - 1)
    return masked_mean(_cost(symbols, target[:, 1:], target[:, 1:] >= 0) + _cost_of_length(lengths, target), known)


def _parted(output: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Logits of the symbols and of nothing (B, L, C + 1), and of the lengths (B, L)."""
    parts = output.float().reshape(len(output), positions, -1)
    return parts[..., :-1], parts[..., -1]


def _cost(symbols: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """(B,), the summed cross-entropy of logits (B, L, C) at the positions that count."""
    index = target.where(counts, target.new_zeros(()))
    right = symbols.log_softmax(2).gather(2, index[..., None]).squeeze(2)
    return -right.where(counts, right.new_zeros(())).sum(1)


def _cost_of_length(lengths: Tensor, target: Tensor) -> Tensor:
    return -lengths.log_softmax(1).gather(1, target[:, :1]).squeeze(1)


class Text(Confident):
    """A prediction is float (N, L, C + 2), probabilities: of the C symbols at each position, of nothing there (0 where the task's
    loss says nothing of it), and of the length that ends there."""

    shape = "text"
    mirrors = False
    losses: ClassVar[Mapping[str, Loss]] = {
        "length_and_symbols": length_and_symbols,
        "absent_as_symbol": absent_as_symbol,
    }
    headlines = ("sequence_accuracy",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "sequence_accuracy": Metric("Whole text right", SHARE, "right"),
        "position_accuracy": Metric(
            "Right symbols", SHARE, lambda rows: float(rows["right_symbols"].sum() / max(1.0, rows["symbols"].sum()))
        ),
        "length_accuracy": Metric("Right length", SHARE, "right_length"),
        **{
            f"sequence_accuracy_{length}": Metric(
                f"Whole text right, {length} symbol{'' if length == 1 else 's'}",
                SHARE,
                "right",
                part=lambda rows, length=length: rows["length"] == length,
                whole=True,
            )
            for length in range(1, COUNTED + 1)
        },
    }

    def check(self, task: Task) -> None:
        if not 1 <= task.length <= MOST:
            raise ValueError(
                f"The task {task.name} has texts of up to {task.length} symbols. Expected 1 to {MOST}; give it its length."
            )
        if strange := [symbol for symbol in task.classes if len(symbol) != 1 or symbol == UNKNOWN]:
            raise ValueError(
                f"'{strange[0]}' is a symbol of {task.name}. Expected single letters or digits other than {UNKNOWN}; correct it."
            )

    def covers(self, task: Task, other: Task) -> bool:
        return set(other.classes) <= set(task.classes) and other.length <= task.length

    def complete(self, task: Task, words: Sequence[str]) -> Task:
        """Take digits as symbols where none are declared, and the longest word as the length."""
        length = max(map(len, words), default=0)
        return dataclasses.replace(task, classes=task.classes or DIGITS, length=task.length or length)

    def parts(self, task: Task, absent: bool) -> tuple[Part, ...]:
        """The length, of which none and more than there are positions are classes too, and the symbol at each position.

        absent: whether "none" is a class of the symbols, the eleventh of ten digits."""
        symbols = (*task.classes, *((NONE,) if absent else ()))

        def length_of(text: str) -> str:
            return str(len(text)) if len(text) <= task.length else MORE

        def symbol_at(place: int, text: str) -> str:
            symbol = text[place : place + 1] or (NONE if absent else "")
            return "" if symbol == UNKNOWN else symbol

        lengths = (*map(str, range(task.length + 1)), MORE)
        length = class_task(f"{task.name}_length", lengths)
        places = [class_task(f"{task.name}_{place + 1}", symbols) for place in range(task.length)]
        read = [length_of, *(functools.partial(symbol_at, place) for place in range(task.length))]
        tasks = [dataclasses.replace(part, mirror=False) for part in (length, *places)]
        return tuple(map(Part, tasks, read))

    def hint(self, task: Task) -> str:
        return "".join(task.classes[number % len(task.classes)] for number in range(min(3, task.length)))

    def summary(self, task: Task) -> str:
        return f"up to {task.length} of {''.join(task.classes)}"

    def parse(self, task: Task, text: str) -> Label:
        if len(text) > task.length or not set(text) <= {*task.classes, UNKNOWN}:
            raise DataError(
                f"'{text:.60}' is not a label of {task.name}. Expected 1 to {task.length} of {''.join(task.classes)}, with "
                f"{UNKNOWN} for one that cannot be read; correct it, or leave the field blank."
            )
        return text

    def contradict(self, task: Task, first: Label, second: Label) -> bool:
        """Texts of two lengths, or with two symbols that are known at one place."""
        pairs = list(zip(str(first), str(second), strict=False))
        return len(str(first)) != len(str(second)) or any(
            one != other and UNKNOWN not in (one, other) for one, other in pairs
        )

    def join(self, task: Task, first: Label, second: Label) -> Label | None:
        text = f"{first}{second}"
        return text if len(text) <= task.length else None

    def group_of(self, task: Task, label: Label) -> str:
        count = len(str(label))
        return f"{count} symbol{'' if count == 1 else 's'}"

    def width(self, task: Task) -> int:
        return task.length * (len(task.classes) + 2)

    def encode(self, task: Task, labels: Sequence[Label | None]) -> tuple[np.ndarray, np.ndarray]:
        """targets: int64 (N, 1 + L), the length less one and the symbols' indices; C for nothing, -1 for one not known."""
        known = np.array([label is not None for label in labels], bool)
        index = {symbol: number for number, symbol in enumerate(task.classes)}
        targets = np.full((len(labels), 1 + task.length), len(task.classes), np.int64)
        targets[:, 0] = 0
        for row, label in zip(targets, labels, strict=True):
            if label is not None:
                text = str(self.parse(task, str(label)))
                row[0] = len(text) - 1
                row[1 : 1 + len(text)] = [index.get(symbol, -1) for symbol in text]
        return targets, known

    def distil(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The divergences from a teacher's probabilities (B, L, C + 2) of the length and of each position's symbol, summed.

        Source: Li and Hoiem, "Learning without Forgetting", 2016, section 3, at temperature 1."""
        symbols, lengths = _parted(output, target.shape[1])
        of_symbols = divergence(symbols.log_softmax(2).flatten(1), target[..., :-1].flatten(1))
        return masked_mean(of_symbols + divergence(lengths.log_softmax(1), target[..., -1]), known)

    def rarity_bins(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """By length."""
        return targets[:, 0]

    def predict(
        self, task: Task, logits: np.ndarray, calibration: Any, quality: np.ndarray | None = None
    ) -> np.ndarray:
        scaled = logits.astype(np.float64).reshape(len(logits), task.length, -1) / calibration.temperature
        counted = len(task.classes) + (1 if _knows_absent(task) else 0)
        result = np.zeros(scaled.shape)
        result[..., :counted] = np.exp(log_softmax(scaled[..., :counted].reshape(-1, counted))).reshape(
            len(scaled), task.length, counted
        )
        result[..., -1] = np.exp(log_softmax(scaled[..., -1]))
        return result

    def calibrate(
        self, task: Task, logits: np.ndarray, targets: np.ndarray, quality: np.ndarray | None = None
    ) -> Calibration:
        def loss(scaled: np.ndarray) -> float:
            return float(-_log_chance(task, self.predict(task, scaled, Calibration()), targets).mean())

        return Calibration(round(fit_temperature(logits, loss) if len(targets) >= LEAST_FITTED else 1.0, 4))

    def estimate(self, task: Task, prediction: np.ndarray, calibration: Any) -> Estimate:
        (end,), (symbols,), (confidence,) = _decoded(task, prediction[None])
        text = "".join(task.classes[index] for index in symbols[: end + 1])
        return Estimate(
            text=text,
            value=text,
            sure=bool(confidence >= calibration.threshold),
            scores={},
            confidence=round(float(confidence), 4),
            shape=self.shape,
            title=task.title,
        )

    def rows(
        self, task: Task, prediction: np.ndarray, targets: np.ndarray, calibration: Any, known: np.ndarray
    ) -> dict[str, np.ndarray]:
        """right: NaN where a symbol is not known. A symbol behind the end of the answer counts as wrong."""
        lengths, symbols, confidence = _decoded(task, prediction)
        places = np.arange(task.length)
        counts = (targets[:, 1:] >= 0) & (targets[:, 1:] < len(task.classes))
        right = counts & (symbols == targets[:, 1:]) & (places <= lengths[:, None])
        right_length = lengths == targets[:, 0]
        whole = right_length & (right | ~counts).all(1)
        return {
            "right": np.where((targets[:, 1:] >= 0).all(1), whole, np.nan).astype(float),
            "right_length": right_length.astype(float),
            "right_symbols": right.sum(1).astype(float),
            "symbols": counts.sum(1).astype(float),
            "length": targets[:, 0] + 1,
            "confidence": confidence,
        }

    def guess(self, task: Task, targets: np.ndarray) -> np.ndarray:
        """The text of most samples."""
        texts, counts = np.unique(targets, axis=0, return_counts=True)
        length, *symbols = texts[counts.argmax()]
        answer = np.zeros((task.length, len(task.classes) + 2))
        answer[range(task.length), symbols] = 1
        answer[length, -1] = 1
        return answer

    def epoch_figures(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """error: the share of wrong texts; of few pictures the log loss, since a share of these moves in steps."""
        right = self.rows(task, prediction, targets, Calibration(), targets)["right"]
        accuracy = float(np.nanmean(right)) if np.isfinite(right).any() else 0.0
        log_loss = float(-_log_chance(task, prediction, targets).mean())
        return {"sequence_accuracy": accuracy, "error": log_loss if len(targets) < FEW_CHOSEN else 1 - accuracy}

    def compare(self, task: Task, prediction: np.ndarray, targets: np.ndarray) -> tuple[str, np.ndarray]:
        return "sequence_accuracy", 1 - self.rows(task, prediction, targets, Calibration(), targets)["right"]


def _knows_absent(task: Task) -> bool:
    """Return whether the outputs for "nothing here" were taught anything."""
    return task.loss == absent_as_symbol.__name__


def _parts_of_chance(task: Task, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms: of each symbol's probability (N, L, C); of the chance (N, L) of each length with nothing behind it; of
    something standing at each position (N, L); and the sum over all texts (N,), by which a text's chance is divided."""
    chances = np.log(prediction.clip(LEAST_CHANCE))
    symbols, absent, ends = chances[..., :-2], chances[..., -2], chances[..., -1]
    there = np.log((1 - prediction[..., -2]).clip(LEAST_CHANCE))
    if not _knows_absent(task):
        absent = np.zeros_like(absent)
    ends = ends + absent.sum(1, keepdims=True) - absent.cumsum(1)
    each = ends + there.cumsum(1)
    top = each.max(1)
    return symbols, ends, there, top + np.log(np.exp(each - top[:, None]).sum(1))


def _decoded(task: Task, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest text of each sample: its length less one (N,), symbols (N, L), probability (N,).

    Source: Goodfellow et al., 2014, section 4: the length and its symbols are chosen together."""
    symbols, ends, _, total = _parts_of_chance(task, prediction)
    scores = ends + symbols.max(2).cumsum(1)
    lengths = scores.argmax(1)
    return lengths, symbols.argmax(2), np.exp(scores.max(1) - total)


def _log_chance(task: Task, prediction: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """float (N,), the logarithm of the probability of each true text; a symbol that is not known may be any."""
    symbols, ends, there, total = _parts_of_chance(task, prediction)
    rows, places = np.arange(len(targets)), np.arange(task.length)
    index = targets[:, 1:].clip(0, len(task.classes) - 1)
    each = np.where(targets[:, 1:] < 0, there, np.take_along_axis(symbols, index[..., None], 2)[..., 0])
    inside = places <= targets[:, :1]
    return ends[rows, targets[:, 0]] + np.where(inside, each, 0).sum(1) - total


KIND = Text()
