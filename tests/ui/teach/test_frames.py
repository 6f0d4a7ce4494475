"""Frames of a camera: which are kept, and why the others are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mtl_model import runs
from mtl_model.card import PENDING, shipped_weights
from mtl_model.decoding import Decoders
from mtl_model.records import PICTURE
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach import teaching, uploads
from mtl_model.ui.teach.frames import Sieve
from mtl_model.ui.teach.teaching import Record, Run


@pytest.fixture(scope="module")
def sieve(tmp_path_factory: pytest.TempPathFactory) -> Sieve:
    options = UiOptions(weights=shipped_weights(), runs=tmp_path_factory.mktemp("runs"), checkpoint="bknet")
    return Sieve(Models(options), Decoders())


def run_of(tmp_path: Path, **more: Any) -> Run:
    record = Record("hats", parent="bknet", **more)
    runs.begin(tmp_path / "runs", "hats", {PENDING: None, runs.TEACH: record.to_json()})
    return teaching.read_run(tmp_path / "runs", "hats")


def jpeg(picture: np.ndarray | Image.Image) -> bytes:
    stream = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def noise(sample: np.ndarray) -> np.ndarray:
    """No face."""
    return np.random.default_rng(0).integers(0, 255, sample.shape, np.uint8)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda one: one, ""),
        (lambda one: Image.fromarray(one).filter(ImageFilter.GaussianBlur(9)), "frame_blurred"),
        (lambda one: (one * 0.03).astype(np.uint8), "frame_dark"),
        (noise, "frame_faceless"),
        (lambda one: b"no picture", "frame_broken"),
    ],
)
def test_frames_that_teach_nothing_are_not_kept(
    sieve: Sieve, tmp_path: Path, sample_picture: np.ndarray, spoil: Callable[[np.ndarray], Any], code: str
) -> None:
    run, frame = run_of(tmp_path), spoil(sample_picture)
    body = frame if isinstance(frame, bytes) else jpeg(frame)
    assert sieve.judge(run, PurePosixPath(f"{code or 'kept'}/1.jpg"), body) == code


def test_a_frame_like_the_one_before_is_not_kept_but_in_another_class_it_is(
    sieve: Sieve, tmp_path: Path, sample_picture: np.ndarray
) -> None:
    run, moved = run_of(tmp_path), np.roll(sample_picture, 20, 1)
    told = [
        sieve.judge(run, PurePosixPath(f"{word}/{number}.jpg"), jpeg(frame))
        for number, (word, frame) in enumerate(
            [("on", sample_picture), ("on", sample_picture), ("off", sample_picture), ("on", moved)]
        )
    ]
    assert told == ["", "frame_same", "", ""]


def test_where_whole_pictures_are_learned_no_face_is_needed(
    sieve: Sieve, tmp_path: Path, sample_picture: np.ndarray
) -> None:
    run = run_of(tmp_path, subject=PICTURE)
    assert sieve.judge(run, PurePosixPath("a/1.jpg"), jpeg(noise(sample_picture))) == ""


def test_they_take_the_road_of_uploads(tmp_path: Path) -> None:
    """What the sieve does not keep is counted by its reason, what it keeps lies in the folder of its class."""

    class Picky:
        def judge(self, run: Run, path: PurePosixPath, body: bytes) -> str:
            return "" if body == b"good" else "frame_blurred"

    folder = run_of(tmp_path).folder
    given = [(f"on/{body.decode()}.jpg", io.BytesIO(body), len(body)) for body in (b"good", b"bad", b"worse")]
    answer = uploads.add_files(folder, [*given, ("../x.jpg", io.BytesIO(b"good"), 4)], cast(Any, Picky()))
    assert answer["skipped"] == {"frame_blurred": 2, "unsafe": 1} and answer["words"]["frame_blurred"] == "not sharp"
    assert [path.name for path in (folder / "data").rglob("*.jpg")] == ["good.jpg"]
    assert (folder / "data/on/good.jpg").read_bytes() == b"good"
