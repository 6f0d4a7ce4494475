"""A Teach run as the files of its folder tell it: which step it is at, and what it holds.

Nothing of it is kept in memory, so a reload, a second browser and a restarted server see the same step in the same
state. `pending` and `teach.json` together make an open run; without `pending` it has been accepted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mtl_model import card, jobs
from mtl_model.card import OUTCOME
from mtl_model.errors import RunError, UsageError
from mtl_model.events import Event, Failed, Finished, Started, from_line

RECORD, CHANGES, REPORT = "teach.json", "changes.json", "report.json"
EVENTS, DATA, CACHE, STATE, STOP = "events.jsonl", "data", "cache", "state.pt", "stop"
WATCHED = (
    RECORD,
    CHANGES,
    REPORT,
    OUTCOME,
    EVENTS,
    STATE,
    STOP,
    card.PENDING,
    card.CARD,
    "job.json",
    "exit",
    "log.txt",
)
"""What a page shows depends on these files alone."""
CHECK, LEARN = "check", "finetune"
LEARNED = ("parent", "how", "tasks", "advanced")  # settings that decide what a learning does
PATIENCE_SECONDS = 60  # for the lock of a run

_writing = threading.Lock()


@dataclass(frozen=True)
class Record:
    """teach.json: what the visitor chose, and what was understood of the pictures.

    kind, task: the layout and the name of the one task of bare folders, where the visitor said them. parent: the
    checkpoint to start from. tasks: those to learn, all if empty. advanced: options of `finetune` by name, as text.
    found: see labelled.describe; {} until the upload is complete. looked: whether the visitor is done with the check.
    heard: events that an earlier learning had said when this one began. learned: parent, how, tasks and advanced as they were
    when the learning began, which the form may have changed since.
    """

    name: str
    user: str = ""
    created: str = ""
    kind: str = ""
    task: str = ""
    parent: str = ""
    how: str = "branch"
    tasks: tuple[str, ...] = ()
    advanced: Mapping[str, str] = dataclasses.field(default_factory=dict)
    found: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    looked: bool = False
    heard: int = 0
    learned: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_learned(self) -> Record:
        """With the settings of what was learned last."""
        given = {**self.learned, "tasks": tuple(self.learned.get("tasks", self.tasks))}
        return dataclasses.replace(self, **given)


def read_record(folder: Path) -> Record | None:
    """None for a folder that is no Teach run, or whose record is damaged."""
    try:
        plain = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        plain["parent"] = plain.pop("from", "")
        plain["tasks"] = tuple(map(str, plain.get("tasks", ())))
        known = {one.name for one in dataclasses.fields(Record)}
        plain["learned"] = {name: one for name, one in dict(plain.get("learned", {})).items() if name in LEARNED}
        return dataclasses.replace(
            Record(**{name: value for name, value in plain.items() if name in known}), name=folder.name
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: Record) -> None:
    """Its time stays that of the last upload, from which the seven days are counted."""
    plain = dataclasses.asdict(record)
    plain["from"] = plain.pop("parent")
    path = folder / RECORD
    try:
        before = path.stat().st_mtime_ns
    except FileNotFoundError:
        before = None
    card.write_plain(path, plain)
    if before is not None:
        os.utime(path, ns=(before, before))


def edit_record(folder: Path, **changes: Any) -> Record:
    """Raises UsageError if the run is gone."""
    with _writing:
        record = read_record(folder)
        if record is None:
            raise gone(folder.name)
        record = dataclasses.replace(record, **changes)
        write_record(folder, record)
    return record


@dataclass(frozen=True)
class Run:
    """A Teach run at one moment.

    state: empty, arriving (an upload has begun and did not end), uploaded; then for the check and the learning alike
    waiting, running, killed, failed; checked; stopped (before anything was learned); done; accepted.
    """

    folder: Path
    record: Record
    job: jobs.Job | None
    state: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def data(self) -> Path:
        return self.folder / DATA

    @property
    def step(self) -> int:
        """The step that a person is at, 1 to 4."""
        if self.state in ("empty", "arriving", "uploaded"):
            return 1
        if self.state in ("done", "accepted"):
            return 4
        if self.state == "checked":
            return 3 if self.record.looked else 2
        return 2 if self.kind == CHECK else 3

    @property
    def kind(self) -> str:
        return self.job.kind if self.job else ""

    @property
    def busy(self) -> bool:
        return self.state in ("waiting", "running")

    @property
    def checked(self) -> bool:
        return (self.folder / REPORT).is_file()

    @property
    def can_resume(self) -> bool:
        """Whether the learning left a state from which it goes on."""
        return not self.busy and self.kind == LEARN and (self.folder / STATE).is_file()

    @property
    def can_go_on(self) -> bool:
        """Whether going on would bring more: it did not come to its end by itself."""
        ends = [one for one in read_events(self.folder) if isinstance(one, (Started, Finished))]
        return self.can_resume and self.state != "accepted" and not (ends and isinstance(ends[-1], Finished))

    @property
    def begun(self) -> bool:
        """Whether the present learning has taken its first step, so that there may be something to keep."""
        return any(isinstance(one, Started) for one in read_events(self.folder)[self.record.heard :])

    @property
    def outdated(self) -> bool:
        """Whether pictures or labels were changed after the result was measured; while a job works none can be."""
        try:
            changed = (self.folder / CHANGES).stat().st_mtime_ns
            return self.state == "done" and changed > (self.folder / OUTCOME).stat().st_mtime_ns
        except OSError:
            return False

    def version(self) -> str:
        """Another text whenever something that a page shows may have changed; a few looks at the disk."""
        stamps = [f"{self.state} {self.job.place if self.job else 0}"]
        for name in WATCHED:
            try:
                found = (self.folder / name).stat()
                stamps.append(f"{name}:{found.st_mtime_ns}:{found.st_size}")
            except OSError:
                continue
        return " ".join(stamps)


def read_run(runs: Path, name: str) -> Run:
    """Raises UsageError for a name that is no Teach run."""
    folder = folder_of(runs, name)
    record = read_record(folder)
    if record is None:
        raise gone(name)
    job = jobs.look(runs, name)
    return Run(folder, record, job, _state(folder, record, job))


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
        raise RunError(
            f"Nothing can be done with '{name}' ({error.strerror or error}). Expected free space and permission to write in "
            f"'{runs.name}'; make room, then try again."
        ) from None
    try:
        yield
    finally:
        if not (runs / name).exists():
            with contextlib.suppress(OSError):  # Windows deletes nothing that is open
                path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def alone(runs: Path, name: str) -> Iterator[Run]:
    """Hold a run, see `held`, and read it as it is then. Raises UsageError for a name that is no Teach run."""
    if not folder_of(runs, name).is_dir():
        raise gone(name)
    with held(runs, name):
        yield read_run(runs, name)


def folder_of(runs: Path, name: str) -> Path:
    """The folder of a run; a name that could lead anywhere else is refused."""
    if not card.NAME.fullmatch(name):
        raise gone(name)
    return runs / name


def gone(name: str) -> UsageError:
    return UsageError(
        f"There is nothing to teach called '{name[:64]}'. It may have been discarded in another window; choose one of "
        "those listed, or begin a new one."
    )


def open_runs(runs: Path) -> list[Run]:
    """The runs that are neither accepted nor discarded, the newest first."""
    found = []
    for path in runs.glob(f"*/{RECORD}"):
        if (path.parent / card.PENDING).is_file() and card.NAME.fullmatch(path.parent.name):
            try:
                found.append(read_run(runs, path.parent.name))
            except UsageError:
                continue
    return sorted(found, key=lambda run: run.record.created, reverse=True)


def _state(folder: Path, record: Record, job: jobs.Job | None) -> str:
    whole = (folder / card.CARD).is_file()
    if job and job.state in ("waiting", "running"):
        return job.state
    if whole and not (folder / card.PENDING).is_file():
        return "accepted"
    if whole and _is_measured(folder):
        return "done"
    if job and job.kind == LEARN:
        return _ended(job, "stopped")
    if (folder / REPORT).is_file():
        return "checked"
    if job and job.kind == CHECK and job.exit_code != 0:
        return _ended(job, "")
    if record.found:
        return "uploaded"
    return "arriving" if (folder / DATA).is_dir() else "empty"


def _is_measured(folder: Path) -> bool:
    """Whether outcome.json is of these weights: one that goes on learning may have kept better ones since."""
    try:
        measured = (folder / OUTCOME).stat().st_mtime_ns
        return not (folder / card.WEIGHTS).is_file() or (folder / card.WEIGHTS).stat().st_mtime_ns <= measured
    except OSError:
        return False


def _ended(job: jobs.Job, well: str) -> str:
    return "killed" if job.state == "killed" else well if job.exit_code == 0 and well else "failed"


# -- what a job says -----------------------------------------------------------------------------------------------


_heard: dict[Path, tuple[int, list[Event]]] = {}


def read_events(folder: Path) -> list[Event]:
    """All events so far; what was read before is not read again."""
    path = folder / EVENTS
    try:
        size = path.stat().st_size
        done, events = _heard.get(path, (0, []))
        if size < done:
            done, events = 0, []
        if size > done:
            with path.open("rb") as stream:
                stream.seek(done)
                text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]  # a line that is just being written waits for the next look
            events = [*events, *filter(None, map(_event, whole.decode("utf-8", "replace").splitlines()))]
            done += len(whole)
            if len(_heard) > 16:
                _heard.clear()
            _heard[path] = (done, events)
        return events
    except OSError:
        _heard.pop(path, None)
        return []


def forget_events(folder: Path) -> None:
    """Before a learning that begins anew: what it writes may be longer than what was there when somebody looks again."""
    _heard.pop(folder / EVENTS, None)


def _event(line: str) -> Event | None:
    try:
        return from_line(line)
    except ValueError:
        return None


def last_words(run: Run) -> str:
    """The sentence with which a job ended: of the loop if it said one, else the last line of its log."""
    if run.kind == LEARN and run.state == "failed":
        failed = [one.text for one in read_events(run.folder)[-3:] if isinstance(one, Failed)]
        if failed:
            return failed[-1]
    lines = [line.strip() for line in (run.job.log if run.job else "").splitlines() if line.strip()]
    return lines[-1][:600] if lines else "It said nothing before it ended."
