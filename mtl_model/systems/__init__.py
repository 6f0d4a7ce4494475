"""Published multi-task systems, each in a file of its own that says everything needed to train it here.

A system is data: the loop, the networks and the kinds know none by name. Its sources stand as "kind:{data}/folder", below the
folder in which the data sets lie.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mtl_model import registry
from mtl_model.config import TrainConfig
from mtl_model.errors import UsageError, unknown
from mtl_model.tasks import Task

FOLDER = "systems"
DATA = "{data}"
DATA_HELP = "folder in which the data sets lie, one folder each (else $MTL_DATA, else ~/.cache/mtl_model/data)"
FIGURES = Path(__file__).parent / "figures.json"
"""{system: what its training reached here}; written by `python -m benchmarks.systems`, never by hand."""


@dataclass(frozen=True)
class Headline:
    """A figure that stands for a system: a metric of one task, measured on the test part of one set.

    label: what it is, for people. source: folder of the set. author: the figure in the text, in the metric's own scale (shares
    from 0 to 1); None where it gives none. note: on what the author measured it, where that differs.
    """

    label: str
    task: str
    metric: str
    source: str
    author: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Variant:
    """A change of a system that is worth comparing. changes: fields of TrainConfig. text: a sentence on what it shows."""

    changes: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class System:
    """A published system.

    letter: by which systems are listed. text: what it is, in two sentences. source: title and author of the document that it
    follows. papers: with their sections. lesson: what to learn from it, a sentence. config: its recipe, for a run within one
    hour of one core; neither name nor system stand in it. tasks: what it learns, as its data sets say it, so that its network can
    be built without them. headlines: the figures that stand for it, those of its author beside them. variants: by name.
    differences: where the code here does not follow the text, a sentence each.
    """

    title: str
    letter: str
    text: str
    source: str
    papers: tuple[str, ...]
    lesson: str
    config: TrainConfig
    tasks: tuple[Task, ...]
    headlines: tuple[Headline, ...]
    variants: Mapping[str, Variant] = field(default_factory=dict)
    differences: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders of the data sets that it learns from."""
        return tuple(Path(source.partition(f":{DATA}/")[2]).as_posix() for source in self.config.source)


class SystemModule(Protocol):
    SYSTEM: System


@functools.cache
def named(name: str) -> System:
    """Return the system of that name. Raises UsageError with the near match for one that is not there."""
    return registry.load(FOLDER, name).SYSTEM


def names() -> list[str]:
    """Return the names of all systems in the order of their letters."""
    return sorted(registry.names(FOLDER), key=lambda name: (named(name).letter, name))


def data_folder(given: Path | None = None) -> Path:
    """Return the folder in which the data sets lie: the one given, else $MTL_DATA, else ~/.cache/mtl_model/data."""
    return given or Path(os.environ.get("MTL_DATA") or "~/.cache/mtl_model/data").expanduser()


def missing(system: System, data: Path) -> list[str]:
    """Return the folders of data sets that a system needs and that are not in `data`."""
    return [folder for folder in system.folders if not (data / folder).is_dir()]


def missing_text(title: str, folders: list[str], data: Path, how: str = "with --data or $MTL_DATA") -> str:
    """Return the sentence that says which data sets are missing, and what to do. how: the way to name another folder."""
    return (
        f"'{title}' learns from {', '.join(folders)}, which {'is' if len(folders) == 1 else 'are'} not in {data}. Expected one "
        f"folder per data set there; unpack them into it, or name the folder that holds them {how}."
    )


def recipe(name: str, variant: str = "", data: Path | str = "DATA") -> TrainConfig:
    """Return the settings that train a system, or a variant of it, from the data sets in a folder.

    Raises UsageError for a system or variant that is not there."""
    system = named(name)
    if variant and variant not in system.variants:
        raise UsageError(unknown(f"variant of {name}", variant, system.variants))
    changes = dict(system.variants[variant].changes) if variant else {}
    config = dataclasses.replace(system.config, system=name, variant=variant, **changes)
    return dataclasses.replace(config, source=tuple(source.replace(DATA, str(data)) for source in config.source))


def reached(name: str) -> Mapping[str, Any]:
    """Return what the training of a system reached here; empty where it was not trained yet.

    {"command", "parameters", "seconds", "pictures", "epochs", "figures": [{"value", "low", "high", "n", "blind", "unit"}, one
    per headline], "curves": {task: {"loss": [one per epoch], "error": [...]}}}"""
    return _figures().get(name, {})


@functools.cache
def _figures() -> Mapping[str, Any]:
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
