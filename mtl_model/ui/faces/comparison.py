"""Two checkpoints on the same faces, side by side: what they say, and where they differ, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.errors import UsageError
from mtl_model.records import Estimate, Photo, Reading
from mtl_model.tasks import Task
from mtl_model.ui.faces import face_cards
from mtl_model.ui.faces.face_cards import Cell, Head
from mtl_model.ui.render import named, render


@dataclass(frozen=True)
class Side:
    """One checkpoint's answer. readings: of the same faces, in the same order, as those of the other side."""

    name: str
    card: Card
    readings: tuple[Reading, ...]

    def knows(self, task: Task) -> bool:
        return any(own.name == task.name and kinds.answers_alike(own, task) for own in kinds.shown(self.card.tasks))

    def estimates(self, number: int, task: Task) -> dict[str, Estimate]:
        """{task: what is said of face `number`}, empty where that task is not known."""
        given = self.readings[number - 1].estimates
        return {task.name: given[task.name]} if self.knows(task) and task.name in given else {}


Sides = tuple[Side, Side]


def expect_alike(first: Side, name: str, card: Card) -> None:
    """Raise UsageError for a checkpoint that reads something else than the first one."""
    if card.subject != first.card.subject:
        raise UsageError(
            f"{first.name} reads {_reads(first.card)}, {name} {_reads(card)}. Expected two that read the same; choose another to "
            "compare with."
        )


def _reads(card: Card) -> str:
    return "whole pictures" if card.reads_whole else f"{card.subject}s"


def tasks(sides: Sequence[Side]) -> list[Task]:
    """What either of them knows; a task of both is the first one's."""
    known: dict[tuple[str, str], Task] = {}
    for side in sides:
        for task in kinds.shown(side.card.tasks):
            known.setdefault((task.name, "" if kinds.of(task).choices(task) else task.kind), task)
    return list(known.values())


def note(sides: Sides) -> str:
    """In how much they differ, as a sentence."""
    shared = _shared(sides)
    names = f"{sides[0].name} and {sides[1].name}"
    if not shared:
        return f"{names} know no task in common."
    numbers = range(1, len(sides[0].readings) + 1)
    answers = len(shared) * len(numbers)
    differing = sum(len(_differing(sides, number)) for number in numbers)
    if not answers:
        return ""
    if not differing:
        return f"{names} agree in {'the one answer' if answers == 1 else f'all {answers} answers'}."
    return f"{names} differ in {differing} of {answers} answer{'' if answers == 1 else 's'}."


def _shared(sides: Sides) -> list[Task]:
    return [task for task in tasks(sides) if all(side.knows(task) for side in sides)]


def _differing(sides: Sides, number: int) -> list[str]:
    """Titles of the tasks in which they differ about one face."""
    return [task.title for task in _shared(sides) if _why(sides, number, task)]


def _why(sides: Sides, number: int, task: Task) -> str:
    first, second = (side.estimates(number, task).get(task.name) for side in sides)
    return kinds.of(task).difference(first, second) if first and second else ""


def cards(photo: Photo, crops: np.ndarray, sides: Sides, correctable: bool = False, place: str = "") -> Markup:
    """Return one card per face as `face_cards.cards` makes them, with a column per checkpoint.

    place: begins the ids, for a second set of cards on one page."""
    if not photo.readings:
        return face_cards.cards(photo, crops, sides[0].card)
    return Markup().join(
        face_cards.face(
            photo.subject,
            number,
            crop,
            sides[0].readings[number - 1].quality,
            _verdict(sides, number),
            _columns(sides, number, f"{place}{number}"),
            correctable,
        )
        for number, crop in enumerate(crops, start=1)
    )


def _verdict(sides: Sides, number: int) -> Markup:
    return render("faces/verdict.html", differing=_differing(sides, number), shared=_shared(sides))


def _columns(sides: Sides, number: int, key: str) -> Markup:
    blocks = [
        face_cards.estimates(f"{key}-{column}", side.readings[number - 1], side.card)
        for column, side in enumerate(sides, start=1)
    ]
    rows = []
    for task in tasks(sides):
        each = zip(sides, blocks, strict=True)
        answers = [block.get(task.name, "") if side.knows(task) else None for side, block in each]
        rows.append({"task": task, "why": _why(sides, number, task), "answers": answers})
    return render("faces/sides.html", subject=sides[0].card.subject, sides=sides, number=number, key=key, rows=rows)


def table(photo: Photo, sides: Sides) -> Markup:
    """Return all faces as rows, the checkpoints' columns of a task beside each other."""
    known = tasks(sides)
    heads = [Head(named(text), side.name) for task in known for text in kinds.of(task).heads(task) for side in sides]
    rows = []
    for number in range(1, len(photo.readings) + 1):
        row: list[Cell] = []
        for task in known:
            both = [face_cards.cells(task, side.estimates(number, task)) for side in sides]
            row += [cell for pair in zip(*both, strict=True) for cell in pair]
        differing = _differing(sides, number)
        rows.append([*row, Cell(Markup(", ").join(map(named, differing)) or "–", ", ".join(differing))])
    return face_cards.sortable(photo, [*heads, Head("Different")], rows)
