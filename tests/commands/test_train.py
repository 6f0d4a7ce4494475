"""Training by the command line: names, refusals, what stands in the run's folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mtl_model import card, runs
from mtl_model.data import cache
from mtl_model.networks import bknet
from tests.cli import run


@pytest.fixture
def training(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`train --name new` on a few pictures."""
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))
    (tmp_path / "few").mkdir()
    for number in range(40):
        picture = Image.new("RGB", (24, 24), (number * 6, 9, 9))
        picture.save(tmp_path / "few" / f"{number + 10}_{number % 2}_0_{number}.png")
    words = ["train", "--name", "new", "--source", f"utkface:{tmp_path / 'few'}", "--runs", tmp_path / "runs"]
    words += ["--epochs", "1", "--batch-size", "8", "--keep-copies", "--device", "cpu"]
    return lambda *more: run(weights, *words, *more)


def test_a_run_has_its_name_from_the_first_moment_and_alone(
    training: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    codes = []

    def second(paths: list[str], *_: object) -> dict[str, tuple]:
        """Started while the first one looks for faces."""
        codes.extend([training(), training("--resume")])
        return dict.fromkeys(paths, ())

    monkeypatch.setattr(cache, "_look_at", second)
    assert training() == 0 and codes == [2, 2]
    assert capsys.readouterr().err.count("Another program is at work on 'new'") == 2
    assert training() == 2
    assert "'new' is taken. Choose another with --name, or go on with that run by --resume." in capsys.readouterr().err


def test_a_name_is_free_again_where_nothing_was_learned(
    training: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert training("--tasks", "smle") == 2 and not (tmp_path / "runs" / "new").exists()
    assert training("--resume") == 2 and "There is no run 'new'" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "new").exists()
    (tmp_path / "runs" / "new").mkdir()
    (tmp_path / "runs" / "new" / ".run.lock").touch()  # left by one that was killed
    assert training() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_data_set_whose_name_is_not_utf8_is_learned_from(training: Callable[..., int], tmp_path: Path) -> None:
    """It stands in the card's command: that was a traceback after the first epoch."""
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    shutil.copytree(tmp_path / "few", strange)
    assert training("--source", f"utkface:{strange}") == 0
    folder = tmp_path / "runs" / "new"
    assert r"caf\udce9" in card.read_card(folder).training["command"]
    (folder / "events.jsonl").read_text(encoding="utf-8").encode()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_class_whose_name_is_not_utf8_is_refused_before_it_is_learned(
    training: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in (b"rose", b"caf\xe9"):
        folder = os.fsdecode(os.fsencode(tmp_path) + b"/kinds/kind/" + name)
        shutil.copytree(tmp_path / "few", folder)
    assert training("--source", f"folders:{tmp_path / 'kinds'}") == 2
    assert r"The class 'caf\udce9' has a name that is not UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "new").exists()


def test_tasks_that_would_write_one_column_are_not_learned_together(
    training: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "table"
    shutil.copytree(tmp_path / "few", folder)
    rows = [f"{path.name},{('a', 'b')[number % 2]}" for number, path in enumerate(folder.glob("*.png"))]
    (folder / "labels.csv").write_text("\n".join(["file,Age Low", *rows]))
    assert training("--source", f"csv:{folder}") == 2
    assert "both write the column age_low" in capsys.readouterr().err
    assert training("--source", f"csv:{folder}", "--tasks", "age,gender") == 0


def test_of_several_processes_the_first_claims_the_name(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runs.claimed(tmp_path / "new", weights, begun=False, resume=False):
        monkeypatch.setenv("RANK", "1")
        with runs.claimed(tmp_path / "new", weights, begun=False, resume=False):
            pass
        assert (tmp_path / "new").exists()
    assert not (tmp_path / "new").exists()


def test_without_tensorboard_a_sentence_says_what_to_install(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    words = ["train", "--name", "new", "--source", f"utkface:{tmp_path}", "--tensorboard", tmp_path / "logs"]
    assert run(weights, *words) == 2
    assert "pip install tensorboard" in capsys.readouterr().err
