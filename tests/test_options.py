"""A dataclass as options of a command line, and back."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mtl_model.config import FinetuneConfig, TrainConfig
from mtl_model.errors import UsageError
from mtl_model.options import add_options, from_options, option, options_of
from mtl_model.ui.server.options import UiOptions


@dataclass(frozen=True)
class Everything:
    """Each type that a field may have."""

    word: str = option("", "a word", flag="with")
    number: int = option(3, "100 % of a number", variable="MTL_TEST_NUMBER")
    share: float = option(0.5, "a share")
    switch: bool = option(False, "a switch")
    several: tuple[str, ...] = option((), "words", metavar="WORD")
    pair: tuple[str, Path] | None = option(None, "a name and a file", metavar=("NAME", "FILE"))
    place: Path | None = option(None, "a file")
    made: Path = option(lambda: Path("made"), "a place")
    choice: str = option("a", "one of two", ("a", "b"))
    hidden: int = 7


def parse(record: type, *words: str) -> Any:
    parser = argparse.ArgumentParser()
    add_options(parser, record)
    return from_options(record, parser.parse_args(words))


@pytest.mark.parametrize(
    "record",
    [
        TrainConfig(name="new", source=("csv:a b", "list:c"), columns="kind=rose|daisy", balance=0.2, keep_copies=True),
        FinetuneConfig(name="x", start="bknet", how="all"),
        UiOptions("::1", 1, Path("w w"), allow_host=("a", "b"), read_only=True, add_user=("ann", Path("f"))),
        Everything("a 'word'", 4, 0.25, True, ("a", "b c"), ("ann", Path("f")), Path("p"), Path("q"), "b"),
        Everything(),
    ],
    ids=lambda record: type(record).__name__,
)
def test_options_are_what_a_shell_and_the_parser_take_again(record: Any) -> None:
    assert parse(type(record), *shlex.split(options_of(record))) == record


def test_what_is_as_usual_is_left_out() -> None:
    assert options_of(FinetuneConfig(name="x", start="bknet", data="/home")) == "--name x --from bknet"
    assert options_of(Everything(hidden=8)) == ""


def test_a_variable_stands_in_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_TEST_NUMBER", "4")
    assert parse(Everything).number == 4 and parse(Everything, "--number", "3").number == 3
    monkeypatch.setenv("MTL_TEST_NUMBER", "many")
    with pytest.raises(UsageError, match="MTL_TEST_NUMBER is 'many'"):
        parse(Everything)


@pytest.mark.parametrize(
    "words", [["--place", ""], ["--number", "x"], ["--choice", "c"], ["--pair", "a"], ["--hidden", "1"]]
)
def test_wrong_words_are_wrong_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(Everything, *words)
    assert left.value.code == 2


def test_help_says_the_defaults() -> None:
    parser = argparse.ArgumentParser(prog="x")
    add_options(parser, Everything)
    text = " ".join(parser.format_help().split())
    for part in ("--with WORD a word", "100 % of a number (else $MTL_TEST_NUMBER, else 3)", "a share (default: 0.5)"):
        assert part in text
    assert "--pair NAME FILE" in text and "a switch --" in text and "None" not in text


def test_only_some_fields_become_options() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Everything, ("word", "share"))
    assert [action.dest for action in parser._actions] == ["help", "word", "share"]
