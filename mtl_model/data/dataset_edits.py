"""What a person changed in a data set before learning from it: pictures left out, labels put right."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl_model.errors import DataError
from mtl_model.kinds import parse_label
from mtl_model.layouts import Source
from mtl_model.records import Sample
from mtl_model.tasks import Label


@dataclass(frozen=True)
class Changes:
    """left_out: pictures. labels: {picture: {task: label as people write it}}. Pictures by their path below the folder."""

    left_out: tuple[str, ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_changes(path: Path) -> Changes:
    """Raises DataError for a file that is missing or not of the form {"left_out": [...], "labels": {...}}."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        left_out, labels = plain.get("left_out", []), plain.get("labels", {})
        words = [*left_out, *(word for given in labels.values() for word in given.values())]
        if not isinstance(left_out, list) or not all(isinstance(word, str) for word in words):
            raise TypeError("it holds other things than names and words")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(
            f"The changes in '{path.name}' cannot be read ({error}). Expected JSON with left_out and labels; write it anew."
        ) from None
    return Changes(tuple(left_out), labels)


def apply(source: Source, changes: Changes) -> Source:
    """The source as changed. Raises DataError for a label that its task does not know."""
    gone, samples = set(changes.left_out), []
    for sample in source.samples:
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
