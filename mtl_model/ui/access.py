"""Who may talk to the server: the check of Host, Origin and log-in that every request and WebSocket passes.

Without it any web page that a person visits could use the server of their machine: by a request across origins, or by
a name of its own that it lets point to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl_model.ui.environment import LOOPBACK
from mtl_model.ui.login import LOGIN, Login, route_path
from mtl_model.ui.options import SPACE_VARIABLE, UiOptions
from mtl_model.ui.passwords import read_users

ANY_ADDRESS = ("0.0.0.0", "::", "[::]", "")
STARTED = "/gradio_api/startup-events"  # gradio asks its own server for it, once, before it counts as started
CLOSED = 4403  # WebSocket close code: refused
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# The browser's part of "no request leaves the machine": whatever a page or a picture asks for, it stays here.
# Gradio's page compiles templates, so eval cannot be forbidden.
CONTENT_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob: {sockets}; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framers}"
)


class Access:
    """The rules, made once from the options and the environment."""

    starting = False
    """Whether gradio is still asking its own server if it is up."""

    def __init__(self, options: UiOptions, space_host: str | None = None) -> None:
        """Raises UsageError where the file of --auth cannot be used."""
        spaces = (os.environ.get(SPACE_VARIABLE, "") if space_host is None else space_host).split(",")
        self._spaces = {one.strip().lower() for one in spaces if one.strip()}
        self._bound_wider = options.host in ANY_ADDRESS
        self._trust_forwarded = bool(options.root_path or self._spaces)
        named: Iterable[str] = (*options.allow_host, *(() if self._bound_wider else (options.host,)))
        self._hosts = {*LOOPBACK, *self._spaces, *(one.strip("[]").lower() for one in named)}
        # A browser sends cookies to all ports of a host: two servers on one machine need two names.
        cookie, path = f"mtl-session-{options.port}", options.root_path or "/"
        self.login = Login(read_users(options.auth), cookie, path, bool(self._spaces)) if options.auth else None

    def user_of(self, connection: HTTPConnection) -> str | None:
        """The name of the person asking; None where nobody may. Without log-in everybody is the same person."""
        return "anonymous" if self.login is None else self.login.user_of(connection)

    def routes(self) -> list[Route]:
        return [] if self.login is None else self.login.routes()

    def stranger(self, scope: Scope) -> Login | None:
        """The log-in that a request or WebSocket has to pass first; None where it may go on."""
        if self.login is None or self.login.user_of(HTTPConnection(scope)) is not None:
            return None
        open_path = STARTED if self.starting else LOGIN if scope.get("method") == "POST" else None
        return None if scope["type"] == "http" and route_path(scope) == open_path else self.login

    def refusal(self, scope: Scope) -> str | None:
        """Why a request or WebSocket is turned away, as a sentence; None if it may pass."""
        headers = Headers(scope=scope)
        host = self._host(headers)
        for asked in (
            headers.get("host", ""),
            host,
        ):  # a page that rebinds its name can forward any, but not hide its own
            name, port = _split(f"//{asked}")
            if name not in self._hosts and not (self._bound_wider and name in (_own_address(scope), "::")):
                return (
                    f"This server does not answer to the host name '{asked[:100]}'. If it is meant to, start it with "
                    f"--allow-host {name[:100] or 'NAME'}."
                )
        origin = headers.get("origin")
        if origin is None:
            return None
        name, port = _split(f"//{host}")
        scheme = origin.partition("://")[0]
        default = DEFAULT_PORTS.get(scheme)
        origin_name, origin_port = _split(origin)
        if origin_name == name and (origin_port or default) != (port or default):
            return (
                f"The page was opened at {origin[:100]}, but the server was asked as '{host[:100]}'. A proxy in between has to "
                "pass on Host with its port, or X-Forwarded-Host."
            )
        if origin_name != name:
            return "Another web page may not use this server. Open its own address in a new tab."
        return None

    def _host(self, headers: Headers) -> str:
        """The host that the browser asked for; what a proxy says of it counts only where one is expected."""
        host = headers.get("host", "")
        return headers.get("x-forwarded-host", host).split(",")[0].strip() if self._trust_forwarded else host

    def headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        host = self._host(Headers(scope=scope))
        safe = host if host.replace(".", "").replace("-", "").replace(":", "").strip("[]").isalnum() else ""
        policy = CONTENT_POLICY.format(
            sockets=f"ws://{safe} wss://{safe}" if safe else "", framers="*" if self._spaces else "'self'"
        )
        return [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]


def _split(address: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(address)
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None


def _own_address(scope: Scope) -> str:
    """The address of this machine at which the connection came in."""
    server = scope.get("server") or ("", 0)
    return str(server[0]).removeprefix("::ffff:").lower() or "none"


class Gate:
    """ASGI middleware that lets pass only what `Access` allows."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        sentence, login = self._access.refusal(scope), self._access.stranger(scope)
        if scope["type"] == "websocket" and (sentence is not None or login is not None):
            await receive()  # websocket.connect
            reason = (sentence or "Log in first, then try again.")[:120]
            return await send({"type": "websocket.close", "code": CLOSED, "reason": reason})
        if sentence is not None:
            return await PlainTextResponse(sentence, status_code=403)(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._access.headers(scope)]
            await send(message)

        app = self._app if login is None else login.answer(scope)
        await app(scope, receive, send_with_headers if scope["type"] == "http" else send)
