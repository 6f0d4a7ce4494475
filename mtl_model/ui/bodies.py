"""The body of a request, in parts or whole, and never more of it than its route takes, nor of all of them together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator

from starlette.requests import Request

from mtl_model.errors import MtlError, UsageError

GONE = 499  # the browser went away: nobody reads this answer
STILL_SECONDS = 30
MEMORY_BYTES = 256 * 2**20
"""Of whole bodies at one time, over all visitors."""

_held: dict[Request, int] = {}  # bytes in memory


@contextlib.contextmanager
def counted(request: Request) -> Iterator[None]:
    """Around the whole answer: what `whole` has read for it counts until then."""
    _held[request] = 0
    try:
        yield
    finally:
        del _held[request]


async def parts_of(request: Request, most: int, too_large: MtlError) -> AsyncGenerator[bytes, None]:
    """The body, refused as soon as it is too large: what it says of its length is only the first look.

    most: bytes. Raises: too_large; UsageError if it stands still."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large
    size, stream = 0, request.stream()
    while (part := await _next(stream)) is not None:
        size += len(part)
        if size > most:
            raise too_large
        yield part


async def _next(stream: AsyncGenerator[bytes, None]) -> bytes | None:
    try:
        async with asyncio.timeout(STILL_SECONDS):
            return await anext(stream, None)
    except TimeoutError:
        raise UsageError(
            f"Nothing more has arrived for {STILL_SECONDS} seconds. Expected the whole file without a break; send it again."
        ) from None


async def whole(request: Request, most: int, too_large: MtlError) -> bytes:
    """See `parts_of`; it counts inside `counted`. Raises: UsageError too where the bodies of all visitors fill the memory."""
    parts = []
    async for part in parts_of(request, most, too_large):
        if sum(_held.values()) + len(part) > MEMORY_BYTES:
            raise UsageError(
                f"More than {MEMORY_BYTES // 2**20} MB are arriving here at once. Expected less from all visitors together; try "
                "again in a minute."
            )
        if request in _held:
            _held[request] += len(part)
        parts.append(part)
    return b"".join(parts)
