"""Predictions of files and folders: answers, files, exit codes."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_model.cli import main
from mtl_model.commands.predict import CLOSED_FOLDER
from mtl_model.predictor import Predictor
from mtl_model.records import Photo
from tests.cli import run


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
    empty = {"photo": str(photos / "empty.png"), "error": None, "turned": 0, "fault": "picture_dark", "faces": []}
    assert found["empty.png"] == empty
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
