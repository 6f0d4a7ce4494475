"""The frame of the page: the head, the checkpoint picker, the tabs, the theme, the errors, and the server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

import gradio as gr
from fastapi import FastAPI
from gradio import processing_utils, route_utils
from gradio.exceptions import ServerFailedToStartError
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mtl_model import registry
from mtl_model.decoding import Decoders
from mtl_model.errors import MtlError, UsageError, is_disk
from mtl_model.pictures import prepare as prepare_pictures
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.listeners import Events, sentence_for
from mtl_model.ui.server import bodies
from mtl_model.ui.server.bodies import LARGEST_UPLOAD
from mtl_model.ui.server.environment import (
    KEPT_SECONDS,
    LOOPBACK,
    TEMPORARY_VARIABLE,
    TEND_SECONDS,
    is_upload,
    tend,
)
from mtl_model.ui.server.gate import ANY_ADDRESS, Access, Gate
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.server.paths import hide_in
from mtl_model.ui.theme import THEME

TITLE = "Faces: apparent age, gender and smile"
NOTICE = (
    "Apparent age, gender and smile are estimates by AI and often wrong. "
    "Tell the people shown; decide nothing about anyone by it."
)
FETCHED = "The file is an address on the web, and nothing is fetched from there. Expected an uploaded file; send one."
NOT_UPLOADED = "No picture came with the request. Expected one uploaded file; send one."
TABS = "ui/tabs"
SCRIPTS = (
    "page/page.js",
    "page/tabs.js",
    "page/ask.js",
    "page/picker.js",
    "faces/faces.js",
    "faces/labels.js",
    "webcam/camera.js",
    "photo/photo_view.js",
    "faces/corrections.js",
    "photo/photo.js",
    "page/morph.js",
    "teach/teach_upload.js",
    "teach/teach.js",
    "checkpoints/models.js",
    "checkpoints/about.js",
)
"""In this order; what a script takes from another is looked up only when the page is there."""
STYLES = ("page/page.css", "page/frame.css", "faces/cards.css", "checkpoints/models.css", "teach/teach.css")
STATIC = Path(__file__).parent / "static"

log = logging.getLogger("mtl_model.ui")


@dataclass
class Shared:
    """What the shell gives to each tab.

    What the pickers above the tabs say is `mtl.checkpoint` and `mtl.compare` in the browser, and a change is the event
    "mtl:checkpoint" of the document. routes: a tab adds its own Routes and WebSocketRoutes here while it is built;
    they pass the check of Host and Origin as everything does, and ask `user_of` who is there (None: nobody may).
    decoders: what reads the pictures of all tabs, in processes that can be ended. events: makes every listener.
    """

    options: UiOptions
    models: Models
    access: Access
    routes: list[BaseRoute] = field(default_factory=list)
    decoders: Decoders = field(default_factory=Decoders)
    events: Events = field(init=False)

    def __post_init__(self) -> None:
        self.events = Events(self.access)

    def user_of(self, connection: HTTPConnection) -> str | None:
        return self.access.user_of(connection)


def asset(name: str) -> str:
    """The text of a file in static/."""
    return (STATIC / name).read_text(encoding="utf-8")


Endpoint = Callable[[Request], Awaitable[Response]]


def guarded_route(shared: Shared, endpoint: Endpoint) -> Endpoint:
    """An own route that only those who may can ask, and whose errors come back as {"error": sentence, "code": see `errors`}."""

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


def load_tabs(public_only: bool = False) -> list[Any]:
    """The modules of ui/tabs in the order in which they are shown; public_only: those that strangers may use."""
    tabs = [registry.load(TABS, name) for name in registry.names(TABS)]
    return sorted((tab for tab in tabs if not public_only or getattr(tab, "PUBLIC", False)), key=lambda tab: tab.ORDER)


def build(options: UiOptions, models: Models) -> tuple[gr.Blocks, Shared]:
    """The whole page, not yet served."""
    with gr.Blocks(
        analytics_enabled=False, title=TITLE, fill_width=True, delete_cache=(TEND_SECONDS, KEPT_SECONDS)
    ) as blocks:
        with gr.Row(elem_id="head", equal_height=True):
            gr.HTML(asset("page/brand.html"), elem_id="brand")
            gr.HTML(
                asset("page/pickers.html"),
                elem_id="pickers",
                apply_default_css=False,
                js_on_load="mtl.pickers(element)",
            )
        shared = Shared(options, models, Access(options))
        shared.routes += [*shared.access.routes(), _names(shared)]
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            for tab in load_tabs(options.read_only):
                key = tab.TITLE.lower()  # by it the scripts know a tab, and by its address
                with gr.Tab(tab.TITLE, id=key, elem_id=f"tab-{key}"):
                    tab.build(shared)
        gr.HTML(f'<p class="notice">{NOTICE}</p>', elem_id="notice")
    return blocks, shared


def _names(shared: Shared) -> Route:
    """What the pickers offer. They ask again whenever the checkpoints may have changed."""

    async def names(request: Request) -> Response:
        await asyncio.to_thread(shared.models.refresh)
        answer = {"names": shared.models.names(), "default": shared.models.default}
        return JSONResponse(answer | {"user": shared.user_of(request) if shared.options.auth else ""})

    return Route("/mtl/models/names", guarded_route(shared, names), methods=["GET"])


def head(models: Models, root_path: str = "") -> str:
    """What every page carries in its head: the style, and the few lines that all tabs share.

    root_path: the page's files are asked for below it, so its address needs the slash at the end."""
    root = json.dumps(root_path.rstrip("/"), allow_nan=False).replace("<", "\\u003c")
    whole = f"{root} + '/' + location.search + location.hash"
    slash = f"if (location.pathname === {root}) location.replace({whole});" if root_path else ""
    default = json.dumps(models.default, allow_nan=False).replace("<", "\\u003c")
    script = "".join(asset(name) for name in SCRIPTS).replace("__DEFAULT_CHECKPOINT__", default)
    icon = quote(asset("page/icon.svg").strip())
    return (
        f"<script>{slash}</script>"
        f'<link rel="icon" type="image/svg+xml" href="data:image/svg+xml,{icon}">'
        f"<style>{''.join(map(asset, STYLES))}</style><script>{script}</script>"
    )


def stay_inside() -> None:
    """Keep gradio from fetching an address that a visitor gives in place of a file, and from deleting other files.

    Every road to an address goes through the first two. The third sees each path that a visitor names; gradio deletes
    later whatever it has let pass.
    """

    async def refuse(*arguments: Any, **more: Any) -> NoReturn:
        raise gr.Error(FETCHED, print_exception=False)

    for name in ("get", "async_validate_url"):
        setattr(route_utils.safehttpx, name, refuse)

    def check(path: str | Path, check_in_upload_folder: bool) -> None:
        if check_in_upload_folder and not is_upload(Path(path)):
            raise gr.Error(NOT_UPLOADED, print_exception=False)
        check_allowed(path, check_in_upload_folder)

    check_allowed = processing_utils._check_allowed
    processing_utils._check_allowed = check


def start(blocks: gr.Blocks, shared: Shared) -> None:
    """Serve the page in a thread of its own and come back."""
    stay_inside()
    shared.decoders.begin()
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # else uvicorn believes every proxy on this machine; the gate decides
    options = shared.options
    secure = options.ssl_certfile is not None

    @contextlib.asynccontextmanager
    async def gated(app: FastAPI) -> AsyncIterator[None]:
        """Put the gate around everything: what gradio puts around an app answers some requests by itself."""
        app.middleware_stack = Gate(app.build_middleware_stack(), shared.access)
        yield

    blocks.queue(default_concurrency_limit=2, max_size=64)
    shared.access.starting = True
    launch = functools.partial(
        blocks.launch,
        server_name=_bracketed(options.host),
        server_port=options.port,
        root_path=options.root_path,
        ssl_certfile=str(options.ssl_certfile) if secure else None,
        ssl_keyfile=str(options.ssl_keyfile) if secure else None,
        ssl_verify=False,  # only of gradio's own look at whether it is up
        theme=THEME,
        head=head(shared.models, options.root_path),
        footer_links=[],
        share=False,
        pwa=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        quiet=True,
        inbrowser=False,
        prevent_thread_lock=True,
        max_file_size=LARGEST_UPLOAD,
        app_kwargs={
            "openapi_url": None,
            "routes": shared.routes,
            "lifespan": gated,
        },
    )
    try:
        launch()
    except (
        OSError,
        ValueError,
        ServerFailedToStartError,
    ) as error:  # what it says advises to share the page with others
        log.debug("the server did not come up", exc_info=error)
        raise UsageError(
            f"The page did not come up at {address(options)}. Expected an address at which this machine reaches itself; check "
            "--host, --root-path and the proxy settings of the environment."
        ) from None
    assert isinstance(blocks.app.middleware_stack, Gate)
    shared.access.starting = False
    threading.Thread(target=tend, args=(Path(os.environ[TEMPORARY_VARIABLE]),), daemon=True).start()


def address(options: UiOptions) -> str:
    """Where a person opens the page on this machine."""
    host = "localhost" if options.host in ANY_ADDRESS else _bracketed(options.host)
    return f"http{'s' if options.ssl_certfile else ''}://{host}:{options.port}"


def _bracketed(host: str) -> str:
    """An IPv6 address as it stands in an address of a page."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def warnings(options: UiOptions) -> list[str]:
    """What it means that others than the person at this machine reach the page."""
    if options.host in LOOPBACK or options.host.startswith("127."):
        return []
    if options.auth is None and not options.read_only:
        return [
            f"Anybody who reaches port {options.port} of this machine can teach, accept and delete here: add --auth FILE "
            "to ask for a name and a password, or --read-only to show strangers the photo, the webcam and About alone."
        ]
    if options.auth is not None and not (options.ssl_certfile or options.root_path):
        return [
            "Names and passwords can be read on their way over http: add --ssl-certfile and --ssl-keyfile, or serve it "
            "behind a proxy that speaks https."
        ]
    return []


def import_all() -> None:
    """Import, while there is one thread, all that a request may need later.

    Two threads that import modules which import one another, as torchvision's do, see each other's half-made modules:
    the page then ended with an ImportError before it was up, one time in five on a busy machine.
    """
    for folder in ("detectors", "layouts", "networks"):
        for name in registry.names(folder):
            registry.load(folder, name)
    import scipy.io  # noqa: F401 - one of the layouts does when it reads

    with contextlib.suppress(ImportError):  # gradio does at its first event
        import matplotlib.backends.backend_agg
        import matplotlib.pyplot  # noqa: F401
    prepare_pictures()


def serve(options: UiOptions) -> int:
    """Build the page, serve it, and wait until it is told to end. Returns the exit code."""
    import_all()
    models = Models(options)
    models.get()  # a checkpoint that cannot be loaded is said before the page opens
    blocks, shared = build(options, models)
    start(blocks, shared)
    print("\n".join((f"The page is at {address(options)}", *warnings(options), "Press Ctrl+C to end.")), flush=True)
    signal.signal(signal.SIGTERM, _interrupt)
    blocks.block_thread()
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
