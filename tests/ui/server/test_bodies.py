from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from mtl_model.errors import DataError
from mtl_model.ui.server import bodies, environment
from mtl_model.ui.server.environment import TEMPORARY_VARIABLE
from mtl_model.ui.server.gate import Access, Gate
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared, guarded_route

MB = 2**20
TOO_LARGE = DataError("Too large.")
HOME, OTHER = "127.0.0.1", "127.0.0.2"


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TEMPORARY_VARIABLE, str(tmp_path / "uploads"))
    monkeypatch.setattr(environment, "LEAST_BYTES", 0)
    return tmp_path / "uploads"


def source(parts: Iterable[bytes], then: Callable[[], Awaitable[Any]] | None = None) -> Callable[[], Awaitable[Any]]:
    """A body that comes in these parts; then: what comes after them, the end if it is None."""
    left = list(parts)

    async def receive() -> Any:
        await asyncio.sleep(0)
        if not left and then is not None:
            return await then()
        return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left or then)}

    return receive


async def gone() -> Any:
    return {"type": "http.disconnect"}


async def never() -> Any:
    await asyncio.Event().wait()


def request(parts: list[bytes], **headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": sent}, source(parts))


class Page:
    """A small server behind the gate: /own and /gradio_api/... take a body whole, and answer when they may."""

    def __init__(self, **options: Any) -> None:
        self.access = Access(UiOptions(**options), space_host="")
        self.answering = asyncio.Event()
        self.answering.set()
        shared = Shared(UiOptions(), cast(Any, None), self.access)

        async def own(request: Request) -> Response:
            if "kept" in request.query_params:
                bodies.keep(request, cast(Any, request.query_params["kept"]))
            size = len(await bodies.whole(request, 64 * MB, TOO_LARGE))
            await self.answering.wait()
            return JSONResponse(size)

        async def upload(request: Request) -> Response:
            body = await request.body()
            folder = environment.uploads_folder() / "0"
            folder.mkdir(exist_ok=True)
            (folder / str(len(list(folder.iterdir())))).write_bytes(body)
            return JSONResponse(len(body))

        routes = [
            Route("/own", guarded_route(shared, own), methods=["POST"]),
            Route(bodies.UPLOAD, upload, methods=["POST"]),
            Route("/gradio_api/run/predict", upload, methods=["POST"]),
        ]
        self.gate = Gate(Router(routes), self.access)

    async def post(
        self, receive: Callable[[], Awaitable[Any]], address: str = HOME, path: str = "/own", query: str = ""
    ) -> tuple[int, str]:
        """Status and text of the answer."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode(),
            "client": (address, 1),
            "headers": [(b"host", b"127.0.0.1")],
            "server": ("127.0.0.1", 7860),
            "scheme": "http",
        }
        await self.gate(scope, receive, send)
        assert any(name == b"cross-origin-resource-policy" for name, _ in sent[0]["headers"])
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()


def posts(page: Page, *asked: tuple[Any, ...]) -> list[int]:
    async def all_of_them() -> list[int]:
        return [(await page.post(*arguments))[0] for arguments in asked]

    return asyncio.run(all_of_them())


def test_a_body_comes_whole_or_is_refused() -> None:
    assert asyncio.run(bodies.whole(request([b"a", b"b"]), 2, TOO_LARGE)) == b"ab"
    for longer in (request([b"a", b"b", b"c"]), request([], content_length="3")):
        with pytest.raises(DataError):
            asyncio.run(bodies.whole(longer, 2, TOO_LARGE))


def test_a_visitor_who_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    page = Page()
    with caplog.at_level(logging.INFO):
        assert posts(page, (source([b"a"], gone),)) == [bodies.GONE]
    assert (
        not [record for record in caplog.records if record.name.startswith("mtl_model")] and not page.access.bodies.open
    )


# -- slow ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/own", bodies.UPLOAD, "/gradio_api/run/predict"])
def test_a_body_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 0.05)
    page = Page()
    status, text = asyncio.run(page.post(source([b"a"], never), path=path))
    assert status == 400 and "have arrived in" in json.loads(text)["error"]
    assert not page.access.bodies.open


class Line:
    """A slow line, on a clock of its own: every part takes some seconds to come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(bodies, "monotonic", lambda: self.now)

        monkeypatch.setattr(bodies.asyncio, "timeout", self.timeout)

    @contextlib.asynccontextmanager
    async def timeout(self, left: float) -> AsyncIterator[None]:
        until = self.now + left
        yield
        if self.now > until:
            raise TimeoutError

    def source(self, parts: Iterable[tuple[float, int]]) -> Callable[[], Awaitable[Any]]:
        """parts: (seconds, bytes)."""
        left = list(parts)

        async def receive() -> Any:
            seconds, size = left.pop(0)
            self.now += seconds
            return {"type": "http.request", "body": bytes(size), "more_body": bool(left)}

        return receive


@pytest.mark.parametrize(
    ("parts", "status", "longest"),
    [
        ([(20.0, 1)] * 100, 400, 41),  # a byte every 20 seconds
        ([(1.0, 60 * MB), *[(20.0, 1)] * 100], 400, 62),  # the same after 60 MB: what they earned is not kept for long
        ([(1.0, 100_000)] * 100, 400, 62),  # half as quick as it has to be
        ([(1.0, 100_000)] * 50, 200, 50),  # the same, but small
        ([(1.0, 210_000)] * 300, 200, 300),  # slow, large, and quick enough
        ([(1.0, MB)] * 10 + [(29.0, 1), *[(1.0, 300_000)] * 100], 200, 139),  # a break that is short enough
    ],
)
def test_a_body_has_the_time_that_its_bytes_earn(
    monkeypatch: pytest.MonkeyPatch, parts: list[tuple[float, int]], status: int, longest: float
) -> None:
    line = Line(monkeypatch)
    assert posts(Page(), (line.source(parts),)) == [status]
    assert line.now - 1000 <= longest


def test_an_upload_with_a_limit_of_its_own_may_be_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch)
    slow = [(1.0, 25_000)] * 600
    assert posts(Page(), (line.source(slow), HOME, "/own", "kept=elsewhere"), (line.source(slow),)) == [200, 400]


# -- much ----------------------------------------------------------------------------------------------------------


def test_all_bodies_together_are_bounded_until_they_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen of several addresses that each stop before their end; one address gets half."""
    monkeypatch.setattr(bodies, "MEMORY_BYTES", 4 * MB)

    async def at_once() -> tuple[list[int], list[int]]:
        page = Page()
        page.answering.clear()  # a picture waits for its turn in memory
        alone = [asyncio.ensure_future(page.post(source([bytes(MB)]), HOME)) for _ in range(8)]
        await asyncio.wait(alone[2:])
        others = [asyncio.ensure_future(page.post(source([bytes(MB)]), f"127.0.0.{2 + n}")) for n in range(8)]
        await asyncio.wait(others[2:])
        assert sum(body.size for body in page.access.bodies.open) == 4 * MB
        page.answering.set()
        return [(await task)[0] for task in alone], [(await task)[0] for task in others]

    assert asyncio.run(at_once()) == ([200] * 2 + [429] * 6, [200] * 2 + [429] * 6)


def test_slow_bodies_of_one_address_lock_nobody_else_out() -> None:
    """Each brings nearly all that it may, then stands still."""

    async def attack() -> tuple[list[int], int]:
        page = Page()
        slow = [asyncio.ensure_future(page.post(source([bytes(60 * MB)], never), OTHER)) for _ in range(4)]
        refused: set[Any] = set()
        while len(refused) < 2:
            refused, _ = await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        status, _ = await page.post(source([bytes(60 * MB)]), HOME)
        for task in slow:
            task.cancel()
        return [task.result()[0] for task in refused], status

    assert asyncio.run(attack()) == ([429] * 2, 200)


def test_one_address_gets_half_of_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PLACES", 6)

    async def at_once() -> list[int]:
        page = Page()
        page.answering.clear()
        addresses = [
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8::ffff",
            "2001:db8::4",
            "2001:db8:0:1::1",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
        ]
        asking = []
        for address in addresses:
            asking.append(asyncio.ensure_future(page.post(source([b"a"]), address)))
            await asyncio.sleep(0.01)
        page.answering.set()
        return [(await task)[0] for task in asking]

    assert asyncio.run(at_once()) == [200, 200, 200, 429, 200, 200, 200, 429]  # one /64 network is one address


def test_what_lies_in_the_folder_counts_until_it_is_cleared(uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "TOTAL_BYTES", 6 * MB)
    now = [1000.0]
    monkeypatch.setattr(bodies, "monotonic", lambda: now[0])
    page = Page()

    def upload(address: str, size: int = MB) -> int:
        now[0] += 2
        return posts(page, (source([bytes(size)]), address, bodies.UPLOAD))[0]

    assert [upload(HOME) for _ in range(4)] == [200] * 3 + [429]  # half is for others
    assert [upload(OTHER) for _ in range(4)] == [200] * 3 + [429]
    assert upload("127.0.0.3") == 429 and posts(page, (source([b"a"]), "127.0.0.4"))[0] == 429
    for path in (uploads / "0").iterdir():
        path.unlink()
    assert upload("127.0.0.3") == 200
    now[0] += 2 * environment.LONGEST_SECONDS
    assert upload(HOME) == 200


def test_many_small_files_count_as_more_than_nothing(uploads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LEAST_BYTES", MB)
    uploads.mkdir()
    for number in range(3):
        (uploads / str(number)).touch()
    assert environment.measure_folder() == 3 * MB


@pytest.mark.parametrize(("public", "statuses"), [(True, [200, 200, 429, 200, 200]), (False, [200] * 5)])
def test_a_page_for_strangers_takes_so_much_of_an_address_in_ten_minutes(
    monkeypatch: pytest.MonkeyPatch, public: bool, statuses: list[int]
) -> None:
    monkeypatch.setattr(bodies, "WINDOW_BYTES", 2 * MB)
    now = [1000.0]
    monkeypatch.setattr(bodies, "monotonic", lambda: now[0])
    page = Page(read_only=public)
    answers = posts(page, (source([bytes(MB)]), HOME, bodies.UPLOAD), (source([bytes(MB)]), HOME))
    answers += posts(page, (source([b"a"]), HOME), (source([b"a"]), OTHER))
    now[0] += bodies.WINDOW_SECONDS * 1.2
    assert [*answers, *posts(page, (source([bytes(MB)]), HOME))] == statuses


def test_the_json_of_gradio_is_small_and_its_upload_one_file() -> None:
    many = [bytes(MB)] * 66
    asked = [(source([bytes(MB)] * 2), HOME, "/gradio_api/run/predict"), (source(many), HOME, bodies.UPLOAD)]
    assert posts(Page(), *asked) == [413, 413]
