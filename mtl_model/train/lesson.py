"""What a fine-tuning begins with, and what it keeps: parent, pictures, tasks; the card and the outcome of the child."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mtl_model import checkpoint, kinds, layouts, registry, wording
from mtl_model.card import Card, expect_shown, write_card, write_plain
from mtl_model.config import FinetuneConfig
from mtl_model.data import cache, dataset_edits
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.events import Noted, Progress, Stage
from mtl_model.inference import predictions
from mtl_model.options import options_of
from mtl_model.runs import OUTCOME, STOP
from mtl_model.tasks import Task
from mtl_model.train.branch import can_fit, fit_task, leaf, put
from mtl_model.train.compare import Answered
from mtl_model.train.features import Seen, look
from mtl_model.train.fit import Fit
from mtl_model.train.optimisation import take_weights
from mtl_model.train.splits import LEAST_TAUGHT, SHARES, Part, choose_tasks, parts_of, read_source, unshown

BESIDE = (
    "pictures",
    "suspects",
    "checkpoint",
    "parent",
    "titles",
    "unshown",
    "weights_sha256",
)  # of the outcome; the card has its own


class AskedToStop(Exception):
    """Somebody asked to stop before anything was learned."""


def _until_asked(folder: Path, progress: Progress) -> Progress:
    """Return the progress that raises AskedToStop once there is a file that asks for it."""

    def watched(stage: Stage, done: int, total: int) -> None:
        if (folder / STOP).exists():
            raise AskedToStop
        progress(stage, done, total)

    return watched


@dataclass(frozen=True)
class Lesson:
    """All that a fine-tuning has before anything is learned. root: folder of the cache, the usual one and without features if
    None. convex: the branches of the taught tasks can be fitted."""

    config: FinetuneConfig
    folder: Path
    root: Path | None
    parent: Path
    network: Any
    card: Card
    source: layouts.Source
    taught: tuple[Task, ...]
    convex: bool
    parts: Mapping[str, Part]
    folds: np.ndarray
    risks: Sequence[Noted]
    device: str
    progress: Progress
    began: float

    @property
    def names(self) -> set[str]:
        return {task.name for task in self.taught}

    @property
    def new(self) -> list[Task]:
        known = {task.name for task in self.card.tasks}
        return [task for task in self.taught if task.name not in known]

    @property
    def asked(self) -> Card:
        """The parent's card, as it is asked from now on: with mirror images only where each task allows them."""
        mirror = self.card.crop.mirror and not self.config.no_mirror and kinds.may_mirror(self.new)
        crop = dataclasses.replace(self.card.crop, mirror=mirror)
        return dataclasses.replace(self.card, crop=crop, flip_averaging=self.card.flip_averaging and mirror)

    def cautious(self, fitting: Mapping[str, kinds.Fitted]) -> dict[str, kinds.Fitted]:
        """What was fitted, where it is of a task that the parent does not know as is wise of so few pictures."""
        new = {task.name: kinds.of(task) for task in self.new}
        return {name: new[name].cautious(fitted) if name in new else fitted for name, fitted in fitting.items()}

    def labelled(self, split: str, kind: type[Labelled] = Labelled) -> Labelled:
        """The pictures of a part, with the labels of the taught tasks alone."""
        result = kind([self.parts[split]], (*self.card.tasks, *self.new))
        for task in self.card.tasks:
            if task.name not in self.names:
                result.known[task.name][:] = False
        return result

    def fit(self, data: Labelled, tasks: Sequence[Task]) -> tuple[Seen, dict[str, Fit]]:
        """What the network makes of the pictures, and the fitted branch of each task. Raises AskedToStop."""
        progress = _until_asked(self.folder, self.progress)
        seen = look(self.network, data, self.asked, tasks, self.device, progress, self.root)
        return seen, {task.name: fit_task(task, seen, data, self.folds, self.config.seed, progress) for task in tasks}

    def child(self, fits: Mapping[str, Fit]) -> tuple[Any, Card]:
        """The parent's network with a branch for each new task, those that are fitted in place, and its card."""
        used = {cache.short_digest(sample.path) for split in ("train", "val") for sample in self.parts[split][0]}
        late = registry.load("networks", self.card.network).LATE
        leaves = {
            task.name: leaf(fits[task.name], self.network.taps) if task.name in fits else late for task in self.new
        }
        card = _card_of_child(_with_branches(self.asked, self.new, leaves), self.names, self.risks)
        card = dataclasses.replace(card, taught=tuple(sorted({*card.taught, *used} - {""})))
        torch.manual_seed(self.config.seed)
        network = checkpoint.build_network(card)
        take_weights(network, card, self.parent)
        for task in self.taught:
            if task.name in fits:
                put(network, task, fits[task.name])
        return network, card

    def command(self) -> str:
        config = dataclasses.replace(self.config, start=self.parent.name, changes="")
        return f"python -m mtl_model finetune DATA {options_of(config)}"

    def keep(self, found: dict[str, Any], sizes: dict[str, int], card: Card) -> Noted:
        """Write what it brought into outcome.json and the card. Returns the note that says it."""
        found["unshown"] = [risk.values for risk in self.risks]
        seconds = round(time.monotonic() - self.began, 1)
        outcome = _whole(self.config, self.parent.name, seconds, sizes, found) | {"weights_sha256": card.weights_sha256}
        _keep(self.folder, card, outcome)
        return Noted("outcome", {name: outcome[name] for name in ("tasks", "changed", "shifts", "titles", "unshown")})

    def answers(self, data: Labelled, taken: nn.Module, card: Card) -> tuple[Answered, Answered]:
        """What the parent and the child answer to the pictures."""
        before, after = (
            (predictions(network_outputs(network, data, of_it), of_it, data.quality), of_it)
            for network, of_it in ((self.network.to("cpu"), self.card), (taken, card))
        )
        return before, after

    def files(self, data: Labelled) -> list[str]:
        return [dataset_edits.name_of(self.source, sample.path) for sample in data.samples]


def prepare(
    config: FinetuneConfig,
    folder: Path,
    root: Path | None,
    parent: Path,
    device: str,
    progress: Progress,
    least: int = LEAST_TAUGHT,
) -> tuple[Lesson, list[Noted]]:
    """Read the pictures, find their faces and part them. Also returns what a person should know of them. root: see `Lesson`.
    least: usable pictures that each class needs."""
    began = time.monotonic()
    network, card = checkpoint.load(parent, device)
    if card.tasks:  # a start has none
        expect_shown(card, parent.name)
    source = layouts.read_as(read_source(config), card.tasks)
    taught = choose_tasks(config, source, card)
    names = {task.name for task in taught}
    convex = can_fit(network, taught)
    shares = {} if convex and config.how == "branch" else SHARES
    parts, folds, notes = parts_of(source, names, card, root, config, progress, shares, least)
    taught = tuple(task if task in card.tasks else kinds.fit(task, parts["train"][0]) for task in taught)
    known = [task for task in taught if task in card.tasks]
    risks = unshown(known, [sample for samples, _, _ in parts.values() for sample in samples], card.subject)
    lesson = Lesson(
        *(
            config,
            folder,
            root,
            parent,
            network,
            card,
            source,
            taught,
            convex,
            parts,
            folds,
            risks,
            device,
            progress,
            began,
        )
    )
    return lesson, notes


def _with_branches(card: Card, tasks: Sequence[Task], leaves: Mapping[str, str]) -> Card:
    """The card with new tasks. leaves: {task: stage that its branch leaves from}."""
    leaves = {**card.network_options.get("leaves", {}), **leaves}
    options = {**card.network_options, "leaves": leaves} if leaves else card.network_options
    return dataclasses.replace(card, tasks=(*card.tasks, *tasks), network_options=options)


def _card_of_child(card: Card, names: set[str], risks: Sequence[Noted]) -> Card:
    """What of the parent's card still holds."""
    kept = {name: fitted for name, fitted in card.calibration.items() if name not in names}
    errors = {name: rows for name, rows in card.errors.items() if name not in names}
    limits = (
        *card.limits,
        *map(wording.of, risks),
        "Fine-tuned with pictures that somebody brought; how it does on others was not measured.",
    )
    return dataclasses.replace(
        card, calibration=kept, errors=errors, metrics=(), summary="", training={}, limits=tuple(dict.fromkeys(limits))
    )


def _whole(
    config: FinetuneConfig, parent: str, seconds: float, counts: dict[str, int], found: dict[str, Any]
) -> dict[str, Any]:
    edits = dataset_edits.read_changes(Path(config.changes)) if config.changes else dataset_edits.Changes()
    relabelled = {file: dict(labels) for file, labels in edits.labels.items()}
    head = {"checkpoint": config.name, "parent": parent, "how": config.how, "seconds": seconds, "counts": counts}
    return {**head, "left_out": list(edits.left_out), "relabelled": relabelled, **found}


def _keep(folder: Path, card: Card, outcome: dict[str, Any]) -> None:
    """The figures go into the card too; pictures are named by outcome.json alone, until it is accepted."""
    measured = {name: value for name, value in outcome.items() if name not in BESIDE}
    measured |= {"left_out": len(outcome["left_out"]), "relabelled": len(outcome["relabelled"])}
    summary = f"Fine-tuned from {outcome['parent']}. {wording.outcome(**outcome)}"
    write_card(folder, dataclasses.replace(card, summary=summary, training={**card.training, "outcome": measured}))
    write_plain(folder / OUTCOME, outcome)
