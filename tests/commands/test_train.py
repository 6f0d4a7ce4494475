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


def test_a_system_is_trained_as_it_says_but_for_what_is_given(
    training: Callable[..., int], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training()  # makes the pictures of UTKFace
    (tmp_path / "sets").mkdir()
    (tmp_path / "few").rename(tmp_path / "sets" / "utkface")
    (tmp_path / "sets" / "genki4k" / "files").mkdir(parents=True)
    for number in range(1, 41):
        picture = Image.new("RGB", (24, 24), (9, number * 6, 9))
        picture.save(tmp_path / "sets" / "genki4k" / "files" / f"file{number:04d}.png")
    (tmp_path / "sets" / "genki4k" / "labels.txt").write_text("1 0 0 0\n0 0 0 0\n" * 20)
    words = ["train", "--system", "combined", "--name", "a", "--epochs", "1", "--batch-size", "8", "--keep-copies"]
    words += ["--device", "cpu", "--runs", tmp_path / "runs"]
    monkeypatch.setenv("MTL_DATA", str(tmp_path / "sets"))
    assert run(weights, *words) == 0
    trained = card.read_card(tmp_path / "runs" / "a")
    assert (trained.training["system"], trained.training["variant"]) == ("combined", "")
    assert trained.training["command"].endswith(
        "train --name a --system combined --epochs 1 --batch-size 8 --keep-copies --data DATA"
    )
    assert {task.name: task.kind for task in trained.tasks} == {
        "age": "classes",
        "gender": "classes",
        "smile": "classes",
    }
    assert trained.task("age").classes == ("1-13", "14-23", "24-39", "40-55", "56-80")
    words[4] = "b"
    assert (
        run(weights, *words, "--variant", "separate", "--data", tmp_path / "sets", "--network-options", "hidden=4") == 0
    )
    trained = card.read_card(tmp_path / "runs" / "b")
    assert trained.network_options["separate"] and trained.network_options["hidden"] == 4


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--system", "combined", "--data", "{empty}"), "learns from utkface, genki4k, which are not in"),
        (("--system", "combind"), "Did you mean 'combined'"),
        (("--system", "combined", "--variant", "seperate", "--source", "{few}"), "Did you mean 'separate'"),
        (("--variant", "separate"), "--variant is given without --system"),
        (("--data", "{empty}"), "--data is given without --system"),
    ],
)
def test_a_system_that_cannot_be_trained_is_a_sentence(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture, more: tuple[str, ...], said: str
) -> None:
    words = [word.format(empty=tmp_path / "empty", few=f"utkface:{tmp_path}") for word in more]
    assert run(weights, "train", "--name", "new", "--runs", tmp_path / "runs", *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs" / "new").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--network-options", "hiden=4"), "Did you mean 'hidden'"),
        (("--network-options", "leaves=4"), "Unknown option of the network 'leaves'"),
        (("--columns", "agee:number"), "Did you mean 'age'"),
        (("--columns", "gender:number"), "has classes. Expected none for a number"),
        (("--columns", "age:nmber"), "Did you mean 'number'"),
        (("--attributes", "height"), "Unknown attribute of utkface 'height'"),
    ],
)
def test_options_that_fit_no_network_or_label_are_refused(
    training: Callable[..., int], capsys: pytest.CaptureFixture, more: tuple[str, ...], said: str
) -> None:
    assert training(*more) == 2 and said in capsys.readouterr().err


def test_race_is_learned_when_asked_for_and_never_shown(training: Callable[..., int], tmp_path: Path) -> None:
    assert training("--attributes", "race", "--columns", "age (years):number,gender:binary") == 0
    tasks = {task.name: task for task in card.read_card(tmp_path / "runs" / "new").tasks}
    assert {name: task.kind for name, task in tasks.items()} == {"age": "number", "gender": "binary", "race": "classes"}
    assert tasks["age"].unit == "years" and not tasks["race"].shown and tasks["age"].shown
