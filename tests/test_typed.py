from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from typing_extensions import TypedDict

from mtl_model.typed import parse


class Inner(TypedDict, total=False):
    title: str


@dataclass(frozen=True)
class Thing:
    name: str
    words: tuple[str, ...] = ()
    rate: float = 0.0
    inside: Mapping[str, Inner] = field(default_factory=dict)


BAD = [
    ('{"name": null}', "name"),
    ('{"name": 3}', "name"),
    ("{}", "name"),
    ('{"name": "a", "words": "ab"}', "words"),
    ('{"name": "a", "words": ["a", 1]}', "words.1"),
    ('{"name": "a", "rate": "1"}', "rate"),
    ('{"name": "a", "rate": true}', "rate"),
    ('{"name": "a", "inside": {"x": {"title": []}}}', "inside.x.title"),
    ('{"name": "\\ud800"}', "the file"),
    ('{"name": "a', "the file"),
    ("[" * 100_000, "the file"),
    (b"\xff\xfe", "the file"),
    ("", "the file"),
    ("[]", "the file"),
]


@pytest.mark.parametrize(("text", "where"), BAD, ids=range(len(BAD)))
def test_what_does_not_fit_is_named(text: str | bytes, where: str) -> None:
    with pytest.raises(ValueError, match=f"^{where}: "):
        parse(Thing, text)


def test_what_fits_comes_as_it_is_declared() -> None:
    thing = parse(Thing, '{"name": "é", "words": ["a"], "rate": 1, "inside": {"x": {"title": "t"}}, "other": 2}')
    assert thing == Thing("é", ("a",), 1.0, {"x": {"title": "t"}})
    assert parse(Inner, '{"title": "t", "more": [1]}') == {"title": "t", "more": [1]}
    assert parse(dict[str, Any], b'{"a": {"b": 1}}') == {"a": {"b": 1}}
