"""A page about many photos: how many faces, of which ages and classes, each figure with its doubt and the pictures behind it.

Faces that can hardly be told are left out of the figures, and counted. The others count by their probabilities, not by their
answers: these are calibrated, so that their sum is the number to be expected, and says how far off it may be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl_model import kinds, wording
from mtl_model.quality import faults
from mtl_model.records import FACE, Estimate, Photo, Reading
from mtl_model.tasks import Task
from mtl_model.ui.render import render

CURVE, BARS = "curve", "bars"
DECADE = 10
LAST = 80
"""All from here on are one bar."""
DOUBT = 1.2816
"""Standard deviations on each side of a mean, between which four of five lie: the share that intervals of ages are made for."""
LISTED = 200  # faces below one figure


@dataclass(frozen=True)
class Entry:
    """A face in a list: which it is, what is said of it, and how probable that is."""

    photo: str
    number: int
    text: str
    sure: bool
    chance: float


@dataclass
class Figure:
    """Faces of one class, or of one decade: the sum of their probabilities, and its variance. key: names it inside the page."""

    title: str
    key: str
    mean: float = 0.0
    variance: float = 0.0
    entries: list[Entry] = field(default_factory=list)

    def add(self, chance: float, entry: Entry | None) -> None:
        """Count a face with a probability. entry: where this is the answer about it."""
        self.mean += chance
        self.variance += chance * (1 - chance)
        if entry:
            self.entries.append(entry)

    def between(self, most: int) -> tuple[float, float]:
        """Return between which numbers of faces the true one lies with 80 %, as if every face were of another person."""
        reach = DOUBT * math.sqrt(self.variance)
        return max(0.0, self.mean - reach), min(float(most), self.mean + reach)


@dataclass
class Table:
    """What is told of one task. columns: {class: {row: figure}}; a task of classes has one column."""

    task: Task
    number: int
    columns: dict[str, dict[str, Figure]] = field(default_factory=dict)
    faces: int = 0
    figures: int = 0

    def figure(self, column: str, row: str, title: str) -> Figure:
        rows = self.columns.setdefault(column, {})
        if row not in rows:
            self.figures += 1
            rows[row] = Figure(title, f"{self.number}-{self.figures}")
        return rows[row]


class Summary:
    """Takes photos one after another, and makes the page."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        shown = kinds.shown(tasks)
        self._tables = {task.name: Table(task, number) for number, task in enumerate(shown, start=1)}
        self._parting = next((task for task in shown if task.groups), None)
        """The task by whose classes the ages are parted."""
        self._photos = self._faces = self._empty = 0
        self._subject = FACE
        self._unread: list[tuple[str, str]] = []
        self._untold: Counter[str] = Counter()

    def add(self, photo: Photo) -> None:
        self._photos, self._subject = self._photos + 1, photo.subject
        if photo.error:
            self._unread.append((photo.photo, photo.error))
        elif not photo.readings:
            self._empty += 1
        for number, reading in enumerate(photo.readings, start=1):
            self._faces += 1
            if reading.quality and (codes := faults(reading.quality)):
                self._untold[codes[0]] += 1
                continue
            for task, estimate in self._answered(reading):
                self._count(task, estimate, reading, Entry(photo.photo, number, estimate.text, estimate.sure, 0.0))

    def _answered(self, reading: Reading) -> Iterator[tuple[Task, Estimate]]:
        for table in self._tables.values():
            if (estimate := reading.estimates.get(table.task.name)) and estimate.shape in (CURVE, BARS):
                yield table.task, estimate

    def _count(self, task: Task, estimate: Estimate, reading: Reading, entry: Entry) -> None:
        table = self._tables[task.name]
        table.faces += 1
        if estimate.shape == BARS:
            for name, chance in estimate.scores.items():
                listed = _with_chance(entry, chance) if name == estimate.value else None
                table.figure("", name, name).add(chance, listed)
            return
        own = _decade(float(estimate.value))
        decades: dict[int, float] = {}
        for year, chance in estimate.scores.items():
            decades[_decade(float(year))] = decades.get(_decade(float(year)), 0.0) + chance
        parts, answer = self._parts(reading)
        for column, share in parts.items():
            for decade in range(0, LAST + 1, DECADE):
                chance = share * decades.get(decade, 0.0)
                listed = _with_chance(entry, chance) if (column, decade) == (answer, own) else None
                table.figure(column, str(decade), _decade_text(decade)).add(chance, listed)

    def _parts(self, reading: Reading) -> tuple[Mapping[str, float], str]:
        """The classes by which ages are parted, each with its probability, and the one that is the answer."""
        estimate = reading.estimates.get(self._parting.name) if self._parting else None
        return (estimate.scores, str(estimate.value)) if estimate else ({"": 1.0}, "")

    def html(self, title: str, link: Callable[[str], str]) -> str:
        """Return the page. link: name of a photo -> its address."""
        tables = [_shown(table, link) for table in self._tables.values() if table.faces]
        return render(
            "faces/summary.html",
            title=title,
            photos=self._photos,
            faces=self._faces,
            told=self._faces - sum(self._untold.values()),
            empty=self._empty,
            unread=[{"photo": name, "error": error, "link": link(name)} for name, error in self._unread[:LISTED]],
            unread_count=len(self._unread),
            untold=[f"{count:,} {wording.text(code)}" for code, count in self._untold.most_common()],
            tables=tables,
            listed=LISTED,
            subject=self._subject,
            faced=self._subject == FACE,
        )


def summarised(photos: Iterable[Photo], tasks: Sequence[Task], title: str, link: Callable[[str], str]) -> str:
    """Return the page about photos."""
    summary = Summary(tasks)
    for photo in photos:
        summary.add(photo)
    return summary.html(title, link)


def _with_chance(entry: Entry, chance: float) -> Entry:
    return Entry(entry.photo, entry.number, entry.text, entry.sure, chance)


def _decade(years: float) -> int:
    return min(LAST, int(years + 0.5) // DECADE * DECADE)


def _decade_text(decade: int) -> str:
    return f"{decade} and over" if decade == LAST else f"{decade}–{decade + DECADE - 1}"


def _shown(table: Table, link: Callable[[str], str]) -> dict[str, Any]:
    """What the template shows of a task: rows of cells, a cell per column; bars as shares of the longest."""
    columns = list(table.columns)
    figures = [figure for rows in table.columns.values() for figure in rows.values()]
    longest = max((figure.between(table.faces)[1] for figure in figures), default=0.0) or 1.0
    names = list(next(iter(table.columns.values())))
    return {
        "title": table.task.title,
        "faces": table.faces,
        "heads": columns if len(columns) > 1 else [],
        "pyramid": len(columns) == 2,
        "rows": [
            {
                "title": table.columns[columns[0]][name].title,
                "cells": [_cell(table.columns[column][name], table.faces, longest) for column in columns],
            }
            for name in names
        ],
        "lists": [
            {"figure": figure, "of": column, "entries": _listed(figure, link)}
            for column, rows in table.columns.items()
            for figure in rows.values()
            if figure.entries
        ],
    }


def _cell(figure: Figure, faces: int, longest: float) -> dict[str, Any]:
    low, high = figure.between(faces)
    return {
        "key": figure.key if figure.entries else "",
        "count": round(figure.mean),
        "low": round(low),
        "high": round(high),
        "share": 100 * figure.mean / faces,
        "share_low": 100 * low / faces,
        "share_high": 100 * high / faces,
        "length": 100 * figure.mean / longest,
        "from": 100 * low / longest,
        "to": 100 * high / longest,
    }


def _listed(figure: Figure, link: Callable[[str], str]) -> list[dict[str, Any]]:
    """Unsure faces first, then by how little probable the answer is."""
    ordered = sorted(figure.entries, key=lambda entry: (entry.sure, entry.chance))
    return [{"entry": entry, "link": link(entry.photo)} for entry in ordered[:LISTED]]
