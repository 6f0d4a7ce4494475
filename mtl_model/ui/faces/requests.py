"""A picture that comes in as the body of a request, and what the address asks about it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.requests import Request

from mtl_model.by_hand import FOUND, ByHand
from mtl_model.errors import PictureError, UsageError
from mtl_model.records import Box
from mtl_model.ui.server import bodies
from mtl_model.ui.server.bodies import LARGEST_UPLOAD

TOO_LARGE = (
    f"The file is larger than {LARGEST_UPLOAD // 2**20} MB. Expected a photo as cameras make them; save it smaller."
)


TURNS = ("0", "90", "180", "270")
MOST_BOXES = 100
LOOK_SECONDS = 0.2  # between two looks at whether somebody waits
Answer = TypeVar("Answer")


class Asked:
    """A request's picture and what is asked about it.

    checkpoint: "" is the default one. compare: another one to set beside it, "" for none. turned: degrees by which an earlier
    answer turned the picture, in whose pixels a box is meant. by_hand: what a person said of its faces."""

    def __init__(
        self,
        body: bytes,
        name: str,
        checkpoint: str = "",
        compare: str = "",
        smallest_face_px: float | None = None,
        turned: int = 0,
        by_hand: ByHand = FOUND,
    ) -> None:
        self.body, self.name, self.turned, self.by_hand = body, name, turned, by_hand
        self.checkpoint, self.compare, self.smallest_face_px = checkpoint, compare, smallest_face_px
        self.stop = threading.Event()
        """Set when nobody waits for the answer any more."""

    @classmethod
    async def read(cls, request: Request) -> Asked:
        """Return the picture and the question of a request. Raises UsageError, PictureError."""
        asked = cls.of_query(request, b"")
        asked.body = await bodies.whole(request, LARGEST_UPLOAD, PictureError(TOO_LARGE))
        return asked

    @classmethod
    def of_query(cls, request: Request, body: bytes) -> Asked:
        """Return the question that the address of a request asks. Raises UsageError."""
        query = request.query_params
        name = os.path.basename(query.get("name", "").replace("\\", "/"))[:200] or "picture"
        smallest = _smallest(query.get("smallest", ""))
        turned = int(text) if (text := query.get("turned", "")) in TURNS else 0
        way = query.get("turn", "")
        by_hand = ByHand(int(way) if way in TURNS else None, _boxes(query, "drawn"), _boxes(query, "dismissed"))
        return cls(body, name, query.get("checkpoint", ""), query.get("compare", ""), smallest, turned, by_hand)


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


def read_box(text: str) -> Box:
    """Return left, top, right, bottom, as the JSON of an answer has them, from a text with commas between. Raises UsageError."""
    try:
        left, top, right, bottom = (float(edge) for edge in text.split(","))
    except ValueError:
        left = top = right = bottom = 0.0
    if not (0 <= left < right <= 100_000 and 0 <= top < bottom <= 100_000):
        raise UsageError(f"The place of the face is '{text[:60]}'. Expected left,top,right,bottom; load the page anew.")
    return left, top, right, bottom


def _boxes(query: Mapping[str, str], name: str) -> tuple[Box, ...]:
    """Return the boxes of a query, with a semicolon between them. Raises UsageError."""
    texts = [text for text in query.get(name, "").split(";") if text]
    if len(texts) > MOST_BOXES:
        raise UsageError(
            f"{len(texts)} boxes are {name}. Expected at most {MOST_BOXES} in a photo; take some of them back, then try again."
        )
    return tuple(map(read_box, texts))


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
