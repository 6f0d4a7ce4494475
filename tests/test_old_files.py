"""Checkpoints and states that older versions wrote still load: names, shapes and order of what a network keeps are for ever.

tests/recorded holds what they wrote. The files of weights are made from that record, never from the network of today.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mtl_model import card, checkpoint, kinds, registry
from mtl_model.card import Card
from mtl_model.config import TrainConfig
from mtl_model.kinds import Calibration
from mtl_model.train import loop, optimisation

RECORDED = Path(__file__).parent / "recorded"
STATES: dict[str, Any] = json.loads((RECORDED / "states.json").read_text(encoding="utf-8"))
OLD_CARD: dict[str, Any] = json.loads((RECORDED / "card-1.json").read_text(encoding="utf-8"))


def tensors_of(name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Small numbers, another in each tensor, under the recorded names and in their order."""
    result = {}
    for number, (key, shape) in enumerate(STATES[name]["state"].items()):
        counted = key.endswith("num_batches_tracked")
        result[key] = torch.full(shape, 7 if counted else 0.5 + number / 2000, dtype=torch.int64 if counted else dtype)
    return result


def old_checkpoint(folder: Path, name: str) -> dict[str, torch.Tensor]:
    folder.mkdir()
    held = tensors_of(name, torch.float16)
    save_file(held, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    network = name.split()[0]
    options = STATES[name]["options"]
    crop = registry.load("networks", network).INPUT
    written = {**OLD_CARD, "network": network, "network_options": options, "crop": crop, "weights_sha256": digest}
    (folder / "card.json").write_text(json.dumps(written), encoding="utf-8")
    return held


@pytest.mark.parametrize("name", STATES)
def test_an_old_checkpoint_loads(name: str, tmp_path: Path):
    held = old_checkpoint(tmp_path / "old", name)
    network, read = checkpoint.load(tmp_path / "old")
    checkpoint.check_shapes(tmp_path / "old", read)
    own = network.state_dict()
    assert all(torch.equal(own[key], tensor.to(own[key].dtype)) for key, tensor in held.items())
    assert [task.name for task in read.tasks] == ["age", "smile", "hat"]


@pytest.mark.parametrize("name", STATES)
def test_the_order_of_an_old_state_is_kept(name: str, tmp_path: Path):
    """An optimiser's state knows its parameters by their number alone."""
    old_checkpoint(tmp_path / "old", name)
    network = checkpoint.build_network(card.read_card(tmp_path / "old"))
    assert {key: list(tensor.shape) for key, tensor in network.state_dict().items()} == STATES[name]["state"]
    assert list(network.state_dict()) == list(STATES[name]["state"])
    learned = dict(network.named_parameters())
    assert list(learned) == [key for key in STATES[name]["state"] if key in learned]


def old_state(name: str, config: TrainConfig) -> dict[str, Any]:
    """What `state.pt` held before it named tasks and data: the network, its moving average, the optimiser after one step."""
    held = tensors_of(name, torch.float32)
    moving = [key for key in held if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    by_decay = [key for key in moving if held[key].ndim > 1] + [key for key in moving if held[key].ndim <= 1]
    decayed = sum(held[key].ndim > 1 for key in moving)
    common = {"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": True, "maximize": False, "foreach": None}
    common |= {"differentiable": False, "fused": None}
    groups = [
        {**common, "weight_decay": config.weight_decay, "params": list(range(decayed))},
        {**common, "weight_decay": 0.0, "params": list(range(decayed, len(by_decay)))},
    ]
    momentum = {number: {"momentum_buffer": torch.ones_like(held[key])} for number, key in enumerate(by_decay)}
    return {
        "config": dataclasses.asdict(config) | {"source": list(config.source)},
        "network": held,
        "average": {"n_averaged": torch.tensor(3)} | {f"module.{key}": tensor for key, tensor in held.items()},
        "optimiser": {"state": momentum, "param_groups": groups},
        "log_variances": torch.zeros(3),
        "step": 5,
        "best": 0.25,
        "best_epoch": 1,
        "stale": 2,
        "seconds": 9.0,
        "reference": {"age": 12.0},
    }


class Resumed:
    """What `Run.restore` fills, without the data of a run."""

    def __init__(self, network: nn.Module, config: TrainConfig, folder: Path) -> None:
        self.bare, self.folder, self.classes, self.digest = network, folder, {"age": ()}, "now"
        self.average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
        self.optimiser = optimisation.make_optimiser(config, network)
        self.log_variances = [nn.Parameter(torch.ones(())) for _ in range(3)]


@pytest.mark.parametrize("name", STATES)
def test_an_old_state_is_resumed(name: str, tmp_path: Path):
    config = TrainConfig(name="old", optimiser="sgd")
    old_checkpoint(tmp_path / "old", name)
    network = checkpoint.build_network(card.read_card(tmp_path / "old"))
    state = old_state(name, config)
    torch.save(state, tmp_path / "old" / loop.STATE)
    run: Any = Resumed(network, config, tmp_path / "old")
    loop.Run.restore(run, loop.read_state(config, tmp_path / "old"))
    assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in state["network"].items())
    assert all(torch.equal(run.average.module.state_dict()[key], one) for key, one in state["network"].items())
    buffers = [run.optimiser.state[parameter]["momentum_buffer"] for parameter in network.parameters()]
    assert all(buffer.shape == own.shape for buffer, own in zip(buffers, network.parameters(), strict=True))
    assert (run.step, run.best, run.best_epoch, run.stale, run.seconds) == (5, 0.25, 1, 2, 9.0)
    assert run.log_variances[0].item() == 0


def test_a_card_of_format_1_says_the_same(tmp_path: Path):
    (tmp_path / "card.json").write_text(json.dumps(OLD_CARD), encoding="utf-8")
    read = card.read_card(tmp_path)
    assert isinstance(read, Card)
    assert read.calibration_of("age") == kinds.named("years").Calibration(0.9, 19.5, -0.4)
    assert read.calibration_of("smile") == Calibration(0.8, 0.7)
    assert read.errors["age"][0] == {"group": {"age": "56+"}, "error": 5.5, "n": 40, "range": [10.0, 20.0]}
    assert read.taught == ("0123456789abcdef",) and read.limits == ("A sentence.",)


def test_a_card_of_format_1_is_rewritten_with_nothing_else_changed(tmp_path: Path):
    (tmp_path / "card.json").write_text(json.dumps(OLD_CARD), encoding="utf-8")
    before = card.read_card(tmp_path)
    assert card.rewrite(tmp_path) and not card.rewrite(tmp_path)
    plain = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert card.read_card(tmp_path) == before
    own = {task.name: dataclasses.asdict(before.calibration_of(task.name)) for task in before.tasks}
    for name, numbers in OLD_CARD["calibration"].items():
        assert own[name] == own[name] | {field: value for field, value in numbers.items() if field in own[name]}
    crop = {**OLD_CARD["crop"], "upright": False, "mirror": True}
    assert plain == {**OLD_CARD, "format": 2, "calibration": own, "crop": crop, "subject": "face"}
