"""The forms in which predictions leave the program besides JSON: a CSV with one row per face, and lines for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mtl_model import kinds, wording
from mtl_model.records import Photo, clip_box
from mtl_model.tasks import Task


def csv_columns(tasks: Iterable[Task]) -> list[str]:
    """Return the names of the columns."""
    columns = ["photo", "face", "left", "top", "right", "bottom", "confidence"]
    return [*columns, *(column for task in kinds.shown(tasks) for column in kinds.of(task).columns(task)), "error"]


class Clash(NamedTuple):
    """Two tasks that would write one column of the CSV, such as age and age_low."""

    first: str
    second: str
    column: str


def find_clash(tasks: Iterable[Task]) -> Clash | None:
    """Return the first clash among the tasks, None if there is none."""
    owners: dict[str, str] = {}
    for task in tasks:
        for column in kinds.of(task).columns(task):
            other = owners.setdefault(column, task.name)
            if other != task.name:
                return Clash(other, task.name, column)
    return None


def to_csv(photos: Iterable[Photo], tasks: Sequence[Task]) -> str:
    """Write one row per face, counted from 1; a photo without faces is one row with `face` empty. What a spreadsheet
    would take for a formula begins with an apostrophe: names of files come from anybody."""
    columns = csv_columns(tasks)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writerow({column: _plain(column) for column in columns})
    for photo in photos:
        if not photo.readings:
            writer.writerow({"photo": _plain(photo.photo), "error": photo.error or ""})
        for number, reading in enumerate(photo.readings, start=1):
            edges = clip_box(reading.face.box, photo.width, photo.height)
            row: dict[str, object] = {"photo": _plain(photo.photo), "face": number}
            row |= dict(zip(("left", "top", "right", "bottom"), edges, strict=True))
            row["confidence"] = round(reading.face.confidence, 4)
            for task in tasks:
                if estimate := reading.estimates.get(task.name):
                    cells = (_plain(cell) if isinstance(cell, str) else cell for cell in kinds.of(task).cells(estimate))
                    row |= dict(zip(kinds.of(task).columns(task), cells, strict=True))
            writer.writerow(row)
    return text.getvalue()


def to_lines(photo: Photo, tasks: Sequence[Task]) -> Iterator[str]:
    """Give one line per face, as people read it."""
    if not photo.readings:
        yield " ".join([f"{photo.photo}: no face found.", wording.text(photo.fault) if photo.fault else ""]).strip()
    if photo.turned:
        yield f"{photo.photo}: {wording.text('picture_turned', {'degrees': photo.turned})}"
    for number, reading in enumerate(photo.readings, start=1):
        parts = []
        for task in tasks:
            if estimate := reading.estimates.get(task.name):
                notes = [kinds.of(task).detail(estimate), "" if estimate.sure else "unsure"]
                said = ", ".join(filter(None, notes))
                parts.append(f"{estimate.caption} ({said})" if said else estimate.caption)
        yield f"{photo.photo}: {photo.subject} {number}: {', '.join(parts)}"


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
