"""Strangers' pictures are read in child processes: the same answer as here, and an end to what takes too long."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from mtl_model import decoding, processes
from mtl_model.decoding import Decoders
from mtl_model.errors import PictureError, RunError
from mtl_model.pictures import read_picture
from tests.test_pictures import REFUSED, UPRIGHT, encoded, halves


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(2)
    yield made
    made.close()


def children() -> list[psutil.Process]:
    alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if decoding.__name__ in one.cmdline()]


def tiff(tags: dict[int, int], offsets_tag: int, offsets: int, content: bytes) -> bytes:
    """A grey TIFF of these tags and of so many offsets, each a byte further into the content than the one before."""
    tags = {258: 8, 262: 1, 277: 1, **tags, offsets_tag: 0}
    end = 8 + 2 + 12 * len(tags) + 4  # of the directory
    first = end + 4 * offsets
    values = {**tags, offsets_tag: first if offsets == 1 else end}
    counts = dict.fromkeys(tags, 1) | {offsets_tag: offsets}
    directory = b"".join(struct.pack("<HHLL", tag, 4, counts[tag], values[tag]) for tag in sorted(tags))
    head = b"II*\0" + struct.pack("<LH", 8, len(tags)) + directory + bytes(4)
    return head + struct.pack(f"<{offsets}L", *range(first, first + offsets)) + content


def slow(side: int = 2000, strips: int = 100) -> bytes:
    """A TIFF of two strips whose list of strips goes on, each a byte behind the one before: Pillow reads them byte by byte."""
    size = side * side // 2
    tags = {256: side, 257: side, 259: 1, 278: side // 2, 279: size}
    return tiff(tags, 273, strips, bytes(size + strips))


def wasteful(side: int = 30_000) -> bytes:
    """A TIFF of 16 x 16 pixels in one tile of 900 MB."""
    content = zlib.compress(bytes(side * side))
    return tiff({256: 16, 257: 16, 259: 8, 322: side, 323: side, 325: len(content)}, 324, 1, content)


@pytest.mark.parametrize(("name", "make"), UPRIGHT, ids=[case[0] for case in UPRIGHT])
def test_a_child_reads_what_is_read_here(decoders: Decoders, name: str, make):
    content = make()
    assert np.array_equal(decoders.read(content), read_picture(content))


@pytest.mark.parametrize(("name", "content", "sentence"), REFUSED, ids=[case[0] for case in REFUSED])
def test_its_sentences_come_back(decoders: Decoders, name: str, content: bytes, sentence: str):
    with pytest.raises(PictureError, match=sentence):
        decoders.read(content)


def test_the_limit_of_pixels_is_the_caller_s(decoders: Decoders):
    with pytest.raises(PictureError, match="pixels, more than"):
        decoders.read(encoded(halves(), "PNG"), 99)


def test_what_takes_too_long_is_ended_and_the_next_picture_works():
    before, decoders = set(children()), Decoders(1, seconds=1.0)
    decoders.read(encoded(halves(), "PNG"))
    (child,) = set(children()) - before
    started = time.monotonic()
    with pytest.raises(PictureError, match="takes over 1 seconds to read.* Expected"):
        decoders.read(slow())
    assert time.monotonic() - started < 20  # alone it would take minutes
    assert child not in children()
    assert decoders.read(encoded(halves(), "PNG")).shape == (40, 60, 3)
    decoders.close()


def test_what_nobody_waits_for_any_more_is_ended():
    decoders, stop = Decoders(1, seconds=600.0), threading.Event()
    decoders.read(encoded(halves(), "PNG"))
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with pytest.raises(PictureError, match="was stopped"):
        decoders.read(slow(), stop=stop)
    assert time.monotonic() - started < 20
    assert decoders.read(encoded(halves(), "PNG"), stop=threading.Event()).shape == (40, 60, 3)
    decoders.close()


def test_slow_pictures_do_not_hold_up_others_than_those_who_wait_for_their_places(decoders: Decoders):
    hurried = Decoders(2, seconds=3.0)
    with ThreadPoolExecutor(3) as pool:
        slow_one = pool.submit(hurried.read, slow())
        quick = [pool.submit(hurried.read, encoded(halves(), "PNG")) for _ in range(5)]
        assert all(one.result(timeout=60).shape == (40, 60, 3) for one in quick)
        with pytest.raises(PictureError, match="seconds"):
            slow_one.result(timeout=60)
    hurried.close()


@pytest.mark.skipif(not decoding.STATUS.exists(), reason="the memory of a process is limited on Linux alone")
def test_what_takes_too_much_memory_is_refused(decoders: Decoders):
    with pytest.raises(PictureError):
        decoders.read(wasteful())
    peaks = [
        int(line.split()[1])
        for child in children()
        for line in Path(f"/proc/{child.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    assert peaks and max(peaks) < 900_000


def test_a_child_that_dies_is_a_sentence_and_is_replaced(decoders: Decoders):
    decoders.read(encoded(halves(), "PNG"))
    for child in children():
        child.kill()
        child.wait()
    assert decoders.read(encoded(halves(), "PNG")).shape == (40, 60, 3)

    hurried = Decoders(1, seconds=60.0)
    hurried.read(encoded(halves(), "PNG"))
    victims = children()
    threading.Timer(0.5, lambda: [os.kill(one.pid, signal.SIGKILL) for one in victims]).start()
    with pytest.raises(PictureError, match="ended the program that reads it"):
        hurried.read(slow())
    assert hurried.read(encoded(halves(), "PNG")).shape == (40, 60, 3)
    hurried.close()


def test_no_child_can_be_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(decoding.sys, "executable", "/bin/false")
    with pytest.raises(RunError, match="could not be started"):
        Decoders(1).read(b"")
    monkeypatch.setattr(decoding.sys, "executable", "/nowhere/python")
    with pytest.raises(RunError, match="could not be started"):
        Decoders(1).read(b"")


def test_a_child_ends_with_its_parent(tmp_path: Path):
    script = (
        "import time; from mtl_model.decoding import Decoders; held = Decoders(1); held.begin(); print('up', flush=True); "
        "time.sleep(60)"
    )
    environment = processes.environment()
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"up\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    child.wait(timeout=60)


def test_children_are_begun_when_they_are_needed_and_closed(decoders: Decoders):
    before = set(children())
    quiet = Decoders(3)
    assert set(children()) == before
    quiet.begin()
    assert len(set(children()) - before) == 1
    quiet.close()
    assert set(children()) == before
