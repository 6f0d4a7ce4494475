"""Verification: people not seen are told apart by pairs, batches hold several pictures of each person, and nothing is shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mtl_model import kinds
from mtl_model.card import CropSettings
from mtl_model.data.batches import Batches, Labelled
from mtl_model.data.cache import Crops
from mtl_model.kinds import _verification, identity
from mtl_model.records import Sample
from mtl_model.tasks import TASKS, Task

TASK = Task("who", "Who", "identity", "softmax_contrastive", ())
KIND = kinds.of(TASK)
NAMES = ["Ada", "Bo", "Cy", "Di"]
FITTED = KIND.fit(TASK, NAMES[:2])


def vectors(people: list[str], spread: float, seed: int = 0) -> np.ndarray:
    """Embeddings (N, SIZE) around a direction per person."""
    random = np.random.default_rng(seed)
    centres = {name: random.normal(0, 1, identity.SIZE) for name in sorted(set(people))}
    found = np.array([centres[name] + random.normal(0, spread, identity.SIZE) for name in people])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def rows_of(people: list[str], spread: float, threshold: float = 0.5) -> dict[str, np.ndarray]:
    targets, _ = KIND.encode(FITTED, people)
    calibration = dataclasses.replace(KIND.Calibration(), threshold=threshold)  # type: ignore[type-var]
    return KIND.rows(FITTED, vectors(people, spread), targets, calibration, targets)


def test_a_checkpoint_names_nobody_and_people_not_in_train_get_numbers_of_their_own() -> None:
    assert len(FITTED.classes) == 2 and not set(FITTED.classes) & set(NAMES)
    assert KIND.fit(TASK, ["Bo", "Ada", "Ada"]) == FITTED
    targets, known = KIND.encode(FITTED, ["Cy", "Ada", None, "Di", "Cy", "Bo"])
    assert sorted(targets[[1, 5]].tolist()) == [0, 1]
    assert targets[[0, 3, 4]].tolist() == [2, 3, 2] and known.tolist() == [True, True, False, True, True, True]
    assert KIND.width(FITTED) == identity.SIZE + 2


def test_the_layer_puts_vectors_of_length_1_before_the_people_of_train() -> None:
    output = KIND.layer(FITTED, 7)(torch.randn(5, 7))
    assert output.shape == (5, KIND.width(FITTED))
    assert torch.allclose(output[:, : identity.SIZE].norm(dim=1), torch.ones(5), atol=1e-5)
    prediction = KIND.predict(FITTED, output.detach().numpy() * 3, KIND.Calibration())
    assert prediction.shape == (5, identity.SIZE), "the people are dropped"
    assert np.allclose(np.linalg.norm(prediction, axis=1), 1)


def test_verification_is_measured_on_people_not_seen() -> None:
    people = [name for name in NAMES for _ in range(6)]
    near, far = (rows_of(people, spread) for spread in (0.3, 30.0))
    figures = {name: metric.of(metric.rows(near)) for name, metric in KIND.metrics.items() if callable(metric.of)}
    assert figures == {"verification_accuracy": 1.0, "verification_auc": 1.0}
    assert len(KIND.metrics["verification_auc"].rows(near)["person"]) == 12
    assert _verification.verification_auc(far) == pytest.approx(0.5, abs=0.25)
    assert np.isnan(_verification.verification_auc(rows_of(["Cy"] * 4, 0.3))), "one person makes no pair of two"
    assert np.isnan(_verification.verification_accuracy(rows_of(NAMES, 0.3))), (
        "nor four people with a picture each one of one"
    )


def test_a_resampled_picture_is_no_pair_with_itself() -> None:
    rows = rows_of(["Cy", "Cy", "Di", "Di"] * 5, 30.0)
    picked = {name: values[[0, 0, 0, 2, 2, 2]] for name, values in rows.items()}
    pairs, same = _verification.pairs_of(picked["person"], picked["number"])
    assert len(pairs) and not same.any()


def test_the_threshold_is_the_best_of_val_and_kept_in_the_card() -> None:
    people = [name for name in NAMES[2:] * 8 for _ in range(2)]
    targets, _ = KIND.encode(FITTED, people)
    # All vectors lean one way, so that two people are 0.5 alike and more, and the usual threshold is wrong.
    found = vectors(people, 0.4) + 2 * vectors(["one"], 0.0, seed=5)
    logits = np.concatenate([found, np.zeros((len(people), 2))], 1)
    calibration = KIND.calibrate(FITTED, logits, targets)
    prediction = KIND.predict(FITTED, logits, calibration)
    best, usual = (
        _verification.verification_accuracy(KIND.rows(FITTED, prediction, targets, some, targets))
        for some in (calibration, KIND.Calibration())
    )
    assert best == 1.0 and usual < 0.8


@pytest.mark.parametrize("name", ["contrastive", "softmax_contrastive", "triplet", "softmax_triplet"])
def test_a_loss_over_pairs_draws_one_person_together_and_two_apart(name: str) -> None:
    people = [name for name in NAMES for _ in range(3)]
    targets, known = (torch.from_numpy(some) for some in KIND.encode(FITTED, people))
    output = torch.randn(12, KIND.width(FITTED), generator=torch.Generator().manual_seed(0), requires_grad=True)
    optimiser = torch.optim.Adam([output], 0.05)
    for _ in range(200):
        optimiser.zero_grad()
        KIND.losses[name](output, targets, known).backward()
        optimiser.step()
    prediction = KIND.predict(FITTED, output.detach().numpy(), KIND.Calibration())
    assert KIND.epoch_figures(FITTED, prediction, targets.numpy())["error"] < 0.05


def test_triplet_takes_the_nearest_of_another_person_that_lies_farther() -> None:
    """On a circle: the pair is 0.4 rad apart; of the others one lies nearer (0.2), one a little farther (0.45), one far off."""
    angles = torch.tensor([0.0, 0.4, -0.2, -0.45, 2.0])
    output = torch.zeros(5, identity.SIZE)
    output[:, 0], output[:, 1] = angles.cos(), angles.sin()
    targets = torch.tensor([0, 0, 1, 2, 3])

    def squared(one: float, other: float) -> float:
        return 2 - 2 * float(np.cos(one - other))

    pair = squared(0.0, 0.4)
    first = max(0.0, pair - squared(0.0, -0.45) + identity.TRIPLET_MARGIN)
    second = max(0.0, pair - squared(0.4, -0.2) + identity.TRIPLET_MARGIN)
    loss = identity.triplet(output, targets, torch.ones(5, dtype=torch.bool))
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-5)


def test_batches_hold_several_pictures_of_each_person() -> None:
    """Four at a time, with pictures that show nobody known between them; every picture is drawn."""
    people = [f"person {row % 10}" for row in range(80)]
    samples = [Sample(str(row), {"who": name} if row < 72 else {"smile": "smiling"}) for row, name in enumerate(people)]
    part = (samples, Crops(np.zeros((80, 8, 8, 3), np.uint8), np.ones(80, np.int16), np.zeros((80, 4))), np.arange(80))
    batches = Batches(Labelled([part], (TASK, TASKS["smile"])), CropSettings(size_px=8), size=16, seed=0)
    plans = batches.plans(0)
    rows = np.concatenate([plan.rows for plan in plans])
    assert sorted(rows) == list(range(80))
    assert [plan.rows.tolist() for plan in batches.plans(0)] == [plan.rows.tolist() for plan in plans]
    assert batches.plans(1)[0].rows.tolist() != plans[0].rows.tolist()
    together = []
    for plan in plans:
        known = [people[row] for row in plan.rows if row < 72]
        together += [known.count(name) for name in set(known)]
    assert np.mean(together) > 2.5, "by chance it is 1.7"


def test_it_is_never_shown() -> None:
    assert kinds.shown([TASKS["age"], FITTED, TASKS["smile"]]) == (TASKS["age"], TASKS["smile"])
    with pytest.raises(AssertionError, match="never shown"):
        KIND.estimate(FITTED, vectors(["Ada"], 0.1)[0], KIND.Calibration())


def test_a_label_says_whom_a_picture_shows() -> None:
    assert KIND.person("Ada") == "Ada"
    assert kinds.named("classes").person("Ada") == ""
