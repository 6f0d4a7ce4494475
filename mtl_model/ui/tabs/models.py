"""The Models tab: a card a checkpoint, with what can be done with it, and the place where one can be brought in.

A zip is sent twice, once to be looked at and once to be kept, so nothing of it stays here between the two.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mtl_model import checkpoint_zip
from mtl_model import runs as folders
from mtl_model.card import NAME, is_taken
from mtl_model.errors import UsageError
from mtl_model.ui.checkpoints import trial
from mtl_model.ui.checkpoints.gallery import Shelf, said
from mtl_model.ui.render import asset
from mtl_model.ui.server.bodies import keep, parts_of
from mtl_model.ui.server.environment import TEMPORARY_VARIABLE
from mtl_model.ui.shared import Shared, guarded_route

TITLE = "Models"
ORDER = 40
PUBLIC = False
TOO_LARGE = f"The file is larger than {checkpoint_zip.LARGEST_ZIP // 2**20} MB. {checkpoint_zip.EXPECTED}."


def build(shared: Shared) -> None:
    routes = _Routes(shared)
    for path, endpoint, method in (
        ("/mtl/models", routes.cards, "GET"),
        ("/mtl/models/download", routes.download, "GET"),
        ("/mtl/models/rename", routes.rename, "POST"),
        ("/mtl/models/delete", routes.delete, "POST"),
        ("/mtl/undo", routes.bring_back, "POST"),
        ("/mtl/models/look", routes.look, "POST"),
        ("/mtl/models/keep", routes.keep, "POST"),
    ):
        shared.routes.append(Route(path, guarded_route(shared, endpoint), methods=[method]))
    gr.HTML(
        asset("checkpoints/models.html"), elem_id="models", apply_default_css=False, js_on_load="mtl.models(element)"
    )


class _Routes:
    def __init__(self, shared: Shared) -> None:
        self._shared, self._one_at_a_time = shared, asyncio.Semaphore(1)  # a zip that is looked at fills the memory

    @property
    def _shelf(self) -> Shelf:
        return Shelf(self._shared.options, self._shared.models.default)

    async def cards(self, request: Request) -> Response:
        await asyncio.to_thread(self._shared.models.refresh)
        return JSONResponse({"html": await asyncio.to_thread(self._shelf.cards)})

    async def rename(self, request: Request) -> Response:
        query = request.query_params
        await asyncio.to_thread(self._shelf.rename, query.get("name", ""), query.get("to", ""))
        return JSONResponse({})

    async def delete(self, request: Request) -> Response:
        await asyncio.to_thread(self._shelf.delete, request.query_params.get("name", ""))
        await asyncio.to_thread(self._shared.models.refresh)
        return JSONResponse({})

    async def bring_back(self, request: Request) -> Response:
        """Put back what was deleted here, or discarded on the Teach tab, a moment ago."""
        options, token = self._shared.options, request.query_params.get("token", "")
        name = await asyncio.to_thread(folders.bring_back, options.runs, token, options.weights)
        await asyncio.to_thread(self._shared.models.refresh)
        return JSONResponse({"name": name})

    async def download(self, request: Request) -> Response:
        folder = self._shared.models.folder(request.query_params.get("name", ""))
        file = await asyncio.to_thread(_packed, folder)
        headers = {
            "content-disposition": f'attachment; filename="{folder.name}.zip"',
            "content-length": str(file.seek(0, os.SEEK_END)),
        }
        return StreamingResponse(_parts(file), media_type="application/zip", headers=headers)

    async def look(self, request: Request) -> Response:
        return await self._with_zip(request, self._look)

    async def keep(self, request: Request) -> Response:
        return await self._with_zip(request, self._keep)

    async def _with_zip(self, request: Request, work: Any) -> Response:
        name = request.query_params.get("name", "")
        keep(request, "stream")
        with said("The file could not be taken"):
            with tempfile.TemporaryFile() as file:
                async for part in parts_of(request, checkpoint_zip.LARGEST_ZIP, UsageError(TOO_LARGE)):
                    file.write(part)
                file.seek(0)
                async with self._one_at_a_time:
                    return JSONResponse(await asyncio.to_thread(work, file, name))

    def _look(self, file: IO[bytes], name: str) -> dict[str, str]:
        """What is in the zip, and a name for it after the file's."""
        options = self._shared.options
        with checkpoint_zip.opened(file, options.runs) as (folder, _):
            return {"html": trial.tried(folder, options), "name": self._free(Path(name).stem)}

    def _free(self, stem: str) -> str:
        """A name that is free, like the one of the file."""
        plain = (
            "".join(letter if NAME.fullmatch(f"a{letter}") else "-" for letter in stem).strip("-._")[:56] or "uploaded"
        )
        options = self._shared.options
        names = (plain, *(f"{plain}-{number}" for number in range(2, 1000)))
        return next((name for name in names if not is_taken(name, options.weights, options.runs)), "")

    def _keep(self, file: IO[bytes], name: str) -> dict[str, str]:
        options = self._shared.options
        with checkpoint_zip.opened(file, options.runs) as (folder, _):
            trial.tried(folder, options)
            checkpoint_zip.keep(folder, name, options.weights, options.runs)
        return {"name": name}


def _packed(folder: Path) -> IO[bytes]:
    """A checkpoint as a zip, in a file that has no name: however the download ends, it is gone with it."""
    with said("The download could not be made"):
        file = tempfile.TemporaryFile(dir=os.environ.get(TEMPORARY_VARIABLE))  # noqa: SIM115, closed by _parts
        try:
            checkpoint_zip.pack(folder, file)
        except BaseException:
            file.close()
            raise
    return file


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(2**20):
            yield part
