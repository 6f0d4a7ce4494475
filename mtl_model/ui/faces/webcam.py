"""The webcam route: one WebSocket a viewer, one frame in flight, nothing on disk.

What is said on it, in this order:

    browser -> text   {"checkpoint": NAME}     the default one if it is left out
    server  -> text   {"settings": {...}, "tasks": [{"name", "title", "kind"}], "error": null | sentence}
    browser -> bytes  one frame, a picture file of at most MAX_FRAME_BYTES and MAX_FRAME_PIXELS
    server  -> text   the contract's object for one photo and {"seconds"}; each face with its "number", which it keeps while it
                      is seen, and answers smoothed over the frames so far (`live`)

Settings may be sent again at any time; frames sent before any are answered with the default checkpoint. A browser
sends its next frame when the last one is answered, so a slow model makes a slower picture and never a backlog. All
viewers share one thread for the model: each has at most one frame waiting there, so they take turns. Frames are decoded
before that, in processes that are ended after FRAME_SECONDS, so a frame that was made to be slow delays its own viewer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mtl_model import kinds
from mtl_model.decoding import Decoders
from mtl_model.errors import MtlError, PictureError, UsageError
from mtl_model.live import Live, Model
from mtl_model.records import Photo, to_json
from mtl_model.ui.server import fields
from mtl_model.ui.server.paths import hide_paths

PATH = "/live"
MAX_FRAME_BYTES = 2_000_000
MAX_FRAME_PIXELS = 2_100_000  # 1920 x 1080 and a little
FRAME_SECONDS = 2.0  # to decode one, which takes 10 ms
DECODING_AT_ONCE = 2
MAX_VIEWERS = 8
IDLE_SECONDS = 60.0  # a viewer who sends nothing for so long gives the place back

REFUSED, TOO_BIG, TOO_MANY, IDLE = 4403, 1009, 1013, 4408
"""Close codes. 1009 and 1013 are of RFC 6455 and its registry (message too big, try again later)."""

NEUTRAL = "This frame could not be worked on. The next one is tried; if this stays, restart the program."

log = logging.getLogger(__name__)


def parse_settings(text: str, before: str | None) -> str | None:
    """The checkpoint that a message chooses (None: the default one); where it names none, the one before.

    Raises: UsageError with a sentence for anything else.
    """
    settings = fields.read_object(
        text, {"checkpoint": (lambda value: value is None or fields.is_text(value), "a name")}
    )
    if set(settings) - {"checkpoint"}:
        raise UsageError('The settings are not known here. Expected {"checkpoint": NAME}; reload the page.')
    return settings.get("checkpoint", before)


class LiveServer:
    """Answers frames for all viewers of one page.

    load: checkpoint name (None for the default) -> a Model, cached by whoever gives it; raises MtlError.
    allowed: whether a connection comes from this page and a known user. folders: see `hide_paths`.
    """

    def __init__(
        self, load: Callable[[str | None], Model], allowed: Callable[[WebSocket], bool], folders: Sequence[Path] = ()
    ) -> None:
        self._load, self._folders = load, folders
        self._allowed = allowed
        self._viewers = 0
        # One thread: two frames at once on the same cores would only delay each other, and torch would start
        # its own threads twice.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live")
        self._decoders = Decoders(DECODING_AT_ONCE, FRAME_SECONDS)
        self._decoding = ThreadPoolExecutor(DECODING_AT_ONCE, thread_name_prefix="live-decoding")

    def route(self, path: str = PATH) -> WebSocketRoute:
        return WebSocketRoute(path, self.serve, name="live")

    def close(self) -> None:
        for pool in (self._pool, self._decoding):
            pool.shutdown(wait=False, cancel_futures=True)
        self._decoders.close()

    async def serve(self, socket: WebSocket) -> None:
        """One viewer, from handshake to goodbye."""
        if not self._allowed(socket):
            return await socket.close(REFUSED)  # before accept: the handshake is answered with 403
        await socket.accept()
        if self._viewers >= MAX_VIEWERS:
            sentence = f"{MAX_VIEWERS} cameras are watched already, as many as are served here. Try again later."
            await socket.send_json({"settings": None, "tasks": [], "error": sentence})
            return await socket.close(TOO_MANY)
        self._viewers += 1
        try:
            await self._talk(socket)
        except WebSocketDisconnect:
            pass
        finally:
            self._viewers -= 1

    async def _talk(self, socket: WebSocket) -> None:
        checkpoint: str | None = None
        watched = _Watched()
        while socket.application_state is WebSocketState.CONNECTED:
            try:
                message = await asyncio.wait_for(socket.receive(), IDLE_SECONDS)
            except TimeoutError:
                return await socket.close(IDLE)
            if message["type"] == "websocket.disconnect":
                return
            frame = message.get("bytes")
            if frame is None:
                watched = _Watched()
                checkpoint, settled = await _in(self._pool, self._settle, message.get("text") or "", checkpoint)
                answer = json.dumps(settled, allow_nan=False)
            elif len(frame) > MAX_FRAME_BYTES:
                return await socket.close(TOO_BIG)
            else:
                answer = await self._answer(frame, checkpoint, watched)
            await socket.send_text(answer)

    def _settle(self, text: str, before: str | None) -> tuple[str | None, dict]:
        """Take settings over and load their checkpoint, so that the first frame need not wait for it."""
        try:
            checkpoint = parse_settings(text, before)
            tasks = kinds.shown(self._load(checkpoint).card.tasks)
        except Exception as error:
            return before, {"settings": {"checkpoint": before}, "tasks": [], "error": self._sentence(error)}
        tasks_shown = [{"name": task.name, "title": task.title, "kind": task.kind} for task in tasks]
        return checkpoint, {"settings": {"checkpoint": checkpoint}, "tasks": tasks_shown, "error": None}

    async def _answer(self, frame: bytes, checkpoint: str | None, watched: _Watched) -> str:
        """The contract's object for one frame as JSON; boxes are in its pixels, seconds from decoding to the last estimate."""
        started = time.perf_counter()
        try:
            picture = await _in(self._decoding, self._decoders.read, frame, MAX_FRAME_PIXELS)
            photo, numbers = await _in(self._pool, self._look, watched, checkpoint, picture, started)
            return _text(photo, numbers, started)
        except Exception as error:
            return _text(Photo("frame", self._sentence(error)), [], started)

    def _look(
        self, watched: _Watched, checkpoint: str | None, picture: np.ndarray, seconds: float
    ) -> tuple[Photo, list[int]]:
        return watched.look(self._load(checkpoint), picture, seconds)

    def _sentence(self, error: Exception) -> str:
        """Return what a viewer reads; faults of our own are logged and never shown."""
        if isinstance(error, PictureError):
            return f"A frame was not readable and is left out. {error}"
        if isinstance(error, MtlError):
            return hide_paths(str(error), self._folders)
        log.error("A live frame failed", exc_info=error)
        return NEUTRAL


class _Watched:
    """What one viewer's camera has shown so far, to one model."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._model: Model | None = None

    def look(self, model: Model, picture: np.ndarray, seconds: float) -> tuple[Photo, list[int]]:
        """Return the answer to a frame, and the numbers of its faces."""
        if self._live is None or model is not self._model:
            self._live, self._model = Live(model), model
        there = self._live.look(picture, seconds)
        height, width = picture.shape[:2]
        return Photo("frame", None, tuple(there.values()), width, height), [*there]


def _text(photo: Photo, numbers: Sequence[int], started: float) -> str:
    """Raises ValueError for a number that JSON does not have."""
    answer = to_json([photo])[0]
    for face, number in zip(answer["faces"], numbers, strict=True):
        face["number"] = number
    return json.dumps({**answer, "seconds": round(time.perf_counter() - started, 4)}, allow_nan=False)


async def _in(pool: Executor, work: Callable, *arguments):
    return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
