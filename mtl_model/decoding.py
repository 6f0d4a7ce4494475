"""Pictures of strangers, decoded in child processes that can be ended: none takes longer, or more memory, than is said here.

A child reads requests from its standard input and answers on its standard output, until the first is closed:

    parent -> child   REQUEST: bytes of the file, most pixels, seconds; then the file
    child  -> parent  once READY; for each request a line of JSON, {"error": sentence, "code"} or {"height", "width"}, and after
                      the latter STRIP headers (top, left, rows, columns), each with its pixels, until the picture is whole

Decoders are C code on files that anybody made: one that crashes takes its child with it and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from mtl_model import processes
from mtl_model.errors import PictureError, RunError
from mtl_model.pictures import MAX_PIXELS, MEMORY_BYTES, Decoded, Strip, decoded

SECONDS = 8.0
"""What decoding one picture may take; with the faces looked for in it, it then holds its place for under 10 seconds."""
AT_ONCE = 4
"""As many pictures as strangers can have read at the same time: two on the Photo tab, two by `predict`."""
START_SECONDS = 60.0
WATCH_SECONDS = 0.2
READY = b"R"
REQUEST = struct.Struct("<QQd")
STRIP = struct.Struct("<4I")
STATUS = Path("/proc/self/status")


class Decoders:
    """Child processes that decode pictures: begun when first needed, ended and replaced when a picture takes too long.

    at_once: most children. seconds: what one picture may take. Safe to use from several threads."""

    def __init__(self, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._places: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(at_once):
            self._places.put(None)

    def read(self, content: bytes, max_pixels: int = MAX_PIXELS, stop: threading.Event | None = None) -> np.ndarray:
        """Read a picture as `pictures.read_picture` does, which see for what comes back. Waits until a child is free.

        stop: to be set by another thread when nobody waits for the picture any more.
        Raises: PictureError, also for a picture that takes too long; RunError where no child can be started.
        """
        with self._child() as child:
            return child.read(content, max_pixels, self._seconds, stop)

    def begin(self) -> None:
        """Start a child that will be ready when the first picture comes."""
        with self._child():
            pass

    def close(self) -> None:
        """End the children that are not at work."""
        with contextlib.suppress(queue.Empty):
            while True:
                if child := self._places.get_nowait():
                    child.end()

    @contextlib.contextmanager
    def _child(self) -> Iterator[_Child]:
        child = self._places.get()
        try:
            if child and child.is_gone():
                child.end()
                child = None
            child = child or _Child()
            yield child
        finally:
            self._places.put(child)


class _Child:
    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=processes.environment(),
            )
        except OSError as error:
            raise _no_child(error.strerror or str(error)) from None
        assert self._process.stdin and self._process.stdout
        self._to, self._back = self._process.stdin, self._process.stdout
        self._is_ready = False

    def is_gone(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._to, self._back):
            with contextlib.suppress(OSError):
                pipe.close()

    @contextlib.contextmanager
    def _limited(self, seconds: float, stop: threading.Event | None = None) -> Iterator[threading.Event]:
        """End the child when the time is over or stop is set, so that no read waits for it any longer; the event says that the
        time was over."""
        done, over = threading.Event(), threading.Event()
        until = time.monotonic() + seconds

        def watch() -> None:
            while not done.wait(min(WATCH_SECONDS, max(0.0, until - time.monotonic()))):
                if time.monotonic() >= until:
                    over.set()
                elif stop is None or not stop.is_set():
                    continue
                self._process.kill()
                return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield over
        finally:
            done.set()
            watcher.join()
            if over.is_set():
                self._process.wait()

    def read(self, content: bytes, max_pixels: int, seconds: float, stop: threading.Event | None) -> np.ndarray:
        self._wait_until_ready()
        answer: np.ndarray | PictureError | None = None
        with self._limited(seconds, stop) as over:
            try:
                self._to.write(REQUEST.pack(len(content), max_pixels, seconds))
                self._to.write(content)
                self._to.flush()
                answer = self._answer()
            except (OSError, EOFError, ValueError):  # its end of the pipes is closed
                pass
            finally:
                if answer is None:
                    self.end()
        if isinstance(answer, PictureError):
            raise answer
        if answer is not None:
            return answer
        if stop and stop.is_set():
            raise PictureError("Reading the picture was stopped. Expected somebody to wait for it; send it again.")
        if over.is_set():
            raise PictureError(
                f"The picture takes over {seconds:.0f} seconds to read: it is damaged or made to be slow. Expected a photo as "
                "cameras make them; open it in a picture program and save it again as JPEG."
            )
        raise PictureError(
            "The picture ended the program that reads it, as damaged ones do. Expected a whole picture file; open it in a "
            "picture program and save it again as JPEG."
        )

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        with self._limited(START_SECONDS):
            self._is_ready = self._back.read(len(READY)) == READY
        if not self._is_ready:
            self.end()
            raise _no_child("it ended at once")

    def _answer(self) -> np.ndarray | PictureError | None:
        """Return the picture, or the error for which there is none; None where the child has ended."""
        answer = json.loads(self._back.readline() or "{}")
        if "height" not in answer:
            return PictureError(str(answer["error"]), str(answer["code"])) if answer else None
        height, width = answer["height"], answer["width"]
        return Decoded(height, width, self._strips(height * width)).whole()

    def _strips(self, pixels: int) -> Iterator[Strip]:
        while pixels > 0:
            top, left, rows, columns = STRIP.unpack(_exactly(self._back, STRIP.size))
            part = np.frombuffer(_exactly(self._back, 3 * rows * columns), np.uint8)
            yield Strip(top, left, part.reshape(rows, columns, 3))
            pixels -= rows * columns


def _no_child(why: str) -> RunError:
    return RunError(
        f"The program that reads pictures could not be started ({why}). Expected memory and permission for one more process; "
        "close other programs, then try again."
    )


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """Read so many bytes. Raises EOFError where the stream ends before."""
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


# -- the child -----------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; this ends with it
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    import pillow_heif  # noqa: F401, before the memory is limited

    _limit_memory()
    answers.write(READY)
    answers.flush()
    while header := requests.read(REQUEST.size):
        size, max_pixels, seconds = REQUEST.unpack(header)
        _end_after(seconds)
        _write_answer(answers, _exactly(requests, size), max_pixels)
        answers.flush()
        _end_after(0)


def _write_answer(answers: BinaryIO, content: bytes, max_pixels: int) -> None:
    try:
        with decoded(content, max_pixels) as picture:
            answers.write(_line({"height": picture.height, "width": picture.width}))
            for strip in picture.strips:
                answers.write(STRIP.pack(strip.top, strip.left, *strip.pixels.shape[:2]))
                answers.write(np.ascontiguousarray(strip.pixels).data)
    except PictureError as error:
        answers.write(_line({"error": str(error), "code": error.code}))


def _line(plain: dict[str, object]) -> bytes:
    return json.dumps(plain, allow_nan=False).encode() + b"\n"


def _end_after(seconds: float) -> None:
    """Let the system end this process, should the parent be gone by then; 0: not any more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds and seconds + 1)


def _limit_memory() -> None:
    """Let the system refuse more memory than a picture may take, where it counts that (Linux)."""
    if not STATUS.exists():
        return
    import resource

    held = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmData"))
    most = 1024 * int(held.split()[1]) + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
