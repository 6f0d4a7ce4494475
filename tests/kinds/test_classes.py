"""Named classes: labels, estimates, temperatures, metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_model import kinds
from mtl_model.errors import DataError
from mtl_model.kinds._parts import Calibration
from mtl_model.kinds.classes import KIND, cross_entropy
from mtl_model.tasks import TASKS, class_task

SMILE = TASKS["smile"]


def test_encoding_marks_what_is_not_labelled() -> None:
    targets, known = KIND.encode(SMILE, ["smiling", None, "not smiling"])
    assert targets.tolist() == [1, 0, 0] and known.tolist() == [True, False, True]
    with pytest.raises(DataError, match="Unknown class of smile 'smirking'"):
        KIND.encode(SMILE, ["smirking"])


@pytest.mark.parametrize(("chance", "sure"), [(0.74, False), (0.75, True)])
def test_a_class_under_the_threshold_is_unsure(chance: float, sure: bool) -> None:
    estimate = KIND.estimate(SMILE, np.array([1 - chance, chance]), Calibration(threshold=0.75))
    assert (estimate.value, estimate.text, estimate.confidence, estimate.sure) == ("smiling", "smiling", chance, sure)
    assert estimate.scores == {"not smiling": pytest.approx(1 - chance), "smiling": chance}
    assert KIND.detail(estimate) == f"{100 * chance:.0f} %"


def test_an_unlabelled_row_changes_nothing_even_with_wild_numbers() -> None:
    output = torch.tensor([[2.0, 0.0], [float("inf"), 0.0]])
    alone = cross_entropy(output[:1], torch.tensor([0]), torch.tensor([True]))
    both = cross_entropy(output, torch.tensor([0, 0]), torch.tensor([True, False]))
    assert both.item() == alone.item()


def test_the_loss_is_that_of_torch() -> None:
    output, target = torch.randn(16, 5, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 5
    expected = torch.nn.functional.cross_entropy(output, target, label_smoothing=0.02)
    assert cross_entropy(output, target, torch.ones(16, dtype=torch.bool)).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_made_up_answers_is_found_again(true_temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20000, 2))
    chances = torch.softmax(torch.tensor(logits), 1).numpy()[:, 1]
    labels = (random.random(20000) < chances).astype(int)
    fitted = KIND.calibrate(SMILE, logits * true_temperature, labels)
    assert fitted.temperature == pytest.approx(true_temperature, rel=0.06)


@pytest.mark.parametrize("count", [5, 99, 100])
def test_few_labels_give_no_temperature(count: int) -> None:
    labels = np.array([0, 1] * 50)[:count]
    logits = np.eye(2)[labels]  # all right: the sharper the likelier
    assert KIND.calibrate(SMILE, logits, labels).temperature == (1.0 if count < 100 else 0.25)


def test_of_few_pictures_the_epoch_is_chosen_by_the_log_loss() -> None:
    chances, targets = np.tile([0.2, 0.8], (300, 1)), np.ones(300, int)
    assert KIND.epoch_figures(SMILE, chances, targets) == {"accuracy": 1.0, "error": 0.0}
    assert KIND.epoch_figures(SMILE, chances[:50], targets[:50])["error"] == pytest.approx(-np.log(0.8))


def test_another_class_counts_as_different() -> None:
    smiling, not_smiling = (KIND.estimate(SMILE, np.array(row), Calibration()) for row in ([0.1, 0.9], [0.9, 0.1]))
    assert KIND.difference(smiling, smiling) == ""
    assert KIND.difference(smiling, not_smiling) == "Smile: smiling and not smiling."


def test_learning_needs_two_classes() -> None:
    assert [not KIND.lacking(counts, 2) for counts in ([30], [30, 1], [2, 2], [0, 5, 2])] == [False, False, True, True]


def test_a_class_covers_those_with_fewer_classes() -> None:
    three, two = class_task("colour", ("red", "pink", "white")), class_task("colour", ("red", "white"))
    assert kinds.covers(three, two) and not kinds.covers(two, three) and not kinds.covers(TASKS["age"], two)


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ({"red": 10, "pink": 10, "white": 0}, ""),
        ({"red": 10, "pink": 4, "white": 20}, "6 more of pink (there are 4)"),
        ({"red": 30, "pink": 0, "white": 0}, "10 more of pink (there are 0), 10 more of white"),
        ({"red": 9, "white": 8}, "1 more of red (there are 9), 2 more of white (there are 8)"),
    ],
)
def test_each_class_that_is_shown_needs_enough_to_be_taught(counts: dict[str, int], missing: str) -> None:
    task = class_task("colour", ("red", "pink", "white"))
    found = KIND.missing(task, counts, 10)
    assert missing in found if missing else found == ""


def test_a_new_task_never_says_99_percent_and_is_made_no_surer_than_the_fit() -> None:
    labels = np.array([0, 1] * 50)
    fitted = KIND.cautious(KIND.calibrate(SMILE, np.eye(2)[labels], labels))
    assert fitted.temperature == 1.0
    (far,) = KIND.predict(SMILE, np.array([[-40.0, 40.0]]), fitted)
    assert far.sum() == pytest.approx(1) and far.max() == pytest.approx(0.95)
    assert KIND.cautious(KIND.Calibration(1.7)).temperature == 1.7
