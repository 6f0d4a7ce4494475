"""This is wrong: the form on a card, and the routes that keep a face with its right answers, or take it back.

The picture comes again with the answers, since the server has forgotten it; only the face and some of what is around it
is kept, without EXIF.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mtl_model import crops, kinds
from mtl_model.data import corrections
from mtl_model.errors import CheckpointError, UsageError
from mtl_model.pictures import turn
from mtl_model.records import Box
from mtl_model.tasks import Task
from mtl_model.ui.faces.requests import Asked, read_box
from mtl_model.ui.render import render
from mtl_model.ui.server import fields
from mtl_model.ui.shared import Shared

MARGIN = 0.6
"""Of the face's size, kept on each side of it."""
LONGEST_PX = 1024
AT_ONCE = 2


def add_routes(shared: Shared) -> None:
    free = asyncio.Semaphore(AT_ONCE)
    runs = shared.options.runs

    async def add(request: Request) -> Response:
        """Keep one face of the picture with its right answers. Returns how it is taken back, and how many are kept."""
        asked, query = await Asked.read(request), request.query_params
        box, given = read_box(query.get("box", "")), _given(query.get("right", ""))
        async with free:
            return JSONResponse(await asyncio.to_thread(_keep, shared, asked, box, given))

    async def remove(request: Request) -> Response:
        await asyncio.to_thread(corrections.remove, runs, request.query_params.get("saved", ""))
        return JSONResponse({"count": await asyncio.to_thread(corrections.count, runs)})

    shared.route("POST", "/mtl/corrections/add", add)
    shared.route("POST", "/mtl/corrections/remove", remove)


def _keep(shared: Shared, asked: Asked, box: Box, given: Mapping[str, str]) -> dict[str, Any]:
    tasks: list[Task] = []
    if asked.compare:
        with contextlib.suppress(CheckpointError):  # gone meanwhile: the cards then show the other one alone
            tasks += shared.models.card(asked.compare).tasks
    tasks += shared.models.card(asked.checkpoint).tasks
    labels = corrections.read_labels(tasks, given)
    saved = corrections.add(
        shared.options.runs, generous(turn(shared.decoders.read(asked.body), asked.turned), box), labels
    )
    return {"saved": saved, "count": corrections.count(shared.options.runs)}


def _given(text: str) -> dict[str, str]:
    """{task: right answer} from JSON."""
    with contextlib.suppress(UsageError):
        given = fields.read_object(text[:10_000], {})
        if all(isinstance(answer, str) for answer in given.values()):
            return given
    raise UsageError('The right answers are not readable. Expected {"task": "answer"}; load the page anew.')


def generous(rgb: np.ndarray, box: Box) -> np.ndarray:
    """The face with so much around it that the detector finds it again; pixel for pixel, unless it is very large."""
    left, top, right, bottom = (round(edge) for edge in crops.square(box, MARGIN))
    around = rgb[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if around.size == 0:
        raise UsageError(f"The face at {box} is not in the picture. Expected a place inside it; load the page anew.")
    image = Image.fromarray(around)
    image.thumbnail((LONGEST_PX, LONGEST_PX))
    return np.asarray(image)


def form(tasks: Sequence[Task]) -> Markup:
    """Return the form that asks for the right answer to each task. Nothing is filled in: a label is only what a person says."""
    asked = [(task, kinds.of(task)) for task in kinds.shown(tasks)]
    return render("faces/correct.html", tasks=[(task, kind) for task, kind in asked if kind.correctable])
