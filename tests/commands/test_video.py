"""Predictions of videos: people, files, exit codes."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from mtl_model import pipeline, video
from mtl_model.cli import main
from mtl_model.predictor import Predictor
from tests.cli import run
from tests.videos import moving, write_video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, sample_picture: np.ndarray) -> Path:
    """Four seconds: a face crosses the picture, hidden for half a second."""
    small = np.asarray(Image.fromarray(sample_picture).resize((230, 230)))
    return write_video(tmp_path_factory.mktemp("film") / "film.mov", moving(small, 80, hidden=range(28, 38)))


def test_a_video_is_answered_by_people(
    weights: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    places = ["--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--annotate", tmp_path / "out"]
    assert run(weights, "predict", film, *places, "--every", 0.25) == 0
    (answer,) = json.loads((tmp_path / "a.json").read_text())
    assert (answer["video"], answer["error"], answer["every"], answer["until"]) == (str(film), None, 0.25, 4.0)
    (person,) = answer["people"]  # of one who was hidden for half a second
    assert person["stretches"] == [[0.0, 4.0]] and set(person["estimates"]) == {"age", "gender", "smile"}
    lefts = [look["box"][0] for look in person["moments"]]
    assert 12 <= len(lefts) <= 15 and lefts == sorted(lefts) and lefts[-1] - lefts[0] > 100
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [float(row["seconds"]) for row in rows] == [look["seconds"] for look in person["moments"]]
    with av.open(str(tmp_path / "out" / "film.mov.mp4")) as copy:
        assert [stream.type for stream in copy.streams] == ["video", "audio"]
    drawn, before = (list(video.frames(file, 0)) for file in (tmp_path / "out" / "film.mov.mp4", film))
    changed = [np.abs(a.rgb.astype(int) - b.rgb).max() > 90 for a, b in zip(drawn, before, strict=True)]
    assert changed[0] and changed[20] and not changed[33] and changed[60]
    captured = capsys.readouterr()
    assert captured.out == "" and "seconds of video" in captured.err


def test_without_files_a_line_a_person_is_printed(weights: Path, film: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(weights, "predict", film) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "film.mov: person 1: Age: " in line and "seen 0:00 to 0:04" in line


def test_one_that_cannot_be_read_leaves_the_others(weights: Path, film: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("text")
    assert run(weights, "predict", broken, film, "--json", tmp_path / "a.json", "--every", 2) == 1
    first, second = json.loads((tmp_path / "a.json").read_text())
    assert "no video" in first["error"] and first["people"] == [] and len(second["people"]) == 1


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)


def test_an_end_in_the_middle_keeps_what_is_done(
    weights: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    looks, before = [], Predictor.predict

    def predict(self: Predictor, *arguments: Any, **more: Any):
        looks.append(1)
        if len(looks) == 4:
            interrupt()
        return before(self, *arguments, **more)

    monkeypatch.setattr(Predictor, "predict", predict)
    places = ["--json", tmp_path / "a.json", "--annotate", tmp_path / "out"]
    assert run(weights, "predict", film, *places, "--every", 0.25, "--threads", 1) == 130
    (answer,) = json.loads((tmp_path / "a.json").read_text())
    assert 0.5 < answer["until"] < 2 and answer["seconds"] == 4 and len(answer["people"][0]["moments"]) >= 2
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().err
    assert "stopped after" in said and "was not begun" in said


def test_a_copy_that_is_interrupted_can_be_played(
    weights: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl_model.footage import Footage

    at: Callable[[Footage, float], Any] = Footage.at

    def there(self: Footage, seconds: float) -> Any:
        if abs(seconds - 1) < 0.02:
            interrupt()
        return at(self, seconds)

    monkeypatch.setattr(Footage, "at", there)
    assert run(weights, "predict", film, "--annotate", tmp_path, "--every", 2, "--json", tmp_path / "a.json") == 130
    assert 15 < len(list(video.frames(tmp_path / "film.mov.mp4", 0))) < 40


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["FILM", "."], "Expected videos alone"),
        (["FILM", "--out", "a.jsonl"], "--out is for pictures and folders"),
        (["FILM", "--blur", "faces", "--blur-to", "out"], "--blur-to is for pictures and folders"),
        ([".", "--every", "2"], "--every is for videos"),
        (["FILM", "--every", "0"], "--every is 0"),
        (["FILM", "--every", "nan"], "--every is nan"),
        (["rtsp://127.0.0.1/a"], "forbid watching people"),
        (["http://127.0.0.1/a.mp4"], "forbid watching people"),
    ],
)
def test_what_cannot_be_is_wrong_usage(
    film: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["predict", *(str(film) if word == "FILM" else word for word in words)]) == 2
    assert sentence in capsys.readouterr().err


def test_frames_are_looked_at_side_by_side(film: Path) -> None:
    found = list(pipeline.in_order(video.frames(film, 1), lambda frame: frame.rgb.shape))
    assert [round(frame.seconds) for frame, _ in found] == [0, 1, 2, 3] and {shape for _, shape in found} == {
        (270, 480, 3)
    }
