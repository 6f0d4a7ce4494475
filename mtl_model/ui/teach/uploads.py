"""What comes in to be learned from: batches of files and zips, how much of it, and how long it is kept.

Everything lies in the run's folder runs/<name>/ and goes with it: `data/` what is complete, `.coming-...` what is just
arriving, `uploaded.json` how much there is already. What fails half-way leaves no half file: names are given last. The
run's record knows when something came last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mtl_model import archives, jobs
from mtl_model import runs as folders
from mtl_model.archives import COMING, LARGE, Limits, Skipped, size_text
from mtl_model.card import CARD, NAME, write_plain
from mtl_model.errors import DataError, MtlError, RunError, UsageError, disk_text
from mtl_model.run_records import Count
from mtl_model.runs import COUNT, DATA
from mtl_model.ui.server.bodies import keep, parts_of
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import dataset, teaching, template
from mtl_model.ui.teach.frames import Sieve

LIMITS = Limits()
"""Of one run, over all its batches and zips."""
BATCH_FILES = 50
BATCH_BYTES = 2**30
ZIP_BYTES = LIMITS.total_bytes  # pictures do not shrink in a zip
DAYS = 7
CHUNK = 2**20

log = logging.getLogger("mtl_model.ui")


def add_routes(shared: Shared) -> None:
    """POST /mtl/teach/files?run=NAME, POST /mtl/teach/zip?run=NAME, GET /mtl/teach/template.

    Both POSTs answer {"files": how many there are now, "skipped": {reason: how many of these}, "examples": {reason: names},
    "words": {reason: its words}}; a reason is a code of `archives`.
    A batch is multipart of up to 50 files, each field named by the file's path as encodeURIComponent writes it. With frames=1
    they are frames of a camera, of which those are kept that are worth it (see `frames`).
    """
    desk = _Desk(shared.options.runs, Sieve(shared.models, shared.decoders))
    shared.route("POST", "/mtl/teach/files", desk.files)
    shared.route("POST", "/mtl/teach/zip", desk.zip)
    shared.route("GET", "/mtl/teach/template", template.answer)


class _Desk:
    """The routes by which files come in."""

    def __init__(self, runs: Path, sieve: Sieve) -> None:
        self._runs, self._sieve = runs, sieve

    async def files(self, request: Request) -> Response:
        frames = request.query_params.get("frames") == "1"
        folder = await asyncio.to_thread(_ready, self._runs, request.query_params.get("run", ""))
        keep(request, "elsewhere")  # in the run, which has limits of its own
        most = f"Expected at most {BATCH_FILES} files and {size_text(BATCH_BYTES)} at once; reload the page, then try again."
        too_large = DataError(f"These files are larger than {size_text(BATCH_BYTES)} together. {most}")
        try:
            stream = parts_of(request, BATCH_BYTES, too_large)
            form = await MultiPartParser(request.headers, stream, max_files=BATCH_FILES, max_fields=0).parse()
        except (MultiPartException, KeyError) as error:
            what = getattr(error, "message", "it names no kind of content")
            raise UsageError(f"The files did not arrive as they should ({what}). {most}") from None
        except OSError as error:
            raise _not_kept(error, folder) from None
        try:
            given = [(unquote(name), one) for name, one in form.multi_items() if isinstance(one, UploadFile)]
            files = [(name, one.file, one.size or 0) for name, one in given]
            if not frames:
                return JSONResponse(await asyncio.to_thread(add_files, folder, files))
            async with self._sieve.free:
                return JSONResponse(await asyncio.to_thread(add_files, folder, files, self._sieve))
        finally:
            await form.close()

    async def zip(self, request: Request) -> Response:
        folder = await asyncio.to_thread(_ready, self._runs, request.query_params.get("run", ""))
        keep(request, "elsewhere")
        too_large = DataError(
            f"The archive is larger than {size_text(ZIP_BYTES)}. Expected at most that; upload it in parts, as one run."
        )
        archive = folder / f"{COMING}{uuid.uuid4().hex}.zip"
        try:
            with archive.open("wb") as target:
                async for part in _large_parts(parts_of(request, ZIP_BYTES, too_large)):
                    await asyncio.to_thread(target.write, part)
            return JSONResponse(await asyncio.to_thread(add_archive, folder, archive))
        except OSError as error:
            raise _not_kept(error, folder) from None
        finally:
            archive.unlink(missing_ok=True)


async def _large_parts(stream: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The same bytes in few parts: each costs a change of threads."""
    gathered = bytearray()
    async for part in stream:
        gathered += part
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _not_kept(error: OSError, folder: Path) -> MtlError:
    """Say why a file could not be written into a run: no room, or no run any more."""
    if not (folder / folders.TEACH).is_file():
        return teaching.gone(folder.name)
    return DataError(disk_text("The files could not be kept", error))


# -- into a run ----------------------------------------------------------------------------------------------------


def _ready(runs: Path, name: str) -> Path:
    """The folder of a run that may be added to. Raises UsageError, RunError."""
    run = teaching.read_run(runs, name)
    if run.damage:
        raise RunError(run.damage, "damaged")
    if run.state == "accepted":
        raise UsageError(f"'{name}' is kept already. Begin a new one to teach it further.", "accepted")
    if run.state == "done":
        raise UsageError(f"'{name}' waits for your decision. Keep or discard it, then begin a new one.", "undecided")
    if run.busy and run.kind == teaching.CHECK:
        jobs.kill(runs, name)  # it would know nothing of these
    elif run.busy:
        raise UsageError(
            f"The pictures of '{name}' are just being worked on. Wait until that is done, or stop it.", "busy"
        )
    return run.folder


def add_files(folder: Path, given: Sequence[tuple[str, BinaryIO, int]], sieve: Sieve | None = None) -> dict[str, Any]:
    """Keep the files of a batch: (name as it came, stream, size in bytes). Returns the routes' answer.

    sieve: the files are frames of a camera, and it says which of them are kept.

    Raises: UsageError if the run is gone or worked on by now, DataError for a limit or a full disk: nothing of it is kept.
    """
    skipped, arrived = Skipped(), {}
    run = teaching.read_run(folder.parent, folder.name) if sieve else None
    with _beside(folder) as beside:
        for number, (name, stream, size) in enumerate(given):
            path, reason = archives.judge(name)
            if path is None or size > LIMITS.file_bytes:
                skipped.add(reason or LARGE, name)
                continue
            if sieve and run:
                if reason := sieve.judge(run, path, stream.read()):
                    skipped.add(reason, name)
                    continue
                stream.seek(0)
            arrived[path] = beside / str(number)
            with arrived[path].open("wb") as copy:
                shutil.copyfileobj(stream, copy, CHUNK)
        return _keep(folder, arrived, skipped)


def add_archive(folder: Path, archive: Path) -> dict[str, Any]:
    """Keep what a zip holds. Returns and raises as `add_files` does."""
    with _beside(folder) as beside:
        found = archives.unpack(archive, beside / DATA, LIMITS)
        skipped = Skipped(found.skipped, found.examples)
        return _keep(folder, {PurePosixPath(name): beside / DATA / name for name in found.files}, skipped)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder for what is just arriving; it is gone afterwards, with all that was not moved."""
    try:
        with tempfile.TemporaryDirectory(prefix=COMING, dir=folder, ignore_cleanup_errors=True) as beside:
            yield Path(beside)
    except OSError as error:
        raise _not_kept(error, folder) from None


def _keep(folder: Path, arrived: Mapping[PurePosixPath, Path], skipped: Skipped) -> dict[str, Any]:
    """Move files that arrived whole to their places, one batch after another, if the run still wants and may hold them."""
    data = folder / DATA
    with folders.held(folder.parent, folder.name):
        _ready(folder.parent, folder.name)
        count = folders.count_pictures(folder)
        sizes = {path: source.stat().st_size for path, source in arrived.items()}
        before = {path: size for path in sizes if (size := _size(data / path)) is not None}
        after = Count(
            files=count["files"] + len(sizes) - len(before),
            total_bytes=count["total_bytes"] + sum(sizes.values()) - sum(before.values()),
        )
        if after["files"] > LIMITS.files or after["total_bytes"] > LIMITS.total_bytes:
            raise DataError(
                f"That would be {after['files']:,} files of {size_text(after['total_bytes'])} together. Expected at most "
                f"{LIMITS.files:,} and {size_text(LIMITS.total_bytes)}; leave some out, or save the pictures smaller."
            )
        if sizes:
            folders.note_upload(folder)
        (folder / COUNT).unlink(missing_ok=True)  # if this ends half-way, the next one counts anew
        data.mkdir(exist_ok=True)
        for path, size in sizes.items():
            if not archives.move(arrived[path], data / path, skipped):
                after["files"] -= 1
                after["total_bytes"] -= size
        write_plain(folder / COUNT, after)
    return {
        "files": after["files"],
        "skipped": skipped.counts,
        "examples": skipped.examples,
        "words": skipped.words(),
    }


def _size(path: Path) -> int | None:
    """Bytes of a file; None if there is no file of that name."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


# -- out again -----------------------------------------------------------------------------------------------------


def expire(runs: Path, days: float = DAYS) -> list[str]:
    """Delete uploads whose last part came longer ago, unless they are kept or worked on. Returns the names of their runs.

    A run that then holds no checkpoint goes wholly. What cannot be deleted is said in the log, and tried again next time.
    """
    gone = []
    for folder in [path.parent for path in runs.glob(f"*/{folders.RECORD}") if NAME.fullmatch(path.parent.name)]:
        try:
            if not _is_old(folder, days) or not (folders.has_pictures(folder) or not (folder / CARD).exists()):
                continue
            with folders.held(runs, folder.name), jobs.idle(runs, folder.name) as free:
                if not free or not _is_old(folder, days):
                    continue
                if (folder / CARD).exists():
                    folders.clear_pictures(folder)
                else:
                    folders.delete(folder)
                dataset.forget(folder)
            gone.append(folder.name)
        except (OSError, MtlError) as error:
            log.warning("the upload of %s could not be deleted: %s", folder.name, error)
    return gone


def _is_old(folder: Path, days: float) -> bool:
    record = folders.read_record(folder)
    if record is None or record.kept or not record.uploaded:
        return False
    return time.time() - record.uploaded > days * 24 * 3600
