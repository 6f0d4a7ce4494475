from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mtl_model.ui.access import Access, Gate
from mtl_model.ui.options import UiOptions


def scope(host: str, origin: str | None = None, kind: str = "http", **more: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.pop("headers", {}).items()]
    return {"type": kind, "headers": headers, "method": "GET", "path": "/", "server": ("127.0.0.1", 7860), **more}


LOCAL = UiOptions()
WIDE = UiOptions(host="0.0.0.0")


@pytest.mark.parametrize(
    ("options", "host", "origin", "passes"),
    [
        (LOCAL, "127.0.0.1:7860", None, True),
        (LOCAL, "localhost:7860", "http://localhost:7860", True),
        (LOCAL, "LOCALHOST:7860", "http://localhost:7860", True),
        (LOCAL, "[::1]:7860", "http://[::1]:7860", True),
        (LOCAL, "127.0.0.1:7860", "http://evil.example", False),
        (LOCAL, "127.0.0.1:7860", "http://127.0.0.1:7861", False),
        (LOCAL, "127.0.0.1:7860", "null", False),
        (LOCAL, "127.0.0.1:7860", "", False),
        (LOCAL, "evil.example:7860", None, False),
        (LOCAL, "evil.example:7860", "http://evil.example:7860", False),
        (LOCAL, "127.0.0.1.evil.example", None, False),
        (LOCAL, "", None, False),
        (LOCAL, "[", None, False),
        (LOCAL, "192.168.0.7:7860", None, False),
        (WIDE, "192.168.0.7:7860", "http://192.168.0.7:7860", True),
        (WIDE, "192.168.0.8:7860", None, False),
        (WIDE, "evil.example", None, False),
        (UiOptions(allow_host=("faces.example",)), "faces.example", "https://faces.example", True),
        (UiOptions(allow_host=("faces.example",)), "faces.example", "https://other.example", False),
        (UiOptions(host="192.168.0.7"), "192.168.0.7:7860", None, True),
    ],
)
def test_host_and_origin(options: UiOptions, host: str, origin: str | None, passes: bool) -> None:
    seen = scope(host, origin, server=("192.168.0.7" if options is WIDE else "127.0.0.1", 7860))
    assert (Access(options, space_host="").refusal(seen) is None) == passes


def test_forwarded_host_counts_only_behind_a_proxy() -> None:
    seen = scope("127.0.0.1:7860", "https://faces.example", headers={"x_forwarded_host": "faces.example"})
    behind = UiOptions(root_path="/faces", allow_host=("faces.example",))
    assert Access(behind, space_host="").refusal(seen) is None
    assert Access(UiOptions(allow_host=("faces.example",)), space_host="").refusal(seen) is not None
    lying = scope("127.0.0.1:7860", headers={"x_forwarded_host": "evil.example"})
    assert Access(behind, space_host="").refusal(lying) is not None


@pytest.mark.parametrize(
    ("options", "space"), [(UiOptions(root_path="/faces", allow_host=("faces.example",)), ""), (WIDE, "faces.example")]
)
@pytest.mark.parametrize(
    ("host", "passes"), [("evil.example", False), ("127.0.0.1:7860", True), ("faces.example", True)]
)
def test_a_forwarded_host_does_not_stand_in_for_a_foreign_one(
    options: UiOptions, space: str, host: str, passes: bool
) -> None:
    """A page whose own name points to this machine may send the header with any request."""
    for kind in ("http", "websocket"):
        seen = scope(host, kind=kind, headers={"x_forwarded_host": "faces.example"})
        assert (Access(options, space_host=space).refusal(seen) is None) == passes


def test_a_space_answers_to_its_own_name() -> None:
    access = Access(WIDE, space_host="me-faces.hf.space")
    assert access.refusal(scope("me-faces.hf.space", "https://me-faces.hf.space")) is None
    assert access.refusal(scope("other.hf.space")) is not None


def test_the_refusal_says_what_to_do() -> None:
    sentence = Access(LOCAL, space_host="").refusal(scope("faces.example"))
    assert sentence and "--allow-host faces.example" in sentence


def run_gate(seen: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    sent: list[dict[str, Any]] = []
    reached = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal reached
        reached = True
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Gate(app, Access(LOCAL, space_host=""))(seen, receive, send))
    return sent, reached


def test_the_gate_closes_a_foreign_websocket_before_it_opens() -> None:
    sent, reached = run_gate(scope("127.0.0.1:7860", "http://evil.example", kind="websocket"))
    assert not reached and sent[0]["type"] == "websocket.close"


def test_the_gate_refuses_with_403() -> None:
    sent, reached = run_gate(scope("evil.example"))
    assert not reached and sent[0]["status"] == 403


def test_what_passes_carries_a_content_policy() -> None:
    sent, reached = run_gate(scope("127.0.0.1:7860"))
    policy = dict(sent[0]["headers"])[b"content-security-policy"].decode()
    assert reached and "default-src 'self'" in policy and "http:" not in policy


def test_a_proxy_that_drops_the_port_is_told_apart_from_another_page() -> None:
    behind = Access(UiOptions(root_path="/faces", allow_host=("faces.example",)), space_host="")
    dropped = behind.refusal(scope("faces.example", "https://faces.example:8443"))
    assert dropped is not None and "pass on Host with its port" in dropped
    other = behind.refusal(scope("faces.example", "https://other.example"))
    assert other is not None and "Another web page" in other


def test_sockets_are_allowed_at_the_address_that_the_browser_knows() -> None:
    behind = Access(UiOptions(root_path="/faces", allow_host=("faces.example",)), space_host="")
    seen = scope("127.0.0.1:7860", headers={"x_forwarded_host": "faces.example"})
    policy = dict(behind.headers(seen))[b"content-security-policy"].decode()
    assert "wss://faces.example" in policy and "127.0.0.1" not in policy
