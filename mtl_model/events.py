"""Events: how far work is, what was noted, how it ended. The training loop yields them; the command line and the page read them.

Each event is one JSON line {"event": kind, ...}: those of a training in runs/<name>/events.jsonl, the latest of a job in
latest.json. No event holds a sentence: `wording` makes one of its code and values, where it is shown.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mtl_model import typed


class Stage(StrEnum):
    """Parts of the work that take long enough to say how far they are."""

    READING = "reading_pictures"
    COMPARING = "comparing_pictures"
    DETECTING = "detecting_faces"
    CUTTING = "cutting_crops"
    FEATURES = "computing_features"
    FITTING = "fitting_branches"
    PREDICTING = "predicting"
    MEASURING = "measuring"
    WATCHING = "watching_video"
    DRAWING = "drawing_video"


Progress = Callable[[Stage, int, int], None]
"""Called with the stage, how many are done, and how many there are."""


def silent(stage: Stage, done: int, total: int) -> None:
    """No-op progress callback."""


@dataclass(frozen=True)
class Progressed:
    """stage: a Stage, or that of another version. seconds_left: None until the first is done, and when all are."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Started:
    """The loop is about to take its first step (again, if it resumes); with no steps and no epochs, a fit is about to be made."""

    name: str
    steps: int
    epochs: int
    first_step: int
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Training pictures by source and by task: {"utkface": {"pictures": 19319, "age": 19319, ...}}."""


@dataclass(frozen=True)
class Step:
    step: int
    epoch: int
    losses: Mapping[str, float]
    learning_rate: float
    pictures_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Evaluated:
    """Val after an epoch, or, at step 0, pictures by a fit that did not know them. score: the figure by which the best epoch is
    chosen, larger is better."""

    epoch: int
    step: int
    metrics: Mapping[str, Mapping[str, float]]
    score: float
    best: bool


@dataclass(frozen=True)
class Saved:
    """kind: "state" (to go on from) or "checkpoint" (the best so far)."""

    kind: str
    step: int


@dataclass(frozen=True)
class Noted:
    """Something that a person should know: pictures left out, a task whose gradient dwarfs the others.

    code: one of `wording.WORDS`, or "LAYOUT.CODE" of a layout's own; an event of an older version holds its sentence here.
    values: the numbers and names that belong to it, as JSON can hold them."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stopped:
    """Training ended early, and the best checkpoint so far is kept. code, values: the reason, see Noted."""

    step: int
    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    step: int
    seconds: float
    best_epoch: int


@dataclass(frozen=True)
class Failed:
    """Work ended by an error. code, values: see Noted; of an error that is raised, its own code and {"message"}."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


Event = Started | Step | Evaluated | Saved | Noted | Stopped | Finished | Failed | Progressed
KINDS = {
    kind.__name__.lower(): kind
    for kind in (Started, Step, Evaluated, Saved, Noted, Stopped, Finished, Failed, Progressed)
}
Report = Callable[[Event], None]
"""Takes an event."""
OLDER = ("text", "reason")  # fields in which older versions wrote a sentence


def to_line(event: Event) -> str:
    return json.dumps(
        {"event": type(event).__name__.lower(), **dataclasses.asdict(event)}, ensure_ascii=False, allow_nan=False
    )


def written(stream: Iterator[Event], file: Path) -> Iterator[Event]:
    """Append each event to a file as it passes. The file is opened with the first: of several processes only rank 0 has any."""
    log = None
    try:
        for event in stream:
            log = log or file.open("a", encoding="utf-8", errors="backslashreplace")
            print(to_line(event), file=log, flush=True)
            yield event
    finally:
        if log:
            log.close()


def from_line(line: str) -> Event:
    """Read an event, also one of an older version, whose sentence becomes its code.

    Raises ValueError for a line that is cut off, of an unknown kind, or whose fields are of other types."""
    try:
        plain = json.loads(line)
        kind = KINDS[plain.pop("event")]
        names = {field.name for field in dataclasses.fields(kind)}
        plain = {"code" if name in OLDER and "code" in names else name: value for name, value in plain.items()}
        if not names.issuperset(plain):
            raise ValueError("unknown fields")
        return typed.parse(kind, json.dumps(plain, allow_nan=False))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error
