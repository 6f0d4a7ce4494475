"""The pictures of a Teach run with their labels: what was understood of the upload, counts, and what a person changed."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl_model import card, kinds, layouts
from mtl_model import runs as folders
from mtl_model.data import dataset_edits
from mtl_model.data.check import UNLABELLED
from mtl_model.errors import DataError, MtlError, UsageError
from mtl_model.kinds import parse_label
from mtl_model.layouts import FolderError, Source
from mtl_model.names import caption, isolated
from mtl_model.records import Sample
from mtl_model.run_records import Forecast, Report
from mtl_model.runs import CHANGES, DATA, UNWRAPPED
from mtl_model.tasks import TASKS, Task, column_name
from mtl_model.ui.teach.teaching import Change, Record, Run, read_edits

KEPT = 4  # sources in memory: reading one anew takes a tenth of a second a thousand pictures
MOST_UNDO = 1000
RENEWED = 10  # changes, after which a forecast is made anew
LONGEST_WORD = 64
FOLDERS, ANEW = "folders", "named_anew"
HALF = re.compile("[\ud800-\udfff]")  # of a letter: what a name that is not UTF-8 becomes
LEFT_OUT, CHANGED = "left out", "changed"
"""What can be browsed besides the classes."""

NOTHING_KNOWN = (
    "No picture with a label was found. Expected pictures in folders named after their class, or a labels.csv beside "
    "them; look at the layouts, then upload again."
)

_sources: OrderedDict[tuple[str, str], tuple[Source, list[str]]] = OrderedDict()
"""With the files that have no label yet."""
_lock = threading.Lock()


def describe(folder: Path, record: Record, stamp: str) -> dict[str, Any]:
    """What is understood of an upload, as teach.json keeps it.

    kind, pictures, tasks ({name: title, kind, classes}), left_out, notes; bare: whether the folders are the classes of
    one task, whose name the visitor may say; error, code: the sentence where nothing was understood. stamp: differs from that
    of any earlier upload.
    """
    data = folder / DATA
    unwrap(data)
    base: dict[str, Any] = {"stamp": stamp, "kind": "", "pictures": 0, "tasks": {}, "left_out": [], "notes": []}
    base |= {"kind": record.kind, "bare": bool(record.task), "task": record.task, "error": "", "code": ""}
    try:
        kind = record.kind or layouts.recognise(data)
    except MtlError:  # it names every layout, and the page shows them below
        return base | {"error": NOTHING_KNOWN, "code": "nothing_known"}
    try:
        source = layouts.read(f"{kind}:{data}", _options(kind, record.task))
        # A name that the visitor gave can be given anew, whatever came of it.
        named = bool(record.task) or (len(source.tasks) == 1 and not set(source.tasks) & set(TASKS))
        bare = kind == FOLDERS and named
        task = record.task or next(iter(source.tasks), "") if bare else ""
        if bare and task == DATA:  # named after the folder, which is ours and tells nothing
            task = layouts_name(record.name)
            source = layouts.read(f"{kind}:{data}", _options(kind, task))
        if bare and not record.task and not _can_be_renamed(kind, data, source):
            bare, task = False, ""
        strange = next((name for name in _names(source) if HALF.search(name)), None)
        if strange is not None:
            raise DataError(
                f"The name {strange!r:.80} cannot be shown. Expected letters in UTF-8; rename the folder or the column."
            )
    except FolderError as error:
        sentence = error.words("what was uploaded", "upload it again")
        return base | {"error": sentence[:1].upper() + sentence[1:], "code": error.code}
    except MtlError as error:
        return base | {"error": str(error), "code": error.code}
    tasks = {
        name: {
            "title": task.title,
            "kind": task.kind,
            "classes": list(kinds.of(task).choices(task)),
            "measured_in": "" if kinds.of(task).choices(task) else kinds.of(task).summary(task),
        }
        for name, task in source.tasks.items()
    }
    code, error = ("", "") if source.samples else _no_labels(source)
    return base | {
        "kind": kind,
        "pictures": len(source.samples),
        "tasks": tasks,
        "left_out": [{"code": one.code, "values": one.values, "count": one.count} for one in source.left_out],
        "notes": [] if bare or error else [dataclasses.asdict(note) for note in source.notes],
        "bare": bare,
        "task": task,
        "error": error,
        "code": code,
    }


def _can_be_renamed(kind: str, data: Path, source: Source) -> bool:
    """Whether the folders say the same under another name of their task; what lies beside a task's folder may become a class."""
    try:
        other = layouts.read(f"{kind}:{data}", _options(kind, ANEW))
    except MtlError:
        return False
    classes = [task.classes for read in (source, other) for task in read.tasks.values()]
    return ANEW in other.tasks and len(set(classes)) == 1 and len(other.samples) == len(source.samples)


def _names(source: Source) -> Iterator[str]:
    for name, task in source.tasks.items():
        yield from (name, task.title, *task.classes)


def _no_labels(source: Source) -> tuple[str, str]:
    """Return code and sentence of why no picture has a label."""
    reasons = {reason.code: reason for reason in source.left_out}
    if "folders.only_class" in reasons:
        return "only_class", (
            "All pictures lie in one class, so there is nothing to tell apart. Expected at least two classes, such as "
            "glasses/with and glasses/without; add pictures of the other class."
        )
    if unknown := reasons.get("label_unknown"):
        return "label_unknown", f"No picture has a label that is known here. {unknown.examples[0]}"
    return "nothing_known", NOTHING_KNOWN


def layouts_name(name: str) -> str:
    """The name of a task made from that of a checkpoint."""
    return column_name(name.replace("-", " ")) or "label"


def _options(kind: str, task: str) -> dict[str, str]:
    return {"task": task} if task and kind == FOLDERS else {}


def unwrap(data: Path) -> None:
    """Where everything lies in one folder that holds a file of labels, as archives have it, take it out of there.

    Folders of classes need nothing: their layout looks through such a folder, and the outer one may name the task.
    """
    inside = [one for one in data.iterdir() if not one.name.startswith(".")] if data.is_dir() else []
    if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink():
        return
    try:
        kind = layouts.recognise(inside[0])
    except MtlError:
        return
    if kind != FOLDERS:
        aside = data.with_name(UNWRAPPED)
        os.replace(inside[0], aside)
        for rest in data.iterdir():
            rest.unlink()
        data.rmdir()
        os.replace(aside, data)


# -- the pictures as they are labelled now -------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """One picture of an upload. file: its path below data/. first: its labels as uploaded; labels: as changed."""

    file: str
    labels: Mapping[str, Any]
    first: Mapping[str, Any]
    out: bool

    @property
    def relabelled(self) -> bool:
        return self.labels != self.first


class Labelled:
    """The pictures of a run with the changes made so far.

    unlabelled: files that have no label of the upload's own, and may be given one. unusable: names, as a report has them, of
    pictures that nothing can be learned from."""

    def __init__(
        self,
        source: Source,
        edits: dataset_edits.Changes,
        unlabelled: Sequence[str] = (),
        unusable: Sequence[str] = (),
    ) -> None:
        self.source, self.edits = dataset_edits.with_classes(source, edits.renamed), edits
        self.tasks: Mapping[str, Task] = self.source.tasks
        gone = set(edits.left_out)
        self.pictures = [self._picture(sample, gone) for sample in self.source.samples]
        self.file_of = {sample.file: one.file for sample, one in zip(source.samples, self.pictures, strict=True)}
        """The name in the upload's own labels, by which a report calls a picture -> its path below data/."""
        bare = [Sample(str(source.folder / file), {}, "", file) for file in unlabelled]
        self.pictures += [self._picture(sample, gone) for sample in bare]
        self.by_file = {one.file: one for one in self.pictures}
        self.unusable = {self.file_of.get(name, name) for name in unusable}

    def _picture(self, sample: Sample, gone: set[str]) -> Picture:
        file = dataset_edits.name_of(self.source, sample.path)
        labels = dataset_edits.relabelled(self.source, sample, self.edits.labels.get(file, {}))
        return Picture(file, labels, sample.labels, file in gone)

    def counts(self) -> dict[str, dict[str, int]]:
        """Task -> class (or band of years) -> usable pictures that will be learned from, empty classes included."""
        counted: dict[str, dict[str, int]] = {}
        for name, task in self.tasks.items():
            classes = dict.fromkeys(kinds.of(task).groups(task), 0)
            for one in self.pictures:
                if not one.out and one.file not in self.unusable:
                    word = word_of(task, one.labels.get(name))
                    classes[word] = classes.get(word, 0) + 1
            counted[name] = classes
        return counted

    def chosen(self, task: str, word: str) -> list[Picture]:
        """The pictures of a class, or all, or those left out or changed."""
        if word == LEFT_OUT:
            return [one for one in self.pictures if one.out]
        if word == CHANGED:
            return [one for one in self.pictures if one.relabelled]
        if task not in self.tasks:
            return list(self.pictures)
        return [one for one in self.pictures if word_of(self.tasks[task], one.labels.get(task)) == word]


def word_of(task: Task, label: Any) -> str:
    return UNLABELLED if label is None else kinds.of(task).group_of(task, label)


def label_text(task: Task, label: Any) -> str:
    """A label as `changes.json` holds it and a person reads it."""
    return "" if label is None else kinds.of(task).write(task, label)


def read_labelled(run: Run) -> Labelled:
    """Raises DataError where the upload holds nothing that can be read."""
    found = run.record.found
    if not found or found.get("error"):
        raise DataError(found["error"] if found else "The upload is not complete. Upload the pictures first.")
    key = (str(run.folder), str(found.get("stamp")))
    with _lock:
        _there(run)
        if key not in _sources:
            kind = str(found["kind"])
            source = layouts.read(f"{kind}:{run.data}", _options(kind, str(found["task"]) or run.record.task))
            _sources[key] = (source, layouts.unlabelled(source))
            while len(_sources) > KEPT:
                _sources.popitem(last=False)
        _sources.move_to_end(key)
        known = _sources[key]
    report = folders.read(run.folder / folders.REPORT, Report) or {}
    return Labelled(known[0], _edits(run.folder), known[1], report.get("unusable", ()))


def _there(run: Run) -> None:
    """Raises UsageError where the pictures are deleted: then their names are not told, nor written down again."""
    if not run.data.is_dir():
        raise UsageError(
            f"The pictures of '{run.name}' are deleted. Expected some; begin a new run to teach it further.",
            "pictures_deleted",
        )


def forget(folder: Path | None = None) -> None:
    """Drop what is known of the pictures of a run that have just been deleted; of all runs if it is None."""
    with _lock:  # whoever is reading them comes to the end first
        for key in [key for key in _sources if folder is None or key[0] == str(folder)]:
            del _sources[key]


def _edits(folder: Path) -> dataset_edits.Changes:
    edits = read_edits(folder)
    return dataset_edits.Changes(
        tuple(edits.get("left_out", ())), edits.get("labels", {}), edits.get("renamed", {}), edits.get("kept", {})
    )


# -- changing ------------------------------------------------------------------------------------------------------

_changing = threading.Lock()


def change(run: Run, file: str, task: str, word: str | None, out: bool | None, keep: bool = False) -> str:
    """Leave a picture out (out=True), put it back (False), keep its label, or give it another one (word; "" takes it away).

    Returns the sentence that says what was done. Raises UsageError for a picture or label that is not there."""
    labelled = read_labelled(run)
    _expect(labelled, [file])
    with _changing:
        edits = _edits(run.folder)
        before = _said_of(edits, file)
        after = before.copy()
        if keep:
            after["kept"] = sorted({*before.get("kept", ()), task})
            said = f"{isolated(file)} keeps its label."
        elif out is not None:
            after["out"] = out
            said = f"{isolated(file)} is {'left out' if out else 'back'}."
        else:
            after["labels"] = _relabelled(labelled, before.get("labels", {}), file, task, word or "")
            title = labelled.tasks[task].title
            told = f"is now labelled {caption(title, word)}" if word else f"has no label of {isolated(title)} any more"
            said = f"{isolated(file)} {told}."
        _write(run.folder, _with(edits, after), [*_undo(run.folder), before])
    return said


def leave_out(run: Run, files: Sequence[str]) -> str:
    """Leave pictures out, in one step that can be undone. Raises UsageError for one that is not there."""
    _expect(read_labelled(run), files)
    with _changing:
        edits, steps, batch = _edits(run.folder), _undo(run.folder), uuid.uuid4().hex
        for file in files:
            before = _said_of(edits, file)
            edits, steps = _with(edits, {**before, "out": True}), [*steps, {**before, "batch": batch}]
        _write(run.folder, edits, steps)
    return f"{len(files):,} pictures are left out."


def rename(run: Run, task: str, words: Mapping[str, str]) -> str:
    """Call classes otherwise: as another one is called, which merges them, or "", which takes the label away.

    words: {class as it is called now: its name}. Raises UsageError for a class that is not there."""
    labelled = read_labelled(run)
    classes = kinds.of(labelled.tasks[task]).choices(labelled.tasks[task]) if task in labelled.tasks else ()
    if strange := next((word for word in words if word not in classes), None):
        raise UsageError(f"There is no class '{strange[:64]}' here. Reload the page, then choose again.")
    if long := next((word for word in words.values() if len(word) > LONGEST_WORD), None):
        raise UsageError(f"The name '{long[:20]}...' is longer than {LONGEST_WORD} letters. Choose a shorter one.")
    with _changing:
        edits = _edits(run.folder)
        first = edits.renamed.get(task, {})
        uploaded = kinds.of(_own(run, task)).choices(_own(run, task))
        called = {one: first.get(one, one) for one in uploaded}
        called = {one: words.get(word, word).strip() for one, word in called.items()}
        changed = {one: word for one, word in called.items() if one != word}
        labels = {
            file: {name: words.get(word, word) if name == task else word for name, word in given.items()}
            for file, given in edits.labels.items()
        }
        before: Change = {"renamed": {name: dict(given) for name, given in edits.renamed.items()}}
        before["relabelled"] = {file: dict(given) for file, given in edits.labels.items()}
        after = dataclasses.replace(edits, renamed={**edits.renamed, task: changed}, labels=labels)
        _write(run.folder, after, [*_undo(run.folder), before])
    done = ", ".join(
        f"{isolated(one)} {f'is now {isolated(word)}' if word else 'has no part in it'}" for one, word in words.items()
    )
    return f"{done}."


def _own(run: Run, task: str) -> Task:
    """A task as the upload itself has it."""
    return _sources[(str(run.folder), str(run.record.found.get("stamp")))][0].tasks[task]


def _expect(labelled: Labelled, files: Sequence[str]) -> None:
    for file in files:
        if file not in labelled.by_file:
            raise UsageError(f"There is no picture '{file[:100]}' in this upload. Reload the page, then choose again.")


def _said_of(edits: dataset_edits.Changes, file: str) -> Change:
    return Change(
        file=file,
        out=file in edits.left_out,
        labels=dict(edits.labels.get(file, {})),
        kept=[*edits.kept.get(file, ())],
    )


def moved_since(run: Run, forecast: Forecast) -> int:
    """Return how many pictures have been changed since a forecast was made; other names of classes count as RENEWED."""
    now, then = _edits(run.folder), forecast["edits"]
    out = set(now.left_out) ^ set(then["left_out"])
    files = now.labels.keys() | then["labels"].keys()
    relabelled = {file for file in files if now.labels.get(file) != then["labels"].get(file)}
    return len(out | relabelled) + (RENEWED if dict(now.renamed) != then["renamed"] else 0)


def _relabelled(labelled: Labelled, labels: Mapping[str, str], file: str, task: str, word: str) -> dict[str, str]:
    """The changed labels of a picture with one more: what differs from its first labels alone."""
    if task not in labelled.tasks:
        raise UsageError(f"These pictures have no labels of '{task[:64]}'. Reload the page, then choose again.")
    label = parse_label(labelled.tasks[task], word)  # DataError says what it knows
    mine = {name: one for name, one in labels.items() if name != task}
    return (
        mine
        if label == labelled.by_file[file].first.get(task)
        else {**mine, task: label_text(labelled.tasks[task], label)}
    )


def undo(run: Run) -> str:
    """Take the last change back, with all of its batch. Raises UsageError where there is none."""
    _there(run)
    with _changing:
        edits, steps = _edits(run.folder), _undo(run.folder)
        if not steps:
            raise UsageError("Nothing has been changed, so there is nothing to undo.", "nothing_changed")
        last = steps[-1]
        while steps and (steps[-1] is last or steps[-1].get("batch", "") == last.get("batch")):
            edits = _with(edits, steps.pop())
        _write(run.folder, edits, steps)
    return f"The last change is undone: {isolated(last['file']) + ' is' if 'file' in last else 'the classes are'} as before."


def _with(edits: dataset_edits.Changes, entry: Change) -> dataset_edits.Changes:
    """The changes with what is said of one picture, or of the classes."""
    if "file" not in entry:
        return dataclasses.replace(edits, renamed=entry.get("renamed", {}), labels=entry.get("relabelled", {}))
    file = entry["file"]
    rest = tuple(one for one in edits.left_out if one != file)
    said = {"labels": entry.get("labels"), "kept": entry.get("kept")}
    others = {name: {one: given for one, given in getattr(edits, name).items() if one != file} for name in said}
    more = {name: {**others[name], **({file: given} if given else {})} for name, given in said.items()}
    return dataclasses.replace(edits, left_out=(*rest, file) if entry.get("out") else rest, **more)


def _undo(folder: Path) -> list[Change]:
    return list(read_edits(folder).get("undo", ()))


def can_undo(folder: Path) -> bool:
    return bool(_undo(folder))


def _write(folder: Path, edits: dataset_edits.Changes, steps: Sequence[Change]) -> None:
    card.write_plain(folder / CHANGES, dataclasses.asdict(edits) | {"undo": list(steps)[-MOST_UNDO:]})


def picture_path(run: Run, file: str) -> Path:
    """Where a picture of the upload lies. Raises UsageError for any path that leads elsewhere."""
    path = run.data / file
    try:
        inside = bool(file) and path.resolve().is_relative_to(run.data.resolve()) and path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        inside = False
    if not inside:
        raise UsageError(f"There is no picture '{file[:100]}' in this upload. Reload the page, then choose again.")
    return path
