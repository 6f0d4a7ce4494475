"""Many pictures -> Photos as they are done: threads decode, detect and ask the network at the same time."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from mtl_model.errors import MtlError
from mtl_model.names import as_text
from mtl_model.pictures import prepare, read_picture, turn
from mtl_model.predictor import Predictor
from mtl_model.records import Photo

MOST_THREADS = 8  # more wait for Python's lock, and each holds a batch of pictures
BATCH = 4  # pictures: 8 are no quicker
BATCH_PIXELS = 4_000_000  # decoded in one thread before they are looked at, unless one picture has more
WAIT_SECONDS = 0.2  # until it is asked again whether to stop

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Finish = Callable[[Path, np.ndarray, Photo], None]
"""Takes a picture, uint8 RGB (H, W, 3) as the answer turned it, and the answer; called in the thread that made it."""


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class _Done:
    """A thread has nothing more to do."""


class _Work:
    """What the threads share."""

    def __init__(
        self,
        predictor: Predictor,
        files: Sequence[Path],
        smallest_face_px: float | None,
        finish: Finish | None,
        batch: int,
    ) -> None:
        self._predictor, self._smallest_face_px, self._finish, self._batch = predictor, smallest_face_px, finish, batch
        self._left, self._lock = iter(files), threading.Lock()
        self.stop = threading.Event()
        self.answers: queue.SimpleQueue[tuple[Path, Photo] | _Failed | _Done] = queue.SimpleQueue()

    def run(self) -> None:
        try:
            while pictures := self._read():
                for same in _by_size(pictures):
                    if self.stop.is_set():
                        return
                    self._answer(same)
        except BaseException as error:  # raised where the answers are awaited
            self.answers.put(_Failed(error))
        finally:
            self.answers.put(_Done())

    def _read(self) -> list[tuple[Path, np.ndarray]]:
        """Decode a batch; what cannot be read is answered at once."""
        pictures: list[tuple[Path, np.ndarray]] = []
        while len(pictures) < self._batch and sum(rgb.size for _, rgb in pictures) < 3 * BATCH_PIXELS:
            with self._lock:
                file = None if self.stop.is_set() else next(self._left, None)
            if file is None:
                break
            try:
                pictures.append((file, read_picture(file)))
            except MtlError as error:
                self.answers.put((file, Photo(as_text(str(file)), str(error))))
        return pictures

    def _answer(self, pictures: Sequence[tuple[Path, np.ndarray]]) -> None:
        names = [as_text(str(file)) for file, _ in pictures]
        photos = self._predictor.photos([rgb for _, rgb in pictures], names, smallest_face_px=self._smallest_face_px)
        for (file, rgb), photo in zip(pictures, photos, strict=True):
            if self._finish and not photo.error:
                self._finish(file, turn(rgb, photo.turned), photo)
            self.answers.put((file, photo))


def photos(
    predictor: Predictor,
    files: Sequence[Path],
    *,
    smallest_face_px: float | None = None,
    finish: Finish | None = None,
    stop: threading.Event | None = None,
) -> Generator[tuple[Path, Photo], None, None]:
    """Give the answer to each picture as soon as it is there, in any order; a Photo is named by its file.

    There are as many threads as torch may use, each with a batch of pictures of its own. As long as this runs torch keeps to one
    thread in each: two halves of an operation that wait for each other take longer than two pictures side by side.

    Args:
        finish: Called for each picture before its answer is given, unless it could not be read.
        stop: Ends the work when it is set, after the pictures that are looked at. So does closing the generator.

    Raises: whatever `finish` or the network raise; answers that are there already are given first."""
    prepare()
    threads = torch.get_num_threads()
    count = max(1, min(threads, MOST_THREADS, len(files)))
    work = _Work(predictor, files, smallest_face_px, finish, max(1, min(BATCH, len(files) // count)))
    workers = [threading.Thread(target=work.run, name=f"pictures-{number}", daemon=True) for number in range(count)]
    torch.set_num_threads(max(1, threads // count))
    try:
        for worker in workers:
            worker.start()
        yield from _answers(work, count, stop)
    finally:
        work.stop.set()
        for worker in workers:  # also where nobody wants the rest: a thread inside torch must not outlive the program
            if worker.ident is not None:
                worker.join()
        torch.set_num_threads(threads)


def _answers(work: _Work, working: int, stop: threading.Event | None) -> Iterator[tuple[Path, Photo]]:
    failed: BaseException | None = None
    while working:
        if stop and stop.is_set():
            work.stop.set()
        try:
            answer = work.answers.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            continue
        if isinstance(answer, _Done):
            working -= 1
        elif isinstance(answer, _Failed):
            failed = failed or answer.error
            work.stop.set()
        else:
            yield answer
    if failed:
        raise failed


def _by_size(pictures: Sequence[tuple[Path, np.ndarray]]) -> list[list[tuple[Path, np.ndarray]]]:
    groups: dict[tuple[int, ...], list[tuple[Path, np.ndarray]]] = {}
    for file, rgb in pictures:
        groups.setdefault(rgb.shape, []).append((file, rgb))
    return [*groups.values()]


def in_order(items: Iterator[Item], work: Callable[[Item], Answer]) -> Generator[tuple[Item, Answer], None, None]:
    """Give each item with what `work` makes of it, in their order; as many are worked on side by side as torch may use threads.

    What `items` or `work` raise is raised once everything before it is given."""
    threads = torch.get_num_threads()
    count = min(threads, MOST_THREADS)
    waiting: deque[tuple[Item, Future[Answer]]] = deque()
    failed: Exception | None = None
    torch.set_num_threads(max(1, threads // count))
    try:
        with ThreadPoolExecutor(count, thread_name_prefix="frames") as pool:
            while True:
                while failed is None and len(waiting) <= count:
                    try:
                        item = next(items, None)
                    except Exception as error:
                        item, failed = None, error
                    if item is None:
                        break
                    waiting.append((item, pool.submit(work, item)))
                if not waiting:
                    break
                item, answer = waiting.popleft()
                yield item, answer.result()
    finally:
        torch.set_num_threads(threads)
    if failed is not None:
        raise failed
