"""What is told of a video: its people, as JSON, CSV and lines, and where they are at any moment."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mtl_model import answers, records
from mtl_model.card import Card
from mtl_model.records import Estimate, Face, Reading, clip_box
from mtl_model.tasks import Task
from mtl_model.tracking import STAYING, Moment, Person, answers_at, shares, smoothed, stretches

AROUND_SECONDS = 0.8
"""On each side of a moment, over which what changes from moment to moment is smoothed where it is drawn."""


@dataclass(frozen=True)
class Footage:
    """One video's answer, or the sentence why there is none, or why it ends early.

    width, height: of an upright frame, in pixels. seconds: how long it is. every: seconds from one look to the next. until: how
    many seconds were looked at."""

    video: str
    card: Card
    error: str | None = None
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    every: float = 0.0
    until: float = 0.0
    people: Sequence[Person] = field(default_factory=tuple)

    @cached_property
    def smoothed(self) -> dict[int, dict[str, Estimate]]:
        """The answers about each person over all moments, by the person's number."""
        return {person.number: smoothed(person.moments, self.card) for person in self.people}

    def at(self, seconds: float) -> dict[int, Reading]:
        """Return who is there at a moment, by number. A box lies between those of the looks before and after; what may change is
        smoothed over the looks around."""
        return {person.number: reading for person in self.people if (reading := self._at(person, seconds))}

    def _at(self, person: Person, seconds: float) -> Reading | None:
        after = int(np.searchsorted([moment.seconds for moment in person.moments], seconds))
        before, behind = person.moments[max(0, after - 1) : after], person.moments[after : after + 1]
        near = [*before, *behind]
        if len(near) == 2 and near[1].seconds - near[0].seconds > 1.5 * self.every:  # covered at the look between
            near = [min(near, key=lambda moment: abs(moment.seconds - seconds))]
        if len(near) == 1 and abs(near[0].seconds - seconds) > self.every / 2:
            return None
        return Reading(_between(near, seconds), self._now(person, near))

    def _now(self, person: Person, near: Sequence[Moment]) -> Mapping[str, Estimate]:
        key = (person.number, near[0].seconds)
        if key not in self._around:
            reach = max(AROUND_SECONDS, self.every)
            around = [moment for moment in person.moments if abs(moment.seconds - near[0].seconds) <= reach]
            self._around[key] = answers_at(near[0], around, self.smoothed[person.number], self.card)
        return self._around[key]

    @cached_property
    def _around(self) -> dict[tuple[int, float], Mapping[str, Estimate]]:
        return {}


def _between(near: Sequence[Moment], seconds: float) -> Face:
    first, last = near[0], near[-1]
    span = last.seconds - first.seconds
    share = (seconds - first.seconds) / span if span else 0.0
    edges = zip(first.reading.face.box, last.reading.face.box, strict=True)
    left, top, right, bottom = (start + share * (end - start) for start, end in edges)
    return Face((left, top, right, bottom), first.reading.face.confidence)


def to_json(footages: Iterable[Footage]) -> list[dict[str, Any]]:
    """The JSON contract of videos: a list with an object per video. Fields may be added, never renamed."""
    return [
        {
            "video": footage.video,
            "error": footage.error,
            "width": footage.width,
            "height": footage.height,
            "seconds": round(footage.seconds, 2),
            "every": footage.every,
            "until": round(footage.until, 2),
            "people": [_person_to_json(footage, person) for person in footage.people],
        }
        for footage in footages
    ]


def _person_to_json(footage: Footage, person: Person) -> dict[str, Any]:
    seen = stretches(person, footage.every, footage.until)
    return {
        "person": person.number,
        "stretches": [list(span) for span in seen],
        "seconds": round(sum(end - begin for begin, end in seen), 2),
        "estimates": {
            name: records.estimate_to_json(estimate) for name, estimate in footage.smoothed[person.number].items()
        },
        "shares": shares(person),
        "moments": [
            {
                "seconds": round(moment.seconds, 3),
                "box": clip_box(moment.reading.face.box, footage.width, footage.height),
                "confidence": round(moment.reading.face.confidence, 4),
                "estimates": {name: _brief(estimate) for name, estimate in moment.reading.estimates.items()},
            }
            for moment in person.moments
        ],
    }


def _brief(estimate: Estimate) -> dict[str, Any]:
    """An estimate about one moment, without its words and the hundred years of a curve."""
    left_out = {"text", "shape", *(["scores"] if estimate.shape in STAYING else [])}
    return {name: value for name, value in records.estimate_to_json(estimate).items() if name not in left_out}


def to_csv(footages: Sequence[Footage], tasks: Sequence[Task]) -> str:
    """Write one row per person and look; a video without people is one row with `person` empty."""
    columns = answers.csv_columns(tasks)
    columns = ["video", "person", "seconds", *columns[columns.index("left") :]]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writerow({column: answers.plain(column) for column in columns})
    for footage in footages:
        name = answers.plain(footage.video)
        if footage.error or not footage.people:
            writer.writerow({"video": name, "error": footage.error or ""})
        for person in footage.people:
            for moment in person.moments:
                edges = clip_box(moment.reading.face.box, footage.width, footage.height)
                row = {"video": name, "person": person.number, "seconds": round(moment.seconds, 3)}
                row |= dict(zip(("left", "top", "right", "bottom"), edges, strict=True))
                row["confidence"] = round(moment.reading.face.confidence, 4)
                cells = answers.cells(moment.reading, tasks).items()
                writer.writerow(
                    row | {key: answers.plain(cell) if isinstance(cell, str) else cell for key, cell in cells}
                )
    return text.getvalue()


def to_lines(footage: Footage) -> Iterator[str]:
    """Give one line per person, as people read it."""
    if not footage.people and not footage.error:
        yield f"{footage.video}: no face found."
    for person in footage.people:
        seen = stretches(person, footage.every, footage.until)
        spans = ", ".join(f"{clock(begin)} to {clock(end)}" for begin, end in seen)
        summary = answers.said(footage.smoothed[person.number], footage.card.tasks)
        yield f"{footage.video}: person {person.number}: {summary}; seen {spans}{_changing(shares(person))}"


def _changing(of_time: Mapping[str, Mapping[str, float]]) -> str:
    """Return what changed while a person was seen: "; smiling 40 % of the time"."""
    parts = []
    for classes in of_time.values():
        name, share = list(classes.items())[-1]
        if len(classes) == 2 and 0 < share < 1:
            parts.append(f"{name} {round(100 * share)} % of the time")
    return "".join(f"; {part}" for part in parts)


def clock(seconds: float) -> str:
    """Return a moment as players show it: "1:02:03", "2:03.5"."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    shown = f"{rest:04.1f}".removesuffix(".0")
    return f"{hours}:{minutes:02d}:{shown}" if hours else f"{minutes}:{shown}"
