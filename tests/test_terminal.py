from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import pytest

from mtl_model import terminal

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
    terminal.Progress()("c", 1, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_an_empty_path_is_refused() -> None:
    assert terminal.given_path(".") == Path()
    with pytest.raises(argparse.ArgumentTypeError):
        terminal.given_path("")
