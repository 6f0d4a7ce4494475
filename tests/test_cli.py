"""The command line and its contract: exit codes, streams, and the way from a data set to a checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model.card import CARD
from mtl_model.cli import main
from mtl_model.data import cache
from mtl_model.networks import bknet
from tests.cli import run, write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["predict", "nowhere.jpg"], "'nowhere.jpg' is not there"),
        (["predict", ".", "--checkpoint", "bknt"], "Did you mean 'bknet'"),
        (["predict", ".", "--smallest-face", "-3"], "Expected pixels above 0"),
        (["predict", ".", "--device", "tpu9"], "cannot be used here"),
        (["evaluate", "nobody", "--source", "utkface:."], "Unknown checkpoint 'nobody'"),
        (["evaluate", "bknet", "--source", "utkfac:nowhere"], "Did you mean 'utkface'"),
        (["evaluate", "bknet", "--source", "utkface:.", "--keep", "--limit", "5"], "Leave one of them out"),
        (["evaluate", "bknet", "--source", "utkface:.", "--limit", "-5"], "at least 1 picture"),
        (["finetune", ".", "--name", "nobody", "--resume"], "There is no run 'nobody' to go on with"),
        (["train", "--name", "bknet", "--source", "utkface:."], "The name 'bknet' is taken"),
        (["train", "--name", "../up", "--source", "utkface:."], "cannot name a checkpoint"),
        (["train", "--name", "new"], "No --source"),
        (["train", "--name", "new", "--source", "utkface:.", "--epochs", "0"], "at least 1"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_sentence(
    weights: Path, words: list[str], says: str, capsys: pytest.CaptureFixture
) -> None:
    assert run(weights, *words) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.out == ""


def test_a_spoilt_checkpoint_is_exit_2(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    spoilt = tmp_path / "weights"
    (spoilt / "bknet").mkdir(parents=True)
    (spoilt / "bknet" / CARD).write_text((weights / "bknet" / CARD).read_text())
    assert run(spoilt, "predict", ".") == 2
    assert "model.safetensors is missing" in capsys.readouterr().err


def test_train_evaluate_and_models(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))
    faces, runs = tmp_path / "faces", tmp_path / "runs"
    faces.mkdir()
    for number in range(40):
        Image.fromarray(np.full((24, 24, 3), number * 6, np.uint8)).save(
            faces / f"{number + 10}_{number % 2}_0_{number}.png"
        )
    source = ["--source", f"utkface:{faces}", "--runs", runs]
    options = ["--name", "new", "--epochs", "1", "--batch-size", "8", "--keep-copies", "--device", "cpu"]
    assert run(weights, "train", *source, *options) == 0
    lines = [json.loads(line) for line in (runs / "new" / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines].count("started") == 1 and lines[-1]["event"] == "finished"
    assert run(weights, "train", *source, *options) == 2
    assert run(weights, "train", *source, *options, "--resume") == 0
    assert (
        run(
            weights,
            "evaluate",
            "new",
            *source,
            "--json",
            tmp_path / "e.json",
            "--keep",
            "--readings",
            tmp_path / "readings.md",
            "--device",
            "cpu",
        )
        == 0
    )
    record = json.loads((tmp_path / "e.json").read_text())
    assert {"source", "split", "n", "no_face", "tasks", "groups"} <= set(record) and record["no_face"] == record["n"]
    assert {"value", "low", "high"} <= set(record["tasks"]["age"]["mae"])
    assert not (tmp_path / "readings.md").exists()
    (tmp_path / "readings.md").write_text("| date |\n")
    assert run(weights, "evaluate", "new", *source, "--readings", tmp_path / "readings.md", "--device", "cpu") == 0
    line = (tmp_path / "readings.md").read_text().splitlines()[1]
    quick = ["--limit", "3", "--readings", tmp_path / "readings.md", "--json", tmp_path / "q.json", "--device", "cpu"]
    assert run(weights, "evaluate", "new", *source, *quick) == 0
    assert json.loads((tmp_path / "q.json").read_text())["n"] == 3
    assert len((tmp_path / "readings.md").read_text().splitlines()) == 2  # a part of a split is no reading of it
    assert "| new | utkface |" in line and "age mae" in line
    (kept,) = json.loads((runs / "new" / CARD).read_text())["metrics"]
    assert kept["command"] == "python -m mtl_model evaluate new --source utkface:DATA/faces --split test"
    capsys.readouterr()
    assert run(weights, "models", "--runs", runs, "--json", tmp_path / "m.json") == 0
    assert [one["name"] for one in json.loads((tmp_path / "m.json").read_text())] == ["bknet", "new"]
    assert "new: age, gender; bknet" in capsys.readouterr().out


def closed(words: list[str], redirection: str, root: Path) -> subprocess.CompletedProcess[str]:
    shell = f'exec "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-m", "mtl_model", *words], cwd=root, capture_output=True, text=True
    )


@pytest.mark.skipif(os.name == "nt", reason="a shell's way to close a stream")
def test_closed_streams_are_no_traceback(weights: Path, tmp_path: Path, root: Path) -> None:
    words = ["models", "--weights", str(weights), "--runs", str(tmp_path)]
    found = closed(words, ">&-", root)
    assert found.returncode == 2 and found.stderr.startswith("stdout is closed.") and found.stderr.count("\n") == 1
    found = closed([*words, "--json", str(tmp_path / "a.json")], ">&-", root)
    assert (found.returncode, found.stderr) == (0, "") and json.loads((tmp_path / "a.json").read_text())
    found = closed(words, "2>&-", root)
    assert found.returncode == 0 and "bknet" in found.stdout
    assert closed(["predict", "nowhere.jpg"], ">&- 2>&-", root).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to write to")
def test_a_full_disk_and_a_closed_pipe_are_one_sentence_at_most(weights: Path, tmp_path: Path, root: Path) -> None:
    words = [sys.executable, "-m", "mtl_model", "models", "--weights", str(weights), "--runs", str(tmp_path)]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed, open("/dev/full", "w") as full:
        found = [
            subprocess.run(words, cwd=root, stdout=place, stderr=subprocess.PIPE, text=True) for place in (closed, full)
        ]
    assert [one.returncode for one in found] == [1, 1]
    assert found[0].stderr == ""
    assert found[1].stderr.startswith("A file could not be read or written (No space left on device).")
    assert found[1].stderr.count("\n") == 1


def test_help_loads_nothing_heavy(root: Path) -> None:
    code = """
import sys
from mtl_model import cli
try:
    cli.main(["--help"])
except SystemExit:
    pass
heavy = {"torch", "gradio", "numpy", "PIL", "pydantic", "psutil", "filelock"} & set(sys.modules)
assert not heavy, heavy
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_cannot_command_the_terminal(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "a\x1b[2J"
    folder.mkdir()
    Image.new("RGB", (40, 40)).save(folder / "b\x1b]0;title\x07\n.png")
    (folder / "c\x9b31m.png").write_text("broken")
    run(weights, "predict", folder)
    run(weights, "predict", folder / "gone\x1b")
    main(["check", str(folder), "--no-faces"])
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert "\\x1b[2J" in shown and "b\\x1b]0;title\\x07\\n.png" in shown and "c\\x9b31m" in shown
    assert not set(shown) & set("\x1b\x07\x9b")
