"""The folder of a run: the names of its files, its record and its lock; how it is begun, accepted, set aside and deleted.

`run.json` is this program's own record, with a format version inside it. What bears neither that nor a whole card belongs to
somebody else, and is never deleted with the rest. Jobs, Teach and the command line put their files beside it, under the
names below.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from mtl_model import processes, typed
from mtl_model.archives import COMING
from mtl_model.card import CARD, CORRECTIONS, NAME, PENDING, WEIGHTS, is_taken, read_card, write_plain, write_text
from mtl_model.errors import CheckpointError, RunError, UsageError, disk_text
from mtl_model.events import Noted, from_line
from mtl_model.run_records import Count, Outcome, Record, new_record

RECORD, TEACH, CHANGES, REPORT, OUTCOME, COUNT = (
    *("run.json", "teach.json", "changes.json", "report.json", "outcome.json", "uploaded.json"),
)
FORECAST = "forecast.json"
EVENTS, STATE, STOP, LOCK = "events.jsonl", "state.pt", "stop", ".run.lock"
JOB, EXIT, LOG, LATEST = "job.json", "exit", "log.txt", "latest.json"
OF_JOBS = (JOB, EXIT, LOG, LATEST)
DATA, CACHE, UNWRAPPED = "data", "cache", ".unwrapped"
"""Folders: the pictures; what is cut out of them; all of data/ for a moment, while a folder around it goes."""
LEARNED = (OUTCOME, EVENTS, STATE, STOP, CARD, WEIGHTS)
"""What a learning makes; the card before the weights: without it there is no checkpoint."""
PICTURES = (DATA, UNWRAPPED, CACHE)

INCOMING, GOING, ASIDE = ".incoming-", ".deleted-", ".discarded-"
"""Folders in runs/: what is just made or looked at, what is being deleted, what can be brought back for UNDO_SECONDS."""
_OURS = re.compile(rf"({re.escape(INCOMING)}[a-z0-9_]{{8}})|({re.escape(GOING)}[0-9a-f]{{32}})")
_ASIDE = re.compile(rf"{re.escape(ASIDE)}(?P<token>(?P<at>\d+)-[0-9a-f]{{8}})-(?P<name>{NAME.pattern})")
UNDO_SECONDS = 600
FORGOTTEN_SECONDS = 3600  # until what a killed server was looking at is deleted
PATIENCE_SECONDS = 60  # for the lock of a run

Kind = TypeVar("Kind")


# -- its records ---------------------------------------------------------------------------------------------------

_read: dict[tuple[Path, Any], tuple[tuple[int, int, int], Any]] = {}


def read(path: Path, kind: type[Kind]) -> Kind | None:
    """Return a record of a run, None if there is none; read again only when the file is another. It is not to be changed.

    Raises: RunError with a sentence for a file that is damaged.
    """
    try:
        stat = path.stat()
        stamp, key = (stat.st_mtime_ns, stat.st_size, stat.st_ino), (path, kind)
        known = _read.get(key)
        if known and known[0] == stamp:
            return known[1]
        value = typed.parse(kind, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(disk_text(f"The file {path.name} of '{path.parent.name}' could not be read", error)) from None
    except typed.Misfit as error:
        raise damaged(path, error.field) from None
    if len(_read) > 64:
        _read.clear()
    _read[key] = (stamp, value)
    return value


def damaged(path: Path, field: str = "") -> RunError:
    """Return the error for a file of a run that is not what this program wrote. field: the first that is not."""
    where = f" ({field})" if field else ""
    return RunError(
        f"The file {path.name} of '{path.parent.name}' is damaged{where}. Expected it as this program wrote it; put it back, or "
        "discard the run.",
        "damaged",
    )


def read_record(folder: Path) -> Record | None:
    """Return run.json; None where there is none of ours, or it is damaged."""
    with contextlib.suppress(RunError):
        return read(folder / RECORD, Record)
    return None


def write_record(folder: Path, record: Record) -> None:
    write_plain(folder / RECORD, dataclasses.asdict(record))


def note_upload(folder: Path) -> None:
    """Write down that something is uploaded now: the days that it is kept begin anew."""
    write_record(folder, dataclasses.replace(read_record(folder) or new_record(), uploaded=time.time()))


def is_ours(path: Path) -> bool:
    """Return whether something in runs/ bears this program's own record, or is what it was making or deleting."""
    if _OURS.fullmatch(path.name) or _ASIDE.fullmatch(path.name):
        return True
    if not NAME.fullmatch(path.name) or path.name == CORRECTIONS or not path.is_dir():
        return False
    with contextlib.suppress(CheckpointError):
        return read_record(path) is not None or bool(read_card(path))
    return False


def has_state(folder: Path) -> bool:
    """Return whether there is a whole state to go on from: one that was cut off has lost the list at its end."""
    return zipfile.is_zipfile(folder / STATE)


# -- held by one ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(runs: Path, name: str) -> Iterator[None]:
    """Hold a run: nobody else, on whichever server, acts on it or adds files to it before the end.

    The lock lies beside the folder, which may go meanwhile, and goes with it. Raises: RunError if it cannot be had."""
    path = runs / f".{name}.lock"
    lock = FileLock(path, timeout=PATIENCE_SECONDS, poll_interval=0.01)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(
            f"Something else has been done with '{name}' for {PATIENCE_SECONDS} seconds. Expected it to be done in less than "
            "one; try again."
        ) from None
    except OSError as error:
        raise RunError(disk_text(f"Nothing can be done with '{name}'", error)) from None
    try:
        yield
    finally:
        if not (runs / name).exists():
            with contextlib.suppress(OSError):  # Windows deletes nothing that is open
                path.unlink(missing_ok=True)
        lock.release()


def begin(runs: Path, name: str, files: Mapping[str, object]) -> Path:
    """Make the folder of a run with these files, {name: what it holds as JSON, or None for an empty one}: all, or nothing.

    Raises: FileExistsError, OSError.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with held(runs, name), tempfile.TemporaryDirectory(prefix=INCOMING, dir=runs, ignore_cleanup_errors=True) as place:
        folder = Path(place) / name
        folder.mkdir()
        now = time.time()
        write_record(folder, new_record(created=now, uploaded=now))
        for file, plain in files.items():
            write_text(folder / file, "") if plain is None else write_plain(folder / file, plain)
        if (runs / name).exists():
            raise FileExistsError
        os.rename(folder, runs / name)
    return runs / name


def is_unused(folder: Path) -> bool:
    """Return whether a folder is a run of this program in which nothing was learned: its name is free."""
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return bool(inside & {LOCK, RECORD, JOB}) and inside <= {LOCK, RECORD, STOP, *OF_JOBS}


@contextlib.contextmanager
def claimed(folder: Path, weights: Path, *, begun: bool, resume: bool) -> Iterator[None]:
    """Keep the folder of a run for this program alone; one in which nothing was learned is taken away again.

    begun: whether it may be there already. Of several processes of one training the first claims it for all."""
    if not processes.is_first():
        yield
        return
    name, shipped = folder.name, (weights / folder.name).exists()
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    unused = is_unused(folder)  # queued by the page, or killed before it had learned
    new = JOB not in inside and (unused or not folder.exists())  # the record of a job says how it ended
    if resume and not shipped and not folder.exists():
        raise UsageError(f"There is no run '{name}' to go on with. Check the name, or start it without --resume.")
    try:
        if shipped:
            raise FileExistsError
        folder.mkdir(parents=True, exist_ok=begun or unused)
    except FileExistsError:
        unfinished = any((folder / file).exists() for file in (STATE, PENDING))
        more = ", or go on with that run by --resume" if unfinished and not shipped and not resume else ""
        raise UsageError(f"The name '{name}' is taken. Choose another with --name{more}.", "taken") from None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except TimeoutError:
        raise UsageError(
            f"Another program is at work on '{name}'. Expected one at a time; wait until it is done, or choose another name "
            "with --name."
        ) from None
    try:
        if not (folder / RECORD).exists():
            write_record(folder, new_record(created=time.time()))
        yield
    finally:
        lock.release()
        if new and not any((folder / file).exists() for file in (STATE, CARD)):
            shutil.rmtree(folder, ignore_errors=True)  # nothing was learned: the name is free again


# -- its pictures, and its end -------------------------------------------------------------------------------------


def count_pictures(folder: Path) -> Count:
    """Return what is written down of data/; where that cannot be read, the files are counted."""
    with contextlib.suppress(RunError):
        if count := read(folder / COUNT, Count):
            return count
    found = [Path(where) / name for where, _, names in os.walk(folder / DATA) for name in names]
    return Count(files=len(found), total_bytes=sum(path.stat().st_size for path in found if path.is_file()))


def has_pictures(folder: Path) -> bool:
    return any((folder / name).exists() for name in PICTURES) or any(folder.glob(f"{COMING}*"))


def keeps_pictures(folder: Path) -> bool:
    """Return whether the pictures that a checkpoint was taught with are kept beside it."""
    with contextlib.suppress(RunError):
        record = read_record(folder)
        return bool(record and record.kept) and (folder / DATA).is_dir()
    return False


def clear_pictures(folder: Path) -> None:
    """Delete the pictures of a run and what was made of them, half arrived ones too. Raises RunError."""
    _clear(folder, [*(folder / name for name in (*PICTURES, COUNT)), *folder.glob(f"{COMING}*")])
    record = read_record(folder)
    if record and record.kept:
        write_record(folder, dataclasses.replace(record, kept=False))


def _clear(folder: Path, paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # said below
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if path.exists():
            raise RunError(
                f"{path.name} of '{folder.name}' could not be deleted. Expected permission to delete in {path}; delete it "
                "yourself."
            )


def accept(folder: Path, keep: bool = False) -> None:
    """Make a pending checkpoint one that counts; what only its making needed goes, and the pictures, unless they are kept.

    Raises: CheckpointError if it is not whole, RunError or OSError if something cannot be written or deleted: then it goes on
        waiting.
    """
    read_card(folder)
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"'{folder.name}' is no checkpoint: {WEIGHTS} is missing. Teach it again, or discard it.")
    _clear(folder, [folder / CACHE])  # makes room for what has to be written
    with contextlib.suppress(FileNotFoundError):  # the curves stay; notes may name pictures
        lines = (folder / EVENTS).read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        write_text(folder / EVENTS, "".join(line for line in lines if not _is_note(line)))
    if outcome := read(folder / OUTCOME, Outcome):  # its figures stay, the names of the visitor's pictures go
        write_plain(folder / OUTCOME, {**outcome, "pictures": {}, "suspects": [], "left_out": [], "relabelled": {}})
    write_record(folder, dataclasses.replace(read_record(folder) or new_record(created=time.time()), kept=keep))
    halves = [*folder.glob(".*.[0-9]*"), *folder.glob(f"{COMING}*")]  # of killed processes
    gone = (STATE, STOP, LOCK, REPORT, FORECAST, LOG, LATEST, *(() if keep else (CHANGES, COUNT, *PICTURES)))
    _clear(folder, [*halves, *(folder / name for name in gone)])
    (folder / PENDING).unlink(missing_ok=True)  # last: from now on it is listed


def _is_note(line: str) -> bool:
    try:
        return isinstance(from_line(line), Noted)
    except ValueError:  # what cannot be read may name pictures too
        return True


def delete(path: Path) -> None:
    """Delete a folder of runs/ at once; of a link, only the link. Raises RunError."""
    going = path.with_name(f"{GOING}{uuid.uuid4().hex}")  # so that nothing half-deleted is ever listed
    try:
        os.replace(path, going)
        with contextlib.suppress(FileNotFoundError):  # a sweep was quicker
            going.unlink() if going.is_symlink() else shutil.rmtree(going)
    except OSError as error:
        raise RunError(disk_text(f"'{path.name}' could not be deleted whole", error)) from None


@dataclass(frozen=True)
class Aside:
    """A run that was discarded or deleted, and can be brought back. at: seconds since 1970. waited: never accepted."""

    path: Path
    token: str
    name: str
    at: int

    @property
    def waited(self) -> bool:
        return (self.path / PENDING).exists()


def set_aside(folder: Path) -> str:
    """Take a run away, so that it can be brought back for UNDO_SECONDS. Returns by which token. Raises RunError.

    It takes no room, so that it works on a full disk as well."""
    token = f"{int(time.time())}-{uuid.uuid4().hex[:8]}"
    try:
        os.replace(folder, folder.with_name(f"{ASIDE}{token}-{folder.name}"))
    except OSError as error:
        raise RunError(disk_text(f"'{folder.name}' could not be taken away", error)) from None
    return token


def asides(runs: Path) -> list[Aside]:
    """Return what can be brought back, the newest first."""
    found = [
        Aside(path, match["token"], match["name"], int(match["at"]))
        for path in runs.glob(f"{ASIDE}*")
        if (match := _ASIDE.fullmatch(path.name)) and time.time() - int(match["at"]) < UNDO_SECONDS
    ]
    return sorted(found, key=lambda aside: (-aside.at, aside.name))


def bring_back(runs: Path, token: str, weights: Path) -> str:
    """Put back what was set aside. Returns its name. Raises: UsageError if it is gone, or its name is taken; RunError."""
    aside = next((aside for aside in asides(runs) if aside.token == token), None)
    if aside is None:
        raise UsageError(
            "This can no longer be undone: it is brought back already, or more than 10 minutes ago.", "expired"
        )
    with held(runs, aside.name):
        if is_taken(aside.name, weights, runs):
            raise UsageError(
                f"The name '{aside.name}' is taken by now. Expected it to be free; rename or delete that one, then undo.",
                "taken",
            )
        try:
            os.rename(aside.path, runs / aside.name)
        except OSError as error:
            raise RunError(disk_text(f"'{aside.name}' could not be brought back", error)) from None
    return aside.name


def sweep(runs: Path) -> list[str]:
    """Delete what was set aside too long ago, and what a server that was killed was deleting or looking at.

    Returns the sentences for what could not be deleted."""
    kept, faults = {aside.path for aside in asides(runs)}, []
    for path in [*runs.glob(f"{GOING}*"), *runs.glob(f"{ASIDE}*"), *runs.glob(f"{INCOMING}*")]:
        try:
            new = path.name.startswith(INCOMING) and time.time() - path.stat().st_mtime < FORGOTTEN_SECONDS
            if is_ours(path) and path not in kept and not new:
                delete(path)
        except FileNotFoundError:
            continue
        except RunError as error:
            faults.append(str(error))
    return faults
