"""Predictions of files and folders: answers, files, exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from mtl_model import pipeline
from mtl_model.cli import main
from mtl_model.commands._pictures import CLOSED_FOLDER
from mtl_model.predictor import Predictor
from mtl_model.records import Photo
from tests.cli import run, write_weights


@pytest.fixture
def photos(tmp_path: Path, sample_picture: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(sample_picture).save(folder / "deep" / "face.JPG", quality=95)
    Image.new("RGB", (40, 40)).save(folder / "empty.png")
    (folder / "broken.jpg").write_text("text")
    (folder / "notes.txt").write_text("left alone")
    return folder


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
    empty = {"photo": str(photos / "empty.png"), "error": None, "turned": 0, "fault": "picture_dark"}
    assert found["empty.png"] == {**empty, "width": 40, "height": 40, "faces": []}
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
    assert (
        len(lines) == 2
        and "face 1: " in lines[0]
        and "years" in lines[0]
        and "no face found. The picture is very dark" in lines[1]
    )


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


@pytest.mark.usefixtures("no_work")
def test_two_options_do_not_share_a_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = str(tmp_path / "a")
    assert main(["predict", ".", "--json", target, "--csv", f"{tmp_path}/x/../a"]) == 2
    assert "name one file" in capsys.readouterr().err


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (40, 40)).save(folder / f"{number}.png")
    return folder


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)  # until the work is told


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)


def fill_disk() -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def end_at_3(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Something happens while 3.png is looked at, one picture after another."""
    before = Predictor.photos

    def ending(end: Callable[[], None]) -> None:
        def photos(self: Predictor, pictures: Sequence[np.ndarray], names: Sequence[str], **more: Any) -> list[Photo]:
            if names[0].endswith("3.png"):
                end()
            return before(self, pictures, names, **more)

        monkeypatch.setattr(Predictor, "photos", photos)
        monkeypatch.setattr(pipeline, "BATCH", 1)

    return ending


@pytest.mark.parametrize(("end", "code", "answered"), [(interrupt, 130, 4), (terminate, 130, 4), (fill_disk, 1, 3)])
def test_what_was_answered_before_the_end_is_written(
    weights: Path,
    many: Path,
    tmp_path: Path,
    end_at_3: Callable[[Callable[[], None]], None],
    end: Callable[[], None],
    code: int,
    answered: int,
) -> None:
    end_at_3(end)
    places = ["--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--out", tmp_path / "a.jsonl"]
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run(weights, "predict", many, *places, "--threads", 1) == code
    answers = json.loads((tmp_path / "a.json").read_text())
    assert [Path(one["photo"]).name for one in answers] == [f"{number}.png" for number in range(answered)]
    assert len((tmp_path / "a.csv").read_text().splitlines()) == answered + 1
    assert [Path(name).name for name in names_of(tmp_path / "a.jsonl")] == [f"{n}.png" for n in range(answered)]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_lines_on_the_screen_survive_an_interruption(
    weights: Path,
    many: Path,
    end_at_3: Callable[[Callable[[], None]], None],
    capsys: pytest.CaptureFixture,
) -> None:
    end_at_3(interrupt)
    assert run(weights, "predict", many, "--threads", 1) == 130
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 4 and "Stopped after 4 of 5 pictures" in captured.err


# -- a line a picture ----------------------------------------------------------------------------------------------


def names_of(file: Path) -> list[str]:
    """The pictures that a file of lines answers, each line whole."""
    content = file.read_text(encoding="utf-8")
    assert not content or content.endswith("\n")
    return [json.loads(line)["photo"] for line in content.splitlines()]


def test_json_is_made_of_the_lines(weights: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    lines, whole = tmp_path / "a.jsonl", tmp_path / "a.json"
    assert run(weights, "predict", photos, "--out", lines, "--json", whole) == 1
    assert run(weights, "predict", photos, "--json", tmp_path / "b.json") == 1
    assert (
        whole.read_text()
        == (tmp_path / "b.json").read_text()
        == json.dumps(json.loads(whole.read_text()), indent=1) + "\n"
    )
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    for line in written:
        source = line.pop("source")
        assert source["checkpoint"] == "bknet" and source["bytes"] == Path(line["photo"]).stat().st_size
    assert sorted(written, key=str) == sorted(json.loads(whole.read_text()), key=str)
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on files is POSIX's")
def test_a_full_disk_ends_with_a_sentence_and_whole_lines(weights: Path, tmp_path: Path, root: Path) -> None:
    folder, lines = tmp_path / "many", tmp_path / "a.jsonl"
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (240 + number, 240), (number, 90, 90)).save(folder / f"{number:02d}.png")
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); from mtl_model.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["predict", folder, "--weights", weights, "--out", lines]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", limited, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "could not be read or written" in done.stderr and "Traceback" not in done.stderr
    assert 2 <= len(names_of(lines)) < 40


def test_only_what_is_missing_changed_or_unread_is_answered_again(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    lines, asked = tmp_path / "a.jsonl", []
    before = Predictor.photos

    def watched(self: Predictor, pictures: Sequence[np.ndarray], names: Sequence[str], **more: Any) -> list[Photo]:
        asked.extend(Path(name).name for name in names)
        return before(self, pictures, names, **more)

    monkeypatch.setattr(Predictor, "photos", watched)
    assert run(weights, "predict", photos, "--out", lines) == 1
    assert run(weights, "predict", photos, "--out", lines) == 2 and "holds answers already" in capsys.readouterr().err
    asked.clear()
    assert run(weights, "predict", photos, "--out", lines, "--resume") == 1  # broken.jpg is tried again
    said = capsys.readouterr().err
    assert asked == [] and "2 pictures are answered already" in said and "broken.jpg: it could not be read then" in said
    Image.new("RGB", (50, 50), "white").save(photos / "empty.png")
    Image.new("RGB", (50, 50), "white").save(photos / "broken.jpg")
    lines.write_bytes(lines.read_bytes() + b'{"photo": "cut o')
    places = ["--out", lines, "--json", tmp_path / "a.json"]
    assert run(weights, "predict", photos, *places, "--resume") == 0
    said = capsys.readouterr().err
    assert "1 picture is answered" in said and "cut off and is dropped" in said and "empty.png: its file has" in said
    assert sorted(asked) == ["broken.jpg", "empty.png"]
    assert sorted(names_of(lines)) == [one["photo"] for one in json.loads((tmp_path / "a.json").read_text())]
    (photos / "deep" / "face.JPG").unlink()
    assert run(weights, "predict", photos, *places, "--resume") == 0
    assert len(names_of(lines)) == 3 and len(json.loads((tmp_path / "a.json").read_text())) == 2


@pytest.mark.parametrize("more", [["--smallest-face", "30"], ["--checkpoint", "other"]])
def test_a_file_of_other_settings_is_refused(
    weights: Path, many: Path, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture
) -> None:
    lines = tmp_path / "a.jsonl"
    assert run(weights, "predict", many, "--out", lines) == 0
    before = lines.read_bytes()
    runs = write_weights(tmp_path / "runs", "other", seed=1)
    assert run(weights, "predict", many, "--out", lines, "--resume", "--runs", runs, *more) == 2
    assert "made with other settings" in capsys.readouterr().err and lines.read_bytes() == before


@pytest.mark.parametrize("content", ["{}\n", '{"photo": "a", "error": null}\n', "text\n"])
def test_a_file_of_another_program_is_refused(weights: Path, many: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    assert run(weights, "predict", many, "--out", tmp_path / "a", "--resume") == 2
    assert (tmp_path / "a").read_text() == content
    assert run(weights, "predict", many, "--resume") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_a_killed_command_loses_no_finished_line(weights: Path, tmp_path: Path, root: Path) -> None:
    """Killed after some lines, started again, the answers are those of one that was never killed."""
    folder, lines = tmp_path / "many", tmp_path / "a.jsonl"
    folder.mkdir()
    for number in range(40):
        Image.new("RGB", (240 + number, 240), (number, 90, 90)).save(folder / f"{number:02d}.png")
    command = ["-m", "mtl_model", "predict", folder, "--weights", weights, "--out", lines, "--resume"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, *map(str, command)], env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not lines.exists() or lines.read_bytes().count(b"\n") < 3):
            time.sleep(0.02)
        process.kill()
    killed = lines.read_bytes()
    whole = [json.loads(line) for line in killed.split(b"\n")[:-1]]
    assert 3 <= len(whole) < 40
    assert run(weights, *command[2:4], "--out", lines, "--resume", "--json", tmp_path / "a.json") == 0
    assert lines.read_bytes().startswith(killed[: killed.rfind(b"\n") + 1]) and len(names_of(lines)) == 40
    assert run(weights, "predict", folder, "--json", tmp_path / "b.json") == 0
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.json").read_text())


# -- copies --------------------------------------------------------------------------------------------------------


def test_copies_with_faces_made_unrecognisable(
    weights: Path, photos: Path, sample_picture: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description that names somebody"
    Image.fromarray(sample_picture).save(photos / "deep" / "face.png", exif=exif)
    out = tmp_path / "out"
    assert run(weights, "predict", photos, "--blur", "faces", "--blur-to", out, "--json", tmp_path / "a.json") == 1
    assert sorted(path.name for path in out.rglob("*.png")) == ["empty.png.png", "face.JPG.png", "face.png.png"]
    with Image.open(out / "deep" / "face.png.png") as copy:
        assert not copy.getexif() and copy.size == (512, 512)
        changed = (np.asarray(copy) != sample_picture).any(2)
    (face,) = json.loads((tmp_path / "a.json").read_text())[2]["faces"]
    left, top, right, bottom = (int(edge) for edge in face["box"])
    assert changed[top:bottom, left:right].mean() > 0.95 and changed.mean() < 0.15
    assert "2 faces made unrecognisable in 3 pictures; in 1 of them no face was found" in capsys.readouterr().err


def test_what_is_answered_and_has_no_copy_yet_gets_one(
    weights: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lines, out = tmp_path / "a.jsonl", tmp_path / "out"
    assert run(weights, "predict", many, "--out", lines) == 0
    words = ["--out", lines, "--resume", "--blur", "faces", "--blur-to", out]
    assert run(weights, "predict", many, *words) == 0
    assert len(list(out.iterdir())) == len(names_of(lines)) == 5
    (out / "2.png.png").unlink()
    capsys.readouterr()
    assert run(weights, "predict", many, *words) == 0
    assert len(list(out.iterdir())) == len(names_of(lines)) == 5
    assert "4 pictures are answered already; 1 to be read anew" in capsys.readouterr().err


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    "words",
    [["--blur", "faces"], ["--blur-to", "out"], ["--blur", "eyes", "--blur-to", "out"],
     ["--blur", "under", "--blur-to", "out"], ["--blur", "faces", "--blur-to", "out", "--annotate", "./out"]],
)  # fmt: skip
def test_copies_that_cannot_be_are_wrong_usage(many: Path, words: list[str]) -> None:
    assert main(["predict", str(many), *words]) == 2


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
    assert len(answers) == 6 and answers["shut"] == CLOSED_FOLDER
    assert f"{many / 'shut'}: {CLOSED_FOLDER}" in capsys.readouterr().err
    assert CLOSED_FOLDER in (tmp_path / "a.csv").read_text()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read any folder")
def test_a_folder_without_permission_is_said(weights: Path, many: Path, tmp_path: Path) -> None:
    many.chmod(0)
    assert run(weights, "predict", many, "--json", tmp_path / "a.json") == 1
    assert [one["error"] for one in json.loads((tmp_path / "a.json").read_text())] == [CLOSED_FOLDER]


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


def test_a_summary_leads_to_the_pictures(weights: Path, photos: Path, tmp_path: Path) -> None:
    strange = photos / "a b#&ä.jpg"
    strange.write_bytes((photos / "deep" / "face.JPG").read_bytes())
    page = tmp_path / "deep" / "page.html"
    assert run(weights, "predict", photos, "--summary", page) == 1
    html = page.read_text(encoding="utf-8")
    links = {unquote(link) for link in re.findall(r'href="([^"#]+)"', html)}
    assert {(page.parent / link).resolve() for link in links} == {
        strange,
        photos / "deep" / "face.JPG",
        photos / "broken.jpg",
    }
