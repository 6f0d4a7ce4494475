"""Settings: sizes by epoch, and values that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from mtl_model.config import FinetuneConfig, TrainConfig
from mtl_model.errors import UsageError


@pytest.mark.parametrize(
    ("sizes", "epochs", "expected"),
    [
        ("", 3, [0, 0, 0]),
        ("80,96,112", 6, [80, 80, 96, 96, 112, 112]),
        ("80,112", 3, [80, 80, 112]),
        ("48,96,112", 2, [48, 96]),
        ("80, ", 2, [80, 80]),
    ],
)
def test_the_run_is_parted_evenly_between_the_sizes(sizes: str, epochs: int, expected: list[int]) -> None:
    config = TrainConfig(sizes=sizes, epochs=epochs)
    assert [config.size_px(epoch) for epoch in range(epochs)] == expected


@pytest.mark.parametrize(
    ("record", "given"),
    [
        (TrainConfig, {"sizes": "80,big"}),
        (TrainConfig, {"sizes": "8"}),
        (TrainConfig, {"balance": 2.0}),
        (TrainConfig, {"scatter": 2.5}),
        (TrainConfig, {"even": -0.1}),
        (TrainConfig, {"margin": -0.3}),
        (TrainConfig, {"balance": float("nan")}),
        (TrainConfig, {"learning_rate": float("inf")}),
        (TrainConfig, {"clip": float("inf")}),
        (TrainConfig, {"seed": -1}),
        (TrainConfig, {"weight_decay": -1.0}),
        (TrainConfig, {"clip": -1.0}),
        (TrainConfig, {"patience": -1}),
        (TrainConfig, {"warmup_steps": -1}),
        (TrainConfig, {"mix": "csv=1", "mode": "alternate"}),
        (FinetuneConfig, {"seed": -1}),
        (FinetuneConfig, {"how": "some"}),
        (FinetuneConfig, {"epochs": -1}),
        (FinetuneConfig, {"learning_rate": 3.0}),
    ],
)
def test_what_cannot_be_gets_a_sentence(record: Any, given: dict) -> None:
    with pytest.raises(UsageError, match=str(next(iter(given.values())))):
        record(**given)


def test_logarithms_and_learned_weights_are_not_combined():
    with pytest.raises(UsageError, match="--combine"):
        TrainConfig(combine="log", weighting="learned")
