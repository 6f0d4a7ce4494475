"""A picture that comes in as the body of a request, and what the address asks about it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from mtl_model.errors import PictureError, UsageError
from mtl_model.ui.server import bodies
from mtl_model.ui.server.bodies import LARGEST_UPLOAD

TOO_LARGE = (
    f"The file is larger than {LARGEST_UPLOAD // 2**20} MB. Expected a photo as cameras make them; save it smaller."
)


LOOK_SECONDS = 0.2  # between two looks at whether somebody waits
Answer = TypeVar("Answer")


class Asked:
    """A request's picture and what is asked about it.

    checkpoint: "" is the default one. compare: another one to set beside it, "" for none. turned: degrees by which an earlier
    answer turned the picture, in whose pixels a box is meant."""

    def __init__(
        self,
        body: bytes,
        name: str,
        checkpoint: str = "",
        compare: str = "",
        smallest_face_px: float | None = None,
        turned: int = 0,
    ) -> None:
        self.body, self.name, self.turned = body, name, turned
        self.checkpoint, self.compare, self.smallest_face_px = checkpoint, compare, smallest_face_px
        self.stop = threading.Event()
        """Set when nobody waits for the answer any more."""

    @classmethod
    async def read(cls, request: Request) -> Asked:
        query = request.query_params
        name = os.path.basename(query.get("name", "").replace("\\", "/"))[:200] or "picture"
        smallest = _smallest(query.get("smallest", ""))
        turned = int(text) if (text := query.get("turned", "")) in ("90", "180", "270") else 0
        body = await bodies.whole(request, LARGEST_UPLOAD, PictureError(TOO_LARGE))
        return cls(body, name, query.get("checkpoint", ""), query.get("compare", ""), smallest, turned)


async def answered(request: Request, asked: Asked, work: Callable[[Asked], Answer]) -> Answer:
    """Do the work in a thread; what can be ended of it is ended when the one who asked goes."""
    doing = asyncio.create_task(asyncio.to_thread(work, asked))
    while not (await asyncio.wait({doing}, timeout=LOOK_SECONDS))[0]:
        if not asked.stop.is_set() and await request.is_disconnected():
            asked.stop.set()
    return await doing


def read_whole(text: str, what: str, most: int) -> int:
    """Return a whole number from 1 to most that a query gives. Raises UsageError."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= number <= most:
        raise UsageError(
            f"The {what} is '{text[:20]}'. Expected a whole number from 1 to {most:,}; reload the page, then try again."
        )
    return number


def _smallest(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value <= 100_000:
        raise UsageError(f"The smallest face is '{text[:20]}'. Expected pixels, such as 20; move the control again.")
    return value
