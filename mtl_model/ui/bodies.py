"""The body of a request, in parts or whole, and never more of it than its route takes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.requests import Request

from mtl_model.errors import MtlError


async def parts_of(request: Request, most: int, too_large: MtlError) -> AsyncGenerator[bytes, None]:
    """The body, refused as soon as it is too large: what it says of its length is only the first look.

    most: bytes. Raises: too_large."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large
        yield part


async def whole(request: Request, most: int, too_large: MtlError) -> bytes:
    """See `parts_of`."""
    return b"".join([part async for part in parts_of(request, most, too_large)])
