"""From data sets to what a run learns from: sources read, copies of val and test left out, crops cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mtl_model import cache, checkpoint, duplicates, layouts, registry
from mtl_model.batches import Labelled
from mtl_model.card import Card, CropSettings, DetectionSettings
from mtl_model.config import TrainConfig, pairs
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.losses import LOSSES_OF
from mtl_model.records import Sample
from mtl_model.tasks import Task

RESEARCH_TERMS = (
    "The weights were learned from data sets that are for non-commercial research only; they are for research use. "
    "See weights/LICENSE.md."
)


@dataclass
class Data:
    """What a run learns from and is chosen by."""

    train: Labelled
    val: Labelled
    card: Card
    notes: list[str]
    command: str = ""
    """The command that repeats the run, where it is not `train`."""


def prepare(config: TrainConfig, progress: cache.Progress = cache.silent) -> Data:
    """Read the sources, leave out copies of val and test pictures, cut the crops."""
    if not config.source:
        raise UsageError("No --source is given. Expected at least one, such as --source utkface:DIR.")
    sources = [layouts.read(spec, layouts.options_for(spec, config.layout_options)) for spec in config.source]
    for source in sources:
        if not source.samples:
            raise DataError(f"{source.summary()} Expected labelled pictures; look at what was left out.")
    tasks = _tasks(config, sources)
    names = {task.name for task in tasks}
    module = registry.load("networks", config.network)
    crop = CropSettings(**module.INPUT)
    options = {"size_px": crop.size_px, "channels": 1 if crop.grey else 3}
    card = Card(config.network, options, tasks, DetectionSettings(config.detector), crop, terms=RESEARCH_TERMS)
    registry.load("detectors", config.detector)  # a wrong name is said now, not when faces are looked for
    _check_sizes(config, card)

    notes = [source.summary() for source in sources]
    chosen = [_share([one for one in source.samples if names & set(one.labels)], config) for source in sources]
    left_out: set[str] = set()
    if not config.keep_copies:
        held = [one for some in chosen for one in some if one.split in ("val", "test")]
        taught = [one for some in chosen for one in some if one.split == "train"]
        mine, theirs = (duplicates.thumbnails([one.path for one in some], progress) for some in (taught, held))
        left_out = {taught[row].path for row in duplicates.leak(mine, theirs, progress=progress)}
        notes.append(f"{len(left_out)} training pictures are near copies of val or test pictures and are left out.")

    parts: dict[str, list] = {"train": [], "val": []}
    for source, every in zip(sources, chosen, strict=True):
        samples = [one for one in every if one.split in parts]  # nothing is looked for in test: a run never sees it
        crops = cache.crops_of([one.path for one in samples], card.detection, card.crop, progress=progress)
        notes.append(f"{source.kind}: faces found, {_counted(crops.counts())}.")
        for split, part in parts.items():
            rows = [row for row in np.flatnonzero(crops.readable).tolist() if samples[row].split == split]
            if split == "train":
                rows = [row for row in rows if samples[row].path not in left_out]
            part.append(([samples[row] for row in rows], crops, np.array(rows, int)))
    return Data(Labelled(parts["train"], tasks), Labelled(parts["val"], tasks), card, notes)


def _check_sizes(config: TrainConfig, card: Card) -> None:
    """Raises UsageError for a network that is made for one size alone, before hours are spent on its crops."""
    if not config.sizes:
        return
    network = checkpoint.build_network(card).eval()
    for side in {config.size_px(epoch) for epoch in range(config.epochs)}:
        try:
            with torch.inference_mode():
                network(torch.zeros(1, card.network_options["channels"], side, side))
        except RuntimeError:
            raise UsageError(
                f"--sizes is {config.sizes}, and {config.network} takes crops of {card.crop.size_px} px alone. Leave --sizes "
                "away, or choose a network that pools its features, such as mobilenet."
            ) from None


def _tasks(config: TrainConfig, sources: Sequence[layouts.Source]) -> tuple[Task, ...]:
    found: dict[str, Task] = {}
    for source in sources:
        for name, task in source.tasks.items():
            found[name] = _joined(found.get(name, task), task)
    wanted = [one.strip() for one in config.tasks.split(",") if one.strip()] or list(found)
    for name in wanted:
        if name not in found:
            raise UsageError(unknown("task of these sources", name, found))
    losses = pairs(config.losses, "task", wanted)
    for name, loss in losses.items():
        if loss not in LOSSES_OF[found[name].kind]:
            raise UsageError(unknown(f"loss of {name}", loss, LOSSES_OF[found[name].kind]))
        found[name] = dataclasses.replace(found[name], loss=loss)
    return tuple(found[name] for name in wanted)


def _joined(first: Task, second: Task) -> Task:
    """One task of two sources: the one that knows all the classes of the other."""
    for one, other in ((first, second), (second, first)):
        if one.kind == other.kind and set(other.classes) <= set(one.classes):
            return one
    raise DataError(
        f"One source knows {first.name} as {', '.join(first.classes)}, another as {', '.join(second.classes)}. Expected the same "
        "words for the same thing; rename the classes of one, or the task, if it is another."
    )


def _share(samples: Sequence[Sample], config: TrainConfig) -> list[Sample]:
    """All but the training pictures that --fraction leaves out: before faces are looked for, which is the slow part."""
    taught = [row for row, one in enumerate(samples) if one.split == "train"]
    order = np.random.default_rng(config.seed).permutation(len(taught))
    dropped = {taught[one] for one in order[max(1, round(len(taught) * config.fraction)) :]}
    return [one for row, one in enumerate(samples) if row not in dropped]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "no picture of train or val"
