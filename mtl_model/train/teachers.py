"""Checkpoints whose mean answers stand beside the labels of a training: knowledge distillation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_model import checkpoint, kinds
from mtl_model.card import Card, CropSettings
from mtl_model.errors import UsageError
from mtl_model.events import Noted
from mtl_model.inference import predictions
from mtl_model.networks import folded
from mtl_model.quality import GREY
from mtl_model.tasks import Task


class Teachers:
    """Answers to the tasks of a training, each the mean of the teachers that know the task, about the very crops that the student
    sees, augmented as they are.

    Source: Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", 2022, section 3 (consistent)."""

    def __init__(self, folders: Sequence[Path], student: Card) -> None:
        """folders: of the checkpoints. student: the card of the training, with its tasks and crop settings.

        Raises UsageError for a teacher that cannot see the student's crops, or knows none of its tasks."""
        self._crop, self._members = student.crop, []
        self._tasks = {task.name: task for task in student.tasks}
        self.notes: list[Noted] = []
        self.digests: list[str] = []
        """The sums of the teachers' weights: other teachers would make another training."""
        for folder in folders:
            network, card = checkpoint.load(folder)
            _check_crop(folder.name, card, student)
            tasks = tuple(task for task in card.tasks if any(_answers(task, own) for own in student.tasks))
            if not tasks:
                raise UsageError(
                    f"The teacher '{folder.name}' answers {_listed(card.tasks)}. Expected a task of this training, with the same "
                    f"classes: {_listed(student.tasks)}; name another teacher."
                )
            self._members.append((folded(network), dataclasses.replace(card, tasks=tasks, calibration={})))
            self.digests.append(card.weights_sha256)
            self.notes.append(_note(folder.name, tasks, card.crop, student.crop))

    def learned_as(self, tasks: Sequence[Task]) -> None:
        """Answer in the terms of the student's tasks from now on, when these are fitted on train."""
        self._tasks = {task.name: task for task in tasks}

    def to(self, device: torch.device) -> Teachers:
        """Move the teachers' networks."""
        self._members = [(network.to(device), card) for network, card in self._members]
        return self

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return {task: float (B, ...)}, as `Kind.distil` takes it, for images (B, C, S, S) of the student's crop settings.

        Raises CheckpointError where an answer is not a number."""
        found: dict[str, list[Tensor]] = {}
        for network, card in self._members:
            answers = _ask(network, card, _as_seen(images, self._crop, card.crop))
            for name in answers.keys() & self._tasks.keys():
                task = self._tasks[name]
                values = kinds.of(task).restate(task, answers[name], card.task(name))
                found.setdefault(name, []).append(torch.from_numpy(values).float().to(images.device))
        return {name: torch.stack(values).mean(0) for name, values in found.items()}


@torch.inference_mode()
def _ask(network: nn.Module, card: Card, images: Tensor) -> Mapping[str, np.ndarray]:
    return predictions({name: output.float() for name, output in network(images).items()}, card)


def _as_seen(images: Tensor, own: CropSettings, wanted: CropSettings) -> Tensor:
    """The student's crops (B, C, S, S) as a teacher takes them: its size, its colours, its mean and deviation."""

    def of(numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, device=images.device).view(1, -1, 1, 1)

    pictures = images * of(own.std) + of(own.mean)
    if wanted.grey and not own.grey:
        pictures = (pictures * of(GREY)).sum(1, keepdim=True)
    if wanted.size_px != images.shape[-1]:
        size = (wanted.size_px, wanted.size_px)
        pictures = functional.interpolate(pictures, size=size, mode="bilinear", antialias=True)
    return (pictures - of(wanted.mean)) / of(wanted.std)


def _answers(task: Task, other: Task) -> bool:
    """Return whether a teacher's answers to one task teach the other: the same task, one prediction for one prediction."""
    return task.name == other.name and kinds.answers_alike(task, other) and task.classes == other.classes


def _check_crop(name: str, teacher: Card, student: Card) -> None:
    for what, theirs, own in (
        ("margin", teacher.crop.margin, student.crop.margin),
        ("upright", teacher.crop.upright, student.crop.upright),
        ("detector", teacher.detection.detector, student.detection.detector),
    ):
        if theirs != own:
            raise UsageError(
                f"The teacher '{name}' cuts its crops with {what} {theirs}, this training with {own}. Expected one square for "
                f"both: a teacher sees what the student sees. Train with the teacher's {what}, or name another teacher."
            )
    if student.crop.grey and not teacher.crop.grey:
        raise UsageError(
            f"The teacher '{name}' takes crops in colour, and this training cuts grey ones. Expected a teacher that takes grey "
            "crops, or a network to train that takes colour; name another."
        )


def _note(name: str, tasks: Sequence[Task], theirs: CropSettings, own: CropSettings) -> Noted:
    values = {"teacher": name, "tasks": [task.name for task in tasks], "from_px": own.size_px, "to_px": theirs.size_px}
    return Noted("teacher", values)


def _listed(tasks: Sequence[Task]) -> str:
    return ", ".join(task.name for task in tasks)
