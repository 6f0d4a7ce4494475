"""The server of the page: started, held to what this program means to serve, and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, NoReturn

import gradio as gr
from fastapi import FastAPI
from gradio import processing_utils, route_utils
from gradio.exceptions import ServerFailedToStartError

from mtl_model import registry
from mtl_model.errors import UsageError
from mtl_model.pictures import prepare as prepare_pictures
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server.bodies import LARGEST_UPLOAD
from mtl_model.ui.server.environment import LOOPBACK, NOT_UPLOADED, TEMPORARY_VARIABLE, is_upload, tend
from mtl_model.ui.server.gate import ANY_ADDRESS, Gate
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.shell import build, head
from mtl_model.ui.theme import THEME

FETCHED = "The file is an address on the web, and nothing is fetched from there. Expected an uploaded file; send one."
SWITCHED_OFF: Mapping[str, Any] = MappingProxyType(
    {
        **dict.fromkeys(("share", "pwa", "ssr_mode", "mcp_server", "run_history", "enable_monitoring"), False),
        **dict.fromkeys(("show_error", "inbrowser"), False),
        "ssl_verify": False,  # only of gradio's own look at whether it is up
        "footer_links": [],
        "quiet": True,
    }
)
"""What of Gradio is not wanted here."""

log = logging.getLogger("mtl_model.ui")


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
    shared.access.starting = True
    blocks.queue(default_concurrency_limit=2, max_size=64)
    try:
        _launch(blocks, shared)
    except (
        OSError,
        ValueError,
        ServerFailedToStartError,
    ) as error:  # what it says advises to share the page with others
        log.debug("the server did not come up", exc_info=error)
        raise UsageError(
            f"The page did not come up at {address(shared.options)}. Expected an address at which this machine reaches itself; "
            "check --host, --root-path and the proxy settings of the environment."
        ) from None
    assert isinstance(blocks.app.middleware_stack, Gate)
    shared.access.starting = False
    threading.Thread(target=tend, args=(Path(os.environ[TEMPORARY_VARIABLE]),), daemon=True).start()


def _launch(blocks: gr.Blocks, shared: Shared) -> None:
    options = shared.options

    @contextlib.asynccontextmanager
    async def gated(app: FastAPI) -> AsyncIterator[None]:
        """Put the gate around everything: what gradio puts around an app answers some requests by itself."""
        app.middleware_stack = Gate(app.build_middleware_stack(), shared.access)
        yield

    blocks.launch(
        server_name=_bracketed(options.host),
        server_port=options.port,
        root_path=options.root_path,
        ssl_certfile=str(options.ssl_certfile) if options.ssl_certfile else None,
        ssl_keyfile=str(options.ssl_keyfile) if options.ssl_certfile else None,
        theme=THEME,
        head=head(shared.models, options.root_path),
        prevent_thread_lock=True,
        max_file_size=LARGEST_UPLOAD,
        app_kwargs={"openapi_url": None, "routes": shared.routes, "lifespan": gated},
        **SWITCHED_OFF,
    )


def address(options: UiOptions) -> str:
    """Return where a person opens the page on this machine."""
    host = "localhost" if options.host in ANY_ADDRESS else _bracketed(options.host)
    return f"http{'s' if options.ssl_certfile else ''}://{host}:{options.port}"


def _bracketed(host: str) -> str:
    """Return a host as it stands in an address of a page: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def warnings(options: UiOptions) -> list[str]:
    """Return what it means that others than the person at this machine reach the page."""
    if options.host in LOOPBACK or options.host.startswith("127."):
        return []
    if options.auth is None and not options.read_only:
        return [
            f"Anybody who reaches port {options.port} of this machine can teach, accept and delete here: add --auth FILE "
            "to ask for a name and a password, or --read-only to show strangers Photo, Webcam, Systems and About alone."
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
