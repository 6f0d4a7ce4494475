"""What a person changed in a data set before learning from it: pictures left out, labels put right."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtl_model import kinds, layouts
from mtl_model.errors import DataError
from mtl_model.kinds import parse_label
from mtl_model.layouts import Source
from mtl_model.records import Sample
from mtl_model.tasks import Label


@dataclass(frozen=True)
class Changes:
    """left_out: pictures. labels: {picture: {task: label as people write it}}. renamed: {task: {class: its name from now on}},
    which may be that of another one, or "" where its pictures have no label any more. kept: {picture: tasks}, whose
    labels a person found right. Pictures by their path below the folder."""

    left_out: tuple[str, ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_changes(path: Path) -> Changes:
    """Raises DataError for a file that is missing or not of the form {"left_out": [...], "labels": {...}, "renamed": {...}}."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        left_out, labels = plain.get("left_out", []), plain.get("labels", {})
        renamed, kept = plain.get("renamed", {}), plain.get("kept", {})
        words = [*left_out, *(word for given in (*labels.values(), *renamed.values()) for word in given.values())]
        words += [name for names in kept.values() for name in names]
        if not isinstance(left_out, list) or not all(isinstance(word, str) for word in words):
            raise TypeError("it holds other things than names and words")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(
            f"The changes in '{path.name}' cannot be read ({error}). Expected JSON with left_out and labels; write it anew."
        ) from None
    return Changes(tuple(left_out), labels, renamed, kept)


def apply(source: Source, changes: Changes) -> Source:
    """The source as changed. Raises DataError for a label that its task does not know."""
    source = with_classes(source, changes.renamed)
    gone, samples = set(changes.left_out), []
    for sample in (*source.samples, *newly_labelled(source, changes)):
        file = name_of(source, sample.path)
        if file in gone:
            continue
        given = changes.labels.get(file, {})
        for name in given:
            if name not in source.tasks:
                raise DataError(
                    f"'{file}' was given a label of {name}, which these pictures have no labels of. Undo it."
                )
        if labels := relabelled(source, sample, given):
            samples.append(dataclasses.replace(sample, labels=labels))
    return dataclasses.replace(source, samples=tuple(samples))


def newly_labelled(source: Source, changes: Changes) -> list[Sample]:
    """Return the pictures, without a label yet, that were given one and had none."""
    known = {name_of(source, sample.path) for sample in source.samples}
    if not (given := changes.labels.keys() - known):
        return []
    return [
        Sample(str(source.folder / file), {}, "train", file) for file in layouts.unlabelled(source) if file in given
    ]


def with_classes(source: Source, renamed: Mapping[str, Mapping[str, str]]) -> Source:
    """The source with classes that are called otherwise, merged or taken away; tasks of other kinds stay as they are."""
    tasks, samples = dict(source.tasks), list(source.samples)
    for name in renamed.keys() & tasks.keys():
        task, words = tasks[name], renamed[name]
        if not kinds.of(task).choices(task):
            continue
        samples = [_called(sample, name, words) for sample in samples]
        held = {str(sample.labels[name]) for sample in samples if name in sample.labels}
        held |= {words.get(word, word) for word in task.classes} - {""} if source.loose else set()
        names = tuple(dict.fromkeys(word for word in (words.get(one, one) for one in task.classes) if word in held))
        spellings = {spelling: words.get(word, word) for spelling, word in task.spellings.items()}
        known = {spelling: word for spelling, word in spellings.items() if word in held}
        tasks[name] = dataclasses.replace(
            task, classes=names, spellings=known | {word.casefold(): word for word in names}
        )
    return dataclasses.replace(source, tasks=tasks, samples=tuple(samples))


def _called(sample: Sample, task: str, words: Mapping[str, str]) -> Sample:
    if task not in sample.labels:
        return sample
    word = words.get(str(sample.labels[task]), sample.labels[task])
    rest = {name: label for name, label in sample.labels.items() if name != task}
    return dataclasses.replace(sample, labels={**rest, task: word} if word else rest)


def relabelled(source: Source, sample: Sample, given: Mapping[str, str]) -> dict[str, Label]:
    """The labels of a sample with those given put in their place; "" takes one away. Tasks that the source does not have are
    passed over. Raises DataError for a label that its task does not know."""
    put = {name: parse_label(source.tasks[name], word) for name, word in given.items() if name in source.tasks}
    return {name: label for name, label in {**sample.labels, **put}.items() if label is not None}


def name_of(source: Source, path: str) -> str:
    """A picture's path below the folder of its source, with slashes."""
    try:
        return Path(path).relative_to(source.folder).as_posix()
    except ValueError:
        return path
