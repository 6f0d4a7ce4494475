"""The Teach tab: labelled pictures come in, a checkpoint that learned from them goes out.

The page asks for the state every second and gets HTML for the parts of the four steps; where the version that it has
is still the newest, the answer is two words. Everything that changes something is a POST of its own. The steps and
their state are ui/teach/teaching.py and ui/teach/actions.py; jobs.py runs what takes long.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import itertools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mtl_model import crops, jobs
from mtl_model import runs as folders
from mtl_model.card import CropSettings, DetectionSettings
from mtl_model.data import cache
from mtl_model.errors import UsageError
from mtl_model.pictures import turn
from mtl_model.records import FACE
from mtl_model.ui.faces import comparison, face_cards
from mtl_model.ui.faces.requests import Asked, read_whole
from mtl_model.ui.listeners import html
from mtl_model.ui.render import asset, escape
from mtl_model.ui.server import bodies, fields
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import adoption, dataset, picture_views, teaching, uploads
from mtl_model.ui.teach.actions import Steps
from mtl_model.ui.teach.page import Page
from mtl_model.ui.teach.teaching import Run

TITLE = "Teach"
ORDER = 30
PUBLIC = False
AT_ONCE = 2  # pictures decoded at the same time, over all people
THUMBNAIL_PX = 192
CROP_PX = 192
AROUND = 0.3  # of a face's box on each side, which a thumbnail shows too
TEND_SECONDS, SWEEP_EVERY, EXPIRE_EVERY = 3, 20, 200
ACTIONS = ("check", "forecast", "start", "stop", "resume", "reopen", "discard", "corrections")
LARGEST_REQUEST = 100_000  # bytes of a request that says what to do
TOO_LONG = "The request is longer than any that this page sends. Reload the page, then try again."


def _list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(map(fields.is_text, value))


def _settings(value: Any) -> bool:
    return isinstance(value, dict) and all(fields.is_text(name) and fields.is_scalar(value[name]) for name in value)


def _words(value: Any) -> bool:
    return isinstance(value, dict) and all(map(fields.is_text, (*value, *value.values())))


FIELDS: dict[str, tuple[fields.Check, str]] = {
    **dict.fromkeys(
        ("run", "name", "base", "from", "how", "kind", "task", "subject", "harm"), (fields.is_text, "text")
    ),
    **dict.fromkeys(("looked", "undo", "keep", "out"), (lambda value: isinstance(value, bool), "true or false")),
    **dict.fromkeys(("tasks", "classes", "files"), (_list_of_text, "a list of names")),
    **dict.fromkeys(("names", "labels"), (_words, "an object of names")),
    "advanced": (_settings, "an object of settings"),
}
"""Fields of the requests that say what to do; others are scalars. See `fields.read_object`."""

log = logging.getLogger("mtl_model.ui")


def build(shared: Shared) -> None:
    teach = _Teach(shared)
    adoption.adopt(shared.options.runs)
    runs = escape(shared.options.runs.name)  # where it lies stands on the About tab, for those who may know
    html(asset("teach/teach.html").replace("__RUNS__", runs), js="mtl.teach(element)", elem_id="teach")
    posts: dict[str, Callable[[dict[str, Any], str], Any]] = {
        "create": teach.create,
        "look": teach.look,
        "classes": teach.name_classes,
        "settings": teach.settings,
        "change": teach.change,
        "accept": teach.accept,
        "extend": teach.extend,
        **{name: functools.partial(teach.act, name) for name in ACTIONS},
    }
    shared.route("GET", "/mtl/teach/state", teach.state)
    shared.route("GET", "/mtl/teach/pictures", teach.pictures)
    shared.route("GET", "/mtl/teach/picture", teach.picture)
    shared.route("POST", "/mtl/teach/try", teach.try_out)
    for name, action in posts.items():
        shared.route("POST", f"/mtl/teach/{name}", teach.post(action))
    uploads.add_routes(shared)
    threading.Thread(target=_tend, args=(shared.options.runs,), daemon=True).start()


def _tend(runs: Path) -> None:
    """Start what waits and delete what is too old, also while nobody looks."""
    for count in itertools.count():
        try:
            jobs.advance(runs)
            if count % EXPIRE_EVERY == 0:
                uploads.expire(runs)
            if count % SWEEP_EVERY == 0:
                for fault in folders.sweep(runs):
                    log.warning("%s", fault)
        except Exception as error:  # a full disk may have room again later
            log.warning("what is to be taught could not be seen to: %s", error)
        time.sleep(TEND_SECONDS)


class _Teach:
    """The routes of the tab."""

    def __init__(self, shared: Shared) -> None:
        options = shared.options
        self._shared, self._runs, self._weights = shared, options.runs, options.weights
        self._steps = Steps(self._runs, self._weights, options.device)
        self._free = asyncio.Semaphore(AT_ONCE)
        self._page = Page(self._runs, shared.models)

    # -- what is asked for -----------------------------------------------------------------------------------------

    async def state(self, request: Request) -> Response:
        """The parts of the page, unless `version` is still the newest."""
        query = request.query_params
        asked = (query.get("run", ""), query.get("version", ""), query.get("new") == "1")
        return JSONResponse(await asyncio.to_thread(self._page.state, *asked))

    async def pictures(self, request: Request) -> Response:
        """One page of the pictures of a class."""
        query = request.query_params
        page = read_whole(query.get("page", "1"), "page", most=1_000_000)

        def look() -> str:
            run, task = self._run(query.get("run", "")), query.get("task", "")
            guesses = run.forecast.get("guesses", {}).get(task) if run.forecast else None
            return picture_views.browse(dataset.read_labelled(run), task, query.get("class", ""), page, guesses)

        return JSONResponse({"html": await asyncio.to_thread(look)})

    async def picture(self, request: Request) -> Response:
        """A small JPEG of one picture, made here: what a visitor uploaded is never served as it is."""
        run = self._run(request.query_params.get("run", ""))
        path = dataset.picture_path(run, request.query_params.get("file", ""))
        face = bool(request.query_params.get("face")) and run.record.reads == FACE
        async with self._free:
            if await request.is_disconnected():
                return Response(status_code=bodies.GONE)
            body = await asyncio.to_thread(self._thumbnail, path, run.folder / folders.CACHE if face else None)
        return Response(body, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})

    def _thumbnail(self, path: Path, cache_root: Path | None) -> bytes:
        """cache_root: where the check kept what it saw; then the face alone is shown, if there is one."""
        rgb = self._shared.decoders.read(path.read_bytes())
        faces = cache.known_faces(path, DetectionSettings(), cache_root) if cache_root else ()
        if face := crops.main_face(faces, rgb.shape[1], rgb.shape[0]):
            rgb = crops.cut(rgb, [face], CropSettings(size_px=THUMBNAIL_PX, margin=AROUND))[0]
        return face_cards.jpeg(rgb, THUMBNAIL_PX, 85)

    async def try_out(self, request: Request) -> Response:
        """A photo's cards with what the checkpoint to start from and the one that waits say of the same faces."""
        run = self._run(request.query_params.get("run", ""))
        asked = await Asked.read(request)
        async with self._free:
            return JSONResponse(await asyncio.to_thread(self._compare, run, asked))

    def _compare(self, run: Run, asked: Asked) -> dict[str, Any]:
        rgb = self._shared.decoders.read(asked.body)
        parent = run.record.as_learned().parent
        after = self._shared.models.waiting(run.folder)
        photo = after.photo(rgb, asked.name)
        rgb = turn(rgb, photo.turned)
        as_seen = dataclasses.replace(after.card.crop, size_px=CROP_PX)
        cut = crops.cut(rgb, [reading.face for reading in photo.readings], as_seen)
        faces = face_cards.faces_text(photo)
        if not self._shared.models.card(parent).tasks:  # it says nothing to compare with
            return {"html": face_cards.cards(photo, cut, after.card), "said": f"{faces}."}
        before = self._shared.models.get(parent)
        sides = (
            comparison.Side(parent, before.card, tuple(before.read(rgb, [one.face for one in photo.readings]))),
            comparison.Side(run.name, after.card, photo.readings),
        )
        return {
            "html": comparison.cards(photo, cut, sides, place="try-"),
            "said": f"{faces}. {comparison.note(sides)}".strip(),
        }

    # -- what is done ----------------------------------------------------------------------------------------------

    def post(self, action: Callable[[dict[str, Any], str], Any]) -> Callable[[Request], Any]:
        """A route that takes a small JSON object and answers with what the action returns."""

        async def endpoint(request: Request) -> Response:
            body = await bodies.whole(request, LARGEST_REQUEST, UsageError(TOO_LONG))
            given = fields.read_object(body, FIELDS)
            user = self._shared.user_of(request) or ""
            return JSONResponse(await asyncio.to_thread(action, given, user) or {})

        return endpoint

    def _run(self, name: Any) -> Run:
        return teaching.read_run(self._runs, str(name))

    def create(self, given: dict[str, Any], user: str) -> dict[str, Any]:
        name = str(given.get("name") or "").strip() or self._steps.suggest(str(given.get("base") or ""))
        parent = str(given.get("from") or self._shared.models.default)
        return {"run": self._steps.create(name, user, parent).name}

    def look(self, given: dict[str, Any], user: str) -> None:
        self._steps.look(self._run(given.get("run")))

    def name_classes(self, given: dict[str, Any], user: str) -> None:
        self._steps.name_classes(self._run(given.get("run")), given.get("task", ""), given.get("classes", []))

    def settings(self, given: dict[str, Any], user: str) -> None:
        self._steps.choose(self._run(given.get("run")), given)

    def change(self, given: dict[str, Any], user: str) -> dict[str, Any]:
        return {"said": self._steps.change(self._run(given.get("run")), given)}

    def accept(self, given: dict[str, Any], user: str) -> None:
        self._steps.accept(self._run(given.get("run")), keep=given.get("keep") is True)
        self._shared.models.refresh()

    def extend(self, given: dict[str, Any], user: str) -> dict[str, Any]:
        run = self._steps.extend(self._run(given.get("run")), user)
        self._steps.look(self._run(run.name))
        return {"run": run.name}

    def act(self, name: str, given: dict[str, Any], user: str) -> None:
        getattr(self._steps, name)(self._run(given.get("run")))
