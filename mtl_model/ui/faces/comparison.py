"""Two checkpoints on the same faces, side by side: what they say, and where they differ, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.records import Estimate, Photo, Reading
from mtl_model.tasks import Task
from mtl_model.ui.faces import face_cards


@dataclass(frozen=True)
class Side:
    """One checkpoint's answer. readings: of the same faces, in the same order, as those of the other side."""

    name: str
    card: Card
    readings: tuple[Reading, ...]

    def knows(self, task: Task) -> bool:
        return any(own.name == task.name and kinds.answers_alike(own, task) for own in self.card.tasks)

    def estimates(self, number: int, task: Task) -> dict[str, Estimate]:
        """{task: what is said of face `number`}, empty where that task is not known."""
        given = self.readings[number - 1].estimates
        return {task.name: given[task.name]} if self.knows(task) and task.name in given else {}


Sides = tuple[Side, Side]


def tasks(sides: Sequence[Side]) -> list[Task]:
    """What either of them knows; a task of both is the first one's."""
    found: dict[tuple[str, str], Task] = {}
    for side in sides:
        for task in side.card.tasks:
            found.setdefault((task.name, "" if kinds.of(task).choices(task) else task.kind), task)
    return list(found.values())


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


def cards(photo: Photo, crops: np.ndarray, sides: Sides, correctable: bool = False, place: str = "") -> str:
    """A card a face as `views.cards` makes them, with a column a checkpoint. place: begins the ids, for a second set of cards on
    one page."""
    if not photo.readings:
        return face_cards.cards(photo, crops, sides[0].card)
    return "".join(
        face_cards.face(number, crop, _verdict(sides, number), _columns(sides, number, f"{place}{number}"), correctable)
        for number, crop in enumerate(crops, start=1)
    )


def _verdict(sides: Sides, number: int) -> str:
    differing = _differing(sides, number)
    alike = "No difference" if _shared(sides) else "No task in common"
    said = f"Different: {', '.join(map(face_cards.named, differing))}" if differing else alike
    return f'<p class="verdict{" differing" if differing else ""}">{said}</p>'


def _columns(sides: Sides, number: int, key: str) -> str:
    heads = "".join(f'<th scope="col">{face_cards.escape(side.name)}</th>' for side in sides)
    blocks = [
        face_cards.estimates(f"{key}-{column}", side.readings[number - 1], side.card)
        for column, side in enumerate(sides, start=1)
    ]
    return (
        f'<table class="sides"><caption class="unseen">Face {number} by two checkpoints</caption>'
        f"<thead><tr>{heads}</tr></thead>{''.join(_task(task, sides, number, key, blocks) for task in tasks(sides))}</table>"
    )


def _task(task: Task, sides: Sides, number: int, key: str, blocks: Sequence[dict[str, str]]) -> str:
    why = _why(sides, number, task)
    mark = f" {face_cards.with_tip(f'differs-{task.name}-{key}', 'differs', '≠ different', why)}" if why else ""
    each = zip(sides, blocks, strict=True)
    answers = "".join(
        f"<td>{block.get(task.name, '') if side.knows(task) else _NOT_TAUGHT}</td>" for side, block in each
    )
    return (
        f'<tbody{" class=different" if why else ""}><tr><th scope="rowgroup" colspan="2"><span class="line">'
        f"{face_cards.named(task.title)}{mark}</span></th></tr><tr>{answers}</tr></tbody>"
    )


_NOT_TAUGHT = '<p class="small">not taught</p>'


def table(photo: Photo, sides: Sides) -> str:
    """All faces as rows, the checkpoints' columns of a task beside each other."""
    if not photo.readings:
        return ""
    known = tasks(sides)
    heads = [
        f'{face_cards.named(head)} <span class="of">{face_cards.escape(side.name)}</span>'
        for task in known
        for head in kinds.of(task).heads(task)
        for side in sides
    ]
    rows = []
    for number in range(1, len(photo.readings) + 1):
        row: list[face_cards.Cell] = []
        for task in known:
            both = [face_cards.cells(task, side.estimates(number, task)) for side in sides]
            row += [cell for pair in zip(*both, strict=True) for cell in pair]
        differing = _differing(sides, number)
        rows.append([*row, (", ".join(map(face_cards.named, differing)) or "–", ", ".join(differing))])
    return face_cards.sortable(photo, [*heads, "Different"], rows)
