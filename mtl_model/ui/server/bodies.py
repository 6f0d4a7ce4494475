"""The body of a request: how large, how slow, and how much of all visitors together.

Every body passes a `Body`, whichever route takes it: the gate puts it around `receive`. A route says what becomes of the
bytes if they do not stay in memory until the answer, see `keep`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterable
from time import monotonic
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl_model.errors import MtlError
from mtl_model.ui.server import environment
from mtl_model.ui.server.addresses import visitor

GONE = 499  # the browser went away: nobody reads this answer
MB = 2**20
PLACES = 64
"""Bodies at one time, over all visitors. Of this and of the next two one address gets at most half."""
MEMORY_BYTES = 256 * MB
TOTAL_BYTES = 2**30
"""Of all bodies at one time, with what lies in Gradio's folder until it is cleared."""
WINDOW_SECONDS, WINDOW_BYTES = 600, 256 * MB
"""What one address may send in that time to a page that is open to strangers."""
PATIENCE_SECONDS = 30.0
"""How long a body may be waited for in all, beyond what its bytes have earned; never more than that at one go."""
QUICK, SLOW = 200_000, 20_000
"""Bytes that earn a second more. The second is for uploads with limits of their own, which take no room from others."""
LARGEST_UPLOAD = 64 * MB
"""Of a file that comes in."""
LARGEST_JSON = MB
REMEMBERED = 10_000  # addresses; the one that sent nothing for longest goes first

API, UPLOAD = "/gradio_api/", "/gradio_api/upload"
KEY = "mtl.body"
Kept = Literal["memory", "stream", "folder", "elsewhere"]


def keep(request: Request, kept: Kept) -> None:
    """Say, before the body is read, where its bytes stay until the answer.

    Args:
        kept: "memory" if nothing is said; "stream" for a temporary file; "folder" for Gradio's folder, which outlives the
            answer; "elsewhere" for a place with a limit of its own, so that they count nowhere here.
    """
    body = request.scope.get(KEY)
    if body is not None:
        body.kept = kept


class Bodies:
    """All bodies of one server."""

    def __init__(self, public: bool) -> None:
        """public: whether the page is open to strangers."""
        self.public = public
        self.open: set[Body] = set()
        self._came, self._stored = _Recent(WINDOW_SECONDS), _Recent(environment.LONGEST_SECONDS)
        self._lying = 0  # bytes in Gradio's folder, as they were when it was last looked at, and what came since
        self._looked = -1.0

    async def look(self) -> None:
        """Measure Gradio's folder again, at most once a second."""
        if monotonic() - self._looked > 1:
            self._looked = monotonic()
            self._lying = await asyncio.to_thread(environment.measure_folder)

    def count(self, body: Body, size: int) -> None:
        """Take a further part of a body into account. Raises Refused."""
        if body not in self.open:
            self._admit(body)
        near = [other for other in self.open if other.address == body.address]
        if body.kept == "memory":
            _bound(size, (other.held("memory") for other in self.open), MEMORY_BYTES, "All requests in memory")
            _bound(size, (other.held("memory") for other in near), MEMORY_BYTES // 2, "Your requests in memory")
        if body.kept != "elsewhere":
            held = (other.held("memory", "stream") for other in self.open)
            _bound(size, (self._lying, *held), TOTAL_BYTES, "All requests and uploads that are still here")
            own = (other.held("memory", "stream") for other in near)
            stored = self._stored.sum(body.address)
            _bound(size, (stored, *own), TOTAL_BYTES // 2, "Your requests and uploads that are still here")
        if self.public:
            minutes = WINDOW_SECONDS // 60
            _bound(size, (self._came.sum(body.address),), WINDOW_BYTES, f"Your requests of the last {minutes} minutes")
            self._came.add(body.address, size)
        if body.kept == "folder":
            self._lying += size
            self._stored.add(body.address, size)

    def _admit(self, body: Body) -> None:
        near = sum(other.address == body.address for other in self.open)
        if len(self.open) >= PLACES or near >= PLACES // 2:
            raise Refused(
                429,
                f"{len(self.open)} requests are arriving at once, {near} of them from your address. Expected fewer than "
                f"{PLACES}, and {PLACES // 2} from one address; try again in a minute.",
            )
        self.open.add(body)


def _bound(size: int, held: Iterable[int], most: int, what: str) -> None:
    """Raise Refused if a further part of a body takes more than there is for it. All sizes in bytes."""
    total = sum(held) + size
    if total > most:
        raise Refused(
            429, f"{what} would take {total / MB:,.1f} MB. Expected at most {most // MB} MB; try again in some minutes."
        )


class _Recent:
    """Bytes per address over the last seconds, in tenths of that time."""

    def __init__(self, seconds: float) -> None:
        self._step = seconds / 10
        self._of: OrderedDict[str, deque[tuple[int, int]]] = OrderedDict()

    def add(self, address: str, size: int) -> None:
        parts, now = self._of.setdefault(address, deque()), self._now()
        last = parts.pop()[1] if parts and parts[-1][0] == now else 0
        parts.append((now, last + size))
        self._of.move_to_end(address)
        if len(self._of) > REMEMBERED:
            self._of.popitem(last=False)

    def sum(self, address: str) -> int:
        parts = self._of.get(address, deque())
        while parts and parts[0][0] < self._now() - 10:
            parts.popleft()
        return sum(size for _, size in parts)

    def _now(self) -> int:
        return int(monotonic() / self._step)


class Refused(Exception):
    """A body that may not go on. It never leaves this module: the visitor gets the sentence whatever the route does."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Body:
    """One request's body on its way from `receive` to its route, and its answer on the way back."""

    kept: Kept = "memory"

    def __init__(self, bodies: Bodies, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """path: below the address of the page."""
        self._bodies, self._scope, self._receive, self._send = bodies, {**scope, KEY: self}, receive, send
        self.address, self.size = visitor(scope), 0
        self._most: int | None = None
        if path.rstrip("/") == UPLOAD:
            self.kept, self._most = "folder", LARGEST_UPLOAD + LARGEST_JSON
        elif path.startswith(API):
            self._most = LARGEST_JSON
        self._left, self._began = PATIENCE_SECONDS, monotonic()
        self._whole = self._answered = False
        self._refused: Refused | None = None

    def held(self, *kinds: Kept) -> int:
        """Return the bytes that count as one of these kinds."""
        return self.size if self.kept in kinds else 0

    async def answer(self, app: ASGIApp) -> None:
        """Let the app answer; where the body was refused, answer in its place."""
        try:
            if self.kept == "folder":
                await asyncio.to_thread(environment.make_private, environment.uploads_folder())
            await app(self._scope, self._next, self._pass)
        except Exception:
            if self._refused is None:  # else the app only says that its visitor is gone
                raise
        finally:
            self._bodies.open.discard(self)
        if self._refused is not None and not self._answered:
            wait = {"retry-after": "60"} if self._refused.status == 429 else {}
            answer = JSONResponse({"error": str(self._refused)}, self._refused.status, wait)
            await answer(self._scope, self._receive, self._send)

    async def _pass(self, message: Message) -> None:
        if self._refused is None or self._answered:
            self._answered = True
            await self._send(message)

    async def _next(self) -> Message:
        if self._whole:
            return await self._receive()
        if self._refused is None:
            try:
                return await self._part()
            except Refused as refused:
                self._refused = refused
        return {"type": "http.disconnect"}  # for every route the same as a visitor who goes away

    async def _part(self) -> Message:
        asked = monotonic()
        try:
            async with asyncio.timeout(self._left):
                message = await self._receive()
        except TimeoutError:
            raise self._too_slow() from None
        size = len(message.get("body", b""))
        earned = size / (SLOW if self.kept == "elsewhere" else QUICK)
        self._left = min(PATIENCE_SECONDS, self._left - (monotonic() - asked) + earned)
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if size or not self._whole:
            if self._most is not None and self.size + size > self._most:
                raise Refused(
                    413, f"The request is too large. Expected at most {self._most // MB} MB; send less at once."
                )
            if self.kept == "folder":
                await self._bodies.look()
            self._bodies.count(self, size)
            self.size += size
        return message

    def _too_slow(self) -> Refused:
        seconds = monotonic() - self._began
        return Refused(
            400,
            f"Only {self.size / 1000:,.0f} kB have arrived in {seconds:.0f} seconds, and nothing more came. Expected the "
            f"whole body within {PATIENCE_SECONDS:.0f} seconds and one more for each {QUICK // 1000} kB; send it again, or "
            "a smaller one.",
        )


# -- what a route reads --------------------------------------------------------------------------------------------


async def parts_of(request: Request, most: int, too_large: MtlError) -> AsyncGenerator[bytes, None]:
    """Yield the body, refused as soon as it is too large: what it says of its length is only the first look.

    most: bytes. Raises: too_large."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > most:
        raise too_large
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large
        yield part


async def whole(request: Request, most: int, too_large: MtlError) -> bytes:
    """Return the body; see `parts_of`."""
    return b"".join([part async for part in parts_of(request, most, too_large)])
