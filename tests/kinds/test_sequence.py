"""Texts of several symbols: length and symbols are learned and answered together, and no picture of them is mirrored."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from mtl_model import card_values, kinds
from mtl_model.card import Card, CropSettings
from mtl_model.errors import CheckpointError, DataError
from mtl_model.kinds import sequence
from mtl_model.tasks import TASKS, Task

TASK = Task("house", "House", "sequence", "length_and_symbols", tuple("0123456789"), length=3)
BOTH = [TASK, dataclasses.replace(TASK, loss="absent_as_symbol")]
KIND = kinds.of(TASK)
PLAIN = KIND.Calibration()


def logits_for(text: str, task: Task = TASK, strength: float = 12.0) -> np.ndarray:
    """Logits (1, width) that say a text, its absent positions too."""
    logits = np.zeros((task.length, len(task.classes) + 2))
    for place in range(task.length):
        logits[place, task.classes.index(text[place]) if place < len(text) else len(task.classes)] = strength
    logits[len(text) - 1, -1] = strength
    return logits.reshape(1, -1)


@pytest.mark.parametrize("text", ["007", "0", "10", "999"])
@pytest.mark.parametrize("task", BOTH, ids=lambda task: task.loss)
def test_a_text_keeps_its_zeros_from_label_to_answer(text: str, task: Task) -> None:
    label = kinds.parse_label(task, text)
    assert label == text
    prediction = KIND.predict(task, logits_for(text, task), PLAIN)
    estimate = KIND.estimate(task, prediction[0], PLAIN)
    assert (estimate.text, estimate.value, estimate.sure) == (text, text, True)
    assert estimate.confidence == pytest.approx(1, abs=0.01)
    targets, _ = KIND.encode(task, [text])
    assert KIND.rows(task, prediction, targets, PLAIN, targets)["right"].tolist() == [1.0]


@pytest.mark.parametrize("task", BOTH, ids=lambda task: task.loss)
def test_the_probabilities_of_all_texts_sum_to_one(task: Task) -> None:
    """And the answer is the likeliest of them, with its own probability."""
    task = dataclasses.replace(task, classes=("0", "1"), length=3)
    logits = np.random.default_rng(0).normal(0, 2, (1, KIND.width(task)))
    prediction = KIND.predict(task, logits, PLAIN)
    texts = ["".join(some) for length in (1, 2, 3) for some in itertools.product("01", repeat=length)]
    targets, _ = KIND.encode(task, texts)
    rows = np.repeat(prediction, len(texts), 0)
    chances = np.exp(sequence._log_chance(task, rows, targets))
    assert chances.sum() == pytest.approx(1)
    estimate = KIND.estimate(task, prediction[0], PLAIN)
    assert estimate.text == texts[int(chances.argmax())]
    assert estimate.confidence == pytest.approx(chances.max(), abs=1e-3)
    unknown, _ = KIND.encode(task, ["?1"])
    both = chances[texts.index("01")] + chances[texts.index("11")]
    assert np.exp(sequence._log_chance(task, prediction, unknown))[0] == pytest.approx(both)


def test_what_is_absent_or_unknown_is_masked() -> None:
    """By the usual loss nothing behind the last symbol counts; by the other one it is the eleventh symbol."""
    losses = KIND.losses
    targets, known = (torch.from_numpy(some) for some in KIND.encode(TASK, ["7?"]))
    for name, reached in (("length_and_symbols", [True, False, False]), ("absent_as_symbol", [True, False, True])):
        output = torch.randn(1, KIND.width(TASK), requires_grad=True)
        losses[name](output, targets, known).backward()
        assert output.grad is not None
        symbols = output.grad.reshape(3, 12)[:, :-1]
        assert (symbols.abs().sum(1) > 0).tolist() == reached, name
        assert bool((output.grad.reshape(3, 12)[:, -1] != 0).all()), "the length always counts"
        absent = symbols[0, 10].item()
        assert (absent == 0) == (name == "length_and_symbols")


def test_metrics_tell_the_text_its_length_and_its_symbols_apart() -> None:
    texts, answers = ["007", "12", "9", "4?"], ["007", "13", "91", "45"]
    prediction = np.concatenate([KIND.predict(TASK, logits_for(answer), PLAIN) for answer in answers])
    targets, _ = KIND.encode(TASK, texts)
    rows = KIND.rows(TASK, prediction, targets, PLAIN, targets)
    assert rows["right"][:3].tolist() == [1, 0, 0] and np.isnan(rows["right"][3])
    assert rows["right_length"].tolist() == [1, 1, 0, 1]
    figures = {name: metric.rows(rows) for name, metric in KIND.metrics.items()}
    positions = KIND.metrics["position_accuracy"].of
    assert callable(positions) and positions(rows) == pytest.approx(6 / 7)
    assert len(figures["sequence_accuracy"]["right"]) == 3
    assert figures["sequence_accuracy_3"]["right"].tolist() == [1.0]
    assert figures["sequence_accuracy_2"]["right"].tolist() == [0.0]


def test_a_picture_of_a_text_is_never_mirrored() -> None:
    """Whatever other tasks share it; a card that says otherwise is refused, and so is the mean over mirror images."""
    assert kinds.may_mirror([TASKS["smile"]]) and not kinds.may_mirror([TASKS["smile"], TASK])
    card = Card("bknet", {}, (TASKS["smile"], TASK), crop=CropSettings(mirror=False))
    card_values.check(card)
    for wrong in (
        dataclasses.replace(card, crop=CropSettings(mirror=True)),
        dataclasses.replace(card, flip_averaging=True),
    ):
        with pytest.raises(CheckpointError, match="mirror"):
            card_values.check(wrong)


def test_a_teachers_text_is_learned() -> None:
    teacher = torch.from_numpy(KIND.predict(TASK, logits_for("42"), PLAIN)).float()
    output = torch.zeros(1, KIND.width(TASK), requires_grad=True)
    optimiser = torch.optim.Adam([output], 0.5)
    for _ in range(80):
        optimiser.zero_grad()
        KIND.distil(output, teacher, torch.tensor([True])).backward()
        optimiser.step()
    assert KIND.estimate(TASK, KIND.predict(TASK, output.detach().numpy(), PLAIN)[0], PLAIN).text == "42"


@pytest.mark.parametrize(
    ("first", "second", "clash"), [("12", "12", False), ("1?", "12", False), ("12", "123", True), ("12", "13", True)]
)
def test_labels_contradict_where_two_known_symbols_differ(first: str, second: str, clash: bool) -> None:
    assert KIND.contradict(TASK, first, second) == clash


@pytest.mark.parametrize("text", ["1234", "12a", "-1", "1 2"])
def test_a_text_of_other_symbols_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="Expected 1 to 3 of 0123456789"):
        kinds.parse_label(TASK, text)


@pytest.mark.parametrize("changes", [{"length": 0}, {"length": 21}, {"classes": ("0", "10")}, {"classes": ("0", "?")}])
def test_a_task_without_a_length_or_with_odd_symbols_is_refused(changes: dict) -> None:
    with pytest.raises(CheckpointError):
        kinds.check_task(dataclasses.replace(TASK, **changes))
