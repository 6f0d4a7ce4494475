"""Labels that were exchanged on purpose come first."""

from __future__ import annotations

import numpy as np

from mtl_model.tasks import class_task
from mtl_model.train import suspects

TASK = class_task("colour", ("red", "pink", "white"))


def chances_of(truth: np.ndarray, sharpness: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities that favour the truth, by each class as far as its sharpness goes."""
    logits = np.random.default_rng(seed).normal(0, 1, (len(truth), 3)) + sharpness[truth][:, None] * np.eye(3)[truth]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_four_of_five_exchanged_labels_are_among_the_first_tenth() -> None:
    random = np.random.default_rng(1)
    truth = np.arange(400) % 3
    labels = truth.copy()
    wrong = random.choice(400, 20, replace=False)
    labels[wrong] = (truth[wrong] + random.integers(1, 3, 20)) % 3
    values, others = suspects.suspicion(chances_of(truth, np.array([4.0, 4.0, 4.0])), labels)
    first = set(np.argsort(-values)[:40].tolist())
    assert len(first & set(wrong.tolist())) >= 16
    assert (others[wrong] == truth[wrong]).mean() > 0.8


def test_a_class_that_is_hard_for_all_is_not_suspected_as_a_whole() -> None:
    truth = np.arange(300) % 2
    chances = np.where(truth[:, None] == 0, [0.95, 0.05, 0.0], [0.55, 0.45, 0.0])
    values, _ = suspects.suspicion(chances, truth)
    assert (values < 0).all()


def test_they_are_listed_worst_first_with_what_is_likelier() -> None:
    chances = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.05, 0.95, 0.0]])
    found = suspects.suspects_of(TASK, chances, ["pink", "red", "red", "pink"], ["a", "b", "c", "d"])
    assert [(one["file"], one["label"], one["likelier"]) for one in found] == [
        ("a", "pink", "red"),
        ("c", "red", "pink"),
    ]
    assert found[0]["suspicion"] > found[1]["suspicion"] > 0
