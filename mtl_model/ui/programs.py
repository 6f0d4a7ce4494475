"""The HTTP API for programs: pictures in, the JSON of the contract out; what it offers stands in /v1/openapi.json.

It passes the same gate as the page: host, origin, log-in (a session or a token), and what one address may send.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from mtl_model import __version__, kinds, records
from mtl_model.errors import MtlError, PictureError, UsageError
from mtl_model.ui.faces.requests import TOO_LARGE, Asked, answered
from mtl_model.ui.render import render
from mtl_model.ui.server.bodies import GONE, LARGEST_UPLOAD, parts_of
from mtl_model.ui.shared import Shared

AT_ONCE, MOST_WAITING = 2, 64
"""Requests that are worked on, and that wait for it; more are refused with the seconds after which to try again."""
MOST_PICTURES = 50
BUSY_SECONDS = 5
FIELD = "picture"

PICTURE = {"type": "string", "format": "binary"}
ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
    "required": ["error"],
}
REFUSED = {
    "description": "Refused; `error` says why, and what to do.",
    "content": {"application/json": {"schema": ERROR}},
}


def add_routes(shared: Shared) -> None:
    """Add the routes. On a read-only page they are there only if they are asked for."""
    if shared.options.read_only and not shared.options.api:
        return
    programs = _Programs(shared)
    shared.route("POST", "/v1/predict", programs.predict)
    shared.route("GET", "/v1/models", programs.models)
    shared.route("GET", "/v1/openapi.json", programs.openapi)
    shared.route("GET", "/v1", programs.page)


class _Programs:
    def __init__(self, shared: Shared) -> None:
        self._shared, self._free, self._waiting = shared, asyncio.Semaphore(AT_ONCE), 0

    async def predict(self, request: Request) -> Response:
        """Answer the pictures of a request: its body is one, or a form with several."""
        if self._waiting >= MOST_WAITING:
            sentence = (
                f"{self._waiting} requests are waiting already. Expected fewer; try again in {BUSY_SECONDS} seconds."
            )
            return JSONResponse({"error": sentence, "code": "busy"}, 503, {"retry-after": str(BUSY_SECONDS)})
        self._waiting += 1
        try:
            asked = await _read(request)
            self._shared.models.card(asked[0].checkpoint)  # one that is not there is said before the work
            async with self._free:
                if await request.is_disconnected():
                    return Response(status_code=GONE)
                photos = [await answered(request, question, self._answer) for question in asked]
        finally:
            self._waiting -= 1
        if len(photos) == 1 and photos[0].error:
            raise PictureError(photos[0].error)
        return JSONResponse(records.to_json(photos))

    def _answer(self, asked: Asked) -> records.Photo:
        try:
            rgb = self._shared.decoders.read(asked.body, stop=asked.stop)
        except MtlError as error:
            return records.Photo(asked.name, str(error))
        return self._shared.models.get(asked.checkpoint).photo(rgb, asked.name, smallest_face_px=asked.smallest_face_px)

    async def models(self, request: Request) -> Response:
        """List the checkpoints that answer, the one that answers unless another is asked for first."""
        return JSONResponse(await asyncio.to_thread(self._models))

    def _models(self) -> list[dict[str, Any]]:
        self._shared.models.refresh()
        listed = []
        for name in self._shared.models.names():
            card = self._shared.models.card(name)
            tasks = [
                {"name": task.name, "title": task.title, "kind": task.kind, "classes": [*kinds.of(task).choices(task)]}
                for task in kinds.shown(card.tasks)
            ]
            listed.append({"name": name, "reads": card.subject, "tasks": tasks})
        return listed

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi(request.scope.get("root_path", "")))

    async def page(self, request: Request) -> Response:
        return HTMLResponse(render("programs.html", paths=openapi("")["paths"], version=__version__))


async def _read(request: Request) -> list[Asked]:
    """Return what a request asks, one per picture. Raises UsageError, PictureError."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        asked = await Asked.read(request)
        if not asked.body:
            raise UsageError("The request holds no picture. Expected its bytes as the body; send them.", "no_picture")
        return [asked]
    first, pictures = Asked.of_query(request, b""), await _files(request)
    return [Asked(body, name, first.checkpoint, "", first.smallest_face_px) for name, body in pictures]


async def _files(request: Request) -> list[tuple[str, bytes]]:
    """Return name and bytes of the files of a form, from memory: nothing is written to the disk. Raises UsageError."""
    parser = _InMemory(
        request.headers, parts_of(request, LARGEST_UPLOAD, PictureError(TOO_LARGE)), max_files=MOST_PICTURES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise UsageError(
            f"The form cannot be read ({error.message:.100}). Expected multipart/form-data with 1 to {MOST_PICTURES} files "
            f"called {FIELD}; send it so.",
            "form",
        ) from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not files:
        raise UsageError(
            f"The form holds no file. Expected 1 to {MOST_PICTURES} called {FIELD}; send them.", "no_picture"
        )
    return [(os.path.basename(file.filename or "")[:200] or "picture", await file.read()) for file in files]


class _InMemory(MultiPartParser):
    spool_max_size = LARGEST_UPLOAD

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], max_files: int) -> None:
        super().__init__(headers, stream, max_files=max_files)


def openapi(root: str) -> dict[str, Any]:
    """Return the description of the API. root: the path under which a proxy serves it.

    Source: OpenAPI Specification 3.1.0."""
    asked = [
        _parameter(
            "checkpoint", "Name of the checkpoint; the first of /v1/models if it is not given.", {"type": "string"}
        ),
        _parameter(
            "smallest", "Longer edge of the smallest face looked for, in pixels.", {"type": "number", "minimum": 1}
        ),
        _parameter("name", "What the answer calls the picture.", {"type": "string"}),
    ]
    several = {"type": "object", "properties": {FIELD: {"type": "array", "items": PICTURE, "maxItems": MOST_PICTURES}}}
    content = {"image/*": {"schema": PICTURE}, "multipart/form-data": {"schema": several}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mtl_model",
            "version": __version__,
            "description": "What a network sees in the faces of pictures.",
        },
        "servers": [{"url": root or "/"}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/predict": {
                "post": {
                    "summary": "Answer one picture, or several: a list with an object per picture, as predict --json has it.",
                    "parameters": asked,
                    "requestBody": {"required": True, "content": content},
                    "responses": _responses("An object per picture.", {"type": "array", "items": {"type": "object"}}),
                }
            },
            "/v1/models": {
                "get": {
                    "summary": "List the checkpoints that answer, with their tasks.",
                    "parameters": [],
                    "responses": _responses(
                        "An object per checkpoint.", {"type": "array", "items": {"type": "object"}}
                    ),
                }
            },
        },
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _responses(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {"200": answer, **dict.fromkeys(("400", "401", "413", "429", "503"), REFUSED)}
