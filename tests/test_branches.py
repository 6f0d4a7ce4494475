"""A learned task is put onto another checkpoint with the same trunk, and the old answers stay to the last bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mtl_model import branches, checkpoint
from mtl_model.card import Card, CropSettings, read_card
from mtl_model.errors import UsageError
from mtl_model.inference import logits
from mtl_model.tasks import TASKS, Task, class_task
from tests.codes import refused

HAT, BEARD = class_task("hat", ("off", "on")), class_task("beard", ("full", "none", "stubble"))


def made(folder: Path, *tasks: Task, trunk: int = 0, leaves: dict[str, str] | None = None, **more: object) -> Path:
    """A small checkpoint; trunk: what its trunk is drawn by. Its branches are drawn by its name."""
    options = {"size_px": 16, "hidden": 8, **({"leaves": leaves} if leaves else {})}
    card = Card("bknet", options, tasks, crop=CropSettings(size_px=16), **more)  # type: ignore[arg-type]
    network = checkpoint.build_network(card)
    with torch.no_grad():
        for seed, part in ((trunk, network.trunk), (len(folder.name) + 7, network.branches)):  # type: ignore[union-attr]
            random = torch.Generator().manual_seed(seed)
            for tensor in part.state_dict().values():  # type: ignore[union-attr]
                if tensor.is_floating_point():
                    tensor.copy_(torch.rand(tensor.shape, generator=random) * 0.2 + 0.01)
    checkpoint.save(folder, network, card)
    return folder


def answers(network: torch.nn.Module, card: Card) -> dict[str, np.ndarray]:
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    return {name: values.numpy() for name, values in logits(network, images, card).items()}


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return made(tmp_path / "parent", TASKS["age"], TASKS["smile"], taught=("aa",), limits=("Small.",))


@pytest.mark.parametrize("leaves", [None, {"hat": "taps"}, {"hat": "places"}])
def test_the_old_answers_stay_to_the_last_bit_and_the_new_ones_are_the_donors(
    parent: Path, tmp_path: Path, leaves: dict[str, str] | None
) -> None:
    outcome = {"tasks": {"hat": {"metric": "accuracy", "after": 0.9, "n": 40}}, "changed": {"age": 0.0}}
    donor = made(
        tmp_path / "hats", *read_card(parent).tasks, HAT, leaves=leaves, taught=("bb",), training={"outcome": outcome}
    )
    assert [task.name for task in branches.offered(parent, donor)] == ["hat"]
    card = checkpoint.save(tmp_path / "both", *branches.joined(parent, donor, ["hat"]))
    both, old, new = (answers(*checkpoint.load(folder)) for folder in (tmp_path / "both", parent, donor))
    assert list(both) == ["age", "smile", "hat"]
    for name in old:
        np.testing.assert_array_equal(both[name], old[name])
    np.testing.assert_array_equal(both["hat"], new["hat"])
    assert card.parent == "parent" and card.taught == ("aa", "bb") and card.limits == ("Small.",)
    assert card.training["outcome"]["tasks"] == {"hat": outcome["tasks"]["hat"]}
    assert card.training["outcome"]["changed"] == {"age": 0.0, "smile": 0.0}


def test_two_that_were_taught_of_one_trunk_become_one_with_both(parent: Path, tmp_path: Path) -> None:
    known = read_card(parent).tasks
    hats = made(tmp_path / "hats", *known, HAT, leaves={"hat": "taps"})
    beards = made(tmp_path / "beards", *known, BEARD, leaves={"beard": "taps"})
    checkpoint.save(tmp_path / "both", *branches.joined(hats, beards, ["beard"]))
    assert [task.name for task in read_card(tmp_path / "both").tasks] == ["age", "smile", "hat", "beard"]
    assert branches.offered(tmp_path / "both", hats) == []


@pytest.mark.parametrize(
    "more",
    [
        {"trunk": 1},
        {"crop": CropSettings(size_px=16, margin=0.5)},
        {"flip_averaging": True},
    ],
)
def test_another_trunk_or_other_crops_offer_nothing(parent: Path, tmp_path: Path, more: dict) -> None:
    donor = made(tmp_path / "hats", HAT, **{name: value for name, value in more.items() if name == "trunk"})
    rest = {name: value for name, value in more.items() if name != "trunk"}
    if rest:
        network, card = checkpoint.load(donor)
        checkpoint.save(donor, network, dataclasses.replace(card, **rest))
    assert branches.offered(parent, donor) == []
    with pytest.raises(UsageError, match="there is none"):
        branches.joined(parent, donor, ["hat"])


def test_a_task_that_would_write_a_column_of_another_is_refused(parent: Path, tmp_path: Path) -> None:
    donor = made(tmp_path / "hats", class_task("age_low", ("yes", "no")))
    with refused("column_clash", UsageError):
        branches.joined(parent, donor, ["age_low"])
