"""Checks and fine-tunings in processes of their own: queued, run one at a time, followed, stopped.

All that is known of a job lies in its folder runs/<name>/, so a server that was killed, a second one on the same runs/,
and every browser see the same: `job.json` what was asked and which process does it, `latest.json` its latest event (how far
it is, or the error that ended it), `exit` its exit code, `log.txt` what it printed. `runs/.lock` owns the queue. A process is
known by its number and its start, since numbers are used again.

A job begins only when its process has been written down: until then it waits for a word on its standard input, and
ends unheard if whoever started it dies first. So there is never a job that nobody knows of, and none that runs twice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from mtl_model import processes, typed, wording
from mtl_model.card import NAME, check_name, write_plain, write_text
from mtl_model.errors import RunError, UsageError, disk_text
from mtl_model.events import Event, Failed, Report, from_line, to_line
from mtl_model.runs import EXIT, JOB, LATEST, LOG, STOP

LOCK = ".lock"  # in runs/
CHECK = "check"
PATIENCE_SECONDS = 30  # for the lock, and for a process to end
WATCH_SECONDS = 2
LOG_BYTES, LOG_LINES = 4000, 20
NICE = 19  # predictions of the page come first
ACTIVE = ("running", "waiting")

log = logging.getLogger("mtl_model.jobs")
_children: list[subprocess.Popen[bytes]] = []
_said: set[Path] = set()


@dataclass(frozen=True)
class Job:
    """A job as its folder tells it.

    state: waiting (place: 1 is next), running, done (with its exit_code; 0 if it was stopped on request), or killed: the
    process is gone and could not say how it ended. began: seconds since 1970. latest: its latest event, Progressed or Failed.
    log: the last lines of what it printed, for people to read.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    state: str
    place: int = 0
    pid: int | None = None
    began: float | None = None
    exit_code: int | None = None
    log: str = ""
    latest: Event | None = None


@dataclass(frozen=True)
class _Record:
    """job.json. token: of this job alone, so that how an earlier one in the folder ended is not taken for its end."""

    kind: str
    words: tuple[str, ...]
    submitted: float
    token: str
    pid: int | None = None
    born: str = ""
    began: float | None = None
    exit_code: int | None = None


# -- for whoever wants work done -----------------------------------------------------------------------------------


def submit(runs: Path, name: str, kind: str, words: Sequence[str]) -> Job:
    """Queue `python -m mtl_model WORDS` as the job of runs/<name>, and start it if nothing runs.

    Raises: UsageError if this name has a job waiting or running; RunError if runs/ cannot be written: then what was
    known of an earlier job still stands, or the new one waits.
    """
    folder = runs / check_name(name)
    with _locked(runs):
        record = _read(folder)
        if record is not None and _state(folder, record)[0] in ACTIVE:
            raise UsageError(f"'{name}' is being worked on already. Wait until that is done, or stop it first.", "busy")
        _write(folder, _Record(kind, tuple(words), time.time(), uuid.uuid4().hex))
        _start_next(runs)
    job = look(runs, name)
    if job is None:
        raise RunError(f"The folder of '{name}' was deleted while its work was about to begin. Begin anew.")
    return job


def look(runs: Path, name: str) -> Job | None:
    """The job of that name; None where there is none, or job.json cannot be read."""
    folder, record, state = _found(runs, name)
    if record is None:
        return None
    if state == "waiting":  # its place depends on the others
        return next((job for job in every(runs) if job.name == name), None)
    return _job(folder, record, _state(folder, record))


def is_damaged(folder: Path) -> bool:
    """Return whether there is a record of a job here that cannot be read."""
    return (folder / JOB).exists() and _read(folder) is None


def every(runs: Path) -> list[Job]:
    """All jobs: the running one, then those that wait in their order, then the others, the newest first."""
    place, jobs = 0, []
    for folder, record, state in _all(runs):
        place += state[0] == "waiting"
        jobs.append(_job(folder, record, state, place))
    return jobs


def advance(runs: Path) -> None:
    """If nothing runs, start the job that has waited longest. Cheap where there is nothing to do.

    Raises: RunError if it cannot be started now; it goes on waiting.
    """
    found = _all(runs)
    if found and found[0][2][0] == "waiting":
        with _locked(runs):
            _start_next(runs)


def stop(runs: Path, name: str, at_once: bool = False) -> None:
    """Ask the job to end. A fine-tuning keeps the best so far; a check ends at once; what waits leaves the queue.

    at_once: do not ask a fine-tuning, which has nothing to keep yet, but end it."""
    with _locked(runs):
        folder, record, state = _found(runs, name)
        if record is None or state not in ACTIVE:
            return
        if state == "running" and record.kind != CHECK and not at_once:
            (folder / STOP).touch()
            return
        if state == "running":
            processes.end(record.pid or 0, record.born)
        _write(folder, dataclasses.replace(record, exit_code=0))


def kill(runs: Path, name: str) -> None:
    """End the job now, and come back when its process is gone. Raises RunError if it does not go."""
    with _locked(runs):
        folder, record, state = _found(runs, name)
        if record is not None and state == "running":
            processes.end(record.pid or 0, record.born)
        elif record is not None and state == "waiting":
            _write(folder, dataclasses.replace(record, exit_code=0))


def forget(runs: Path, name: str) -> None:
    """Take away the record of a job that has ended: what it worked on is no more."""
    with _locked(runs):
        folder, record, state = _found(runs, name)
        if record is not None and state not in ACTIVE:
            (folder / JOB).unlink(missing_ok=True)


@contextlib.contextmanager
def idle(runs: Path, name: str) -> Iterator[bool]:
    """Hold the queue. Gives whether the name has no job that waits or runs; none can begin before the end."""
    with _locked(runs):
        yield _found(runs, name)[2] not in ACTIVE


def _job(folder: Path, record: _Record, state: tuple[str, int | None], place: int = 0) -> Job:
    return Job(
        name=folder.name,
        kind=record.kind,
        words=record.words,
        state=state[0],
        place=place if state[0] == "waiting" else 0,
        pid=record.pid,
        began=record.began,
        exit_code=state[1],
        log=_last_lines(folder / LOG) if record.pid is not None else "",
        latest=_latest_event(folder) if record.pid is not None else None,
    )


# -- for the process that does it ----------------------------------------------------------------------------------


def attend(folder: Path, work: Callable[[Report], int]) -> int:
    """Do the work of the job in `folder`, in the process that was started for it; write down its events and how it ended.

    It ends by itself when its folder is deleted, and says nothing where it was killed: then the job can be resumed.
    """
    token = sys.stdin.readline().strip()
    if not token:  # whoever started this died before it could be written down
        return 1
    if hasattr(os, "nice"):
        os.nice(NICE)
    with contextlib.suppress(OSError):  # Linux shares out the processor by sessions first, and a job is one of its own
        Path("/proc/self/autogroup").write_text(str(NICE), encoding="ascii")
    threading.Thread(target=_watch, args=(folder, token), daemon=True).start()

    def report(event: Event) -> None:
        if _is_ours(folder, token):
            with contextlib.suppress(OSError):  # the work goes on where this cannot be written
                write_text(folder / LATEST, to_line(event) + "\n")

    code = 1
    try:
        code = work(report)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        raise
    except Exception:  # people read the last line
        traceback.print_exc()
        failed = Failed("unexpected")
        print(wording.of(failed), file=sys.stderr)
        report(failed)
    finally:
        if _is_ours(folder, token):
            try:
                write_text(folder / EXIT, f"{code}\n{token}\n")
            except OSError as error:
                print(f"How it ended could not be written down ({error.strerror or error}).", file=sys.stderr)
    return code


def _watch(folder: Path, token: str) -> None:
    while _is_ours(folder, token):
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _is_ours(folder: Path, token: str) -> bool:
    """Whether the folder is there, and no other job has taken its place."""
    record = _read(folder)
    return record.token == token if record else (folder / JOB).exists()


# -- the queue -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(runs: Path) -> Iterator[None]:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with FileLock(runs / LOCK, timeout=PATIENCE_SECONDS):
            yield
    except TimeoutError:
        raise RunError(
            f"Another server has been at the work in '{runs.name}' for {PATIENCE_SECONDS} seconds. Expected it to be done in "
            "less than one; try again, or end that server."
        ) from None
    except OSError as error:
        raise RunError(disk_text(f"The work cannot be begun or ended in '{runs.name}'", error)) from None


def _all(runs: Path) -> list[tuple[Path, _Record, tuple[str, int | None]]]:
    """Folder, record, and (state, exit code) of all jobs, in the order of `every`."""
    _children[:] = [child for child in _children if child.poll() is None]
    folders = [path.parent for path in runs.glob(f"*/{JOB}") if NAME.fullmatch(path.parent.name)]
    found = [(folder, record, _state(folder, record)) for folder in folders if (record := _read(folder))]
    order = {state: index for index, state in enumerate(ACTIVE)}

    def key(one: tuple[Path, _Record, tuple[str, int | None]]) -> tuple[int, float, str]:
        folder, record, (state, _) = one
        return order.get(state, 2), record.submitted if state in ACTIVE else -record.submitted, folder.name

    return sorted(found, key=key)


def _found(runs: Path, name: str) -> tuple[Path, _Record | None, str]:
    folder = runs / name
    record = _read(folder) if NAME.fullmatch(name) else None
    return folder, record, _state(folder, record)[0] if record else ""


def _read(folder: Path) -> _Record | None:
    path = folder / JOB
    try:
        return typed.parse(_Record, path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if path not in _said:
            _said.add(path)
            log.warning("%s cannot be read (%r) and is passed over", path, error)
        return None


def _write(folder: Path, record: _Record) -> None:
    write_plain(folder / JOB, dataclasses.asdict(record))


def _state(folder: Path, record: _Record) -> tuple[str, int | None]:
    if record.exit_code is not None:
        return "done", record.exit_code
    if record.pid is None:
        return "waiting", None
    runs = (
        record.born != "" and processes.birth(record.pid) == record.born
    )  # asked first: what is gone by now has said how it ended, if it could
    code = _exit_code(folder, record)
    return ("done", code) if code is not None else ("running" if runs else "killed", None)


def _exit_code(folder: Path, record: _Record) -> int | None:
    try:
        code, token = (folder / EXIT).read_text(encoding="utf-8").split()
        return int(code) if token == record.token else None
    except (OSError, ValueError):
        return None


def _start_next(runs: Path) -> None:
    found = _all(runs)
    if found and found[0][2][0] == "waiting":
        _start(*found[0][:2])


def _start(folder: Path, record: _Record) -> None:
    for name in (EXIT, STOP, LATEST):
        (folder / name).unlink(missing_ok=True)
    with (folder / LOG).open("wb") as said:
        child = subprocess.Popen(
            command(folder, record.words),
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            bufsize=0,
            env=processes.environment(),
            start_new_session=True,  # neither Ctrl+C nor the end of the terminal reaches it
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    _children.append(child)
    assert child.stdin is not None
    with child.stdin:
        _write(folder, dataclasses.replace(record, pid=child.pid, born=processes.birth(child.pid), began=time.time()))
        with contextlib.suppress(BrokenPipeError):  # ended already; its log says why
            child.stdin.write(f"{record.token}\n".encode())


def command(folder: Path, words: Sequence[str]) -> list[str]:
    """The command line of a job's process."""
    return [sys.executable, "-m", "mtl_model", "--job", str(folder.absolute()), *words]


def _latest_event(folder: Path) -> Event | None:
    try:
        return from_line((folder / LATEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _last_lines(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LOG_BYTES))
            return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:])
    except OSError:
        return ""
