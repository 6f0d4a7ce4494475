"""Crops are worked out once, keyed by what they depend on, and never half-written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from mtl_model.card import CropSettings, DetectionSettings
from mtl_model.crops import centre_box, cut
from mtl_model.data import cache
from mtl_model.errors import DataError
from mtl_model.quality import quality_of
from mtl_model.records import Face

DETECTION, CROP = DetectionSettings(), CropSettings(size_px=16)


@pytest.fixture
def pictures(tmp_path: Path, sample_picture: np.ndarray) -> list[str]:
    """A face, a picture without one, and a file that is none."""
    paths = [tmp_path / name for name in ("face.png", "plain.png", "broken.png")]
    Image.fromarray(sample_picture).resize((200, 200)).save(paths[0])
    Image.new("RGB", (60, 40), (10, 200, 30)).save(paths[1])
    paths[2].write_text("not a picture")
    return [str(path) for path in paths]


def test_faces_and_crops_of_each_kind_of_picture(pictures: list[str], tmp_path: Path) -> None:
    crops = cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache")
    assert crops.faces.tolist() == [1, 0, cache.UNREADABLE]
    assert crops.readable.tolist() == [True, True, False]
    assert crops.counts() == {"one": 1, "none": 1, "several": 0, "unreadable": 1}
    plain = np.asarray(Image.open(pictures[1]))
    assert (crops.images[1] == cut(plain, [Face(centre_box(60, 40), 0.0)], CROP)[0]).all()
    faces = cache.faces_of(pictures, DETECTION, tmp_path / "cache")
    assert faces[0] is not None and faces[1] == () and faces[2] is None
    picture = np.asarray(Image.open(pictures[0]))
    assert (crops.images[0] == cut(picture, faces[0], CROP)[0]).all()
    expected = dataclasses.astuple(quality_of(crops.images[0], faces[0][0]))
    assert crops.quality[0].tolist() == pytest.approx(expected) and crops.quality[0, 3] < 20
    assert crops.quality[1, 0] == 40 and np.isnan(crops.quality[1, 3]) and np.isnan(crops.quality[2]).all()


def test_the_second_time_nothing_is_looked_for(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache")

    def fail(*_: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(cache, "_look_at", fail)
    again = cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache")
    assert (again.images == first.images).all()
    cache.crops_of(pictures[:2], DETECTION, CropSettings(size_px=8), tmp_path / "cache")  # other crops, known faces
    upright = cache.crops_of(pictures, DETECTION, dataclasses.replace(CROP, upright=True), tmp_path / "cache")
    assert (upright.images[0] != first.images[0]).any() and (upright.images[1] == first.images[1]).all()
    with pytest.raises(AssertionError, match="looked again"):
        cache.crops_of(pictures, DetectionSettings(size_px=640), CROP, tmp_path / "cache")


def test_a_changed_picture_is_looked_at_anew(pictures: list[str], tmp_path: Path) -> None:
    cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache")
    Image.new("RGB", (50, 50), "white").save(pictures[0])
    assert cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache").faces.tolist() == [0, 0, cache.UNREADABLE]


def test_crops_without_their_last_file_are_cut_again(pictures: list[str], tmp_path: Path) -> None:
    cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache")
    (marker,) = (tmp_path / "cache" / "crops").glob("*.faces.npy")
    marker.unlink()
    images = marker.with_name(marker.name.replace(".faces", ""))
    images.write_bytes(images.read_bytes()[:100])
    assert cache.crops_of(pictures, DETECTION, CROP, tmp_path / "cache").images.shape == (3, 16, 16, 3)
    assert not list((tmp_path / "cache" / "crops").glob("*.part"))


def test_two_programs_share_one_cache(pictures: list[str], tmp_path: Path, root: Path) -> None:
    code = f"""
from pathlib import Path
from mtl_model.data import cache
from mtl_model.card import CropSettings, DetectionSettings
root = Path({str(tmp_path / "cache")!r})
print(cache.crops_of({pictures!r}, DetectionSettings(), CropSettings(size_px=16), root).faces.tolist())
"""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [one.communicate(timeout=120)[0].strip() for one in both] == [f"[1, 0, {cache.UNREADABLE}]"] * 2
    assert not list((tmp_path / "cache" / "crops").glob("*.part"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot ask for room")
def test_a_full_disk_gets_a_sentence_and_leaves_nothing(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory map finds out page by page, and then the process is killed."""

    def full(file: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="No space left.*make room"):
        cache.crops_of(pictures, DetectionSettings(), CropSettings(size_px=16), tmp_path / "cache")
    assert not list((tmp_path / "cache" / "crops").iterdir())


def test_a_cache_that_cannot_be_written_gets_a_sentence(pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written.*MTL_CACHE"):
        cache.crops_of(pictures, DETECTION, CROP, tmp_path / "file" / "cache")


def test_few_large_pictures_are_held_at_once_and_each_gets_its_own_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, batches = [], []
    for number in range(40):
        side = 30 + number % 3
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", (side, side), (number, 0, 0)).save(paths[-1])

    def find(pictures: list[np.ndarray], *_: object) -> list[list[Face]]:
        batches.append(sum(one.nbytes for one in pictures))
        return [[Face((0.0, 0.0, float(one[0, 0, 0]), 1.0), 0.9)] for one in pictures]

    monkeypatch.setattr(cache, "find_all", find)
    monkeypatch.setattr(cache, "HELD_BYTES", 10 * 32 * 32 * 3)
    found = cache._look_at(paths, DETECTION, object())  # type: ignore[arg-type]
    assert [found[path][0].box[2] for path in paths] == list(range(40))  # type: ignore[index]
    assert max(batches) <= 11 * 32 * 32 * 3 and len(batches) > 3


def ignores_interrupts(process: psutil.Process) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(mask, 16) & 1 << signal.SIGINT - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_is_ended_ends_its_workers_without_a_word(
    pictures: list[str], tmp_path: Path, root: Path, how: signal.Signals
) -> None:
    code = f"""
import signal
import sys
from pathlib import Path
from mtl_model.data import cache
from mtl_model.card import DetectionSettings
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell takes from what it starts beside itself
cache.cores = lambda: 2
try:
    cache.faces_of({pictures[:1]!r} * 5000, DetectionSettings(), Path({str(tmp_path / "cache")!r}))
except KeyboardInterrupt:
    print("Stopped.", file=sys.stderr)
"""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    family: list[psutil.Process] = []
    try:
        # two workers, and what tracks their resources
        most = time.monotonic() + 120
        while len(family) < 3 or not all(map(ignores_interrupts, family)):
            assert parent.poll() is None and time.monotonic() < most, family
            time.sleep(0.05)
            family = psutil.Process(parent.pid).children(recursive=True)
        if how == signal.SIGINT:
            os.killpg(parent.pid, how)  # as a terminal does
        else:
            parent.kill()
        said = parent.communicate(timeout=60)[1]
        assert psutil.wait_procs(family, timeout=60)[1] == []
    finally:
        for one in (parent, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    assert how == signal.SIGKILL or said == "Stopped.\n"


def test_a_process_that_was_ended_from_outside_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(cache, "_look", ended)
    with pytest.raises(DataError, match="short of memory.*__main__"):
        cache.faces_of([], DETECTION, tmp_path)


def test_what_was_seen_is_known_and_nothing_is_looked_for(pictures: list[str], tmp_path: Path) -> None:
    settings, root = DetectionSettings(), tmp_path / "a folder? 100 %"
    assert cache.known_faces(Path(pictures[0]), settings, root) == ()
    seen = cache.faces_of(pictures[:1], settings, root)
    assert cache.known_faces(Path(pictures[0]), settings, root) == seen[0] != ()
    assert cache.known_faces(Path(pictures[1]), settings, root) == ()
    (root / cache.FACES).write_bytes(b"no store")
    assert cache.known_faces(Path(pictures[0]), settings, root) == ()
