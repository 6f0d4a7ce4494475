"""The Photo tab: a picture comes in, a card a face comes out. The endpoint `predict` of the API lives here too.

A picture is sent to an own route as the body of a request, answered from memory, and forgotten: it never touches the
disk, and a download is made by sending the picture again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from gradio import FileData
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from mtl_model import answers, crops, drawing, records, search, wording
from mtl_model.card import Card
from mtl_model.decoding import Decoders
from mtl_model.errors import MtlError, PictureError, UsageError
from mtl_model.pictures import turn
from mtl_model.predictor import Predictor
from mtl_model.ui import programs
from mtl_model.ui.checkpoints.trial import SAMPLE, sample_path
from mtl_model.ui.faces import comparison, correcting, face_cards
from mtl_model.ui.faces.requests import Asked, answered
from mtl_model.ui.listeners import html, sentence_for
from mtl_model.ui.render import asset
from mtl_model.ui.server.bodies import GONE, LARGEST_UPLOAD
from mtl_model.ui.server.environment import NOT_UPLOADED, is_upload
from mtl_model.ui.server.paths import hide_paths
from mtl_model.ui.shared import Shared

TILES = 0.12  # of the time of a search, for as many pixels again in tiles: 12 megapixels took 12 s after 5.6
TITLE = "Photo"
ORDER = 10
PUBLIC = True
AT_ONCE = 2  # pictures worked on at the same time, over all people
CROP_PX = 192  # twice what a card shows, for sharp screens


def build(shared: Shared) -> None:
    reader = _Reader(shared)
    page = asset("photo/photo.html").replace("__LARGEST_MB__", str(LARGEST_UPLOAD // 2**20))
    html(page, js="mtl.photo(element)", elem_id="photo")
    shared.route("POST", "/mtl/photo", reader.answer)
    shared.route("POST", "/mtl/photo/picture", reader.picture)
    shared.route("GET", "/mtl/sample", _sample)
    programs.add_routes(shared)
    if not shared.options.read_only:
        correcting.add_routes(shared)

    def predict(picture: FileData) -> list[dict[str, Any]]:
        """Find the faces in one picture. Returns a list of one: {"photo", "error", "faces"}."""
        return _predict_upload(shared, picture)

    shared.events.public(predict, concurrency_limit=AT_ONCE, concurrency_id="predict")


class _Reader:
    """The routes of the tab."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._free = asyncio.Semaphore(AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """A picture's answer in the parts that the page shows, and the records for CSV and JSON."""
        asked = await Asked.read(request)
        async with self._free:
            if await request.is_disconnected():  # a newer photo has taken this one's place
                return Response(status_code=GONE)
            return JSONResponse(await answered(request, asked, self._answer))

    async def picture(self, request: Request) -> Response:
        """The picture with boxes and labels, as a JPEG without EXIF."""
        asked = await Asked.read(request)
        async with self._free:
            if await request.is_disconnected():
                return Response(status_code=GONE)
            body = await answered(request, asked, self._annotated)
        name = quote(f"{Path(asked.name).stem}-{self._shared.models.card(asked.checkpoint).subject}s.jpg")
        return Response(
            body, media_type="image/jpeg", headers={"content-disposition": f"attachment; filename*=UTF-8''{name}"}
        )

    def _answer(self, asked: Asked) -> dict[str, Any]:
        predictor, began = self._predictor(asked), time.perf_counter()
        photo, rgb = _photo(self._shared.decoders, predictor, asked)
        tasks, correctable = predictor.card.tasks, not self._shared.options.read_only
        records_only: dict[str, Any] = {
            "error": photo.error,
            "json": records.to_json([photo])[0],
            "csv": answers.to_csv([photo], tasks),
        }
        if rgb is None:
            return records_only
        as_seen = dataclasses.replace(predictor.card.crop, size_px=CROP_PX)
        shown = crops.cut(rgb, [reading.face for reading in photo.readings], as_seen)
        by_itself = photo.turned and asked.by_hand.turned is None
        turned = wording.text("picture_turned", {"degrees": photo.turned}) if by_itself else ""
        first = comparison.Side(predictor.name, predictor.card, photo.readings)
        second, note = self._second(asked, first, rgb)
        sides = (first, second) if second else None
        return records_only | {
            "faces": len(photo.readings),
            "stage": face_cards.stage(rgb, photo),
            "note": " ".join(filter(None, [turned, comparison.note(sides) if sides else note])),
            "cards": comparison.cards(photo, shown, sides, correctable)
            if sides
            else face_cards.cards(photo, shown, predictor.card, correctable),
            "table": comparison.table(photo, sides) if sides else face_cards.table(photo, predictor.card),
            "form": correcting.form(comparison.tasks(sides or [first])) if correctable else "",
            "subject": photo.subject,
            "smallest": None if predictor.card.reads_whole else _least_px(predictor.card, photo),
            "smaller": self._smaller(asked, predictor.card, photo, time.perf_counter() - began),
        }

    def _smaller(self, asked: Asked, card: Card, photo: records.Photo, seconds: float) -> dict[str, int] | None:
        """What was not looked for in a large photo: faces below so many px, how small they can be, the seconds it takes."""
        least, below = card.detection.smallest_face_px, _least_px(card, photo)
        if card.reads_whole or asked.smallest_face_px is not None or below <= least:
            return None
        return {"below": below, "px": least, "seconds": max(1, round(seconds * (1 + TILES * (below / least) ** 2)))}

    def _second(self, asked: Asked, first: comparison.Side, rgb: np.ndarray) -> tuple[comparison.Side | None, str]:
        """What the checkpoint to compare with says of the faces that the first one found, or why there is none."""
        if not asked.compare:
            return None, ""
        try:
            other = self._shared.models.get(asked.compare)
            if other.name == first.name:
                return None, f"{first.name} is compared with itself. Choose another checkpoint to compare with."
            comparison.expect_alike(first, other.name, other.card)
            readings = other.read(rgb, [reading.face for reading in first.readings])
        except MtlError as error:
            return None, f"Nothing is compared. {error}"
        return comparison.Side(other.name, other.card, tuple(readings)), ""

    def _annotated(self, asked: Asked) -> bytes:
        photo, rgb = _photo(self._shared.decoders, self._predictor(asked), asked)
        if rgb is None:
            raise PictureError(photo.error or "The picture cannot be read.")
        stream = io.BytesIO()
        drawing.annotate(rgb, photo).save(stream, "JPEG", quality=92)
        return stream.getvalue()

    def _predictor(self, asked: Asked) -> Predictor:
        return self._shared.models.get(asked.checkpoint)


def _photo(decoders: Decoders, predictor: Predictor, asked: Asked) -> tuple[records.Photo, np.ndarray | None]:
    """The answer, and the picture as the answer turned it, unless it cannot be read."""
    try:
        rgb = decoders.read(asked.body, stop=asked.stop)
    except MtlError as error:
        return records.Photo(asked.name, error=str(error)), None
    photo = predictor.photo(rgb, asked.name, smallest_face_px=asked.smallest_face_px, by_hand=asked.by_hand)
    return photo, None if photo.error else turn(rgb, photo.turned)


def _least_px(card: Card, photo: records.Photo) -> int:
    """The smallest face that is looked for unless a person says otherwise, in pixels of this photo."""
    return round(search.least_px(photo.width, photo.height, card.detection))


def _predict_upload(shared: Shared, picture: Any) -> list[dict[str, Any]]:
    """The contract's JSON for a file that was uploaded through Gradio; whatever is wrong with it stands inside."""
    given = picture if isinstance(picture, dict) else {}
    path = Path(str(given.get("path") or ""))
    name = os.path.basename(str(given.get("orig_name") or path.name)) or "picture"
    name = name.encode("utf-8", "replace").decode()  # JSON can hold half a letter
    try:
        if not is_upload(path):  # Gradio itself lets any path through
            raise UsageError(NOT_UPLOADED)
        photo, _ = _photo(shared.decoders, shared.models.get(), Asked(path.read_bytes(), name, "", "", None))
    except Exception as error:
        photo = records.Photo(name, error=hide_paths(sentence_for(error), shared.access.folders))
    return records.to_json([photo])


async def _sample(request: Request) -> Response:
    path = sample_path()
    if not path.is_file():
        raise UsageError(f"The sample picture {SAMPLE} is not there. Install the program again.")
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "max-age=3600"})
