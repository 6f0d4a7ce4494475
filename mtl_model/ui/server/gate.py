"""Who may talk to the server: the check of proxy, Host, Origin, log-in and body that every request and WebSocket passes.

Without it any web page that a person visits could use the server of their machine: by a request across origins, or by
a name of its own that it lets point to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl_model.data import cache
from mtl_model.ui.server.addresses import LOCAL, Proxies
from mtl_model.ui.server.bodies import API, Bodies, Body
from mtl_model.ui.server.environment import LOOPBACK, uploads_folder
from mtl_model.ui.server.login import LOGIN, Login, route_path
from mtl_model.ui.server.options import SPACE_VARIABLE, UiOptions
from mtl_model.ui.server.passwords import read_tokens, read_users

ANOTHER = "Another web page may not use this server. Open its own address in a new tab."
ANY_ADDRESS = ("0.0.0.0", "::", "[::]", "")
STARTED = "/gradio_api/startup-events"  # gradio asks its own server for it, once, before it counts as started
CLOSED = 4403  # WebSocket close code: refused
HUB = "https://huggingface.co https://*.hf.space"
"""Whose pages may show a page with log-in inside them, where a hub hosts it."""
OWN_SITE = ("same-origin", "none")
"""Sec-Fetch-Site of what the page itself asks for, and of what a person opens."""
UNUSED = tuple(API + name for name in ("process_recording", "stream/", "run-history/", "vibe-", "proxy="))
"""Gradio's routes that this page has no use for: some write where nothing is cleared."""
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
        self._spaces = {name.strip().lower() for name in spaces if name.strip()}
        self._bound_wider = options.host in ANY_ADDRESS
        self.proxies = Proxies(options.proxy, expected=bool(options.root_path or self._spaces))
        self.bodies = Bodies(public=options.read_only)
        self._own_folders = options.runs, options.weights
        named: Iterable[str] = (*options.allow_host, *(() if self._bound_wider else (options.host,)))
        self._hosts = {*LOOPBACK, *self._spaces, *(name.strip("[]").lower() for name in named)}
        # A browser sends cookies to all ports of a host: two servers on one machine need two names.
        cookie, path = f"mtl-session-{options.port}", options.root_path or "/"
        self.login = None
        if options.auth:
            tokens = read_tokens(options.auth)
            self.login = Login(read_users(options.auth), cookie, path, bool(self._spaces), tokens)

    def user_of(self, connection: HTTPConnection) -> str | None:
        """The name of the person asking; None where nobody may. Without log-in everybody is the same person."""
        return "anonymous" if self.login is None else self.login.user_of(connection)

    def sees_paths(self, connection: HTTPConnection) -> bool:
        """Tell whether the person may read where things lie on this machine: at the machine itself, or logged in."""
        return bool(connection.scope.get(LOCAL)) if self.login is None else self.user_of(connection) is not None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of this server that `hide_paths` knows by name."""
        return *self._own_folders, uploads_folder(), cache.default_root()

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
        scope = self.proxies.resolve(scope)
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
            return self._foreign(scope, headers)
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
            return ANOTHER
        return self._foreign(scope, headers)

    def _foreign(self, scope: Scope, headers: Headers) -> str | None:
        """Refuse what another web page asks for, embedded or fetched; it may only lead a person to the page itself.

        WebSockets are left out: browsers send Origin with each of them, and disagree about Sec-Fetch-Site.
        """
        site = headers.get("sec-fetch-site")
        if scope["type"] == "websocket" or site is None or site in OWN_SITE:
            return None
        leads = headers.get("sec-fetch-mode") == "navigate" and scope["method"] in ("GET", "HEAD")
        return None if leads and route_path(scope) in ("", "/") else ANOTHER

    def _host(self, headers: Headers) -> str:
        """Return the host that the browser asked for; `Proxies` leaves only what a proxy may say of it."""
        return headers.get("x-forwarded-host", headers.get("host", "")).split(",")[0].strip()

    def headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        host = self._host(Headers(scope=self.proxies.resolve(scope)))
        safe = host if host.replace(".", "").replace("-", "").replace(":", "").strip("[]").isalnum() else ""
        # Strangers can do nothing that being framed would make them do; a person logged in could be led to.
        framers = "'self'" if not self._spaces else "*" if self.login is None else HUB
        policy = CONTENT_POLICY.format(sockets=f"ws://{safe} wss://{safe}" if safe else "", framers=framers)
        return [
            (b"content-security-policy", policy.encode()),
            (b"cross-origin-resource-policy", b"same-origin"),
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
    """ASGI middleware that lets pass only what `Access` allows, and no body beyond what `Bodies` allows."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        access, scope = self._access, self._access.proxies.resolve(scope)
        sentence, login = access.refusal(scope), access.stranger(scope)
        if scope["type"] == "websocket":
            if sentence is None and login is None:
                return await self._app(scope, receive, send)
            await receive()  # websocket.connect
            reason = (sentence or "Log in first, then try again.")[:120]
            return await send({"type": "websocket.close", "code": CLOSED, "reason": reason})
        path = route_path(scope)
        if sentence is not None:
            app: ASGIApp = PlainTextResponse(sentence, 403)
        elif login is not None:
            app = login.answer(scope)
        elif path.startswith(UNUSED):
            app = PlainTextResponse("Not Found", 404)
        else:
            app = self._app

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *access.headers(scope)]
            await send(message)

        await Body(access.bodies, path, scope, receive, send_with_headers).answer(app)
