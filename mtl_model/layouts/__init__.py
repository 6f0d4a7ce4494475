"""Data layouts: each file here reads one way in which labelled pictures are laid out in a folder.

A file offers what the Protocol `Layout` says. `read` finds the file for a folder; readers are asked in the
order of their ORDER: utkface, genki4k, fairface, celeba, imdbwiki, csv, list, folders, and the first that
matches wins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, cast

from mtl_model import kinds as kinds_of_tasks
from mtl_model import registry
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.layouts._parts import (
    SPLITS,
    UNLABELLED,
    FolderError,
    LeftOut,
    Pictures,
    Source,
    check_options,
    closed_folder,
    completed,
    declare_columns,
    read_split,
)
from mtl_model.records import Sample
from mtl_model.tasks import Task
from mtl_model.wording import Words

__all__ = [
    "SPLITS",
    "FolderError",
    "Layout",
    "LeftOut",
    "Source",
    "count_pictures",
    "declare_columns",
    "kinds",
    "layout",
    "may_be_class",
    "options_for",
    "parse_spec",
    "read",
    "read_as",
    "read_split",
    "recognise",
    "unlabelled",
]


class Layout(Protocol):
    """What a file in this folder offers.

    ORDER: when it is asked, smallest first. EXPECTS: what such a folder looks like, for error messages.
    OPTIONS: option name -> help text. WORDS: the codes of its own reasons and notes, with their words (see `wording`).
    """

    ORDER: int
    EXPECTS: str
    OPTIONS: Mapping[str, str]
    WORDS: Mapping[str, Words]

    def matches(self, folder: Path) -> bool:
        """Whether the folder looks like this layout; cheap, and False for whatever cannot be read."""
        ...

    def read(self, folder: Path, options: Mapping[str, str]) -> Source:
        """Read the folder. Wrong names and lines are left out and counted in Source.left_out.

        Raises: DataError where the label file is missing or nothing in it can be made sense of as a whole.
        """
        ...


def layout(kind: str) -> Layout:
    """The reader of that name. Raises UsageError with the near match for an unknown one."""
    return cast(Layout, registry.load("layouts", kind))


def kinds() -> list[str]:
    """All layouts in the order in which they are asked."""
    return sorted(registry.names("layouts"), key=lambda kind: layout(kind).ORDER)


def recognise(folder: Path) -> str:
    """The first layout that the folder looks like. Raises DataError naming what was expected if there is none."""
    if not folder.is_dir():
        raise FolderError("{folder} is not a folder", folder, "the folder of a data set")
    try:
        os.scandir(folder).close()
    except OSError as error:  # a layout takes what cannot be read for what is not there
        raise closed_folder(folder, error) from None
    for kind in kinds():
        if layout(kind).matches(folder):
            return kind
    known = "; ".join(f"{kind}: {layout(kind).EXPECTS}" for kind in kinds())
    raise DataError(f"'{folder}' is laid out in no way known here. Known: {known}. Arrange it in one of these ways.")


def parse_spec(spec: str) -> tuple[str, Path]:
    """Split "KIND:DIR", or recognise the layout of a bare "DIR".

    Raises: UsageError for an unknown kind, DataError for a folder that is not there or not recognised.
    """
    kind, colon, rest = spec.partition(":")
    if not (rest if colon else spec):  # it would be the current folder, which nobody has named
        raise UsageError(
            f"The data set '{spec}' names no folder. Expected KIND:DIR or DIR; the current folder is written ."
        )
    if colon and kind in registry.names("layouts"):
        return kind, Path(rest).expanduser()
    folder = Path(spec).expanduser()
    drive = len(kind) == 1  # C:\pictures is a folder, not a kind
    if colon and not drive and not folder.exists():
        raise UsageError(unknown("data layout", kind, kinds()))
    return recognise(folder), folder


def options_for(spec: str, given: Mapping[str, str]) -> dict[str, str]:
    """Of options given for several data sets those that the layout of this one has; empty ones are left out."""
    known = layout(parse_spec(spec)[0]).OPTIONS
    return {name: value for name, value in given.items() if value and name in known}


def count_pictures(folder: Path) -> int:
    """Return how many pictures lie below a folder, whatever they are; 0 where there is none."""
    return len(Pictures(folder).names)


def may_be_class(name: str) -> bool:
    """Whether a folder of this name can stand for a class, and has no meaning of its own."""
    return bool(name) and not registry.load("layouts", "folders").never_a_class(name.casefold())


def unlabelled(source: Source) -> list[str]:
    """Return the pictures that may be labelled still, by their paths below the folder: those in a folder called UNLABELLED, and
    those that lie bare beside the folders of labelled ones; of a loose source all."""
    labelled = {os.path.relpath(sample.path, source.folder).replace(os.sep, "/") for sample in source.samples}
    holding = {parent for name in labelled for parent in Path(name).parent.parents}
    return [
        name
        for name in Pictures(source.folder).names
        if name not in labelled
        and (source.loose or Path(name).parent in holding or UNLABELLED in map(str.casefold, Path(name).parts[:-1]))
    ]


def read_as(source: Source, tasks: Iterable[Task]) -> Source:
    """Return a source with labels of these tasks where its own table was taken for another kind of the same name: a column with
    few different numbers looks like classes. Labels that a task cannot read leave the source as it is."""
    for task in tasks:
        with contextlib.suppress(DataError):
            source = _reread(source, task)
    return source


def _reread(source: Source, task: Task) -> Source:
    """Return a source with one label read as another kind of task. Raises DataError for a label that it cannot read."""
    own = source.tasks.get(task.name)
    if own is None or own.kind == task.kind:
        return source
    samples = tuple(_relabelled(sample, own, task) for sample in source.samples)
    return dataclasses.replace(source, samples=samples, tasks={**source.tasks, task.name: task})


def _as_declared(source: Source, columns: str) -> Source:
    """Return a source whose labels are of the kinds that the option `columns` declares."""
    for name, task in declare_columns(columns).items():
        own = source.tasks.get(name)
        if own is None or task is None or own.kind == task.kind:
            continue
        if kinds_of_tasks.of(own).choices(own) and not task.classes:  # the same classes, by another kind
            task = dataclasses.replace(own, kind=task.kind, loss=task.loss, unit=task.unit)
        labels = (sample.labels[name] for sample in source.samples if name in sample.labels)
        source = _reread(source, completed(task, [kinds_of_tasks.of(own).write(own, label) for label in labels]))
    return source


def _relabelled(sample: Sample, own: Task, task: Task) -> Sample:
    if own.name not in sample.labels:
        return sample
    text = kinds_of_tasks.of(own).write(own, sample.labels[own.name])
    return dataclasses.replace(sample, labels={**sample.labels, own.name: kinds_of_tasks.of(task).parse(task, text)})


def read(spec: str, options: Mapping[str, str] | None = None) -> Source:
    """Read the data set that "KIND:DIR" or a bare "DIR" names.

    options: options of that layout, such as {"columns": "kind=rose|daisy"}.
    Raises: UsageError for an unknown kind or option; DataError for a folder that cannot be read as that kind.
    """
    kind, folder = parse_spec(spec)
    chosen = layout(kind)
    check_options(kind, options or {}, chosen.OPTIONS)
    return _as_declared(chosen.read(folder, options or {}), (options or {}).get("columns", ""))
