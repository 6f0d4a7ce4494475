"""What a network is taught by a batch: a task's labels, a teacher's answers beside them, and how the tasks' losses become one."""

from __future__ import annotations

from torch import Tensor

from mtl_model import kinds
from mtl_model.data.batches import Batch
from mtl_model.tasks import Task

SMALLEST_LOSS, LARGEST_LOSS = 1e-37, 1e37
"""Between which a logarithm of a loss is taken; outside the clipped loss is constant."""


def task_loss(task: Task, output: Tensor, batch: Batch, teacher_weight: float = 1.0, processes: int = 1) -> Tensor:
    """Return the mean loss over the labelled samples plus teacher_weight times the mean distillation loss over the samples with a
    teacher's answer; a sample may carry both. 0, still on the graph, where there is neither.

    Training, distillation and the guarding of tasks that fine-tuning does not teach all take this road.

    Args:
        output: float (B, width), the branch's outputs for this process's part of the batch.
        processes: the means are over the samples of all of them; the processes' gradients are averaged afterwards.

    Returns: a scalar whose mean over the processes is the loss.
    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2 (both terms, weighted)."""
    kind, device = kinds.of(task), output.device
    answers, parts = batch.answers.get(task.name), []
    if batch.labelled[task.name] or answers is None:
        known = batch.known[task.name].to(device)
        loss = kind.losses[task.loss](output, batch.targets[task.name].to(device), known)
        parts.append(loss * (known.sum() * processes / max(1, batch.labelled[task.name])))
    if answers is not None:
        given = answers.given.to(device)
        loss = kind.distil(output, answers.values.to(device), given)
        parts.append(teacher_weight * (loss * (given.sum() * processes / max(1, answers.count))))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def slopes(losses: Tensor, combine: str) -> Tensor:
    """Return the derivative of the combined loss by each task's loss, float (T,); a task's gradient is multiplied by it.

    "sum" adds the losses up: 1 each. "log" adds up log(clip(loss, SMALLEST_LOSS, LARGEST_LOSS)): 1 / loss, and 0 for a task whose
    loss is clipped, such as one that nobody labelled. Such a sum has no lower bound: a task that is nearly solved never rests.

    Args:
        losses: float (T,), the losses over the whole batch, of all processes together."""
    if combine == "sum":
        return losses.new_ones(len(losses))
    inside = (losses >= SMALLEST_LOSS) & (losses <= LARGEST_LOSS)
    return inside / losses.clamp(SMALLEST_LOSS, LARGEST_LOSS)
