"""From a visitor's folder to parts of labelled crops: train to learn from, in folds; val to stop by; test ("held") to measure.

Near copies and pictures of one person stay together; nothing is chosen by the pictures that are held.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtl_model import kinds, layouts, wording
from mtl_model.answers import find_clash
from mtl_model.card import Card
from mtl_model.config import FinetuneConfig
from mtl_model.data import cache, dataset_edits, duplicates
from mtl_model.data.cache import Crops
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.events import Noted, Progress
from mtl_model.records import FACE, Sample
from mtl_model.tasks import Task

SHARES: Mapping[str, float] = {"test": 0.20, "val": 0.15}
FOLDS = 5
LEFT_OUT = "out"
LEAST_TAUGHT, LEAST_GUESSED = 10, 5
"""Usable pictures of a class, below which it is refused: nobody could tell how good it is; or below which nothing is guessed."""


def read_source(config: FinetuneConfig) -> layouts.Source:
    """The pictures of config.data as its layout has them, with what was changed by hand."""
    spec = f"{config.layout}:{config.data}" if config.layout else config.data
    options = {"task": config.task, "labels": config.labels, "columns": config.columns}
    source = layouts.read(spec, layouts.options_for(spec, options))
    if config.changes:
        source = dataset_edits.apply(source, dataset_edits.read_changes(Path(config.changes)))
    source.check()
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
        if theirs and not kinds.covers(theirs, mine):
            raise DataError(
                f"The parent knows {name} as {kinds.of(theirs).summary(theirs)}; these pictures have "
                f"{kinds.of(mine).summary(mine)}. Rename the folders, or give the task another name.",
                "other_classes",
            )
        chosen.append(theirs or mine)
    if clash := find_clash([*card.tasks, *chosen]):
        raise wording.error(DataError, "column_clash", clash._asdict())
    return tuple(chosen)


Part = tuple[list[Sample], Crops, np.ndarray]


def parts_of(
    source: layouts.Source,
    names: set[str],
    card: Card,
    root: Path | None,
    config: FinetuneConfig,
    progress: Progress,
    shares: Mapping[str, float] = SHARES,
    least: int = LEAST_TAUGHT,
) -> tuple[dict[str, Part], np.ndarray, list[Noted]]:
    """Part the pictures, and find their faces.

    shares: of val and test, where they are not declared; without them all are learned from but a declared test. least: usable
    pictures of each class.
    Returns {"train", "val", "test": samples with their crops}, int (N,), the fold of each of train, and what a person should know
    of them."""
    samples = [one for one in source.samples if names & set(one.labels)]
    crops = cache.crops_of([one.path for one in samples], card.detection, card.crop, root, progress)
    rows = np.flatnonzero(crops.faces > 0)
    notes = [dataclasses.replace(source, samples=tuple(samples)).summary(with_splits=False)]
    if not len(rows) and card.reads_whole:
        raise DataError(
            f"None of the {len(samples):,} pictures can be read. Expected whole image files; choose others.",
            "unreadable",
        )
    if not len(rows):
        raise DataError(
            f"No face was found in any of the {len(samples):,} pictures. Expected photos of faces, upright and at least "
            f"{card.detection.smallest_face_px} px large; choose others.",
            "no_face",
        )
    for kind, code in (("none", "faceless_left_out"), ("unreadable", "unreadable_left_out")):
        if count := crops.counts()[kind]:
            notes.append(Noted(code, {"count": count, "total": len(samples)}))
    taught = [{name: label for name, label in one.labels.items() if name in names} for one in samples]
    kept = [dataclasses.replace(samples[row], labels=taught[row]) for row in rows]
    check_counts(kept, {name: source.tasks[name] for name in names}, least)
    seen = duplicates.thumbnails([one.path for one in kept], progress)
    splits = part_of(kept, source.tasks, config.seed, progress, shares, seen)
    parts = {
        split: ([kept[row] for row in mine], crops, rows[mine])
        for split in ("train", "val", "test")
        for mine in [np.flatnonzero(splits == split)]
    }
    if any(_declared(one) for one in kept):
        notes.append(Noted("splits_kept"))
    if count := int((splits == LEFT_OUT).sum()):
        notes.append(Noted("leaks_left_out", {"count": count}))
    learned = seen.take(np.flatnonzero(splits == "train"))
    folds = folds_of(parts["train"][0], source.tasks, learned, config.seed, progress)
    check_parts(parts, names, shares, folds)
    counts = {split: len(part) for split, (part, _, _) in parts.items() if part or shares}
    return parts, folds, [*notes, Noted("parts", counts)]


def part_of(
    samples: Sequence[Sample],
    tasks: Mapping[str, Task],
    seed: int,
    progress: Progress,
    shares: Mapping[str, float] = SHARES,
    seen: duplicates.Thumbnails | None = None,
) -> np.ndarray:
    """The part of each sample, as words: near copies and pictures of one person in the same one, each label in all of them.

    Parts that the visitor's own lists or folders declare are kept, but for a val that nothing would stop by: it is learned from.
    A missing one with a share is taken from what else there is. Of that, copies of a declared val or test, and pictures of people
    in it, are LEFT_OUT. seen: the samples' thumbnails, if they are known."""
    declared = [_declared(one) for one in samples]
    result = np.array([part if part in ("test", *shares) else "train" for part in declared])
    shares = {part: share for part, share in shares.items() if part not in result}
    seen = seen or duplicates.thumbnails([one.path for one in samples], progress)
    given, taken = np.flatnonzero(result != "train"), np.flatnonzero(result == "train")
    people = {samples[row].person for row in given.tolist()} - {""}
    leaked = (
        set(duplicates.leak(seen.take(taken), seen.take(given), progress=progress).tolist()) if len(given) else set()
    )
    leaked |= {place for place, row in enumerate(taken.tolist()) if samples[row].person in people}
    result[taken[sorted(leaked)]] = LEFT_OUT
    taken = np.delete(taken, sorted(leaked))
    if shares:
        some = [samples[row] for row in taken.tolist()]
        for part, rows in _allot(some, tasks, _together(some, seen.take(taken), progress), shares, seed).items():
            result[taken[rows]] = part
    return result


def folds_of(
    samples: Sequence[Sample],
    tasks: Mapping[str, Task],
    seen: duplicates.Thumbnails,
    seed: int,
    progress: cache.Progress,
) -> np.ndarray:
    """Return int (N,), the fold of each sample, from 0: each label spread evenly over them, copies and people together."""
    shares = {str(fold): 1 / FOLDS for fold in range(1, FOLDS)}
    allotted = _allot(samples, tasks, _together(samples, seen, progress), shares, seed, least=0)
    result = np.zeros(len(samples), int)
    for fold, rows in enumerate(rows for rows in allotted.values() if rows):
        result[rows] = fold
    return result


def _declared(sample: Sample) -> str:
    """The part that its set, or a folder that it lies in, puts a picture into; "" where none does."""
    folders = (layouts.read_split(one) for one in Path(sample.file).parts[:-1])
    words = (sample.split,) if sample.declared else folders
    return next((one for one in words if one in ("train", *SHARES)), "")


def _together(samples: Sequence[Sample], seen: duplicates.Thumbnails, progress: Progress) -> list[list[int]]:
    """Rows that have to stay in one part."""
    same = duplicates.near_groups(seen, progress=progress)
    people: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(samples):
        if one.person:
            people[one.person].append(row)
    pairs = [(some[0], other) for some in (*same, *people.values()) for other in some[1:]]
    joined = duplicates.group(pairs)
    alone = set(range(len(samples))) - {one for some in joined for one in some}
    return [*joined, *([row] for row in sorted(alone))]


def _allot(
    samples: Sequence[Sample],
    tasks: Mapping[str, Task],
    together: Sequence[list[int]],
    shares: Mapping[str, float],
    seed: int,
    least: int = 1,
) -> dict[str, list[int]]:
    """Rows of each part, so that each label has its share in all. A label of three pictures or more has `least` at least in each.

    Source: Sechidis et al., "On the Stratification of Multi-Label Data", 2011, section 3: the rarest labels first, each
    picture to the part that lacks most of its labels."""
    labels = [sorted({label for row in rows for label in _strata(samples[row], tasks)}) for rows in together]
    counts = Counter(label for some, rows in zip(labels, together, strict=True) for label in some for _ in rows)
    wanted: dict[str, dict[tuple, float]] = {
        part: {label: max(share * n, float(least * (n >= 3))) for label, n in counts.items()}
        for part, share in shares.items()
    }
    rest = {label: n - sum(some[label] for some in wanted.values()) for label, n in counts.items()}
    wanted = {"train": rest, **wanted}
    given = {part: dict.fromkeys(counts, 0) for part in wanted}
    result: dict[str, list[int]] = {part: [] for part in wanted}

    def lack(part: str, some: Sequence[tuple]) -> float:
        return sum(1 - given[part][label] / wanted[part][label] for label in some)

    order = np.random.default_rng([seed, len(together)]).permutation(len(together)).tolist()
    for place in sorted(order, key=lambda place: min(counts[label] for label in labels[place])):
        chosen = max(wanted, key=lambda part: lack(part, labels[place]))
        result[chosen] += together[place]
        for label in labels[place]:
            given[chosen][label] += len(together[place])
    return result


def _strata(sample: Sample, tasks: Mapping[str, Task]) -> list[tuple]:
    """What has to be in every part: each task, and each of its classes; ages by the decade."""
    strata = []
    for name, label in sample.labels.items():
        strata += [(name,), (name, kinds.of(tasks[name]).stratum(tasks[name], label))]
    return strata


def unshown(tasks: Sequence[Task], samples: Sequence[Sample], subject: str = FACE) -> list[Noted]:
    """Return one note per task of which some classes (of an age: bands) have no picture. Who is shown the old alone learns that
    people are old, and pictures that are held out of those cannot tell."""
    notes = []
    for task in tasks:
        labels = [sample.labels[task.name] for sample in samples if task.name in sample.labels]
        if groups := kinds.of(task).unshown(task, labels):
            notes.append(Noted("unshown", {"title": task.title, "groups": groups, "subject": subject}))
    return notes


def check_counts(samples: Sequence[Sample], tasks: Mapping[str, Task], least: int = LEAST_TAUGHT) -> None:
    """Raises DataError where a task has too few pictures that can be used, or too few of one class."""
    for name, task in sorted(tasks.items()):
        kind = kinds.of(task)
        counts = Counter(kind.group_of(task, sample.labels[name]) for sample in samples if name in sample.labels)
        shown = {**dict.fromkeys(kind.groups(task), 0), **counts}
        if len(counts) > 1 and kind.missing(task, shown, least):
            missing = kind.missing(task, shown, LEAST_TAUGHT)
            raise wording.error(DataError, "too_few_taught", {"title": task.title, "missing": missing})


def check_parts(
    parts: dict[str, Part], names: set[str], shares: Mapping[str, float] = SHARES, folds: np.ndarray | None = None
) -> None:
    """Raises DataError where a task cannot be learned from what there is. folds: of train, where it is measured by them."""
    for name in sorted(names):
        labels = {
            split: [one.labels[name] for one in some if name in one.labels] for split, (some, _, _) in parts.items()
        }
        every = {str(label) for some in labels.values() for label in some}
        if len(every) < 2:
            raise DataError(
                f"All pictures of {name} are of one class ({next(iter(every), 'none')}). Expected pictures of two at least, some "
                "ten of each; add pictures of another one.",
                "one_class",
            )
        lacks = {
            "those to learn from are all of one class": len(set(map(str, labels["train"]))) < 2,
            "none is left to stop by": "val" in shares and not labels["val"],
            "none is left to measure with": "test" in shares and not labels["test"],
            f"fewer than {2 * FOLDS} are to learn from": not shares and len(labels["train"]) < 2 * FOLDS,
            "they are copies of each other, or show one or two people": folds is not None and len(np.unique(folds)) < 3,
        }
        if what := next((one for one, holds in lacks.items() if holds), ""):
            count = sum(map(len, labels.values()))
            raise DataError(
                f"There are too few pictures of {name} ({count}): {what}. Expected at least three of each class, better "
                "twenty; add some.",
                "too_few",
            )
