"""Put learned tasks of one checkpoint onto another with the same trunk: branches on one frozen trunk are independent."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from mtl_model import checkpoint, kinds, wording
from mtl_model.answers import find_clash
from mtl_model.card import WEIGHTS, Card, read_card
from mtl_model.errors import CheckpointError, UsageError
from mtl_model.tasks import Task

TRUNK, LEAVES = "trunk.", "leaves"


def offered(folder: Path, donor: Path) -> list[Task]:
    """Return the tasks of a donor that a checkpoint lacks and can be given: both have the same trunk and read pictures alike.

    Raises CheckpointError for one that cannot be read."""
    card, other = read_card(folder), read_card(donor)
    if not _reads_alike(card, other) or _trunk_of(folder, card) != _trunk_of(donor, other):
        return []
    known = {task.name for task in card.tasks}
    return [task for task in kinds.shown(other.tasks) if task.name not in known]


def joined(folder: Path, donor: Path, names: Sequence[str]) -> tuple[nn.Module, Card]:
    """Return a checkpoint's network with tasks of a donor beside its own, whose answers stay the same to the last bit.

    Raises: UsageError for a task that is not `offered`, or that writes a column of another one; CheckpointError."""
    can = {task.name: task for task in offered(folder, donor)}
    if strange := next((name for name in names if name not in can), None):
        raise UsageError(
            f"'{donor.name}' cannot give '{folder.name}' a task '{strange[:64]}'. Expected a task that it alone has, on the same "
            f"trunk: {', '.join(can) or 'there is none'}; choose another."
        )
    (network, card), (other_network, other) = checkpoint.load(folder), checkpoint.load(donor)
    added = tuple(can[name] for name in names)
    if clash := find_clash([*card.tasks, *added]):
        raise wording.error(UsageError, "column_clash", clash._asdict())
    child = _card_of(folder.name, card, donor.name, other, added)
    built = checkpoint.build_network(child)
    own, theirs = network.state_dict(), other_network.state_dict()
    built.load_state_dict({name: own[name] if name in own else theirs[name] for name in built.state_dict()})
    return built.eval(), child


def _card_of(name: str, card: Card, donor: str, other: Card, added: Sequence[Task]) -> Card:
    """Return the card of the joined checkpoint: its own figures still hold, and those of the added tasks come with them."""
    names = {task.name for task in added}
    leaves = {task: stage for task, stage in other.network_options.get(LEAVES, {}).items() if task in names}
    leaves = {**card.network_options.get(LEAVES, {}), **leaves}
    taught = (other.training.get("outcome") or {}).get("tasks", {})
    outcome: dict[str, Any] = {
        "tasks": {task: figures for task, figures in taught.items() if task in names},
        "changed": dict.fromkeys((task.name for task in card.tasks), 0.0),
    }
    measured = [
        {**record, "tasks": {task: figures for task, figures in record.get("tasks", {}).items() if task in names}}
        for record in other.metrics
    ]
    titles = " and ".join(task.title for task in added)
    return dataclasses.replace(
        card,
        tasks=(*card.tasks, *added),
        network_options={**card.network_options, **({LEAVES: leaves} if leaves else {})},
        calibration={**card.calibration, **{task: fit for task, fit in other.calibration.items() if task in names}},
        errors={**card.errors, **{task: rows for task, rows in other.errors.items() if task in names}},
        taught=tuple(sorted({*card.taught, *other.taught})),
        metrics=(*card.metrics, *(record for record in measured if record["tasks"])),
        limits=tuple(dict.fromkeys((*card.limits, *other.limits))),
        summary=f"{name} with {titles} of {donor}: all other answers are the same.",
        training={"joined": dict.fromkeys(sorted(names), donor), "outcome": outcome},
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        parent=name,
    )


def _reads_alike(card: Card, other: Card) -> bool:
    """Return whether two checkpoints get the same crops and run the same network on them in the same way."""

    def inputs(of: Card) -> tuple[Any, ...]:
        options = {name: value for name, value in of.network_options.items() if name != LEAVES}
        return of.network, options, of.detection, of.crop, of.flip_averaging, of.subject

    return inputs(card) == inputs(other) and not card.network_options.get("separate")


def _trunk_of(folder: Path, card: Card) -> str:
    """Return a digest of the weights of a trunk. Raises CheckpointError."""
    try:
        return _digest(folder / WEIGHTS, card.weights_sha256)
    except (OSError, SafetensorError):
        raise CheckpointError(
            f"The {WEIGHTS} of '{folder.name}' cannot be read. Expected a whole file; copy the checkpoint again."
        ) from None


@functools.lru_cache(maxsize=256)
def _digest(path: Path, weights_sha256: str) -> str:
    """weights_sha256: so that other weights at the same place are read anew."""
    digest = hashlib.sha256()
    with safe_open(path, "pt") as tensors:
        for name in sorted(tensors.keys()):
            if name.startswith(TRUNK):
                digest.update(name.encode())
                digest.update(tensors.get_tensor(name).contiguous().numpy().tobytes())
    return digest.hexdigest()
