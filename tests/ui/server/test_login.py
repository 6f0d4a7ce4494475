"""The gate of --auth on a small app of its own; on the whole page it is tested in test_who_may.py."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mtl_model.ui.server import login, passwords
from mtl_model.ui.server.gate import Access, Gate
from mtl_model.ui.server.options import UiOptions


@pytest.fixture
def auth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(passwords, "COST", 2)
    for name, password in (("ann", "correct horse"), ("bob", "battery staple")):
        passwords.add_user(name, tmp_path / "people", password)
    return tmp_path / "people"


def open_client(options: UiOptions, space: str = "", base: str = "http://127.0.0.1:7860", **more: Any) -> TestClient:
    access = Access(options, space_host=space)

    async def who(request: Request) -> Response:
        return JSONResponse(access.user_of(request))

    routes = [*access.routes(), Route("/", who), Route("/who", who, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(Gate, access=access)])
    return TestClient(app, base_url=base, **more)


@pytest.fixture
def client(auth: Path) -> TestClient:
    return open_client(UiOptions(auth=auth))


def log_in(client: TestClient, name: str = "ann", password: str = "correct horse") -> Any:
    return client.post("/login", data={"username": name, "password": password})


def test_a_stranger_gets_the_page_that_asks_and_nothing_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 401 and "Log in" in page.text and "content-security-policy" in page.headers
    for method, path in (("GET", "/who"), ("POST", "/who"), ("POST", "/"), ("POST", "/logout"), ("GET", "/login")):
        reply = client.request(method, path)
        assert reply.status_code == 401 and reply.json() == {"error": "Log in first, then try again."}, path


def test_logging_in_and_out(client: TestClient) -> None:
    reply = log_in(client)
    assert reply.json() == {"success": True}
    assert "httponly" in (cookie := reply.headers["set-cookie"].lower()) and "samesite=lax" in cookie
    assert client.get("/who").json() == "ann"
    kept = "; ".join(f"{name}={token}" for name, token in client.cookies.items())
    assert client.post("/logout").status_code == 200 and not client.cookies
    assert client.get("/who", headers={"cookie": kept}).status_code == 401  # the old cookie is worth nothing now


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "ann", "password": "battery staple"},
        {"username": "bob", "password": "correct horse"},
        {"username": "nobody", "password": "correct horse"},
        {"username": "ann", "password": ""},
        {"username": "ann"},
        {"username": "ann", "password": "x" * 100_000},
        {},
    ],
)
def test_what_is_wrong_is_refused_in_the_same_words(client: TestClient, fields: dict[str, str]) -> None:
    reply = client.post("/login", data=fields)
    assert (reply.status_code, reply.json()["error"]) == (401, login.WRONG) and "set-cookie" not in reply.headers


def test_a_made_up_cookie_is_no_session(client: TestClient) -> None:
    log_in(client)
    (name,) = client.cookies
    client.cookies.clear()
    for token in ("", "x", "a" * 5000):
        assert client.get("/who", headers={"cookie": f"{name}={token}"}).status_code == 401
    assert client.get("/who").status_code == 401


def test_wrong_passwords_have_to_wait_longer_and_longer(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(login.time, "monotonic", lambda: now[0])
    for _ in range(login.FREE_TRIES):
        assert log_in(client, password="wrong").status_code == 401
    waits = []
    for _ in range(10):
        reply = log_in(client)  # even the right one
        assert reply.status_code == 429 and "Try again in" in reply.json()["error"]
        waits.append(int(reply.headers["retry-after"]))
        now[0] += waits[-1]
        assert log_in(client, password="wrong").status_code == 401
    assert waits == sorted(waits) and waits[0] < 5 and waits[-1] >= login.LONGEST_WAIT_SECONDS
    assert log_in(client, "bob", "battery staple").status_code == 200  # others do not wait
    now[0] += login.LONGEST_WAIT_SECONDS + 1
    assert log_in(client).status_code == 200
    assert log_in(client, password="wrong").status_code == 401 and log_in(client).status_code == 200  # counted anew


def test_a_stranger_elsewhere_keeps_nobody_out(client: TestClient) -> None:
    stranger = TestClient(client.app, base_url="http://127.0.0.1:7860", client=("192.0.2.9", 5000))
    tries = [log_in(stranger, password="wrong").status_code for _ in range(login.FREE_TRIES + 1)]
    assert tries == [401] * login.FREE_TRIES + [429]
    assert log_in(client).status_code == 200


def from_address(client: TestClient, address: str) -> TestClient:
    return TestClient(client.app, base_url="http://127.0.0.1:7860", client=(address, 5000))


def test_one_name_is_not_guessed_from_many_addresses(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(login.time, "monotonic", lambda: now[0])
    assert log_in(client).status_code == 200  # at home, before
    tried = [
        log_in(from_address(client, f"192.0.2.{number}"), password="wrong").status_code
        for number in range(login.FREE_IN_ALL + 30)
    ]
    assert tried == [401] * login.FREE_IN_ALL + [429] * 30
    elsewhere = from_address(client, "198.51.100.1")
    assert log_in(elsewhere).status_code == 429  # a new place has to wait
    assert log_in(client).status_code == 200  # where the person was before nothing changes
    now[0] += login.LONGEST_WAIT_SECONDS + 1
    assert log_in(elsewhere).status_code == 200  # and nowhere for good
    now[0] += 1
    assert log_in(elsewhere, "bob", "battery staple").status_code == 200


def test_many_names_are_not_guessed_from_one_address(client: TestClient) -> None:
    stranger = from_address(client, "2001:db8::1")
    tried = [log_in(stranger, f"name{number}", "wrong").status_code for number in range(login.FREE_IN_ALL + 5)]
    assert tried == [401] * login.FREE_IN_ALL + [429] * 5
    assert log_in(from_address(client, "2001:db8::2"), "bob", "wrong").status_code == 429  # its network is one address
    assert log_in(client, "bob", "battery staple").status_code == 200


@pytest.mark.parametrize(("options", "status"), [({}, 429), ({"proxy": ("192.0.2.1",)}, 200)])
def test_another_forwarded_address_is_believed_of_a_named_proxy_alone(auth: Path, options: Any, status: int) -> None:
    client = from_address(open_client(UiOptions(auth=auth, **options)), "192.0.2.1")
    form = {"username": "ann", "password": "wrong"}
    for _ in range(login.FREE_TRIES):
        assert client.post("/login", data=form, headers={"x-forwarded-for": "198.51.100.1"}).status_code == 401
    form = {"username": "ann", "password": "correct horse"}
    assert client.post("/login", data=form, headers={"x-forwarded-for": "198.51.100.2"}).status_code == status


def test_a_count_that_rests_begins_anew(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(login.time, "monotonic", lambda: now[0])
    for _ in range(3):
        tried = [log_in(client, password="wrong").status_code for _ in range(login.FREE_TRIES + 1)]
        assert tried == [401] * login.FREE_TRIES + [429]
        now[0] += login.FORGOTTEN_SECONDS + 1


def test_too_many_fields_are_a_sentence(client: TestClient) -> None:
    reply = client.post("/login", data={f"field{number}": "x" for number in range(login.MOST_FIELDS + 1)})
    assert reply.status_code == 400 and "Expected the fields" in reply.json()["error"]


def test_no_long_queue_forms(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(login, "matches", lambda password, hashed: not go_on.wait(10))

    async def at_once(count: int) -> list[int]:
        transport = httpx.ASGITransport(cast(Any, client.app))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as many:
            form = [{"username": f"nobody{number}", "password": "wrong"} for number in range(count)]
            tries = [asyncio.ensure_future(many.post("/login", data=one)) for one in form]
            done: set[Any] = set()
            while len(done) < count - login.MOST_AT_ONCE:  # these are answered while the others wait
                done, _ = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)
            assert all(one.result().status_code == 429 for one in done)
            go_on.set()
            return [reply.status_code for reply in await asyncio.gather(*tries)]

    found = asyncio.run(at_once(20))
    assert found.count(401) == login.MOST_AT_ONCE and found.count(429) == 20 - login.MOST_AT_ONCE
    assert asyncio.run(at_once(1)) == [401]  # there is room again


def test_a_session_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(client)
    later = time.time() + login.SESSION_SECONDS + 1
    monkeypatch.setattr(login.time, "time", lambda: later)
    assert client.get("/who").status_code == 401


def test_over_https_the_cookie_goes_over_nothing_else(auth: Path) -> None:
    client = open_client(UiOptions(auth=auth), base="https://127.0.0.1:7860")
    assert "secure" in log_in(client).headers["set-cookie"].lower()
    hub = open_client(UiOptions(auth=auth), space="me.hub.example", base="http://me.hub.example")
    cookie = log_in(hub).headers["set-cookie"].lower()
    assert "secure" in cookie and "samesite=none" in cookie  # shown inside the hub's own page


@pytest.mark.parametrize("cut", [True, False])
def test_behind_a_prefix(auth: Path, cut: bool) -> None:
    client = open_client(UiOptions(auth=auth, root_path="/faces"), root_path="/faces")
    prefix = "" if cut else "/faces"
    assert "Log in" in client.get(f"{prefix}/").text
    reply = client.post(f"{prefix}/login", data={"username": "ann", "password": "correct horse"})
    assert reply.status_code == 200 and "path=/faces" in reply.headers["set-cookie"].lower()


def test_two_servers_of_one_machine_have_two_cookies(auth: Path) -> None:
    names = {next(iter(log_in(open_client(UiOptions(auth=auth, port=port))).cookies)) for port in (7860, 7861)}
    assert len(names) == 2


def test_without_auth_nobody_has_to_log_in() -> None:
    client = open_client(UiOptions())
    assert client.get("/who").json() == "anonymous" and client.post("/login").status_code == 404
