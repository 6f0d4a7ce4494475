"""Damage for files and records, the same from the same seed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random
from typing import Any

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: Sequence[Any] = (
    *(None, True, False, 0, 1, -1, 2.5, 1e308, -1e308, 10**400, -(10**400), 2**63, float("nan"), float("inf")),
    *("", "a", "0", "\ud800", "\x00", "../..", "x" * 10_000, "age", "years", "classes", "bknet", "mobilenet", "mtcnn"),
    *([], {}, [[]], [None], ["a", "a"], {"a": {}}, {"value": None}, [1, 2, 3], [0.5] * 3, {"size_px": 10**9}),
)


def damaged(seeds: Sequence[bytes], random: Random) -> bytes:
    """Return one of the files with one to eight changes: bits, numbers, and parts left out, repeated, or taken from another."""
    content = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        if not content:
            break
        at = random.randrange(len(content)) if random.random() < 0.5 else random.randrange(min(len(content), 256))
        size = random.choice((1, 2, 4, 16, 200))
        match random.randrange(7):
            case 0:
                content[at] ^= 1 << random.randrange(8)
            case 1:
                content[at] = random.randrange(256)
            case 2:
                width = random.choice((1, 2, 4))
                number = random.choice(NUMBERS) % 256**width
                content[at : at + width] = number.to_bytes(width, random.choice(("big", "little")))
            case 3:
                del content[at : at + size]
            case 4:
                content[at:at] = content[at : at + size] * random.choice((1, 2, 50))
            case 5:
                other = random.choice(seeds)
                start = random.randrange(len(other))
                content[at : at + size] = other[start : start + size]
            case _:
                if random.random() < 0.3:
                    del content[at:]
    return bytes(content)


def changed(record: Any, random: Random) -> Any:
    """Return a copy of a JSON value with one to three places replaced, left out or nested very deep."""
    record = copy.deepcopy(record)
    for _ in range(random.choice((1, 1, 2, 3))):
        holder, key = _place(record, random)
        if holder is None:
            return random.choice(VALUES)
        action = random.random()
        if action < 0.15:
            del holder[key]
        elif action < 0.2:
            deep: Any = 0
            for _ in range(random.choice((30, 300))):
                deep = [deep] if random.random() < 0.5 else {"a": deep}
            holder[key] = deep
        else:
            holder[key] = copy.deepcopy(random.choice(VALUES))
    return record


def _place(record: Any, random: Random) -> tuple[Any, Any]:
    holder, key = None, None
    value = record
    while isinstance(value, dict | list) and value and (holder is None or random.random() < 0.75):
        holder = value
        key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
        value = holder[key]
    return holder, key
