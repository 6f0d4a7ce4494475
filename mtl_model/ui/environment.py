"""What has to stand before gradio is imported: the variables that it reads, a free port, a folder for what comes in."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

from mtl_model.errors import UsageError
from mtl_model.ui.options import HOST, HOST_VARIABLE, PORT_VARIABLE, UiOptions

TEMPORARY_VARIABLE = "GRADIO_TEMP_DIR"
OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # gradio compares with the exact text "True": version check and telemetry
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_SHARE": "False",
}
STARTING_SECONDS = 600  # a server that is still starting does not listen yet
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def prepare(options: UiOptions) -> UiOptions:
    """Set the environment, empty the folder of uploads. Returns the options with the port settled.

    Raises: UsageError if the port is taken, or the host is no address of this machine.
    """
    os.environ.update(OFFLINE)
    # gradio asks its own server once at the start; a proxy of the environment must not see that
    for variable in ("NO_PROXY", "no_proxy"):
        os.environ[variable] = ",".join(filter(None, (os.environ.get(variable), *LOOPBACK, options.host)))
    options = dataclasses.replace(options, port=claim_port(options.host, options.port))
    os.environ[HOST_VARIABLE], os.environ[PORT_VARIABLE] = options.host, str(options.port)
    os.environ[TEMPORARY_VARIABLE] = str(empty_folder(options.port))
    return options


def leave() -> None:
    """Delete what came in while the page was served."""
    shutil.rmtree(os.environ[TEMPORARY_VARIABLE], ignore_errors=True)


def claim_port(host: str, port: int) -> int:
    """The port itself if it is free (0: any free one). Raises UsageError naming a free one if it is taken."""
    try:
        return _bind(host, port)
    except OSError as error:
        near = _free_port_near(host, port)
        if near is None:
            raise UsageError(
                f"This machine cannot listen on '{host}' ({error.strerror or error}). Expected an address of this "
                "machine, such as 127.0.0.1, or 0.0.0.0 for all; change --host."
            ) from None
        why = "may not be used without more rights" if isinstance(error, PermissionError) else "is taken"
        raise UsageError(
            f"Port {port} {why}. Expected a free port, and {near} is one: add --port {near}, or end the program that "
            f"listens on {port}."
        ) from None


def _free_port_near(host: str, port: int) -> int | None:
    for candidate in (*range(port + 1, min(port + 101, 65536)), 0):
        try:
            return _bind(host, candidate)
        except OSError:
            continue
    return None


def _bind(host: str, port: int) -> int:
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name != "nt":  # there it would let two programs share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        return probe.getsockname()[1]


def empty_folder(port: int) -> Path:
    """A private, empty folder for what gradio has to write: the same one at each start on a port, so that what a
    killed server left is gone with the next one."""
    parent = Path(os.environ.get(TEMPORARY_VARIABLE) or tempfile.gettempdir())
    folder = parent / f"mtl_model-{port}"
    _sweep(parent)
    try:
        if _is_ours(folder):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
    except OSError:  # another user's, or a link: never follow it
        return Path(tempfile.mkdtemp(prefix=f"mtl_model-{port}-", dir=parent))
    return folder


def _sweep(parent: Path) -> None:
    """Delete what killed servers on other ports left: folders of ours whose port nobody listens on."""
    for folder in parent.glob("mtl_model-*"):
        port = folder.name.removeprefix("mtl_model-")
        try:
            old = time.time() - folder.lstat().st_mtime > STARTING_SECONDS
            if old and port.isdigit() and _is_ours(folder) and _bind(HOST, int(port)):
                shutil.rmtree(folder)
        except (OSError, OverflowError):
            continue


def _is_ours(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
