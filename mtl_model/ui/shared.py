"""What the page gives to each of its features: options, checkpoints, who may, and the guard around a route."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mtl_model.decoding import Decoders
from mtl_model.errors import MtlError, is_disk
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.checkpoints.pickers import Pickers
from mtl_model.ui.listeners import Events, sentence_for
from mtl_model.ui.server import bodies
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.server.paths import hide_in

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass
class Shared:
    """Passed to each tab when it is built.

    What the pickers above the tabs say is `pickers.chosen`; it is `mtl.checkpoint` and `mtl.compare` in the browser, and a
    change is the event "mtl:checkpoint" of the document. routes: those of a tab's own, which `route` adds while it is built;
    they pass the check of Host and Origin as everything does, and ask `user_of` who is there (None: nobody may).
    decoders: what reads the pictures of all tabs, in processes that can be ended. events: makes every listener.
    """

    options: UiOptions
    models: Models
    access: Access
    routes: list[BaseRoute] = field(default_factory=list)
    decoders: Decoders = field(default_factory=Decoders)
    events: Events = field(init=False)
    pickers: Pickers = field(init=False)

    def __post_init__(self) -> None:
        self.events = Events(self.access)

    def route(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Add an own route, guarded by `guarded_route`."""
        self.routes.append(Route(path, guarded_route(self, endpoint), methods=[method]))

    def user_of(self, connection: HTTPConnection) -> str | None:
        return self.access.user_of(connection)


def guarded_route(shared: Shared, endpoint: Endpoint) -> Endpoint:
    """Return an own route that only those who may can ask, and whose errors come back as {"error": sentence, "code": see
    `errors`}."""

    async def answer(request: Request) -> Response:
        if shared.user_of(request) is None:
            return JSONResponse({"error": "Log in first, then try again."}, 401)
        try:
            return await endpoint(request)
        except ClientDisconnect:
            return Response(status_code=bodies.GONE)
        except Exception as error:
            sentence = sentence_for(error).encode("utf-8", "replace").decode()  # a name can hold half a letter
            status = 400 if isinstance(error, MtlError) else 507 if is_disk(error) else 500
            code = error.code if isinstance(error, MtlError) else "disk" if is_disk(error) else "unexpected"
            return JSONResponse({"error": sentence, "code": code}, status)

    @functools.wraps(endpoint)
    async def wrapped(request: Request) -> Response:
        response = await answer(request)
        if isinstance(response, JSONResponse) and not shared.access.sees_paths(request):
            return await asyncio.to_thread(hide_in, response, shared.access.folders)
        return response

    return wrapped
