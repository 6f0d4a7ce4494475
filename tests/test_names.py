from __future__ import annotations

import os
import sys

import pytest

from mtl_model.names import as_text, caption, is_text, isolated, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b ä 日本 👩‍🔬.jpg", "a b ä 日本 👩‍🔬.jpg"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("a\nb\rc\td\x7fe\x9bf\x00", r"a\nb\rc\td\x7fe\x9bf\x00"),
        ("caf\udce9", r"caf\udce9"),
        ("exe\u202egpj.", r"exe\u202egpj."),
        ("a\u2028b", r"a\u2028b"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("name", "text"), [("café", True), ("caf\udce9", False), ("\ud800", False)])
def test_a_name_that_is_not_utf8_is_no_text(name: str, text: bool) -> None:
    assert is_text(name) is text and as_text(name) == name


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_names_are_the_same_in_a_locale_of_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "café".encode().decode("ascii", "surrogateescape")  # what os.listdir gives with LC_ALL=C and no UTF-8 mode
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("ascii", "surrogateescape"))
    assert as_text(listed) == "café"


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
