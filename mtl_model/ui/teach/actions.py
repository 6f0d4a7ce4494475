"""What a visitor does to a Teach run: begins it, says what it is, checks, learns, accepts or discards."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from mtl_model import card, jobs, layouts
from mtl_model import runs as folders
from mtl_model.config import HOWS, FinetuneConfig
from mtl_model.data import corrections
from mtl_model.errors import CheckpointError, RunError, UsageError, unknown
from mtl_model.options import words_of
from mtl_model.records import FACE, PICTURE
from mtl_model.run_records import Report
from mtl_model.runs import CACHE, CHANGES, FORECAST, REPORT
from mtl_model.ui.teach import changes, dataset, picture_views, teaching
from mtl_model.ui.teach.teaching import CHECK, LEARN, SUGGEST, Record, Run

# name -> (smallest, largest, what it is for people)
ADVANCED: Mapping[str, tuple[float, float, str]] = {
    "epochs": (1, 500, "a whole number of passes from 1 to 500, such as 20"),
    "learning_rate": (1e-6, 0.1, "a number from 0.000001 to 0.1, such as 0.001"),
    "seed": (0, 2**31 - 1, "a whole number from 0, such as 1"),
}
WHOLE = ("epochs", "seed")
START = "pictures"
"""The shipped checkpoint without a task from which whole pictures are taught."""
More = ParamSpec("More")
Answer = TypeVar("Answer")


def alone(
    action: Callable[Concatenate[Steps, Run, More], Answer], damaged: bool = False
) -> Callable[Concatenate[Steps, Run, More], Answer]:
    """While an action is at a run no other one is, and it decides by what the run is then, not by what a page has shown.

    damaged: whether it can be done with a run whose files cannot be read."""

    @functools.wraps(action)
    def wrapped(self: Steps, run: Run, *more: More.args, **named: More.kwargs) -> Answer:
        with teaching.alone(run.folder.parent, run.name) as now:
            if now.damage and not damaged:
                raise RunError(now.damage, "damaged")
            return action(self, now, *more, **named)

    return wrapped


alone_even_if_damaged = functools.partial(alone, damaged=True)


class Steps:
    """The actions on the runs of one folder. Each raises MtlError with the sentence for what cannot be done."""

    def __init__(self, runs: Path, weights: Path, device: str = "auto") -> None:
        self._runs, self._weights, self._device = runs, weights, device

    def suggest(self, base: str) -> str:
        """A free name for a checkpoint, made from that of a folder or file."""
        stem = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in base.casefold())
        stem = "-".join(filter(None, stem.split("-")))[:48] or "my-faces"
        stem = stem if stem != card.CORRECTIONS else "my-faces"
        names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 10_000))
        return next(name for name in names if not card.is_taken(name, self._weights, self._runs))

    def create(self, name: str, user: str, parent: str) -> Record:
        name = card.check_name(name.strip())
        taken = UsageError(
            f"The name '{name}' is taken. Expected one that no checkpoint has; try '{self.suggest(name)}', or another.",
            "taken",
        )
        if card.is_taken(name, self._weights, self._runs):
            raise taken
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        subject = ""
        with contextlib.suppress(CheckpointError):  # one that is gone is said when learning begins
            subject = PICTURE if self._card(parent).reads_whole else ""
        record = Record(name, user=user, created=created, parent=parent, subject=subject)
        try:
            folders.begin(self._runs, name, {card.PENDING: None, folders.TEACH: record.to_json()})
        except FileExistsError:
            raise taken from None
        return record

    @alone
    def corrections(self, run: Run) -> None:
        """Take what people said was wrong on the Photo tab as the pictures of this run."""
        self._open(run)
        if run.data.is_dir() and any(run.data.iterdir()):
            raise UsageError(
                f"'{run.name}' has pictures with labels of their own. Begin a new one for the corrections."
            )
        corrections.copy_to(self._runs, run.data)
        self._look(run)

    @alone
    def reopen(self, run: Run) -> None:
        """Go back to the pictures, so that more can be added; what was learned is gone, its features stay."""
        if run.state != "done":
            raise UsageError(f"'{run.name}' has learned nothing yet, so pictures can be added as it is. Add them.")
        self._look(run)

    @alone
    def extend(self, run: Run, user: str) -> Record:
        """Begin a new run with the pictures that were kept of a checkpoint, and all that was said of them."""
        if run.state != "accepted" or not run.kept:
            raise UsageError(
                f"The pictures of '{run.name}' are not here. Expected those that were kept; begin a new run with new ones.",
                "pictures_deleted",
            )
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        fresh: dict[str, Any] = {"looked": False, "heard": 0, "learned": {}}
        record = dataclasses.replace(run.record, name=self.suggest(run.name), user=user, created=created, **fresh)
        files: dict[str, object] = {card.PENDING: None, folders.TEACH: record.to_json()}
        if (run.folder / CHANGES).is_file():
            files[CHANGES] = teaching.read_edits(run.folder)
        folder = folders.begin(self._runs, record.name, files)
        try:
            shutil.copytree(run.data, folder / folders.DATA, copy_function=_link)
        except BaseException:
            folders.delete(folder)
            raise
        return record

    @alone
    def look(self, run: Run) -> Record:
        """Understand what was uploaded. What was found of an earlier upload no longer counts."""
        if run.state == "done":
            raise UsageError(
                f"'{run.name}' waits for your decision. Keep or discard it, then begin a new one.", "undecided"
            )
        return self._look(run)

    @alone
    def name_classes(self, run: Run, task: str, classes: Sequence[str]) -> Record:
        """Name the classes that pictures can be given on the page, or further ones; pictures that are there are read anew."""
        self._open(run)
        known = run.record.found.get("tasks", {})
        folders_alone = run.record.found.get("kind", dataset.FOLDERS) == dataset.FOLDERS
        if not folders_alone or len(known) > 1 or any(not one["classes"] for one in known.values()):
            raise UsageError(
                "These pictures are labelled by a table, for several tasks, or with numbers, so no class can be named here. "
                "Expected folders of one task with classes; begin a new one."
            )
        own = dataset.read_labelled(run).tasks if known else {}
        words = [*(word for one in known.values() for word in one["classes"]), *classes]
        name, named = dataset.check_classes(next(iter(own), task), words)
        layout = {"kind": dataset.FOLDERS, "task": name, "classes": named}
        if run.data.is_dir():
            return self._look(run, **layout)
        return teaching.edit_record(run.folder, **layout)

    def _look(self, run: Run, **layout: Any) -> Record:
        """layout: kind, task and classes, if they are others from now on."""
        self._open(run)
        record = dataclasses.replace(run.record, **layout)
        found = dataset.describe(run.folder, record, stamp=str(time.time_ns()))
        others = set(found["tasks"]) != set(record.found.get("tasks", {}))
        tasks = tuple(name for name in record.tasks if name in found["tasks"])
        record = teaching.edit_record(run.folder, found=found, tasks=tasks, looked=False, learned={}, **layout)
        self._kill_forecast(run)
        self._forget(run, REPORT, FORECAST, *([CHANGES] if others else []), *folders.LEARNED)
        jobs.forget(self._runs, run.name)
        return record

    def _forget(self, run: Run, *names: str) -> None:
        """Delete files, and the halves that a killed process was just writing; they carry its number."""
        for path in [*(run.folder / name for name in names), *run.folder.glob(".*.[0-9]*")]:
            path.unlink(missing_ok=True)
        teaching.forget_events(run.folder)

    @alone
    def choose(self, run: Run, given: Mapping[str, Any]) -> Record:
        """Settings by name; those of the layout make it look at the upload again."""
        record = run.record
        layout = {name: str(given[name]).strip() for name in ("kind", "task") if name in given}
        if layout:
            self._open(run)
            if layout.get("kind") and layout["kind"] not in layouts.kinds():
                raise UsageError(unknown("layout", layout["kind"], layouts.kinds()))
            if "task" in layout:
                layout["task"] = dataset.layouts_name(layout["task"]) if layout["task"] else ""
            return self._look(run, **layout, classes=())
        if "subject" in given:
            return self._show(run, str(given["subject"]))
        chosen: dict[str, Any] = {}
        if "from" in given:
            if (subject := self._card(str(given["from"])).subject) != record.reads:
                raise UsageError(
                    f"'{given['from']}' reads {subject}s, and these are taught as {record.reads}s. Choose another to start from."
                )
            chosen["parent"] = str(given["from"])
        if "how" in given:
            if given["how"] not in HOWS:
                raise UsageError(unknown("way to learn", str(given["how"]), HOWS))
            chosen["how"] = given["how"]
        if "tasks" in given:
            chosen["tasks"] = self._tasks(record, given["tasks"])
        if "advanced" in given:
            chosen["advanced"] = {**record.advanced, **_advanced(given["advanced"])}
        if "looked" in given:
            chosen["looked"] = bool(given["looked"])
        record = teaching.edit_record(run.folder, **chosen)
        if "parent" in chosen:
            self._forecast(dataclasses.replace(run, record=record))
        return record

    def _tasks(self, record: Record, names: Sequence[str]) -> tuple[str, ...]:
        known = record.found.get("tasks", {})
        for name in names:
            if name not in known:
                raise UsageError(unknown("task", str(name), known))
        if not names:
            raise UsageError("No task is chosen. Expected at least one to learn; tick one.")
        return tuple(names) if len(names) < len(known) else ()

    def _show(self, run: Run, subject: str) -> Record:
        """Take what the pictures show as said, start from what reads that, and check anew where the check was of other things."""
        self._open(run)
        if subject not in (FACE, PICTURE):
            raise UsageError(unknown("subject", subject, (FACE, PICTURE)))
        before = run.record.reads
        if subject == before:
            return teaching.edit_record(run.folder, subject=subject)
        self._understood(run)
        parent = START if subject == PICTURE else card.find_checkpoint(None, self._weights, self._runs).name
        with contextlib.suppress(CheckpointError):
            if self._card(run.record.parent).subject == subject:
                parent = run.record.parent
        record = teaching.edit_record(run.folder, subject=subject, parent=parent)
        self._check(dataclasses.replace(run, record=record))
        return record

    def _card(self, name: str) -> card.Card:
        return card.read_card(card.find_checkpoint(name, self._weights, self._runs))

    @alone
    def check(self, run: Run) -> None:
        """Look at every picture, as a job."""
        self._check(run)

    def _check(self, run: Run) -> None:
        self._open(run)
        self._understood(run)
        words = ["--json", str(run.folder / REPORT), "--forecast", str(run.folder / FORECAST)]
        words += ["--no-faces"] if run.record.reads == PICTURE else []
        teaching.edit_record(run.folder, looked=False)
        self._forget(run, FORECAST)
        self._submit(run, CHECK, [CHECK, *self._asked(run), *words])

    @alone
    def forecast(self, run: Run) -> None:
        """Work out anew what learning would bring, as a job that nothing waits for."""
        self._open(run)
        self._forecast(run)

    def _forecast(self, run: Run) -> None:
        if run.state == "checked":
            self._submit(run, SUGGEST, [SUGGEST, *self._asked(run), "--json", str(run.folder / FORECAST)])

    def _asked(self, run: Run) -> list[str]:
        """The words for the pictures, as they are labelled now, and the checkpoint that would learn from them."""
        words = [self._source(run), "--from", run.record.parent, "--cache", str(run.folder / CACHE)]
        columns = dataset.columns_of(run.record.task, run.record.classes)
        for option, value in (("--changes", self._changes(run)), ("--task", self._task(run)), ("--columns", columns)):
            words += [option, value] if value else []
        return [*words, *self._places]

    @property
    def _places(self) -> list[str]:
        return ["--runs", str(self._runs), "--weights", str(self._weights), "--device", self._device]

    def _submit(self, run: Run, kind: str, words: list[str]) -> None:
        self._kill_forecast(run)
        jobs.submit(self._runs, run.name, kind, words)

    def _kill_forecast(self, run: Run) -> None:
        if run.forecasting:
            jobs.kill(self._runs, run.name)

    @alone
    def start(self, run: Run) -> None:
        """Learn, from the beginning; what an earlier learning of this run brought is gone."""
        self._open(run)
        self._understood(run)
        card.find_checkpoint(run.record.parent, self._weights, self._runs)
        learned = {name: getattr(run.record, name) for name in teaching.LEARNED}
        learned["edits"] = teaching.edits_digest(run.folder)
        teaching.edit_record(run.folder, heard=0, learned=learned)  # first: what was learned stays if the disk is full
        self._forget(run, *folders.LEARNED)
        self._submit(run, LEARN, self.words(self._without_lacking(run)))

    def _without_lacking(self, run: Run) -> Run:
        """The run with those of its tasks alone that have enough pictures, where some have."""
        lacking = picture_views.unlearnable(dataset.read_labelled(run))
        wanted = run.record.tasks or tuple(run.record.found["tasks"])
        enough = tuple(name for name in wanted if name not in lacking)
        if not enough or len(enough) == len(wanted):
            return run
        return dataclasses.replace(run, record=dataclasses.replace(run.record, tasks=enough))

    @alone
    def resume(self, run: Run) -> None:
        """Go on from the last state, with the settings of that learning, whatever the form says by now."""
        self._open(run)
        if not run.can_resume:
            raise RunError("There is nothing to go on from: nothing was saved yet. Start again.", "nothing_saved")
        card.find_checkpoint(run.record.as_learned().parent, self._weights, self._runs)
        teaching.edit_record(run.folder, heard=len(teaching.read_events(run.folder)))
        self._forget(run, folders.STOP)
        jobs.submit(
            self._runs,
            run.name,
            LEARN,
            [*self.words(dataclasses.replace(run, record=run.record.as_learned())), "--resume"],
        )

    def words(self, run: Run) -> list[str]:
        """The command line that learns what was chosen."""
        record = run.record
        advanced: dict[str, Any] = {
            name: int(text) if name in WHOLE else float(text)
            for name, text in _advanced(record.advanced).items()
            if text
        }
        settings = FinetuneConfig(
            name=run.name,
            start=record.parent,
            how=record.how,
            task=self._task(run),
            columns=dataset.columns_of(record.task, record.classes),
            layout=str(record.found["kind"]),
            tasks=",".join(record.tasks),
            changes=self._changes(run),
            **advanced,
        )
        return [LEARN, str(run.data), *words_of(settings), "--pending", *self._places]

    def stop(self, run: Run) -> None:
        """Ask it to end and keep the best so far; while it still prepares the pictures there is nothing to wait for."""
        if run.busy:
            jobs.stop(self._runs, run.name, at_once=run.kind == LEARN and not run.begun)

    @alone
    def change(self, run: Run, given: Mapping[str, Any]) -> str:
        """Change pictures, labels or classes, or take the last change back. Returns what was done; after RENEWED changes what
        learning would bring is worked out anew. A check need not be waited for."""
        self._open(run, but=CHECK)
        said = self._change(run, given)
        if not run.forecasting and self._is_due(run):
            self._forecast(run)
        return said

    def _is_due(self, run: Run) -> bool:
        """Whether enough was changed since the last forecast, or there can be guesses now that it has not."""
        forecast = run.forecast
        if forecast and changes.moved_since(run, forecast) >= changes.RENEWED:
            return True
        now = picture_views.guessable(dataset.read_labelled(run))
        if not now or not forecast:
            return bool(now)
        return bool(now - picture_views.guessable(dataset.read_labelled(run, dataset.changes_of(forecast["edits"]))))

    def _change(self, run: Run, given: Mapping[str, Any]) -> str:
        if given.get("undo"):
            return changes.undo(run)
        if "harm" in given:
            harmful = {
                f"{one['code']}/{one['values']['task']}": one["files"]
                for one in (run.forecast or {}).get("harmful", ())
            }
            if given["harm"] == picture_views.COPIES:
                report = folders.read(run.folder / REPORT, Report) or {}
                return changes.leave_out(run, picture_views.surplus(report, dataset.read_labelled(run)))
            return changes.leave_out(run, harmful.get(str(given["harm"]), []))
        task, files = str(given.get("task")), given.get("files", [])
        if "names" in given:
            return changes.rename(run, task, given["names"])
        if "labels" in given:
            return changes.relabel(run, task, given["labels"])
        return (
            changes.keep(run, files, task)
            if given.get("keep")
            else changes.leave_out(run, files, given.get("out") is not False)
        )

    @alone_even_if_damaged
    def discard(self, run: Run) -> None:
        """End the job, then take the run's whole folder away; it can be brought back for 10 minutes."""
        if not (run.folder / card.PENDING).exists():  # whatever else cannot be read
            raise UsageError(f"'{run.name}' is kept already. Delete it on the Models tab if it is to go.", "accepted")
        if run.job:
            jobs.kill(self._runs, run.name)
        if run.state == "empty":  # as after an upload that brought nothing: there is nothing to bring back
            folders.delete(run.folder)
        else:
            folders.set_aside(run.folder)
        teaching.forget_events(run.folder)
        dataset.forget(run.folder)

    @alone
    def accept(self, run: Run, keep: bool = False) -> None:
        """Offer the checkpoint everywhere; the pictures it was taught with go, unless they are kept."""
        self._open(run)  # nor once more: pictures that were kept would go
        if run.state != "done":
            raise UsageError(f"'{run.name}' has learned nothing yet. Start learning first.", "nothing_learned")
        folders.accept(run.folder, keep)
        dataset.forget(run.folder)

    def _idle(self, run: Run, but: str = "") -> None:
        if run.busy and run.kind != but:
            what = "checked" if run.kind == CHECK else "learned from"
            raise UsageError(
                f"The pictures of '{run.name}' are being {what}. Wait until that is done, or stop it.", "busy"
            )

    def _open(self, run: Run, but: str = "") -> None:
        """Neither at work nor accepted: an accepted checkpoint is nobody's to change. but: a kind of job that is no matter."""
        self._idle(run, but)
        if run.state == "accepted":
            raise UsageError(f"'{run.name}' is kept already. Begin a new one to teach it further.", "accepted")

    def _understood(self, run: Run) -> None:
        found = run.record.found
        if not found or found.get("error"):
            raise UsageError(found.get("error") or "There are no pictures yet. Upload them first.")
        if not found["tasks"]:
            raise UsageError(dataset.NO_CLASS, "no_class")

    def _source(self, run: Run) -> str:
        return f"{run.record.found['kind']}:{run.data}"

    def _task(self, run: Run) -> str:
        """The name of the task of bare folders; declared classes say it themselves."""
        bare = run.record.found.get("kind") == dataset.FOLDERS and not run.record.classes
        return str(run.record.found.get("task") or "") if bare else ""

    def _changes(self, run: Run) -> str:
        return str(run.folder / CHANGES) if (run.folder / CHANGES).is_file() else ""


def _link(source: str, target: str) -> None:
    """Give a file a second name, which takes no room; copy it where the disk has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _advanced(given: Mapping[str, Any]) -> dict[str, str]:
    """The advanced settings as text; an empty one leaves it to the program."""
    chosen: dict[str, str] = {}
    for name, text in given.items():
        if name not in ADVANCED:
            raise UsageError(unknown("setting", str(name), ADVANCED))
        low, high, expected = ADVANCED[name]
        text = str(text).strip()
        try:
            value = float(int(text) if name in WHOLE else float(text)) if text else low
        except (ValueError, OverflowError):
            value = float("nan")
        if not low <= value <= high:
            raise UsageError(
                f"'{text[:40]}' cannot be the {name.replace('_', ' ')}. Expected {expected}; correct it, or leave it empty."
            )
        chosen[name] = text
    return chosen
