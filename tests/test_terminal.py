from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import pytest

from mtl_model import terminal
from mtl_model.events import Event, Progressed, Stage

NASTY = "a\x1b[2Jb\udce9\n.jpg"
SHOWN = r"a\x1b[2Jb\udce9\n.jpg" + "\n"


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture) -> None:
    terminal.answer(NASTY)
    terminal.say(NASTY)
    assert capsys.readouterr() == (SHOWN, SHOWN)
    with pytest.raises(SystemExit):
        terminal.Parser(prog="x").parse_args([NASTY])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_letter_is_too_much_for_a_stream(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    content = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(content, encoding=encoding))
    terminal.prepare()
    for print_line in (terminal.answer, terminal.say):
        print_line("日本 café caf\udce9")
    print("\udce9", flush=True)  # also what libraries print
    sys.stdout.flush()
    assert b"caf\\udce9" in content.getvalue()


def test_closed_streams_are_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    terminal.prepare()
    terminal.answer("a")
    terminal.say("b")
    terminal.Progress()(Stage.READING, 1, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_an_empty_path_is_refused() -> None:
    assert terminal.given_path(".") == Path()
    with pytest.raises(argparse.ArgumentTypeError):
        terminal.given_path("")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "begins"), [(io.StringIO, "looking for faces ["), (Terminal, "\rlooking for faces [")]
)
def test_a_bar_says_what_is_done_and_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], begins: str
) -> None:
    said = stream()
    monkeypatch.setattr(sys, "stderr", said)
    progress = terminal.Progress()
    progress(Stage.DETECTING, 1200, 1200)
    assert said.getvalue() == f"{begins}{'#' * 24}] 1,200 of 1,200{'   ' if said.isatty() else ''}\n"


def test_whoever_listens_gets_events_in_place_of_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    heard: list[Event] = []
    clock = iter([100.0, 102.0, 102.1, 104.0, 104.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    progress = terminal.Progress(heard.append)
    for done in (0, 1, 2, 4):  # the third comes too soon after the second
        progress(Stage.READING, done, 4)
    progress(Stage.CUTTING, 0, 4)
    assert heard == [
        Progressed("reading_pictures", 0, 4),
        Progressed("reading_pictures", 1, 4, 6.0),
        Progressed("reading_pictures", 4, 4),
        Progressed("cutting_crops", 0, 4),
    ]
    assert capsys.readouterr() == ("", "")
