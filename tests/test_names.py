from __future__ import annotations

import os
import sys

import pytest

from mtl_model.names import as_text, is_text, printable


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
