"""From data sets to what a run learns from: sources read, copies of val and test left out, crops cut."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_model import checkpoint, kinds, layouts, registry, wording
from mtl_model.answers import find_clash
from mtl_model.card import Card, CropSettings, DetectionSettings, read_card
from mtl_model.config import TrainConfig, listed, pairs, shares
from mtl_model.data import cache, duplicates, joined, pseudo_labels
from mtl_model.data.augmentation import Reach
from mtl_model.data.batches import Labelled
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.events import Noted, Progress, silent
from mtl_model.records import FACE, Sample
from mtl_model.tasks import DETECTED, Task, number_of
from mtl_model.train.optimisation import freeze, take_weights
from mtl_model.train.selection import LOSS
from mtl_model.train.teachers import Teachers

RESEARCH_TERMS = (
    "The weights were learned from data sets that are for non-commercial research only; they are for research use. "
    "See weights/LICENSE.md."
)


SETTLED = ("channels", "leaves", "separate")
"""Options of networks that other settings decide."""


@dataclass
class Data:
    """What a run learns from and is chosen by."""

    train: Labelled
    val: Labelled
    card: Card
    notes: list[Noted]
    command: str = ""
    """The command that repeats the run, where it is not `train`."""
    mix: Mapping[str, float] = field(default_factory=dict)
    """{source: share of each batch}; empty for by size."""
    teachers: Teachers | None = None

    def digest(self) -> str:
        """Tells apart what is learned from: files, labels and splits, in their order, and teachers."""
        names = [task.name for task in self.card.tasks]
        plain = [
            [part, one.source, one.file or one.path, [one.labels.get(name) for name in names]]
            for part, data in (("train", self.train), ("val", self.val))
            for one in data.samples
        ]
        plain += [["teacher", digest] for digest in (self.teachers.digests if self.teachers else ())]
        return hashlib.blake2b(json.dumps(plain, allow_nan=False).encode(), digest_size=16).hexdigest()


def prepare(
    config: TrainConfig,
    progress: Progress = silent,
    start: Path | None = None,
    teachers: Sequence[Path] = (),
) -> Data:
    """Read the sources, leave out copies of val and test pictures, cut the crops; start, teachers: see `loop.train`.

    Whatever the settings name is looked up first, since hours may be spent on looking for faces."""
    if not config.source:
        raise UsageError("No --source is given. Expected at least one, such as --source utkface:DIR.")
    sources = [layouts.read(spec, layouts.options_for(spec, config.layout_options)) for spec in config.source]
    for source in sources:
        source.check()
    parents = [task for folder in (*((start,) if start else ()), *teachers) for task in read_card(folder).tasks]
    sources = _alike(sources, parents)
    asked = _tasks(config, sources)
    chosen = [_share(pseudo_labels.with_labels(source.samples, asked), config) for source in sources]
    mix = mix_of(config.mix, sorted({one.source for some in chosen for one in some if one.split == "train"}))
    chosen = [[one for one in some if one.split != "train" or mix.get(one.source, 1.0)] for some in chosen]
    tasks = _taught(config, asked, [one for some in chosen for one in some], detected=True)
    chosen = [pseudo_labels.with_labels(some, tasks) for some in chosen]
    card = card_for(config, tasks, asked, start)
    _check_names(config, [task.name for task in tasks])
    anew = _check_network(config, card, start)
    answering = Teachers(teachers, card) if teachers else None
    detected = [task.name for task in tasks if task.detected]

    notes = [source.summary() for source in sources]
    if start:
        notes += [Noted("branch_anew", {"task": name, "start": start.name}) for name in anew]
    notes += answering.notes if answering else []
    notes += [Noted("pseudo_labels", {"tasks": detected})] if detected else []
    left_out: set[str] = set()
    if not config.keep_copies:
        held = [one for some in chosen for one in some if one.split in ("val", "test")]
        taught = [one for some in chosen for one in some if one.split == "train"]
        mine, theirs = (duplicates.thumbnails([one.path for one in some], progress) for some in (taught, held))
        left_out = {taught[row].path for row in duplicates.leak(mine, theirs, progress=progress)}
        notes.append(Noted("copies_left_out", {"count": len(left_out)}))

    parts: dict[str, list] = {"train": [], "val": []}
    for source, every in zip(sources, chosen, strict=True):
        samples = [one for one in every if one.split in parts]  # nothing is looked for in test: a run never sees it
        samples = pseudo_labels.detect(samples, tasks, card.detection, progress)
        crops = cache.crops_of([one.path for one in samples], card.detection, card.crop, progress=progress)
        if not card.reads_whole:
            notes.append(Noted("faces_found", {"kind": source.kind, "counts": crops.counts()}))
        for split, part in parts.items():
            rows = [row for row in np.flatnonzero(crops.readable).tolist() if samples[row].split == split]
            rows = [row for row in rows if samples[row].labels.keys() & {task.name for task in tasks}]
            if split == "train":
                rows = [row for row in rows if samples[row].path not in left_out]
            part.append(([samples[row] for row in rows], crops, np.array(rows, int)))
    if config.join:
        part = _side_by_side(config, card, [sample for samples, _, _ in parts["train"] for sample in samples])
        parts["train"].append(part)
        notes.append(Noted("pictures_joined", {"count": len(part[0])}))
    learned = [sample for samples, _, _ in parts["train"] for sample in samples]  # copies are gone now
    tasks = tuple(kinds.fit(task, learned, parents) for task in _taught(config, tasks, learned))
    train, val = (Labelled(parts[split], tasks) for split in ("train", "val"))
    for task in asked:  # fitted they may be other records
        if task.name not in train.known:
            notes.append(Noted("task_not_learned", {"task": task.name}))
        elif not bool(val.known[task.name].any()):
            notes.append(Noted("task_without_val", {"task": task.name}))
    card = dataclasses.replace(card, tasks=tasks, network_options=card_for(config, tasks, asked, start).network_options)
    if answering:
        answering.learned_as(tasks)
    return Data(train, val, card, notes, mix=mix, teachers=answering)


def card_for(
    config: TrainConfig, tasks: tuple[Task, ...], asked: Sequence[Task] = (), start: Path | None = None
) -> Card:
    """Return the card of the network that these settings make for tasks, before it has learned.

    asked: tasks of the settings, where some of them are not learned; start: see `loop.train`. Raises UsageError."""
    module = registry.load("networks", config.network)
    given = _network_options(config, module)
    mirror = not config.no_mirror and kinds.may_mirror(tasks)
    size = {"size_px": given["size_px"]} if "size_px" in given else {}
    crop = CropSettings(
        **{**module.INPUT, **size, "margin": config.margin, "upright": config.upright, "mirror": mirror}
    )
    options = {"size_px": crop.size_px, "channels": 1 if crop.grey else 3, **given}
    options |= _branching(config, asked or tasks, tasks, start)
    subject = registry.load("detectors", config.detector).SUBJECT
    terms = RESEARCH_TERMS if subject == FACE else read_card(start).terms if start else ""
    return Card(config.network, options, tasks, DetectionSettings(config.detector), crop, subject=subject, terms=terms)


def _network_options(config: TrainConfig, module: Any) -> dict[str, Any]:
    """The options of --network-options: numbers, yes or no as true or false, else words. Raises UsageError for one that the
    network does not have."""
    known = [name for name in inspect.signature(module.build).parameters if name not in ("heads", *SETTLED)]
    words = pairs(config.network_options, "option of the network", known)
    return {name: _value(text) for name, text in words.items()}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    number = number_of(text)
    return text if number is None else int(number) if number.is_integer() else number


def _side_by_side(config: TrainConfig, card: Card, samples: Sequence[Sample]) -> joined.Part:
    """Further training pictures of two each. Raises UsageError where the pictures or their labels cannot be joined."""
    part = joined.joined(samples, card.tasks, card.crop, round(config.join * len(samples)), config.seed)
    if not card.reads_whole or not part[0]:
        raise UsageError(
            f"--join is {config.join}, and these pictures cannot be set side by side. Expected whole pictures (--detector whole) "
            "of texts that fit together into the longest one, such as numbers; leave --join away."
        )
    return part


def _branching(config: TrainConfig, asked: Sequence[Task], tasks: Sequence[Task], start: Path | None) -> dict[str, Any]:
    """Where the branches leave, and whether the trunk is shared, as options of a network: as in the start, unless given."""
    inherited = read_card(start).network_options if start else {}
    names = {task.name for task in tasks}
    leaves = {**inherited.get("leaves", {}), **pairs(config.leaves, "task", [task.name for task in asked])}
    options = {
        "leaves": {name: stage for name, stage in leaves.items() if name in names},
        "separate": config.separate or inherited.get("separate", False),
    }
    return {name: value for name, value in options.items() if value}


def mix_of(text: str, sources: Sequence[str]) -> dict[str, float]:
    """{source: share of each batch}, {} for by size. Raises UsageError unless each source has one and they are not all 0."""
    mix = shares(text, "source", sources)
    if mix and (missing := [one for one in sources if one not in mix]):
        raise UsageError(f"--mix gives no share of {', '.join(missing)}. Give each source one; 0 leaves it out.")
    if mix and not sum(mix.values()):
        raise UsageError("--mix gives every source the share 0. Give one at least a share above 0.")
    return mix


def _taught(
    config: TrainConfig, tasks: Sequence[Task], samples: Sequence[Sample], detected: bool = False
) -> tuple[Task, ...]:
    """The tasks that a training picture is labelled for; the branch of another would answer without having learned.

    detected: whether those that the detector will label count too.
    Raises UsageError where --tasks asks for one of those, DataError where no task is left."""
    labelled = {name for one in samples if one.split == "train" for name in one.labels}
    labelled |= {task.name for task in tasks if detected and task.detected}
    missing = [task.name for task in tasks if task.name not in labelled]
    if missing and config.tasks:
        raise UsageError(
            f"--tasks names {', '.join(missing)}, and no training picture that is drawn is labelled for it. Expected labels in "
            "the train split of a source that --mix gives a share above 0; add some, or leave it out of --tasks."
        )
    if len(missing) == len(tasks):
        raise DataError("No labelled picture is left to learn from. Add pictures to the train split.")
    return tuple(task for task in tasks if task.name in labelled)


def reach_of(config: TrainConfig) -> Reach | None:
    """How far the augmentation moves pictures; None for its usual ways. Raises UsageError."""
    known = [part.name for part in dataclasses.fields(Reach)]
    return Reach(**shares(config.reach, "move", known)) if config.reach else None


def _check_names(config: TrainConfig, names: Sequence[str]) -> None:
    shares(config.task_weights, "task", names)
    reach_of(config)
    if config.select and config.select not in (*names, LOSS):
        raise UsageError(unknown("task to select by", config.select, (*names, LOSS)))


def _check_network(config: TrainConfig, card: Card, start: Path | None) -> list[str]:
    """Returns the tasks whose branch cannot take the weights of the start.

    Raises UsageError for parts to freeze that are not there, for a start that is another network, and for sizes that a
    network made for one alone cannot take."""
    network = checkpoint.build_network(card).eval()
    freeze(network, config.freeze)
    anew = take_weights(network, card, start) if start else []
    for side in {config.size_px(epoch) for epoch in range(config.epochs)} - {0}:
        try:
            with torch.inference_mode():
                network(torch.zeros(1, card.network_options["channels"], side, side))
        except RuntimeError:
            raise UsageError(
                f"--sizes is {config.sizes}, and {config.network} takes crops of {card.crop.size_px} px alone. Leave --sizes "
                "away, or choose a network that pools its features, such as mobilenet."
            ) from None
    return anew


def _tasks(config: TrainConfig, sources: Sequence[layouts.Source]) -> tuple[Task, ...]:
    found: dict[str, Task] = {}
    for source in sources:
        for name, task in source.tasks.items():
            found[name] = _joined(found.get(name, task), task)
    wanted = listed(config.tasks) or list(found)
    found |= {name: DETECTED[name] for name in wanted if name in DETECTED and name not in found}
    for name in wanted:
        if name not in found:
            raise UsageError(unknown("task of these sources", name, found))
    for name, task in layouts.declare_columns(config.columns).items():
        if task is not None and name not in found:
            raise UsageError(unknown("column of these sources", name, found))
    if clash := find_clash(found[name] for name in wanted):
        raise wording.error(DataError, "column_clash", clash._asdict())
    losses = pairs(config.losses, "task", wanted)
    for name, loss in losses.items():
        if loss not in kinds.of(found[name]).losses:
            raise UsageError(unknown(f"loss of {name}", loss, kinds.of(found[name]).losses))
        found[name] = dataclasses.replace(found[name], loss=loss)
    return tuple(found[name] for name in wanted)


def _alike(sources: Sequence[layouts.Source], parents: Sequence[Task]) -> list[layouts.Source]:
    """Return the sources with each quantity read as one: few different numbers look like classes where another source, or the
    checkpoint to start from, knows many."""
    known = [*parents, *(task for source in sources for task in source.tasks.values())]
    quantities = [task for task in known if not kinds.of(task).choices(task)]
    return [layouts.read_as(source, quantities) for source in sources]


def _joined(first: Task, second: Task) -> Task:
    """Return one task of two sources: the one that knows all the classes of the other, and its unit."""
    for task, other in sorted(((first, second), (second, first)), key=lambda pair: not pair[0].unit):
        if kinds.covers(task, other):
            return task
    one, another = (kinds.of(task).summary(task) for task in (first, second))
    raise DataError(
        f"One source knows {first.name} as {one}, another as {another}. Expected the same "
        "words for the same thing; rename the classes of one, or the task, if it is another."
    )


def _share(samples: Sequence[Sample], config: TrainConfig) -> list[Sample]:
    """All but the training pictures that --fraction leaves out: before faces are looked for, which is the slow part."""
    taught = [row for row, one in enumerate(samples) if one.split == "train"]
    order = np.random.default_rng(config.seed).permutation(len(taught))
    dropped = {taught[one] for one in order[max(1, round(len(taught) * config.fraction)) :]}
    return [one for row, one in enumerate(samples) if row not in dropped]
