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

from mtl_model import kinds, wording
from mtl_model.answers import find_clash
from mtl_model.card import DetectionSettings
from mtl_model.data import cache, duplicates
from mtl_model.events import Noted, Progress, silent
from mtl_model.kinds import LEAST, RARE
from mtl_model.layouts import LeftOut, Source
from mtl_model.records import Face, Sample
from mtl_model.tasks import Label, Task

SMALL_FACE_PX = 40  # longer edge of the box: below it a 48 px crop is blown up
NAMED = 500  # files that are named for each finding; the groups of copies are named whole
TAUGHT, HELD = "train", ("val", "test")
UNLABELLED = "not labelled"
MISSPELT = 4  # letters of a class's name, below which another one is near to it by chance

Look = Callable[[Sequence[str], DetectionSettings, Path | None, Progress], Sequence[tuple[Face, ...] | None]]
"""How faces are found: cache.faces_of, or what a test puts in its place."""


@dataclass(frozen=True)
class Finding:
    """Something to look at: a code of `wording.WORDS` with its values.

    count: how many pictures, groups or entries. files: some of them by name; groups of copies are named in the report."""

    code: str
    count: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return wording.text(self.code, {**self.values, "count": self.count})


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

    pictures: those that can be read. unlabelled: how many of them have no label yet. splits: split -> labelled pictures.
    labels: task -> class (for years: the band, or the range; "not labelled") -> split -> pictures.
    no_face, several_faces, small_faces: pictures; None where faces were not looked for.
    unusable: files that cannot be read, or show no face where faces were looked for.
    exact: copies with equal pixels. near: those and near copies. across_splits: near copies in different splits.
    """

    kind: str
    folder: str
    pictures: int
    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    left_out: tuple[LeftOut, ...]
    unreadable: int
    no_face: int | None
    several_faces: int | None
    small_faces: int | None
    exact: Copies
    near: Copies
    across_splits: Copies
    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[Noted, ...] = ()
    unusable: tuple[str, ...] = ()
    unlabelled: int = 0

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
        labelled = f"{self.pictures - self.unlabelled:,} labelled pictures ({splits or 'none'})"
        later = f", {self.unlabelled:,} without a label" if self.unlabelled else ""
        text = [f"{self.kind}, {self.folder}: {labelled}{later}"]
        for task, classes in self.labels.items():
            counts = (f"{name} {sum(where.values()):,}" for name, where in classes.items() if where)
            text.append(f"  {task}: {', '.join(counts)}")
        text += [f"  {wording.of(note)}" for note in self.notes]
        copies = {"exact_copies": self.exact, "near_copies": self.near, "copies_across_splits": self.across_splits}
        for title, findings in (("fault", self.faults), ("warning", self.warnings)):
            for finding in findings:
                groups = copies[finding.code].groups if finding.code in copies else ()
                examples = [*finding.files, *(" = ".join(group) for group in groups)][:3]
                text.append(f"{title}: {finding.words}" + (f" For example {', '.join(examples)}." if examples else ""))
        return [*text, f"The data set is {self.verdict}."]


def check(
    source: Source,
    progress: Progress = silent,
    *,
    look: Look | None = cache.faces_of,
    detection: DetectionSettings | None = None,
    root: Path | None = None,
    unlabelled: Sequence[str] = (),
) -> Report:
    """Look at every picture of a data set: labels, copies, faces.

    look: how faces are found (None: they are not looked for). root: folder of the cache of found faces. unlabelled: pictures by
    their paths below the folder of the source that are looked at as well, since they may be labelled later.
    """
    tasks = source.tasks
    samples = [*source.samples, *(Sample(str(source.folder / file), {}, TAUGHT, file) for file in unlabelled)]
    seen = duplicates.thumbnails([sample.path for sample in samples], progress)
    whole = [sample for sample, readable in zip(samples, seen.readable, strict=True) if readable]
    unreadable = [sample.file for sample, readable in zip(samples, seen.readable, strict=True) if not readable]
    exact, near, across = _copies(samples, tasks, seen, progress)
    labels = count_labels(tasks, whole)
    labelled = [sample for sample in whole if sample.labels]
    splits = dict(Counter(sample.split for sample in labelled))

    warnings = [*_left_out(source), *_finding("unreadable", unreadable)]
    warnings += _copy_findings(exact, near, across, {one.file for one in samples if one.split == TAUGHT})
    warnings += _misspelt(tasks, labels)
    counts: dict[str, int] = {}
    unusable = unreadable
    if look is not None:
        found = look(
            [one.path for one in whole], detection or DetectionSettings(), root or cache.default_root(), progress
        )
        odd = _odd_faces(whole, found)
        counts = {code: len(files) for code, files in odd.items()}
        unusable = [*unreadable, *odd["no_face"]]
        warnings += [finding for code, files in odd.items() for finding in _finding(code, files)]
    if clash := find_clash(tasks.values()):
        warnings.append(Finding("column_clash", values=clash._asdict()))
    warnings += [*_rare(tasks, labels, splits)]
    return Report(
        kind=source.kind,
        folder=str(source.folder),
        pictures=len(whole),
        splits=splits,
        labels=labels,
        left_out=source.left_out,
        unreadable=len(unreadable),
        no_face=counts.get("no_face"),
        several_faces=counts.get("several_faces"),
        small_faces=counts.get("small_faces"),
        exact=exact,
        near=near,
        across_splits=across,
        faults=tuple(_faults(source, whole, labels)),
        warnings=tuple(warnings),
        notes=source.notes,
        unusable=tuple(unusable),
        unlabelled=len(whole) - len(labelled),
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
    samples: Sequence[Sample], tasks: Mapping[str, Task], seen: duplicates.Thumbnails, progress: Progress
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


def _finding(code: str, files: Sequence[str]) -> Iterator[Finding]:
    """Yield one finding, if there are files."""
    if files:
        values = {"below_px": SMALL_FACE_PX} if code == "small_faces" else {}
        yield Finding(code, len(files), values, tuple(files[:NAMED]))


def _left_out(source: Source) -> Iterator[Finding]:
    for reason in source.left_out:
        values = {"reason": reason.code, "values": reason.values}
        yield Finding("left_out", reason.count, values, reason.examples)


def _copy_findings(exact: Copies, near: Copies, across: Copies, taught: Iterable[str]) -> Iterator[Finding]:
    both = {"exact_copies": exact}
    if (len(near.groups), near.surplus) != (len(exact.groups), exact.surplus):
        both["near_copies"] = near
    for code, copies in both.items():
        if copies.groups:
            values = {name: getattr(copies, name) for name in ("surplus", "disagreeing", "by_task")}
            yield Finding(code, len(copies.groups), values)
    if across.groups:
        leaked = len(set(taught) & {file for group in across.groups for file in group})
        yield Finding("copies_across_splits", len(across.groups), {"leaked": leaked})


def _odd_faces(samples: Sequence[Sample], found: Sequence[tuple[Face, ...] | None]) -> dict[str, list[str]]:
    """Return {code: files}, also where there are none."""
    seen = [(sample.file, faces or ()) for sample, faces in zip(samples, found, strict=True)]
    return {
        "no_face": [file for file, faces in seen if not faces],
        "several_faces": [file for file, faces in seen if len(faces) > 1],
        "small_faces": [file for file, faces in seen if faces and max(faces[0].width, faces[0].height) < SMALL_FACE_PX],
    }


def _misspelt(tasks: Mapping[str, Task], labels: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[Finding]:
    """Yield classes, of three and more, whose name is another's but for one slip, and that has at most half of its pictures."""
    for name, task in tasks.items():
        counts = {word: sum(labels[name].get(word, {}).values()) for word in kinds.of(task).choices(task)}
        for word, count in counts.items() if len(counts) > 2 else ():
            near = [other for other in counts if counts[other] >= 2 * count and _is_slip(word, other)]
            if count and near:
                meant = max(near, key=lambda other: counts[other])
                yield Finding("misspelt_class", count, {"task": name, "word": word, "meant": meant})


def _is_slip(word: str, other: str) -> bool:
    """Return whether one letter is missing, too many or another, or two have changed places. Digits count things."""
    first, second = sorted((word.casefold(), other.casefold()), key=len)
    if len(first) < MISSPELT or len(second) - len(first) > 1 or any(map(str.isdigit, first + second)):
        return False
    start = next((at for at, (one, two) in enumerate(zip(first, second, strict=False)) if one != two), len(first))
    first, second = first[start:], second[start:]
    if len(first) < len(second):
        return first == second[1:]
    return first[1:] == second[1:] or (first[1::-1] == second[:2] and first[2:] == second[2:])


def _rare(
    tasks: Mapping[str, Task], labels: Mapping[str, Mapping[str, Mapping[str, int]]], splits: Mapping[str, int]
) -> Iterator[Finding]:
    for split in HELD:
        if not splits.get(split):
            yield Finding("empty_split", values={"split": split})
    for name in tasks:
        classes = {word: where for word, where in labels[name].items() if word != UNLABELLED}
        expected = kinds.of(tasks[name]).expected_groups(
            tasks[name], [word for word, where in classes.items() if where]
        )
        classes = {word: classes.get(word, {}) for word in expected}
        rare = {word: where.get(TAUGHT, 0) for word, where in classes.items() if where.get(TAUGHT, 0) < RARE}
        if rare:
            yield Finding("rare_classes", sum(rare.values()), {"task": name, "least": RARE, "classes": rare})
        for split in HELD:
            unseen = [word for word, where in classes.items() if where and not where.get(split)]
            if unseen and splits.get(split):
                yield Finding("unseen_classes", len(unseen), {"task": name, "split": split, "classes": unseen})


def _faults(
    source: Source, samples: Sequence[Sample], labels: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> Iterator[Finding]:
    if not samples:
        yield Finding("no_picture")
    elif not any(_can_be_learned(task, labels[name]) for name, task in source.tasks.items()):
        yield Finding("nothing_learnable", values={"least": LEAST, "rare": RARE})


def _can_be_learned(task: Task, classes: Mapping[str, Mapping[str, int]]) -> bool:
    taught = [where.get(TAUGHT, 0) for word, where in classes.items() if word != UNLABELLED]
    return not kinds.of(task).lacking(taught, LEAST)
