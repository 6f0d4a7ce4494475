"""What has to stand before gradio is imported: the variables that it reads, a free port, a folder for what comes in."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from mtl_model.errors import UsageError
from mtl_model.ui.server.options import HOST_VARIABLE, PORT_VARIABLE, UiOptions

TEMPORARY_VARIABLE = "GRADIO_TEMP_DIR"
OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # gradio compares with the exact text "True": version check and telemetry
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_SHARE": "False",
}
STARTING_SECONDS = 600  # a server that is just starting may not hold its folder yet
KEPT_SECONDS, TEND_SECONDS = 300, 60
LONGEST_SECONDS = KEPT_SECONDS + TEND_SECONDS  # the 6 minutes that the About tab names
NAME, LOCK, UPLOADS = "mtl_model-", ".lock", "uploads"
"""Of a server's folder, and in it its lock and the folder that gradio may clear: a visitor can name what lies there."""
HASH = re.compile("[0-9a-f]{64}")  # gradio's upload names a folder by the hash of the file in it
LEAST_BYTES = 2**16  # as which a smaller file counts: a million empty ones fill a disk too
NOT_UPLOADED = "No picture came with the request. Expected one uploaded file; send one."
_held: list[FileLock] = []
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
    uploads, lock = empty_folder(options.host, options.port)
    _held.append(lock)  # until the process ends: a lock that nobody knows of is released
    os.environ[TEMPORARY_VARIABLE] = str(uploads)
    return options


def leave() -> None:
    """Delete what came in while the page was served."""
    while _held:
        _held.pop().release()
    uploads = uploads_folder()
    shutil.rmtree(uploads.parent if _is_around(uploads) else uploads, ignore_errors=True)


def uploads_folder() -> Path:
    """Return the folder in which gradio keeps what was uploaded through its own interface."""
    return Path(os.environ.get(TEMPORARY_VARIABLE) or Path(tempfile.gettempdir()) / "gradio")  # its own choice


def is_upload(path: Path) -> bool:
    """Tell whether a path that a visitor names is a file as gradio's upload leaves it: no link, lock or folder."""
    try:
        uploads = uploads_folder()
        return (
            path.parent.parent in (uploads.absolute(), uploads.resolve())
            and HASH.fullmatch(path.parent.name) is not None
            and path.name not in ("", ".", "..", LOCK)
            and stat.S_ISDIR(path.parent.lstat().st_mode)
            and stat.S_ISREG(path.lstat().st_mode)
        )
    except (OSError, ValueError):  # not there, a name too long, or with a zero in it
        return False


def measure_folder() -> int:
    """Return the bytes of all that lies in the folder of uploads; a small file counts as LEAST_BYTES."""
    paths = (Path(where) / name for where, _, names in os.walk(uploads_folder()) for name in names)
    return sum(max(_size_bytes(path), LEAST_BYTES) for path in paths)


def make_private(uploads: Path) -> None:
    """Make the folder of uploads and the one around it, for this user alone, where they have gone. Raises OSError."""
    around = [uploads.parent] if _is_around(uploads) else []
    (*around, uploads)[0].parent.mkdir(parents=True, exist_ok=True)
    for folder in (*around, uploads):
        folder.mkdir(mode=0o700, exist_ok=True)
        if _is_ours(folder) and stat.S_IMODE(folder.lstat().st_mode) & 0o077:
            folder.chmod(0o700)


def _is_around(uploads: Path) -> bool:
    """Tell whether the folder around it is the one that `empty_folder` makes."""
    return uploads.name == UPLOADS and uploads.parent.name.startswith(NAME)


def tend(folder: Path) -> None:
    """See to it for ever that nothing lies longer in the folder than is said, also what broke off while it came in."""
    while True:
        delete_old(folder)
        with contextlib.suppress(OSError):
            make_private(folder)
            os.utime(folder.parent / LOCK)  # what clears the machine's temporary files goes by their age
        time.sleep(TEND_SECONDS)


def delete_old(folder: Path) -> None:
    """Delete the files of the folder that are too old, and folders in it that are empty."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(where) / name
            if _age_seconds(path) > KEPT_SECONDS:
                with contextlib.suppress(OSError):
                    path.unlink()
        if Path(where) != folder and _age_seconds(Path(where)) > KEPT_SECONDS:
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(where)


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


def empty_folder(host: str, port: int) -> tuple[Path, FileLock]:
    """Make a private, empty folder for what gradio has to write, and take the lock beside it that says it is in use.

    It is the same one at each start on an address, so that what a killed server left is gone with the next one."""
    parent = Path(os.environ.get(TEMPORARY_VARIABLE) or tempfile.gettempdir())
    folder = parent / f"{NAME}{re.sub('[^0-9A-Za-z.]', '_', host)}-{port}"
    _sweep(parent)
    try:
        if _is_ours(folder):
            _delete_unused(folder)
        folder.mkdir(parents=True, mode=0o700)
    except OSError:  # another user's, in use, or a link: never follow it
        folder = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=parent))
    lock = FileLock(folder / LOCK, thread_local=False)
    lock.acquire()
    make_private(folder / UPLOADS)
    return folder / UPLOADS, lock


def _sweep(parent: Path) -> None:
    """Delete what killed servers at other addresses left: folders of ours that nobody holds."""
    for folder in parent.glob(f"{NAME}*"):
        if _age_seconds(folder) > STARTING_SECONDS and _is_ours(folder):
            with contextlib.suppress(OSError):
                _delete_unused(folder)


def _delete_unused(folder: Path) -> None:
    """Raises OSError if a server holds the folder."""
    with FileLock(folder / LOCK, timeout=0):
        pass  # Windows deletes no file that is open
    shutil.rmtree(folder)


def _age_seconds(path: Path) -> float:
    """Since it was changed; 0 of what is gone by now."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0


def _size_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
