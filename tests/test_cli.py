"""The command line and its contract: answers, files, exit codes."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import card, checkpoint, cli, runs
from mtl_model.card import CARD, Card, CropSettings
from mtl_model.cli import keep_record, main
from mtl_model.data import cache
from mtl_model.networks import bknet
from mtl_model.predictor import Predictor
from mtl_model.records import Photo
from mtl_model.tasks import TASKS


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    card = Card("bknet", {"size_px": 16, "hidden": 8}, tuple(TASKS.values()), crop=CropSettings(size_px=16))
    checkpoint.save(folder / "bknet", checkpoint.build_network(card), card)
    return folder


@pytest.fixture
def photos(tmp_path: Path, sample_picture: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(sample_picture).save(folder / "deep" / "face.JPG", quality=95)
    Image.new("RGB", (40, 40)).save(folder / "empty.png")
    (folder / "broken.jpg").write_text("text")
    (folder / "notes.txt").write_text("left alone")
    return folder


def run(weights: Path, *words: object) -> int:
    return main([str(word) for word in (*words, "--weights", weights)])


def test_the_contract_of_predict(weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    code = run(
        weights,
        "predict",
        photos,
        "--json",
        tmp_path / "a.json",
        "--csv",
        tmp_path / "a.csv",
        "--annotate",
        tmp_path / "drawn",
    )
    assert code == 1  # one picture has no answer, the JSON is whole
    found = {Path(one["photo"]).name: one for one in json.loads((tmp_path / "a.json").read_text())}
    assert sorted(found) == ["broken.jpg", "empty.png", "face.JPG"]
    assert found["face.JPG"]["photo"] == str(photos / "deep" / "face.JPG")
    assert found["empty.png"] == {"photo": str(photos / "empty.png"), "error": None, "faces": []}
    assert found["broken.jpg"]["faces"] == [] and "not a picture" in found["broken.jpg"]["error"]
    (face,) = found["face.JPG"]["faces"]
    assert len(face["box"]) == 4 and 0 <= face["box"][0] < face["box"][2] <= 512 and len(face["landmarks"]) == 5
    age, smile = face["estimates"]["age"], face["estimates"]["smile"]
    assert set(age) == {"text", "value", "low", "high", "group", "sure", "shape", "scores"}
    assert set(smile) == {"text", "value", "confidence", "sure", "shape", "scores"}
    assert list(age["scores"]) == [str(year) for year in range(101)] and sum(age["scores"].values()) == pytest.approx(
        1, abs=1e-3
    )
    assert age["group"] in ("1-13", "14-23", "24-39", "40-55", "56+") and age["low"] <= age["value"] <= age["high"]
    assert list(smile["scores"]) == ["not smiling", "smiling"] and smile["value"] in smile["scores"]
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert list(rows[0]) == (
        "photo,face,left,top,right,bottom,confidence,age,age_low,age_high,gender,gender_confidence,smile,smile_confidence,error"
    ).split(",")
    assert [row["face"] for row in rows] == ["", "1", ""]
    assert (tmp_path / "drawn" / "deep" / "face.JPG.png").is_file()
    captured = capsys.readouterr()
    assert captured.out == "" and "broken.jpg" in captured.err and "pictures" in captured.err


def test_without_files_a_line_a_face_is_printed(weights: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(weights, "predict", photos / "deep" / "face.JPG", photos / "empty.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "face 1: " in lines[0] and "years" in lines[0] and lines[1].endswith("no face found")


def test_a_file_named_directly_is_tried_whatever_its_name(weights: Path, photos: Path, tmp_path: Path) -> None:
    strange = tmp_path / "picture.dat"
    strange.write_bytes((photos / "deep" / "face.JPG").read_bytes())
    assert run(weights, "predict", strange, "--json", tmp_path / "a.json") == 0
    assert len(json.loads((tmp_path / "a.json").read_text())[0]["faces"]) == 1


def test_an_empty_folder_is_answered(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "none").mkdir()
    assert run(weights, "predict", tmp_path / "none", "--json", tmp_path / "a.json") == 0
    assert json.loads((tmp_path / "a.json").read_text()) == []
    assert "no picture" in capsys.readouterr().err


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


def test_a_record_is_kept_beside_those_that_came_meanwhile(weights: Path, tmp_path: Path) -> None:
    """In the place of what the same command printed; two folders of one layout are two sets."""
    folder = tmp_path / "weights" / "bknet"
    shutil.copytree(weights / "bknet", folder)
    for name, value in (("a", 1), ("b", 2), ("a", 3)):
        (tmp_path / name).mkdir(exist_ok=True)
        record = {"source": "csv", "split": "test", "tasks": {}, "groups": {}, "n": value}
        keep_record(folder, record, f"csv:{tmp_path / name}", {"columns": "", "attributes": "Young"})
    kept = json.loads((folder / CARD).read_text())["metrics"]
    assert [one["n"] for one in kept] == [3, 2]
    assert kept[0]["command"].endswith("--source csv:DATA/a --split test --attributes Young")


def test_without_tensorboard_a_sentence_says_what_to_install(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    words = ["train", "--name", "new", "--source", f"utkface:{tmp_path}", "--tensorboard", tmp_path / "logs"]
    assert run(weights, *words) == 2
    assert "pip install tensorboard" in capsys.readouterr().err


def test_a_list_with_named_columns_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    random = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    for name, numbers in (("train", range(20)), ("val", (20, 21)), ("test", (22, 23))):
        lines = [f"{number}.png, {number % 2}, {number % 3 if number % 4 else ''}" for number in numbers]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    main(["check", f"list:{tmp_path}", "--no-faces", "--columns", "kind=rose|daisy,colour=red|pink|white"])
    shown = capsys.readouterr().out
    assert "kind: rose 12, daisy 12" in shown and "not labelled 6" in shown


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes time is a failure of the test."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the command worked before it looked at where it would write")

    monkeypatch.setattr("mtl_model.predictor.Predictor.load", work)
    monkeypatch.setattr("mtl_model.checkpoint.load", work)
    monkeypatch.setattr("mtl_model.layouts.read", work)
    monkeypatch.setattr(runs, "claimed", work)
    monkeypatch.setattr(card, "list_checkpoints", lambda *_: {"bknet": Path("bknet")})


TARGETS = [
    (["predict", "."], ["--json", "--csv"], ["--annotate"]),
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


@pytest.mark.usefixtures("no_work")
def test_two_options_do_not_share_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = str(tmp_path / "a")
    assert main(["predict", ".", "--json", target, "--csv", f"{tmp_path}/x/../a"]) == 2
    assert "name one file" in capsys.readouterr().err


def path_options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [
        one for one in parser._actions if {one.metavar} & {"DIR", "FILE", "PATH", "DATA"} and one.dest != "root_path"
    ]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_empty_path_is_refused_by_every_option(command: str, capsys: pytest.CaptureFixture) -> None:
    """It would be the current folder."""
    parser = argparse.ArgumentParser()
    cli.COMMANDS[command][1](parser)
    options = path_options(parser)
    assert options
    for one in options:
        words = [one.option_strings[0], ""] if one.option_strings else [""]
        with pytest.raises(SystemExit) as left:
            main([command, *words])
        assert left.value.code == 2 and "the path is empty" in capsys.readouterr().err, one.dest


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


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (40, 40)).save(folder / f"{number}.png")
    return folder


def interrupt() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.sigtimedwait([], 0.01)  # let it arrive


def fill_disk() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("end", "code"), [(interrupt, 130), (terminate, 130), (fill_disk, 1)])
def test_what_was_answered_before_the_end_is_written(
    weights: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[], None], code: int
) -> None:
    before = Predictor.photo

    def photo(self: Predictor, source: Path, name: str, **more: Any) -> Photo:
        if name.endswith("3.png"):
            end()
        return before(self, source, name, **more)

    monkeypatch.setattr(Predictor, "photo", photo)
    places = ["--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv"]
    assert run(weights, "predict", many, *places) == code
    answers = json.loads((tmp_path / "a.json").read_text())
    assert [Path(one["photo"]).name for one in answers] == ["0.png", "1.png", "2.png"]
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 4
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_lines_on_the_screen_survive_an_interruption(
    weights: Path, many: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def photo(self: Predictor, source: Path, name: str, **_: Any) -> Photo:
        if name.endswith("2.png"):
            raise KeyboardInterrupt
        return Photo(name)

    monkeypatch.setattr(Predictor, "photo", photo)
    assert run(weights, "predict", many) == 130
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2 and "Stopped after 2 of 5 pictures" in captured.err


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


def test_check_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    random, picture = np.random.default_rng(0), Image.new("RGB", (1, 1))
    for number in range(40):
        picture = Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        picture.save(tmp_path / f"{number + 10}_{number % 2}_0_{number}.png")
    picture.save(tmp_path / "70_1_0_copy1.png")
    picture.save(tmp_path / "71_1_0_99.png")
    words = ["check", str(tmp_path), "--no-faces", "--json", str(tmp_path / "report" / "r.json")]
    assert main(words) == 1
    report = json.loads((tmp_path / "report" / "r.json").read_text())
    assert (
        report["kind"] == "utkface"
        and report["verdict"] == "usable with warnings"
        and len(report["exact"]["groups"]) == 1
    )
    assert "usable with warnings" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["check", f"utkface:{tmp_path / 'empty'}", "--no-faces"]) == 2


def test_help_needs_no_torch() -> None:
    code = """
import sys
from mtl_model import cli
try:
    cli.main(["predict", "--help"])
except SystemExit:
    pass
assert "torch" not in sys.modules and "gradio" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_pictures_of_one_name_are_all_drawn(weights: Path, tmp_path: Path) -> None:
    for folder in ("one", "two", "two/deep"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / folder / "a.png")
    assert run(weights, "predict", tmp_path / "one", tmp_path / "two", "--annotate", tmp_path / "out") == 0
    found = sorted(one.relative_to(tmp_path / "out").as_posix() for one in (tmp_path / "out").rglob("*.png"))
    assert found == ["a.png-2.png", "a.png.png", "deep/a.png.png"]


def test_a_folder_that_may_not_be_read_is_said(
    weights: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (many / "shut").mkdir()
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert run(weights, "predict", many, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv") == 1
    answers = {Path(one["photo"]).name: one["error"] for one in json.loads((tmp_path / "a.json").read_text())}
    assert len(answers) == 6 and answers["shut"] == cli.CLOSED_FOLDER
    assert f"{many / 'shut'}: {cli.CLOSED_FOLDER}" in capsys.readouterr().err
    assert cli.CLOSED_FOLDER in (tmp_path / "a.csv").read_text()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read any folder")
def test_a_folder_without_permission_is_said(weights: Path, many: Path, tmp_path: Path) -> None:
    many.chmod(0)
    assert run(weights, "predict", many, "--json", tmp_path / "a.json") == 1
    assert [one["error"] for one in json.loads((tmp_path / "a.json").read_text())] == [cli.CLOSED_FOLDER]


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


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_name_that_is_no_text_loses_no_answer(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    Image.new("RGB", (40, 40)).save(folder / "a.png")
    strange = os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")
    (folder / "a.png").rename(strange)
    Image.new("RGB", (40, 40)).save(folder / "b.png")
    assert run(weights, "predict", folder, "--json", tmp_path / "a.json") == 0
    answers = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert {one["photo"] for one in answers} == {strange, str(folder / "b.png")}


@pytest.mark.parametrize("has_git", [True, False])
def test_a_reading_is_written_down_with_git_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_git: bool
) -> None:
    if not has_git:
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # no repository
    (tmp_path / "readings.md").write_text("| date |\n")
    record = {"tasks": {"age": {"mae": {"value": 4.4}}}, "source": "utkface", "n": 3}
    cli.note_reading(tmp_path / "readings.md", "default", record)
    assert (tmp_path / "readings.md").read_text().endswith("| unknown | default | utkface | 3 | age mae 4.4 |\n")
