from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mtl_model.errors import DataError
from mtl_model.ui import bodies, shell
from mtl_model.ui.access import Access
from mtl_model.ui.options import UiOptions

MB = 2**20
TOO_LARGE = DataError("Too large.")


def request(parts: list[bytes], then: Callable[[], Awaitable[Any]] | None = None, **headers: str) -> Request:
    """One whose body comes in these parts; then: what comes after them, the end if it is None."""
    left = list(parts)

    async def receive() -> Any:
        if not left and then is not None:
            return await then()
        return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left or then)}

    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": sent}, receive)


async def gone() -> Any:
    return {"type": "http.disconnect"}


async def never() -> Any:
    await asyncio.Event().wait()


def test_a_body_comes_whole_or_is_refused() -> None:
    assert asyncio.run(bodies.whole(request([b"a", b"b"]), 2, TOO_LARGE)) == b"ab"
    for given in (request([b"a", b"b", b"c"]), request([], content_length="3")):
        with pytest.raises(DataError):
            asyncio.run(bodies.whole(given, 2, TOO_LARGE))


def guarded(given: Request) -> Response:
    options = UiOptions()

    async def endpoint(request: Request) -> Response:
        return JSONResponse(len(await bodies.whole(request, 64 * MB, TOO_LARGE)))

    route = shell.guarded_route(shell.Shared(options, cast(Any, None), Access(options)), endpoint)
    return asyncio.run(cast(Any, route(given)))


def test_a_body_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STILL_SECONDS", 0.01)
    answer = guarded(request([b"a"], never))
    assert answer.status_code == 400 and b"Nothing more has arrived" in answer.body
    assert bodies._held == {}


def test_a_visitor_who_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert guarded(request([b"a"], gone)).status_code == bodies.GONE
    assert not [one for one in caplog.records if one.name.startswith("mtl_model")] and bodies._held == {}


def test_all_bodies_together_are_bounded_until_they_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen that each stop before their end."""
    monkeypatch.setattr(bodies, "MEMORY_BYTES", 4 * MB)

    async def at_once() -> list[int]:
        options = UiOptions()
        answered = asyncio.Event()

        async def endpoint(request: Request) -> Response:
            await bodies.whole(request, 64 * MB, TOO_LARGE)
            await answered.wait()  # for its turn, with the picture in memory
            return Response()

        route = shell.guarded_route(shell.Shared(options, cast(Any, None), Access(options)), endpoint)
        asking = [asyncio.ensure_future(route(request([bytes(MB)]))) for _ in range(16)]
        refused = asking[4:]
        await asyncio.wait(refused)
        assert sum(bodies._held.values()) == 4 * MB
        answered.set()
        return [one.status_code for one in await asyncio.gather(*asking)]

    assert asyncio.run(at_once()) == [200] * 4 + [400] * 12
    assert bodies._held == {} and guarded(request([b"a"])).status_code == 200
