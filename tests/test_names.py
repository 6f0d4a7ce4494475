from __future__ import annotations

import pytest

from mtl_model.names import caption, isolated, shortened


@pytest.mark.parametrize("name", ["Smile", "größer", "日本", "3.5", "", "a (b)"])
def test_a_name_from_left_to_right_stays_as_it_is(name: str) -> None:
    assert isolated(name) == name


@pytest.mark.parametrize("name", ["שיער", "شعر", "hair שיער", "٣٤", "\u202ereversed"])
def test_a_name_from_right_to_left_is_isolated(name: str) -> None:
    assert isolated(name) == f"\u2068{name}\u2069"


@pytest.mark.parametrize(("name", "short"), [("abcde", "abcde"), ("abcdef", "abcd…"), ("abc def", "abc…"), ("", "")])
def test_a_long_name_ends_in_an_ellipsis(name: str, short: str) -> None:
    assert shortened(name, 5) == short


def test_a_class_stands_with_its_task() -> None:
    assert caption("Hair colour", "black") == "Hair colour: black"
    assert caption("שיער", "black") == "\u2068שיער\u2069: black"
