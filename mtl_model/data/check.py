"""What is wrong with a data set before anything is learned from it: a record, for the command line and the page alike.

Nothing is repaired here. What makes the set useless is a fault, what should be looked at is a warning, and all of it is
counted and named by file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mtl_model import kinds
from mtl_model.answers import find_clash
from mtl_model.card import DetectionSettings
from mtl_model.data import cache, duplicates
from mtl_model.kinds import LEAST, RARE
from mtl_model.layouts import Source
from mtl_model.records import Face, Sample
from mtl_model.tasks import Label, Task

SMALL_FACE_PX = 40  # longer edge of the box: below it a 48 px crop is blown up
NAMED = 500  # files that are named for each finding; the groups of copies are named whole
TAUGHT, HELD = "train", ("val", "test")
UNLABELLED = "not labelled"

Look = Callable[[Sequence[str], DetectionSettings, Path | None, cache.Progress], Sequence[tuple[Face, ...] | None]]
"""How faces are found: cache.faces_of, or what a test puts in its place."""


@dataclass(frozen=True)
class Finding:
    """Something to look at. count: how many pictures, groups or entries; files: some of them by name."""

    text: str
    count: int
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copies:
    """Groups of files that show the same.

    surplus: pictures that would go if one of each group stayed. disagreeing: groups whose labels differ; by_task: the
    same for each task. Ranges of years differ where they do not overlap.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    surplus: int = 0
    disagreeing: int = 0
    by_task: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What `check` found.

    pictures: the labelled ones that can be read. splits: split -> pictures.
    labels: task -> class (for years: the band, or the range; "not labelled") -> split -> pictures.
    no_face, several_faces, small_faces: pictures; None where faces were not looked for.
    exact: copies with equal pixels. near: those and near copies. across_splits: near copies in different splits.
    """

    kind: str
    folder: str
    pictures: int
    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    skipped: Mapping[str, int]
    unreadable: int
    no_face: int | None
    several_faces: int | None
    small_faces: int | None
    exact: Copies
    near: Copies
    across_splits: Copies
    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return "not usable" if self.faults else "usable with warnings" if self.warnings else "usable"

    @property
    def exit_code(self) -> int:
        """0 usable, 1 usable with warnings, 2 not."""
        return 2 if self.faults else 1 if self.warnings else 0

    def to_json(self) -> dict[str, Any]:
        """The record as plain lists, numbers and words. made: now, in seconds since 1970."""
        return {"verdict": self.verdict, "made": round(time.time(), 3), **asdict(self)}

    def lines(self) -> list[str]:
        """The report as people read it on a screen."""
        splits = ", ".join(f"{count:,} {split}" for split, count in self.splits.items())
        text = [f"{self.kind}, {self.folder}: {self.pictures:,} labelled pictures ({splits or 'none'})"]
        for task, classes in self.labels.items():
            counts = (f"{name} {sum(where.values()):,}" for name, where in classes.items() if where)
            text.append(f"  {task}: {', '.join(counts)}")
        text += [f"  {note}" for note in self.notes]
        for title, findings in (("fault", self.faults), ("warning", self.warnings)):
            for one in findings:
                example = f" For example {', '.join(one.files[:3])}." if one.files else ""
                text.append(f"{title}: {one.text}{example}")
        return [*text, f"The data set is {self.verdict}."]


def check(
    source: Source,
    progress: cache.Progress = cache.silent,
    *,
    look: Look | None = cache.faces_of,
    detection: DetectionSettings | None = None,
    root: Path | None = None,
) -> Report:
    """Look at every picture of a data set: labels, copies, faces.

    look: how faces are found (None: they are not looked for). root: folder of the cache of found faces.
    """
    samples, tasks = source.samples, source.tasks
    seen = duplicates.thumbnails([sample.path for sample in samples], progress)
    whole = [sample for sample, readable in zip(samples, seen.readable, strict=True) if readable]
    unreadable = [sample.file for sample, readable in zip(samples, seen.readable, strict=True) if not readable]
    exact, near, across = _copies(samples, tasks, seen, progress)
    labels = count_labels(tasks, whole)
    splits = dict(Counter(sample.split for sample in whole))

    warnings = [*_skipped(source), *_finding(unreadable, "{} cannot be read as a picture.")]
    warnings += _copy_findings(exact, near, across, {one.file for one in samples if one.split == TAUGHT})
    counts: dict[str, int] = {}
    if look is not None:
        found = look(
            [one.path for one in whole], detection or DetectionSettings(), root or cache.default_root(), progress
        )
        faceless = _faces(whole, found)
        counts = {name: len(files) for name, (files, _) in faceless.items()}
        warnings += [one for files, text in faceless.values() for one in _finding(files, text)]
    if clash := find_clash(tasks.values()):
        warnings.append(Finding(clash, 0))
    warnings += [*_rare(tasks, labels, splits)]
    return Report(
        kind=source.kind,
        folder=str(source.folder),
        pictures=len(whole),
        splits=splits,
        labels=labels,
        skipped=source.skipped,
        unreadable=len(unreadable),
        no_face=counts.get("none"),
        several_faces=counts.get("several"),
        small_faces=counts.get("small"),
        exact=exact,
        near=near,
        across_splits=across,
        faults=tuple(_faults(source, whole, labels)),
        warnings=tuple(warnings),
        notes=source.notes,
    )


def count_labels(tasks: Mapping[str, Task], samples: Sequence[Sample]) -> dict[str, dict[str, dict[str, int]]]:
    """Task -> class -> split -> pictures. Every class of a task is there, with no splits if it has no pictures."""
    counted: dict[str, dict[str, dict[str, int]]] = {}
    for name, task in tasks.items():
        kind = kinds.of(task)
        classes: dict[str, Counter[str]] = {group: Counter() for group in kind.groups(task)}
        for sample in samples:
            word = kind.group_of(task, sample.labels[name]) if name in sample.labels else UNLABELLED
            classes.setdefault(word, Counter())[sample.split] += 1
        counted[name] = {word: dict(splits) for word, splits in classes.items()}
    return counted


def _copies(
    samples: Sequence[Sample], tasks: Mapping[str, Task], seen: duplicates.Thumbnails, progress: cache.Progress
) -> tuple[Copies, Copies, Copies]:
    exact = duplicates.exact_groups(seen)
    pairs = duplicates.near_pairs(seen, rule=duplicates.WITHIN, progress=progress)
    same = [(group[0], other) for group in exact for other in group[1:]]
    near = duplicates.group([*same, *zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)])
    pairs = duplicates.near_pairs(seen, rule=duplicates.ACROSS, progress=progress)
    loose = [*same, *zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    across = duplicates.group([(one, other) for one, other in loose if samples[one].split != samples[other].split])
    return _named(exact, samples, tasks), _named(near, samples, tasks), _named(across, samples, tasks)


def _named(groups: Sequence[Sequence[int]], samples: Sequence[Sample], tasks: Mapping[str, Task]) -> Copies:
    by_task: Counter[str] = Counter()
    disagreeing = 0
    for group in groups:
        torn = [
            name for name, task in tasks.items() if _disagree(task, [samples[row].labels.get(name) for row in group])
        ]
        by_task.update(torn)
        disagreeing += bool(torn)
    return Copies(
        groups=tuple(tuple(samples[row].file for row in group) for group in groups),
        surplus=sum(len(group) - 1 for group in groups),
        disagreeing=disagreeing,
        by_task=dict(by_task),
    )


def _disagree(task: Task, labels: Sequence[Label | None]) -> bool:
    known = [label for label in labels if label is not None]
    return any(kinds.of(task).contradict(task, known[0], other) for other in known[1:])


def _finding(files: Sequence[str], text: str) -> Iterator[Finding]:
    """One finding, if there are files; "{}" in the text becomes "1 file" or "12 files"."""
    if files:
        counted = "1 file" if len(files) == 1 else f"{len(files):,} files"
        yield Finding(text.format(counted), len(files), tuple(files[:NAMED]))


def _skipped(source: Source) -> Iterator[Finding]:
    for reason, count in source.skipped.items():
        yield Finding(f"Left out {count:,}: {reason}.", count, source.examples.get(reason, ()))


def _copy_findings(exact: Copies, near: Copies, across: Copies, taught: Iterable[str]) -> Iterator[Finding]:
    def first_of(copies: Copies) -> tuple[str, ...]:
        return tuple(" = ".join(group) for group in copies.groups[:NAMED])

    both = [(exact, "of pictures with equal pixels")]
    if (len(near.groups), near.surplus) != (len(exact.groups), exact.surplus):
        both.append((near, "of near copies, those with equal pixels included"))
    for copies, what in both:
        if copies.groups:
            text = f"{_groups(copies)} {what}; surplus pictures: {copies.surplus:,}."
            if copies.disagreeing:
                torn = ", ".join(f"{task} in {count:,}" for task, count in copies.by_task.items())
                text += f" Groups whose labels differ: {copies.disagreeing:,} ({torn})."
            yield Finding(text, len(copies.groups), first_of(copies))
    if across.groups:
        leaked = len(set(taught) & {file for group in across.groups for file in group})
        text = (
            f"{_groups(across)} of near copies across splits; pictures of {TAUGHT} among them, which training leaves "
        )
        yield Finding(f"{text}out: {leaked:,}.", len(across.groups), first_of(across))


def _groups(copies: Copies) -> str:
    return "1 group" if len(copies.groups) == 1 else f"{len(copies.groups):,} groups"


def _faces(samples: Sequence[Sample], found: Sequence[tuple[Face, ...] | None]) -> dict[str, tuple[list[str], str]]:
    """What is odd -> the files, and the sentence for them."""
    seen = [(sample.file, faces or ()) for sample, faces in zip(samples, found, strict=True)]
    small = f"under {SMALL_FACE_PX} px"
    return {
        "none": ([file for file, faces in seen if not faces], "No face was found in {}; the centre square is used."),
        "several": (
            [file for file, faces in seen if len(faces) > 1],
            "Several faces were found in {}; the large central one is used.",
        ),
        "small": (
            [file for file, faces in seen if faces and max(faces[0].width, faces[0].height) < SMALL_FACE_PX],
            f"The largest face is {small} in {{}}.",
        ),
    }


def _rare(
    tasks: Mapping[str, Task], labels: Mapping[str, Mapping[str, Mapping[str, int]]], splits: Mapping[str, int]
) -> Iterator[Finding]:
    for split in HELD:
        if not splits.get(split):
            yield Finding(f"{split} holds no picture, so nothing can be {_USE[split]} there.", 0)
    for name in tasks:
        classes = {word: where for word, where in labels[name].items() if word != UNLABELLED}
        expected = kinds.of(tasks[name]).expected_groups(
            tasks[name], [word for word, where in classes.items() if where]
        )
        classes = {word: classes.get(word, {}) for word in expected}
        rare = {word: where.get(TAUGHT, 0) for word, where in classes.items() if where.get(TAUGHT, 0) < RARE}
        if rare:
            told = ", ".join(f"{word} {count}" for word, count in rare.items())
            yield Finding(f"{name}: fewer than {RARE} pictures to learn from for {told}.", sum(rare.values()))
        for split in HELD:
            unseen = [word for word, where in classes.items() if where and not where.get(split)]
            if unseen and splits.get(split):
                yield Finding(f"{name}: {split} holds no picture of {', '.join(unseen)}.", len(unseen))


_USE = {"val": "chosen or calibrated", "test": "measured"}


def _faults(
    source: Source, samples: Sequence[Sample], labels: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> Iterator[Finding]:
    if not samples:
        yield Finding("No labelled picture could be read. Expected pictures with labels; see what was left out.", 0)
    elif not any(_can_be_learned(task, labels[name]) for name, task in source.tasks.items()):
        yield Finding(
            f"No task can be learned. Expected in {TAUGHT} at least {LEAST} pictures each of two classes, or {RARE} with "
            "an age; add pictures, or look at what was left out.",
            0,
        )


def _can_be_learned(task: Task, classes: Mapping[str, Mapping[str, int]]) -> bool:
    taught = [where.get(TAUGHT, 0) for word, where in classes.items() if word != UNLABELLED]
    return not kinds.of(task).lacking(taught, LEAST)
