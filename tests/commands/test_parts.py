"""What is checked before a command works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mtl_model import card
from mtl_model.card import CARD
from mtl_model.cli import main
from tests.cli import run

TARGETS = [
    (["predict", "."], ["--json", "--csv", "--out", "--summary"], ["--annotate", "--blur-to"]),
    (["evaluate", "bknet", "--source", "utkface:."], ["--json"], ["--charts"]),
    (["finetune", ".", "--name", "new"], ["--json"], ["--runs"]),
    (["train", "--name", "new", "--source", "utkface:."], [], ["--tensorboard", "--runs"]),
    (["check", "utkface:."], ["--json"], ["--charts", "--cache"]),
    (["models"], ["--json"], []),
]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("words", "files", "folders"), TARGETS, ids=[words[0] for words, _, _ in TARGETS])
def test_where_a_command_writes_is_looked_at_before_it_works(
    tmp_path: Path, words: list[str], files: list[str], folders: list[str], capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "picture.jpg").write_text("precious")
    wrong = {
        **{
            f"{option} {place}": option
            for option in files
            for place in (".", "file/a", "x" * 300, "picture.jpg", "no/../file/b")
        },
        **{f"{option} {place}": option for option in folders for place in ("file", "file/a", "x" * 300)},
    }
    for text, option in wrong.items():
        place = tmp_path / text.removeprefix(f"{option} ")
        assert main([*words, option, str(place)]) == 2, text
        assert f"{option} names '" in capsys.readouterr().err, text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "picture.jpg"]
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.usefixtures("no_work")
def test_cards_and_logs_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "list_checkpoints", lambda *_: {"bknet": tmp_path / "bknet"})
    (tmp_path / "bknet" / CARD).mkdir(parents=True)  # a folder in the card's place: root may write everywhere else
    source = ["bknet", "--source", "utkface:."]
    assert main(["calibrate", *source]) == 2
    assert main(["evaluate", *source, "--keep"]) == 2


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", [["check", "utkface:."], ["evaluate", "bknet", "--source", "utkface:."]])
def test_without_matplotlib_no_work_is_begun(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*words, "--charts", str(tmp_path)]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["check", ""], ["check", "utkface:"], ["evaluate", "bknet", "--source", "csv:"]])
def test_an_empty_data_set_is_refused(weights: Path, words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main([*words, *(["--weights", str(weights)] if words[0] == "evaluate" else [])]) == 2
    assert "names no folder" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "100000"])
def test_a_number_of_threads_that_torch_would_crash_on_is_refused(
    weights: Path, number: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(weights, "predict", ".", "--threads", number) == 2
    assert f"--threads is {number}. Expected 1 to " in capsys.readouterr().err
