"""What a training says while it runs. The loop yields these; the command line and the page read them.

Each event is one JSON line {"event": kind, ...} in runs/<name>/events.jsonl.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl_model import typed


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
    """Something that a person should know: pictures left out, a task that drowns the others."""

    text: str


@dataclass(frozen=True)
class Stopped:
    """It was asked to stop, or stopped improving; what was best so far is kept."""

    step: int
    reason: str


@dataclass(frozen=True)
class Finished:
    step: int
    seconds: float
    best_epoch: int


@dataclass(frozen=True)
class Failed:
    text: str


Event = Started | Step | Evaluated | Saved | Noted | Stopped | Finished | Failed
KINDS = {kind.__name__.lower(): kind for kind in (Started, Step, Evaluated, Saved, Noted, Stopped, Finished, Failed)}


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
    """Raises ValueError for a line that is cut off, of an unknown kind, or whose fields are of other types."""
    try:
        plain = json.loads(line)
        kind = KINDS[plain.pop("event")]
        if not {field.name for field in dataclasses.fields(kind)}.issuperset(plain):
            raise ValueError("unknown fields")
        return typed.parse(kind, line)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error
