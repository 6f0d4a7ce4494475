"""The Photo tab: a picture comes in, a card a face comes out. The endpoint `predict` of the API lives here too.

A picture is sent to an own route as the body of a request, answered from memory, and forgotten: it never touches the
disk, and a download is made by sending the picture again.
"""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
from gradio import FileData
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from mtl_model import crops, drawing, records
from mtl_model.card import Card, CropSettings
from mtl_model.errors import MtlError, PictureError, UsageError
from mtl_model.pictures import read_picture
from mtl_model.predictor import Predictor
from mtl_model.registry import PACKAGE
from mtl_model.ui import views
from mtl_model.ui.environment import TEMPORARY_VARIABLE
from mtl_model.ui.shell import LARGEST_UPLOAD, Shared, asset, guarded_route, sentence_for

TITLE = "Photo"
ORDER = 10
AT_ONCE = 2  # pictures worked on at the same time, over all people
CROP_PX = 192  # twice what a card shows, for sharp screens
GONE = 499  # the browser went away: nobody reads this answer
SAMPLE = "astronaut.jpg"


def build(shared: Shared) -> None:
    reader = _Reader(shared)
    gr.HTML(
        asset("photo.html").replace("__LARGEST_MB__", str(LARGEST_UPLOAD // 2**20)),
        elem_id="photo",
        apply_default_css=False,
        js_on_load="mtl.photo(element)",
    )
    shared.routes += [
        Route("/mtl/photo", guarded_route(shared, reader.answer), methods=["POST"]),
        Route("/mtl/photo/picture", guarded_route(shared, reader.picture), methods=["POST"]),
        Route("/mtl/sample", guarded_route(shared, _sample), methods=["GET"]),
    ]

    def predict(picture: FileData) -> list[dict[str, Any]]:
        """Find the faces in one picture. Returns a list of one: {"photo", "error", "faces"}."""
        return _predict_upload(shared, picture)

    gr.api(predict, api_name="predict", concurrency_limit=AT_ONCE, concurrency_id="predict")


class _Reader:
    """The routes of the tab."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._free = asyncio.Semaphore(AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """A picture's answer in the parts that the page shows, and the records for CSV and JSON."""
        asked = await _Asked.read(request)
        async with self._free:
            if await request.is_disconnected():  # a newer photo has taken this one's place
                return Response(status_code=GONE)
            return JSONResponse(await asyncio.to_thread(_answer, self._predictor(asked), asked))

    async def picture(self, request: Request) -> Response:
        """The picture with boxes and labels, as a JPEG without EXIF."""
        asked = await _Asked.read(request)
        async with self._free:
            if await request.is_disconnected():
                return Response(status_code=GONE)
            body = await asyncio.to_thread(_annotated, self._predictor(asked), asked)
        name = quote(f"{Path(asked.name).stem}-faces.jpg")
        return Response(
            body, media_type="image/jpeg", headers={"content-disposition": f"attachment; filename*=UTF-8''{name}"}
        )

    def _predictor(self, asked: _Asked) -> Predictor:
        return self._shared.models.get(asked.checkpoint)


class _Asked:
    """A request's picture and what is asked about it."""

    def __init__(self, body: bytes, name: str, checkpoint: str, smallest_face_px: float | None) -> None:
        self.body, self.name = body, name
        self.checkpoint, self.smallest_face_px = checkpoint, smallest_face_px

    @classmethod
    async def read(cls, request: Request) -> _Asked:
        query = request.query_params
        name = os.path.basename(query.get("name", "").replace("\\", "/"))[:200] or "picture"
        return cls(await _body(request), name, query.get("checkpoint", ""), _smallest(query.get("smallest", "")))


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it is too large."""
    too_large = PictureError(
        f"The file is larger than {LARGEST_UPLOAD // 2**20} MB. Expected a photo as cameras make them; save it smaller."
    )
    if int(request.headers.get("content-length") or 0) > LARGEST_UPLOAD:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_UPLOAD:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def _smallest(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value <= 100_000:
        raise UsageError(f"The smallest face is '{text[:20]}'. Expected pixels, such as 20; move the control again.")
    return value


def _answer(predictor: Predictor, asked: _Asked) -> dict[str, Any]:
    photo, rgb = _photo(predictor, asked.body, asked.name, asked.smallest_face_px)
    tasks = predictor.card.tasks
    plain: dict[str, Any] = {
        "error": photo.error,
        "json": records.to_json([photo])[0],
        "csv": records.to_csv([photo], {task.name: task.kind == "years" for task in tasks}),
    }
    if rgb is None:
        return plain
    boxes = [reading.face.box for reading in photo.readings]
    settings = CropSettings(size_px=CROP_PX, grey=False, margin=predictor.card.crop.margin)
    return plain | {
        "faces": len(photo.readings),
        "stage": views.stage(rgb, photo),
        "cards": views.cards(photo, crops.cut(rgb, boxes, settings), predictor.card),
        "table": views.table(photo, predictor.card),
        "smallest": _least_px(predictor.card, photo),
    }


def _photo(
    predictor: Predictor, body: bytes, name: str, smallest_face_px: float | None = None
) -> tuple[records.Photo, np.ndarray | None]:
    """The answer, and the picture unless it cannot be read."""
    try:
        rgb = read_picture(body)
    except MtlError as error:
        return records.Photo(name, error=str(error)), None
    photo = predictor.photo(rgb, name, smallest_face_px=smallest_face_px)
    return photo, None if photo.error else rgb


def _least_px(card: Card, photo: records.Photo) -> int:
    """The smallest face that is looked for unless a person says otherwise, in pixels of this photo."""
    shrunk = max(1.0, max(photo.width, photo.height) / card.detection.size_px)
    return round(card.detection.smallest_face_px * shrunk)


def _annotated(predictor: Predictor, asked: _Asked) -> bytes:
    photo, rgb = _photo(predictor, asked.body, asked.name, asked.smallest_face_px)
    if rgb is None:
        raise PictureError(photo.error or "The picture cannot be read.")
    stream = io.BytesIO()
    drawing.annotate(rgb, photo).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def _predict_upload(shared: Shared, picture: Any) -> list[dict[str, Any]]:
    """The contract's JSON for a file that was uploaded through Gradio; whatever is wrong with it stands inside."""
    given = picture if isinstance(picture, dict) else {}
    path = Path(str(given.get("path") or ""))
    name = os.path.basename(str(given.get("orig_name") or path.name)) or "picture"
    uploads = Path(os.environ[TEMPORARY_VARIABLE]).resolve()
    try:
        if not path.resolve().is_relative_to(uploads) or not path.is_file():  # Gradio itself lets any path through
            raise UsageError("No picture came with the request. Expected one uploaded file; send one.")
        photo, _ = _photo(shared.models.get(), path.read_bytes(), name)
    except Exception as error:
        photo = records.Photo(name, error=sentence_for(error))
    return records.to_json([photo])


def sample_path() -> Path:
    """The sample picture: inside the installed package, or top-level samples/ in a checkout."""
    inside = PACKAGE / "samples" / SAMPLE
    return inside if inside.is_file() else PACKAGE.parent / "samples" / SAMPLE


async def _sample(request: Request) -> Response:
    path = sample_path()
    if not path.is_file():
        raise UsageError(f"The sample picture {SAMPLE} is not there. Install the program again.")
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})
