"""The forms in which predictions leave the program besides JSON: a CSV with one row per face, and lines for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mtl_model import kinds, wording
from mtl_model.records import Estimate, Photo, Reading, clip_box
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


def cells(reading: Reading, tasks: Iterable[Task]) -> dict[str, object]:
    """Return what a row says of a face, by the names of the columns."""
    row: dict[str, object] = {}
    for task in tasks:
        if estimate := reading.estimates.get(task.name):
            row |= dict(zip(kinds.of(task).columns(task), kinds.of(task).cells(estimate), strict=True))
    return row


def to_csv(photos: Iterable[Photo], tasks: Sequence[Task]) -> str:
    """Write one row per face, counted from 1; a photo without faces is one row with `face` empty. What a spreadsheet
    would take for a formula begins with an apostrophe: names of files come from anybody."""
    columns = csv_columns(tasks)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writerow({column: plain(column) for column in columns})
    for photo in photos:
        if not photo.readings:
            writer.writerow({"photo": plain(photo.photo), "error": photo.error or ""})
        for number, reading in enumerate(photo.readings, start=1):
            edges = clip_box(reading.face.box, photo.width, photo.height)
            row: dict[str, object] = {"photo": plain(photo.photo), "face": number}
            row |= dict(zip(("left", "top", "right", "bottom"), edges, strict=True))
            row["confidence"] = round(reading.face.confidence, 4)
            row |= {
                name: plain(cell) if isinstance(cell, str) else cell for name, cell in cells(reading, tasks).items()
            }
            writer.writerow(row)
    return text.getvalue()


def to_lines(photo: Photo, tasks: Sequence[Task]) -> Iterator[str]:
    """Give one line per face, as people read it."""
    if not photo.readings:
        yield " ".join([f"{photo.photo}: no face found.", wording.text(photo.fault) if photo.fault else ""]).strip()
    if photo.turned:
        yield f"{photo.photo}: {wording.text('picture_turned', {'degrees': photo.turned})}"
    for number, reading in enumerate(photo.readings, start=1):
        yield f"{photo.photo}: {photo.subject} {number}: {said(reading.estimates, tasks)}"


def said(estimates: Mapping[str, Estimate], tasks: Iterable[Task]) -> str:
    """Return answers as people read them: "Age: 34 years (28 to 41), Smile: smiling (93 %, unsure)"."""
    parts = []
    for task in tasks:
        if estimate := estimates.get(task.name):
            notes = [kinds.of(task).detail(estimate), "" if estimate.sure else "unsure"]
            doubt = ", ".join(filter(None, notes))
            parts.append(f"{estimate.caption} ({doubt})" if doubt else estimate.caption)
    return ", ".join(parts)


def plain(text: str) -> str:
    """Return text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
