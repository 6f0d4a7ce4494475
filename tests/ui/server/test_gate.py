from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from mtl_model.ui.server import passwords
from mtl_model.ui.server.gate import UNUSED, Access, Gate
from mtl_model.ui.server.options import UiOptions


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


PROXIED = UiOptions(proxy=("127.0.0.1", "10.0.0.0/8"), allow_host=("faces.example",))
SAID = {"x_forwarded_for": "192.0.2.7", "x_forwarded_host": "faces.example", "x_forwarded_proto": "https"}


@pytest.mark.parametrize(
    ("options", "peer", "said", "client", "scheme", "kept"),
    [
        (LOCAL, "127.0.0.1", SAID, "127.0.0.1", "http", set()),
        (PROXIED, "192.0.2.1", SAID, "192.0.2.1", "http", set()),
        (
            PROXIED,
            "127.0.0.1",
            SAID,
            "192.0.2.7",
            "https",
            {"x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"},
        ),
        (
            PROXIED,
            "::ffff:10.1.2.3",
            SAID,
            "192.0.2.7",
            "https",
            {"x-forwarded-host", "x-forwarded-proto", "x-forwarded-for"},
        ),
        (
            PROXIED,
            "127.0.0.1",
            {"x_forwarded_for": "1.1.1.1, 192.0.2.7:80, 10.0.0.1"},
            "192.0.2.7",
            "http",
            {"x-forwarded-for"},
        ),
        (
            PROXIED,
            "127.0.0.1",
            {"x_forwarded_for": "1.1.1.1, [2001:db8::7]:80"},
            "2001:db8::7",
            "http",
            {"x-forwarded-for"},
        ),
        (PROXIED, "127.0.0.1", {"x_forwarded_for": "1.1.1.1, nobody"}, "127.0.0.1", "http", {"x-forwarded-for"}),
        (PROXIED, "127.0.0.1", {}, "127.0.0.1", "http", set()),
        (UiOptions(root_path="/f"), "127.0.0.1", SAID, "127.0.0.1", "https", {"x-forwarded-host", "x-forwarded-proto"}),
        (
            LOCAL,
            "127.0.0.1",
            {"x_gradio_server": "http://x", "forwarded": "for=1", "x_real_ip": "1"},
            "127.0.0.1",
            "http",
            set(),
        ),
    ],
)
def test_who_asks_is_said_by_a_named_proxy_alone(
    options: UiOptions, peer: str, said: dict[str, str], client: str, scheme: str, kept: set[str]
) -> None:
    seen = scope("127.0.0.1", client=(peer, 5), scheme="http", headers=said)
    resolved = Access(options, space_host="").proxies.resolve(seen)
    assert (resolved["client"][0], resolved["scheme"]) == (client, scheme)
    assert {name.decode() for name, _ in resolved["headers"]} == {"host", *kept}
    socket = Access(options, space_host="").proxies.resolve({**seen, "type": "websocket", "scheme": "ws"})
    assert socket["scheme"] == scheme.replace("http", "ws")


@pytest.mark.parametrize(
    ("options", "peer", "host", "said", "local"),
    [
        (LOCAL, "127.0.0.1", "127.0.0.1:7860", {}, True),
        (LOCAL, "::1", "[::1]:7860", {}, True),
        (LOCAL, "127.0.0.1", "localhost:7860", {}, True),
        (LOCAL, "192.168.0.9", "localhost:7860", {}, False),
        (LOCAL, "127.0.0.1", "faces.example", {}, False),
        (LOCAL, "127.0.0.1", "localhost:7860", {"x_forwarded_for": "127.0.0.1"}, False),
        (LOCAL, "127.0.0.1", "localhost:7860", {"via": "1.1 proxy"}, False),
        (PROXIED, "127.0.0.1", "localhost:7860", SAID, False),
        (UiOptions(root_path="/faces"), "127.0.0.1", "localhost:7860", {}, False),
    ],
)
def test_who_is_at_the_machine(options: UiOptions, peer: str, host: str, said: dict[str, str], local: bool) -> None:
    access = Access(options, space_host="")
    seen = access.proxies.resolve(scope(host, client=(peer, 5), headers=said))
    assert access.sees_paths(HTTPConnection(seen)) == local


@pytest.mark.parametrize(
    ("site", "mode", "method", "path", "passes"),
    [
        ("same-origin", "cors", "GET", "/mtl/teach/picture", True),
        ("none", "navigate", "GET", "/mtl/teach/picture", True),
        (None, None, "GET", "/mtl/teach/picture", True),
        ("cross-site", "no-cors", "GET", "/mtl/teach/picture", False),
        ("same-site", "no-cors", "GET", "/mtl/teach/picture", False),
        ("cross-site", "navigate", "GET", "/mtl/teach/picture", False),
        ("cross-site", "navigate", "GET", "/", True),
        ("cross-site", "navigate", "HEAD", "/", True),
        ("cross-site", "navigate", "POST", "/", False),
        ("cross-site", "no-cors", "GET", "/", False),
        ("cross-site", "no-cors", "GET", "/config", False),
        ("cross-site", "no-cors", "GET", "/gradio_api/info", False),
    ],
)
def test_what_another_page_embeds_is_refused(site: str | None, mode: str, method: str, path: str, passes: bool) -> None:
    sent = {"sec_fetch_site": site, "sec_fetch_mode": mode} if site else {}
    for root in ("", "/faces"):
        seen = scope("localhost", headers=sent, method=method, path=root + path, root_path=root)
        assert (Access(UiOptions(root_path=root), space_host="").refusal(seen) is None) == passes


@pytest.mark.parametrize(
    ("space", "auth", "framers"),
    [("", False, "'self'"), ("", True, "'self'"), ("me.hf.space", False, "*")]
    + [("me.hf.space", True, "https://huggingface.co https://*.hf.space")],
)
def test_who_may_show_the_page_inside_another(tmp_path: Path, space: str, auth: bool, framers: str) -> None:
    (tmp_path / "people").write_text(f"ann:{passwords.NOBODY}\n")
    access = Access(UiOptions(auth=tmp_path / "people" if auth else None), space_host=space)
    policy = dict(access.headers(scope("localhost")))[b"content-security-policy"].decode()
    assert policy.endswith(f"frame-ancestors {framers}")


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
    assert dict(sent[0]["headers"])[b"cross-origin-resource-policy"] == b"same-origin"


def test_what_the_page_has_no_use_for_is_not_there() -> None:
    for path in UNUSED:
        sent, reached = run_gate(scope("localhost", path=path))
        assert not reached and sent[0]["status"] == 404


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
