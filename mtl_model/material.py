"""From a visitor's folder to three parts of labelled crops: train to learn from, val to stop by, test ("held") to measure.

Near copies and pictures of one person stay together; nothing is chosen by the pictures that are held.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl_model import cache, changes, duplicates, layouts
from mtl_model.cache import Crops
from mtl_model.card import Card
from mtl_model.config import FinetuneConfig
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.records import Sample
from mtl_model.tasks import Task

SHARES = {"test": 0.20, "val": 0.15}


def read_source(config: FinetuneConfig) -> layouts.Source:
    """The pictures of config.data as its layout has them, with what was changed by hand."""
    spec = f"{config.layout}:{config.data}" if config.layout else config.data
    source = layouts.read(spec, layouts.options_for(spec, {"task": config.task, "labels": config.labels}))
    if config.changes:
        source = changes.apply(source, changes.read_changes(Path(config.changes)))
    if not source.samples:
        raise DataError(f"{source.summary()} Expected labelled pictures; look at what was left out.")
    return source


def choose_tasks(config: FinetuneConfig, source: layouts.Source, card: Card) -> tuple[Task, ...]:
    """What is taught: the tasks asked for, as the parent knows them, or new. Raises UsageError or DataError."""
    wanted = [one.strip() for one in config.tasks.split(",") if one.strip()] or list(source.tasks)
    chosen = []
    for name in wanted:
        if name not in source.tasks:
            raise UsageError(unknown("task of these pictures", name, source.tasks))
        mine = source.tasks[name]
        theirs = next((task for task in card.tasks if task.name == name), None)
        if theirs and (theirs.kind != mine.kind or not set(mine.classes) <= set(theirs.classes)):
            raise DataError(
                f"The parent knows {name} with the classes {', '.join(theirs.classes)}; these pictures have "
                f"{', '.join(mine.classes)}. Rename the folders, or give the task another name."
            )
        chosen.append(theirs or mine)
    return tuple(chosen)


Part = tuple[list[Sample], Crops, np.ndarray]


def parts_of(
    source: layouts.Source, names: set[str], card: Card, root: Path, config: FinetuneConfig, progress: cache.Progress
) -> tuple[dict[str, Part], list[str]]:
    """{"train", "val", "test": samples with their crops}, and what a person should know of them."""
    samples = [one for one in source.samples if names & set(one.labels)]
    crops = cache.crops_of([one.path for one in samples], card.detection, card.crop, root, progress)
    rows = np.flatnonzero(crops.faces > 0)
    notes = [
        dataclasses.replace(source, samples=tuple(dataclasses.replace(one, split="") for one in samples)).summary()
    ]
    if not len(rows):
        raise DataError(
            f"No face was found in any of the {len(samples):,} pictures. Expected photos of faces, upright and at least "
            f"{card.detection.smallest_face_px} px large; choose others."
        )
    for kind, what in (("none", "show no face that could be found"), ("unreadable", "cannot be read")):
        if count := crops.counts()[kind]:
            notes.append(f"{count:,} of {len(samples):,} pictures {what}, and are left out.")
    kept = [samples[row] for row in rows]
    splits = part_of(kept, source, config.seed, progress)
    parts = {
        split: ([kept[row] for row in mine], crops, rows[mine])
        for split in ("train", "val", "test")
        for mine in [np.flatnonzero(splits == split)]
    }
    check_parts(parts, names)
    counts = ", ".join(
        f"{len(some):,} {word}"
        for (some, _, _), word in zip(parts.values(), ("to learn from", "to stop by", "held out"), strict=True)
    )
    return parts, [*notes, f"Pictures: {counts}."]


def part_of(samples: Sequence[Sample], source: layouts.Source, seed: int, progress: cache.Progress) -> np.ndarray:
    """The part of each sample, as words: near copies and pictures of one person in the same one, each label in all of them.

    Parts that the visitor's own folders are called (train/, val/, test/) are kept."""
    folders = [Path(changes.name_of(source, one.path)).parts[:-1] for one in samples]
    if all({"train", "val", "test"} & {part.casefold() for part in some} for some in folders):
        return np.array([one.split for one in samples])
    same = duplicates.near_groups(duplicates.thumbnails([one.path for one in samples], progress), progress=progress)
    people: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(samples):
        if one.person:
            people[one.person].append(row)
    pairs = [(some[0], other) for some in (*same, *people.values()) for other in some[1:]]
    joined = duplicates.group(pairs)
    together = [*joined, *([row] for row in range(len(samples)) if row not in {one for some in joined for one in some})]
    strata: dict[tuple, list[list[int]]] = defaultdict(list)
    for some in together:
        strata[_stratum(samples[some[0]])].append(some)
    result = np.full(len(samples), "train", dtype="<U5")
    for key in sorted(strata, key=str):
        groups = strata[key]
        order = np.random.default_rng([seed, len(groups)]).permutation(len(groups)).tolist()
        for split, share in SHARES.items():
            for _ in range(max(1, round(share * len(groups))) if len(groups) >= 3 else 0):
                result[groups[order.pop()]] = split
    return result


def _stratum(sample: Sample) -> tuple:
    """Which labels it has; ages by the decade."""
    return tuple(
        (name, label if isinstance(label, str) else int(np.mean(label)) // 10)
        for name, label in sorted(sample.labels.items())
    )


def check_parts(parts: dict[str, Part], names: set[str]) -> None:
    """Raises DataError where a task cannot be learned from what there is."""
    for name in sorted(names):
        labels = {
            split: [one.labels[name] for one in some if name in one.labels] for split, (some, _, _) in parts.items()
        }
        seen = Counter(str(label) for label in labels["train"])
        if len(seen) < 2:
            raise DataError(
                f"All pictures to learn {name} from are of one class ({next(iter(seen), 'none')}). Expected pictures of two at "
                "least, some ten of each; add pictures of another one."
            )
        for split, use in (("val", "stop by"), ("test", "measure with")):
            if not labels[split]:
                raise DataError(
                    f"There are too few pictures of {name} ({sum(map(len, labels.values()))}): none is left to {use}. "
                    "Expected at least three of each class, better twenty; add some."
                )
