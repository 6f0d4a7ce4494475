"""What moves a network's weights, and what does not: learning rate, weight decay, frozen parts, a parent's weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtl_model import checkpoint
from mtl_model.card import Card
from mtl_model.config import TrainConfig
from mtl_model.errors import UsageError, unknown


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak, constant, or Keras' decay by learning rate / epochs per step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "inverse":
        return config.learning_rate / (1 + (step - config.warmup_steps) * config.learning_rate / config.epochs)
    share = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, share))) / 2)


def freeze(network: nn.Module, text: str) -> list[nn.Module]:
    """Stop parts of a network from learning. Returns them: their batch norm has to be kept in evaluation mode too.

    text: names of modules, such as "trunk" or "trunk.blocks.0,branches.age"; "norms" stands for the running figures of
    every batch norm, whose weights still learn. Raises UsageError for an unknown one."""
    modules = dict(network.named_modules())
    frozen = []
    for name in filter(None, (one.strip() for one in text.split(","))):
        if name == "norms":
            frozen += [one for one in modules.values() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
            continue
        if name not in modules:
            raise UsageError(unknown("part of the network", name, (one for one in modules if one)))
        frozen.append(modules[name].requires_grad_(False))
    return frozen


def make_optimiser(
    config: TrainConfig, network: nn.Module, log_variances: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Decay pulls on matrices and filters alone; biases, batch norm and the log variances keep their freedom."""
    trained = [one for one in network.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [*(one for one in trained if one.ndim <= 1), *log_variances], "weight_decay": 0.0},
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate)


def seed_of(seed: int, step: int, rank: int) -> int:
    """A seed for torch at one step of one process, so that dropout depends on where a run is alone."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])


def take_weights(network: nn.Module, card: Card, start: Path) -> list[str]:
    """The parent's weights, wherever name and shape agree; the branches of new tasks keep their fresh ones.

    card: the network's own. Returns the tasks whose branch starts anew because the parent knows another kind or other classes of
    it."""
    parent, of_parent = checkpoint.load(start)
    own, known = network.state_dict(), {task.name: (task.kind, task.classes) for task in of_parent.tasks}
    now = {task.name: (task.kind, task.classes) for task in card.tasks}
    anew = [name for name, answers in now.items() if known.get(name, answers) != answers]
    mine = tuple(f"branches.{name}." for name in anew)
    fitting = {
        name: one
        for name, one in parent.state_dict().items()
        if name in own and own[name].shape == one.shape and not name.startswith(mine)
    }
    if of_parent.network != card.network or not any(name.startswith("trunk.") for name in fitting):
        raise UsageError(
            f"The trunk of '{start.name}' is another network, {of_parent.network}. Expected {card.network}; start from a "
            "checkpoint of it, or give another --network."
        )
    network.load_state_dict({**own, **fitting})
    return anew


def arithmetic(precision: str, device: torch.device) -> str:
    """What the precision asked for is done in: float32 in place of bf16 on a processor without such instructions, where
    PyTorch's way around them takes many times as long."""
    if precision == "bf16" and device.type == "cpu" and not _has_bf16():
        return "float32"
    return precision


def _has_bf16() -> bool:
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
