"""Fit branches to a frozen trunk: each picture goes through it once, each task is one convex fit, nothing else moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from mtl_model import kinds
from mtl_model.data.batches import Labelled
from mtl_model.events import Progress, silent
from mtl_model.networks import FINAL, TAPPED
from mtl_model.tasks import Task
from mtl_model.train.features import OWN, Seen, last_layer
from mtl_model.train.fit import LANDMARKS, Fit, fit

LARGEST_BRANCH = 1_000_000  # bytes in float16: tasks with many outputs leave from fewer stages
MOST_CANDIDATES = 7
RAREST = 8.0  # times that a picture of a rare class counts, at most


def can_fit(network: Any, tasks: Sequence[Task]) -> bool:
    """Return whether each task's kind, and the network, allow a convex fit."""
    empty = [kinds.of(task).encode(task, [])[0] for task in tasks]
    convex = all(kinds.of(task).family(task, targets) is not None for task, targets in zip(tasks, empty, strict=True))
    return convex and FINAL not in network.taps


def fit_task(
    task: Task, seen: Seen, data: Labelled, folds: np.ndarray, seed: int = 0, progress: Progress = silent
) -> Fit:
    """Fit the branch of a task to the pictures that are labelled for it; of a task that the parent knows a correction of its last
    layer. The classes count alike."""
    rows = data.known[task.name].numpy()
    targets = data.targets[task.name].numpy()[rows]
    family = kinds.of(task).family(task, targets)
    if family is None:
        raise TypeError(f"{task.kind} has no convex fit")
    offset = seen.logits[task.name][rows] if task.name in seen.logits else None
    features = seen.taps if offset is None else {OWN: seen.own[task.name]}
    return fit(
        {stage: values[rows] for stage, values in features.items()},
        family,
        folds[rows],
        weights=weights_of(task, targets),
        offset=offset,
        candidates=candidates(
            {name: values.shape[1] for name, values in features.items()}, family.targets.shape[1], int(rows.sum())
        ),
        seed=seed,
        progress=progress,
    )


def weights_of(task: Task, targets: np.ndarray) -> np.ndarray:
    """float (N,), so that rare labels count as much as common ones, within RAREST."""
    _, which, counts = np.unique(kinds.of(task).rarity_bins(task, targets), return_inverse=True, return_counts=True)
    return (len(targets) / (len(counts) * counts))[which].clip(1 / RAREST, RAREST)


def candidates(stages: Mapping[str, int], width: int, count: int) -> list[tuple[str, ...]]:
    """Sets of stages to choose from: neighbours, as large as a branch may be. Of many pictures only the largest of them."""
    names = [*stages]
    runs = [tuple(names[:end]) for end in range(1, len(names) + 1)] + [
        tuple(names[start:]) for start in range(1, len(names))
    ]
    fitting = [run for run in runs if 2 * width * sum(stages[name] for name in run) <= LARGEST_BRANCH]
    fitting.sort(key=lambda run: -len(run))
    return fitting[: 2 if count > LANDMARKS else MOST_CANDIDATES] or [
        min(runs, key=lambda run: sum(stages[name] for name in run))
    ]


def leaf(fitted: Fit, taps: Mapping[str, int]) -> str:
    """Return the stage that a fitted branch leaves from, as the options of a network name it."""
    return TAPPED if fitted.stages == tuple(taps) else f"{TAPPED}:{','.join(fitted.stages)}"


@torch.no_grad()
def put(network: Any, task: Task, fitted: Fit) -> None:
    """Write a fit into the branch of a network that was built for it; a correction is added to what is there."""
    layer = last_layer(network.branches[task.name])
    weight, bias = torch.from_numpy(fitted.weight), torch.from_numpy(fitted.bias)
    if fitted.stages == (OWN,):
        weight, bias = weight + layer.weight.cpu(), bias + layer.bias.cpu()
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def unchanged(before: nn.Module, after: nn.Module, names: Sequence[str]) -> dict[str, float]:
    """Return {task: 0.0}, the share of answers that changed, of tasks whose weights are the same to the last bit.

    Raises RuntimeError for one whose are not."""
    taken = after.state_dict()
    for name, tensor in before.state_dict().items():
        if name.startswith(("trunk.", *(f"branches.{task}." for task in names))) and not torch.equal(
            tensor.cpu(), taken[name].cpu()
        ):
            raise RuntimeError(f"{name} of the parent has changed")
    return dict.fromkeys(names, 0.0)
