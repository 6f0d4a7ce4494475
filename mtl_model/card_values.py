"""What may stand in a card: types and ranges, each held against what was read, with a sentence for what cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mtl_model import kinds
from mtl_model.errors import CheckpointError
from mtl_model.names import is_text
from mtl_model.records import FACE, PICTURE
from mtl_model.tasks import Task

if TYPE_CHECKING:
    from mtl_model.card import Card

MOST_DEEP = 20
"""Lists and objects inside each other; those of the program's own cards are 8."""
LARGEST_NUMBER = 1e300
"""JSON holds numbers of any size; those beyond cannot be divided."""

Rule = tuple[str, Any, Callable[[Any], bool], str]
"""Field, its value, the test that it has to pass, and what is expected in words."""


def check(card: Card) -> None:
    """Raise CheckpointError for a value with which nothing could be read or shown."""
    for field, value, holds, expected in _rules(card):
        if not holds(value):
            raise CheckpointError(
                f"The card's {field} is {value!r:.60}. Expected {expected}; correct the card, or choose another checkpoint."
            )


def check_plain(plain: Any, deep: int = 0) -> None:
    """Raise ValueError for JSON that is too deep, or holds a number that could not be shown."""
    if deep > MOST_DEEP:
        raise ValueError(f"it is more than {MOST_DEEP} levels deep")
    if isinstance(plain, int | float) and not abs(plain) <= LARGEST_NUMBER:
        raise ValueError(f"it holds the number {str(plain)[:20]}")
    elif isinstance(plain, Mapping):
        for value in plain.values():
            check_plain(value, deep + 1)
    elif isinstance(plain, list):
        for value in plain:
            check_plain(value, deep + 1)


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and is_text(value)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _rules(card: Card) -> Iterator[Rule]:
    detection, crop = card.detection, card.crop
    yield "network", card.network, _is_text, "the name of a network"
    for field in ("summary", "terms", "created", "parent"):
        yield field, getattr(card, field), is_text, "whole letters"
    for sentence in card.limits:
        yield "limits", sentence, is_text, "whole letters"
    yield "parameters", card.parameters, _whole(0, 10**11), "a whole number"
    yield "detection.detector", detection.detector, _is_text, "the name of a detector"
    yield "detection.size_px", detection.size_px, _whole(20, 4096), "a whole number of pixels from 20 to 4,096"
    yield (
        "detection.smallest_face_px",
        detection.smallest_face_px,
        _number(12, 4096),
        "a number of pixels from 12 to 4,096",
    )
    yield "crop.size_px", crop.size_px, _whole(8, 1024), "a whole number of pixels from 8 to 1,024"
    yield "crop.grey", crop.grey, _is_boolean, "true or false"
    yield "crop.mirror", crop.mirror, _is_boolean, "true or false"
    seen = not crop.mirror or kinds.may_mirror(card.tasks)
    yield "crop.mirror", seen, bool, "false where a task's mirror image says something else"
    allowed = crop.mirror or not card.flip_averaging
    yield "flip_averaging", allowed, bool, "false where crop.mirror is, whose mirror image shows something else"
    yield "subject", card.subject, (FACE, PICTURE).__contains__, "face or picture"
    yield "crop.margin", crop.margin, _number(-0.45, 4), "a share of the face from -0.45 to 4"
    for mean in crop.mean:
        yield "crop.mean", mean, _number(-10, 10), "numbers from -10 to 10, one per channel"
    for std in crop.std:
        yield "crop.std", std, _number(1e-3, 100), "numbers from 0.001 to 100, one per channel"
    for name, calibration in card.calibration.items():
        for field, (low, high, expected) in calibration.RANGES.items():
            yield f"calibration.{name}.{field}", getattr(calibration, field), _number(low, high), expected
    for task in card.tasks:
        yield from _rules_of_task(task)
    for name, rows in card.errors.items():
        for row in rows:
            yield (
                f"errors.{name}.error",
                row["error"],
                _number(0, 1e12),
                "a share, or an error in the unit of its answers",
            )
            yield f"errors.{name}.n", row["n"], _whole(0, 10**9), "a number of faces"


def _rules_of_task(task: Task) -> Iterator[Rule]:
    place = f"tasks.{task.name}"
    for field in ("title", "kind", "loss"):
        yield f"{place}.{field}", getattr(task, field), _is_text, "a text"
    classes = task.classes
    least = kinds.of(task).least_classes
    yield f"{place}.classes", classes, lambda names: len(names) >= least, f"at least {least} classes"
    yield f"{place}.classes", classes, lambda names: all(map(_is_text, names)), "names"
    yield f"{place}.classes", classes, lambda names: len(set(names)) == len(names), "names that differ"
    spelt = set(task.spellings.values())
    yield f"{place}.spellings", spelt, lambda names: names <= set(classes), "spellings of its classes"
    for name, low, high in task.bands:
        yield f"{place}.bands", name, _is_text, "a name for each range of years"
        yield (
            f"{place}.bands",
            (low, high),
            lambda ends: 0 <= ends[0] <= ends[1] <= 200,
            "ranges of years from 0 to 200",
        )


def finite(text: str) -> float:
    """Return a number of JSON. Python's reader would take Infinity and 1e999 as well, which nothing here can show.

    Raises: ValueError for these."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number
