"""How a network is asked: images -> logits -> calibrated predictions; the one road of predictor and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.errors import CheckpointError
from mtl_model.tasks import Task


def widths(tasks: Sequence[Task]) -> dict[str, int]:
    """{task: outputs of its branch per sample}"""
    return {task.name: kinds.of(task).width(task) for task in tasks}


def heads(tasks: Sequence[Task]) -> dict[str, Callable[[int], nn.Module]]:
    """Return what makes the last layer of each task's branch: {task: number of features -> module}."""
    return {task.name: partial(kinds.of(task).layer, task) for task in tasks}


@torch.inference_mode()
def logits(network: Callable[[Tensor], Mapping[str, Tensor]], images: Tensor, card: Card) -> dict[str, Tensor]:
    """{task: float32 (N, width)} for images (N, C, S, S); with flip averaging the mean over each and its mirror image."""
    if not (card.flip_averaging and card.tasks):
        return {name: output.float() for name, output in network(images).items()}
    count, outputs = len(images), network(torch.cat([images, images.flip(-1)]))
    mirrored = {task.name: kinds.of(task).mirror(task, outputs[task.name][count:]) for task in card.tasks}
    return {task.name: ((outputs[task.name][:count] + mirrored[task.name]) / 2).float() for task in card.tasks}


def predictions(outputs: Mapping[str, Tensor], card: Card, quality: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """{task: prediction, one row per sample}, calibrated by the card, as each task's kind makes it of logits (N, width).

    quality: float (N, Q), what is known of the faces, as in `cache.Crops`; None where nothing is.
    Raises: CheckpointError where a network's answers are not finite."""
    result = {}
    for task in card.tasks:
        answers = outputs[task.name].cpu().numpy()
        if not np.isfinite(answers).all():
            raise CheckpointError(
                f"The network's answers for {task.name} are not numbers (NaN or infinite), as after a training that went wrong. "
                "Expected numbers; choose another checkpoint."
            )
        result[task.name] = kinds.of(task).predict(task, answers, card.calibration_of(task.name), quality)
    return result
