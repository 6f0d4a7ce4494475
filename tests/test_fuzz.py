"""What strangers hand over, damaged at random, the same way each time: an answer or an MtlError, never long, never large.

The small campaigns run with every test run; the large ones are marked `long`.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import archives, card, checkpoint, checkpoint_zip, kinds
from mtl_model.card import CARD, WEIGHTS, Card, CropSettings
from mtl_model.errors import CheckpointError, DataError, MtlError, PictureError
from mtl_model.pictures import read_picture
from mtl_model.tasks import TASKS, class_task
from tests.mutations import changed, damaged
from tests.test_decoding import slow, wasteful
from tests.test_jpeg import with_scans
from tests.test_pictures import animation, encoded, halves, heic, rotated

MOST_SECONDS = 20.0
MOST_BYTES = 2 * 2**30


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """The memory that a campaign takes stays in bounds, whatever the tests before it took."""
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before < MOST_BYTES


def campaign(
    count: int, seed: str, make: Callable[[Random], Any], work: Callable[[Any], object], error: type[MtlError]
) -> int:
    """Hand over so many inputs. Returns how many were refused with that error; any other fails."""
    sentences: list[str] = []
    for number in range(count):
        random = Random(f"{seed}-{number}")
        given = make(random)
        started = time.process_time()
        try:
            work(given)
        except error as problem:
            sentences.append(str(problem))
        except BaseException as problem:
            problem.add_note(f"input {seed}-{number}")
            raise
        assert time.process_time() - started < MOST_SECONDS, f"{seed}-{number}"
    assert [sentence for sentence in sentences if len(sentence) > 1000 or not sentence.endswith(".")] == []
    return len(sentences)


# -- pictures ------------------------------------------------------------------------------------------------------


def frames(kind: str) -> bytes:
    return encoded(halves(), kind, save_all=True, append_images=[Image.new("RGB", (60, 40), "black")] * 3)


def tiff(image: Image.Image, compression: str | None = None) -> bytes:
    return encoded(image, "TIFF", compression=compression)


def pictures() -> dict[str, list[bytes]]:
    """Whole files of each format that is read, and of some that are not."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    deep = Image.fromarray(np.linspace(0, 65535, 2400).astype(np.uint16).reshape(40, 60))
    progressive = encoded(noise, "JPEG", progressive=True)
    return {
        "jpeg": [
            rotated(),
            encoded(noise, "JPEG"),
            encoded(noise.convert("CMYK"), "JPEG"),
            encoded(noise.convert("L"), "JPEG"),
        ],
        "progressive": [progressive, with_scans(progressive, 30)],
        "mpo": [encoded(noise, "MPO", save_all=True, append_images=[noise])],
        "png": [
            *(encoded(noise, "PNG"), encoded(halves().convert("RGBA"), "PNG"), encoded(halves().convert("P"), "PNG")),
            *(encoded(halves().convert("1"), "PNG"), encoded(halves(), "PNG", transparency=(1, 2, 3))),
        ],
        "png of 16 bits": [encoded(deep, "PNG")],
        "apng": [frames("PNG")],
        "gif": [animation(), encoded(halves().convert("P"), "GIF", transparency=0)],
        "webp": [encoded(noise, "WEBP"), encoded(noise, "WEBP", lossless=True), frames("WEBP")],
        "avif": [encoded(noise, "AVIF", speed=10), frames("AVIF")],
        "heic": [heic()],
        "bmp": [encoded(noise, "BMP"), encoded(halves().convert("P"), "BMP"), encoded(halves().convert("1"), "BMP")],
        "tiff": [
            *(
                tiff(noise),
                tiff(noise, "tiff_lzw"),
                tiff(noise, "tiff_deflate"),
                tiff(noise, "jpeg"),
                tiff(noise, "packbits"),
            ),
            *(tiff(halves().convert("1"), "group4"), tiff(deep), tiff(noise.convert("F")), tiff(noise.convert("CMYK"))),
            *(frames("TIFF"), wasteful(200), slow(40, 4)),
        ],
        "others": [encoded(halves(), kind) for kind in ("ICO", "PPM", "TGA", "PCX", "EPS", "PDF", "JPEG2000")],
    }


KINDS = tuple(pictures())


def with_checksums(content: bytes) -> bytes:
    """Put the checksums of a PNG's chunks right, as far as there are whole ones: what is behind them is then looked at."""
    fixed, at = bytearray(content), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = zlib.crc32(fixed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(fixed)


def read_damaged(kind: str, count: int) -> int:
    seeds = pictures()
    others = [content for contents in seeds.values() for content in contents]

    def make(random: Random) -> bytes:
        content = damaged(others if random.random() < 0.05 else seeds[kind], random)
        return with_checksums(content) if "png" in kind and random.random() < 0.7 else content

    def read(content: bytes) -> None:
        picture = read_picture(content)
        assert picture.dtype == np.uint8 and picture.shape[2] == 3

    return campaign(count, kind, make, read, PictureError)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pictures(kind: str) -> None:
    assert read_damaged(kind, 120) > 10


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_pictures(kind: str) -> None:
    assert read_damaged(kind, 5_000) > 500


# -- archives ------------------------------------------------------------------------------------------------------


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def unpack_damaged(folder: Path, count: int) -> int:
    entries = {"smile/a.jpg": rotated(), "no/b.png": encoded(halves(), "PNG"), "labels.csv": b"file,smile\na.jpg,yes\n"}
    seeds = [
        *(zipped(entries), zipped(entries, zipfile.ZIP_STORED), zipped({"a/x.jpg": bytes(100_000), "ä/ü.jpg": b"x"})),
        *(zipped(entries, zipfile.ZIP_BZIP2), zipped(entries, zipfile.ZIP_LZMA)),
    ]
    target = folder / "data"

    def unpack(content: bytes) -> None:
        try:
            archives.unpack(io.BytesIO(content), target)
        finally:
            shutil.rmtree(target, ignore_errors=True)
        assert list(folder.iterdir()) == []

    return campaign(count, "zip", lambda random: damaged(seeds, random), unpack, DataError)


def test_damaged_archives(tmp_path: Path) -> None:
    assert unpack_damaged(tmp_path, 500) > 20


@pytest.mark.long
def test_many_damaged_archives(tmp_path: Path) -> None:
    assert unpack_damaged(tmp_path, 30_000) > 1000


# -- cards and checkpoints -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose network is small."""
    torch.manual_seed(0)
    made = Card(
        "bknet",
        {"size_px": 16, "hidden": 8},
        (*TASKS.values(), class_task("hair", ("ginger", "grey"))),
        crop=CropSettings(size_px=16),
        calibration={"age": kinds.named("years").Calibration(1.3, 21.5), "smile": kinds.Calibration()},
        errors={"smile": ({"group": {"smile": "smiling"}, "range": [0.5, 0.6], "error": 0.4, "n": 60},)},
        metrics=({"source": "utkface", "tasks": {"age": {"mae": {"value": 6.1, "low": 5.9, "high": 6.3}}}},),
        training={"epochs": 3, "data": {"utkface": {"pictures": 9}}},
        limits=("It is small.",),
        created="2026-01-01",
        summary="A small one.",
    )
    folder = tmp_path_factory.mktemp("small")
    checkpoint.save(folder, checkpoint.build_network(made), made)
    return folder


def read_changed(folder: Path, place: Path, count: int) -> int:
    """Bring in checkpoints whose cards were changed."""
    plain, weights = json.loads((folder / CARD).read_text(encoding="utf-8")), (folder / WEIGHTS).read_bytes()
    runs = place / "runs"

    def make(random: Random) -> bytes:
        text = json.dumps(changed(plain, random)).encode()
        return damaged([text], random) if random.random() < 0.1 else text

    def bring(text: bytes) -> None:
        (place / CARD).write_bytes(text)
        card.to_text(card.read_card(place)).encode()
        with checkpoint_zip.opened(io.BytesIO(zipped({CARD: text, WEIGHTS: weights}, zipfile.ZIP_STORED)), runs):
            pass

    return campaign(count, "card", make, bring, CheckpointError)


def test_changed_cards(small: Path, tmp_path: Path) -> None:
    assert read_changed(small, tmp_path, 250) > 100


@pytest.mark.long
def test_many_changed_cards(small: Path, tmp_path: Path) -> None:
    assert read_changed(small, tmp_path, 10_000) > 4000


def test_damaged_parcels(small: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    checkpoint_zip.pack(small, stream)

    def bring(content: bytes) -> None:
        with checkpoint_zip.opened(io.BytesIO(content), tmp_path):
            pass

    assert campaign(200, "parcel", lambda random: damaged([stream.getvalue()], random), bring, CheckpointError) > 20
