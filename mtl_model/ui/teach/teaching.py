"""A Teach run as the files of its folder tell it: which step it is at, and what it holds.

Nothing of it is kept in memory, so a reload, a second browser and a restarted server see the same step in the same
state. `pending` and `teach.json` together make an open run; without `pending` it has been accepted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from mtl_model import card, jobs, typed, wording
from mtl_model import runs as folders
from mtl_model.errors import RunError, UsageError
from mtl_model.events import Event, Failed, Finished, Started, from_line
from mtl_model.records import FACE
from mtl_model.run_records import Forecast, Outcome, Report
from mtl_model.runs import (
    CHANGES,
    DATA,
    EVENTS,
    FORECAST,
    JOB,
    OF_JOBS,
    OUTCOME,
    RECORD,
    REPORT,
    STATE,
    STOP,
    TEACH,
    held,
)

WATCHED = (RECORD, TEACH, CHANGES, REPORT, FORECAST, OUTCOME, EVENTS, STATE, STOP, card.PENDING, card.CARD, *OF_JOBS)
"""What a page shows depends on these files alone."""
CHECK, LEARN, SUGGEST, TRAIN = "check", "finetune", "suggest", "train"
"""Kinds of jobs. While a suggestion works everything can go on: what it works on is changed, and it begins anew."""
LEARNED = ("parent", "how", "tasks", "advanced")  # settings that decide what a learning does
DAMAGED = "damaged"
LEAST_BYTES = 16 * 2**20  # free on a disk that is not called full

_writing = threading.Lock()


class KnownTask(TypedDict, total=False):
    title: str
    kind: str
    classes: list[str]
    measured_in: str


class Note(TypedDict):
    """A code with its values, see `wording`."""

    code: str
    values: dict[str, Any]


class Reason(Note):
    """Why so many entries were left out."""

    count: int


class Found(TypedDict, total=False):
    """What dataset.describe understood of the pictures. skipped, and notes that are text: of an older version, in sentences.

    error, code: the sentence, and the code of the error, where nothing was understood."""

    stamp: str
    kind: str
    pictures: int
    tasks: dict[str, KnownTask]
    skipped: dict[str, int]
    left_out: list[Reason]
    notes: list[Note | str]
    bare: bool
    task: str
    unlabelled: int
    error: str
    code: str


class Learned(TypedDict, total=False):
    """The settings of a learning. edits: `edits_digest` when it began."""

    parent: str
    how: str
    tasks: list[str]
    advanced: dict[str, str]
    edits: str


class Change(TypedDict, total=False):
    """What was said of one picture before it was changed; or classes, and the labels of all
    pictures that were relabelled. Changes of one batch are taken back together."""

    file: str
    out: bool
    labels: dict[str, str]
    kept: list[str]
    renamed: dict[str, dict[str, str]]
    relabelled: dict[str, dict[str, str]]
    batch: str


class Edits(TypedDict, total=False):
    """changes.json: what a person changed of the pictures, and how to take that back; see dataset_edits.Changes."""

    left_out: list[str]
    labels: dict[str, dict[str, str]]
    renamed: dict[str, dict[str, str]]
    kept: dict[str, list[str]]
    undo: list[Change]


@dataclass(frozen=True)
class Record:
    """teach.json: what the visitor chose, and what was understood of the pictures.

    kind, task: the layout and the name of the one task of bare folders, where the visitor said them. classes: those of that
    task that the visitor named on the page; folders called so are read as these, and all else may be given one. parent: the
    checkpoint to start from. tasks: those to learn, all if empty. advanced: options of `finetune` by name, as text.
    found: see labelled.describe; {} until the upload is complete. looked: whether the visitor is done with the check.
    heard: events that an earlier learning had said when this one began. learned: parent, how, tasks, advanced and the edits of
    the pictures as they were when the learning began; they may have changed since. subject: what the visitor said that the
    pictures show, records.FACE or records.PICTURE; "" where nobody was asked, which stands for faces.
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
    subject: str = ""
    classes: tuple[str, ...] = ()

    @property
    def reads(self) -> str:
        """What a checkpoint has to read that these pictures are taught to; see `Card.subject`."""
        return self.subject or FACE

    def as_learned(self) -> Record:
        """With the settings of what was learned last."""
        given: dict[str, Any] = {name: value for name, value in self.learned.items() if name in LEARNED}
        return dataclasses.replace(self, **{**given, "tasks": tuple(given.get("tasks", self.tasks))})

    def to_json(self) -> dict[str, Any]:
        plain = dataclasses.asdict(self)
        return {"from": plain.pop("parent"), **plain}


def read_record(folder: Path) -> Record | None:
    """Return teach.json, None if there is none. Raises: RunError with a sentence if it is damaged."""
    path = folder / TEACH
    try:
        plain = json.loads(path.read_bytes())
        plain |= {"name": folder.name, "parent": plain.pop("from", "")}
        record = typed.parse(Record, json.dumps(plain, allow_nan=False))
        typed.parse(Found, json.dumps(record.found, allow_nan=False))
        typed.parse(Learned, json.dumps(record.learned, allow_nan=False))
        return record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise folders.damaged(path, getattr(error, "field", "")) from None


def write_record(folder: Path, record: Record) -> None:
    card.write_plain(folder / TEACH, record.to_json())


def edit_record(folder: Path, **changes: Any) -> Record:
    """Raises UsageError if the run is gone."""
    with _writing:
        record = read_record(folder)
        if record is None:
            raise gone(folder.name)
        record = dataclasses.replace(record, **changes)
        write_record(folder, record)
    return record


def read_edits(folder: Path) -> Edits:
    """Raises: RunError with a sentence if changes.json is damaged."""
    return folders.read(folder / CHANGES, Edits) or Edits()


def edits_digest(folder: Path) -> str:
    """Return a text that differs where other pictures are left out, or have other labels. Raises as `read_edits` does."""
    edits = read_edits(folder)
    plain: list[Any] = [sorted(edits.get("left_out", ())), edits.get("labels", {})]
    if renamed := edits.get("renamed"):
        plain.append(renamed)
    return hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """A Teach run at one moment.

    state: empty, arriving (an upload has begun and did not end), uploaded; then for the check and the learning alike
    waiting, running, killed, failed; checked; stopped (before anything was learned); done; accepted. Or damaged: it can only
    be discarded. damage: the sentence for that.
    """

    folder: Path
    record: Record
    job: jobs.Job | None
    state: str
    damage: str = ""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def data(self) -> Path:
        return self.folder / DATA

    @property
    def step(self) -> int:
        """The step that a person is at, 1 to 4."""
        if self.state in (DAMAGED, "empty", "arriving", "uploaded"):
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
    def learns(self) -> bool:
        """Whether its job is a training of any kind, which has passes, curves, and a state to go on from."""
        return self.kind in (LEARN, TRAIN)

    @property
    def busy(self) -> bool:
        return self.state in jobs.ACTIVE

    @property
    def forecasting(self) -> bool:
        """Whether it is being worked out anew what learning would bring."""
        return self.kind == SUGGEST and self.job is not None and self.job.state in jobs.ACTIVE

    @property
    def forecast(self) -> Forecast | None:
        """What learning would bring, by the pictures and the checkpoint of the last check. Raises: RunError if it is damaged."""
        return folders.read(self.folder / FORECAST, Forecast)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop, and has not come to its end yet."""
        return self.state == "running" and (self.folder / STOP).is_file()

    @property
    def checked(self) -> bool:
        """Whether there is a report to go by; while a new check works, that of the one before waits for its end."""
        return (self.folder / REPORT).is_file() and not (self.busy and self.kind == CHECK)

    @property
    def kept(self) -> bool:
        """Whether the pictures stay although the checkpoint is accepted."""
        return folders.keeps_pictures(self.folder)

    @property
    def check_failed(self) -> bool:
        """Whether the last check ended before its report was whole; that of an earlier one may still be there."""
        if self.kind != CHECK or self.busy or not self.job or not (self.job.exit_code or self.job.state == "killed"):
            return False
        report = folders.read(self.folder / REPORT, Report)
        return report is None or report.get("made", self.job.began or 0) < (self.job.began or 0)

    @property
    def can_resume(self) -> bool:
        """Whether the learning left a state from which it goes on: a whole one, of these very pictures and labels."""
        return not self.busy and self.learns and folders.has_state(self.folder) and not self._is_edited

    @property
    def _is_edited(self) -> bool:
        """Whether pictures or labels were changed after the learning began."""
        now = edits_digest(self.folder)
        return self.record.learned.get("edits", now) != now

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
        return self.state == "done" and self._is_edited

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
    """Return a run, in the state "damaged" if one of its files cannot be read. Raises: UsageError if there is none."""
    folder = folder_of(runs, name)
    record, job = Record(name), None
    try:
        known = read_record(folder)
        if known is None:
            raise gone(name)
        record, job = known, jobs.look(runs, name)
        _check_files(folder)
        return Run(folder, record, job, _state(folder, record, job))
    except RunError as error:
        return Run(folder, record, job or jobs.look(runs, name), DAMAGED, str(error))


def _check_files(folder: Path) -> None:
    """Raises: RunError with a sentence if a file is damaged that is neither written again by itself nor read line by line."""
    folders.read(folder / RECORD, folders.Record)
    folders.read(folder / REPORT, Report)
    folders.read(folder / FORECAST, Forecast)
    folders.read(folder / OUTCOME, Outcome)
    read_edits(folder)
    if jobs.is_damaged(folder):
        raise folders.damaged(folder / JOB)


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
        "those listed, or begin a new one.",
        "gone",
    )


def open_runs(runs: Path) -> list[Run]:
    """The runs that are neither accepted nor discarded, the newest first."""
    found = []
    for path in runs.glob(f"*/{TEACH}"):
        if (path.parent / card.PENDING).is_file() and card.NAME.fullmatch(path.parent.name):
            with contextlib.suppress(UsageError):  # discarded just now
                found.append(read_run(runs, path.parent.name))
    return sorted(found, key=lambda run: run.record.created, reverse=True)


def _state(folder: Path, record: Record, job: jobs.Job | None) -> str:
    whole = (folder / card.CARD).is_file()
    if job and job.state in jobs.ACTIVE and job.kind != SUGGEST:
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
    outcome = folders.read(folder / OUTCOME, Outcome)
    if outcome is None or "weights_sha256" not in outcome:
        return outcome is not None
    with contextlib.suppress(card.CheckpointError):
        return card.read_card(folder).weights_sha256 == outcome["weights_sha256"]
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


def no_room(folder: Path) -> str:
    """Return what to do first if the disk is full, which a job could not write down; "" if it is not."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder).free < LEAST_BYTES:
            return "The disk of the server is full; make room first."
    return ""


def last_words(run: Run) -> str:
    """Return the words of the error by which a job ended; where it could not write that down, the last line of its log."""
    if run.job and isinstance(run.job.latest, Failed):
        return wording.of(run.job.latest)
    lines = [line.strip() for line in (run.job.log if run.job else "").splitlines() if line.strip()]
    return lines[-1][:600] if lines else no_room(run.folder) or "It said nothing before it ended."
