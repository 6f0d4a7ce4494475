"""The pictures of a Teach run with their labels: what was understood of the upload, and the counts of its classes."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl_model import archives, kinds, layouts
from mtl_model import runs as folders
from mtl_model.data import dataset_edits
from mtl_model.data.check import UNLABELLED
from mtl_model.errors import DataError, MtlError, UsageError
from mtl_model.layouts import FolderError, Source
from mtl_model.records import Sample
from mtl_model.run_records import Report
from mtl_model.runs import DATA, UNWRAPPED
from mtl_model.tasks import TASKS, Task, column_name
from mtl_model.ui.teach.teaching import Record, Run, read_edits

KEPT = 4  # sources in memory: reading one anew takes a tenth of a second a thousand pictures
FOLDERS, ANEW = "folders", "named_anew"
HALF = re.compile("[\ud800-\udfff]")  # of a letter: what a name that is not UTF-8 becomes
LEFT_OUT, CHANGED = "left out", "changed"
"""What can be browsed besides the classes."""

NOTHING_KNOWN = "There is no picture in it. Expected photos, loose or in folders named after their class; upload some."
NO_CLASS = "These pictures have no class yet. Expected the names of two at least; name them in step 1."
LONGEST_WORD, MOST_CLASSES = 64, 20  # of letters; of classes that are named on the page
FRAME = "webcam "  # with it begins the name of a frame that the page recorded
NOT_IN_NAMES = "|,=<:/\\"  # marks that the options of a command line, and folders, are made of

_sources: OrderedDict[tuple[str, str], tuple[Source, list[str]]] = OrderedDict()
"""With the files that have no label yet."""
_lock = threading.Lock()


def describe(folder: Path, record: Record, stamp: str) -> dict[str, Any]:
    """What is understood of an upload, as teach.json keeps it.

    kind, pictures, tasks ({name: title, kind, classes}), left_out, notes; unlabelled: pictures that may be given a label; bare:
    whether the folders are the classes of one task, whose name the visitor may say; error, code: the sentence where nothing was
    understood. Without tasks and error, the visitor has to name the classes. stamp: differs from that of any earlier upload.
    """
    data = folder / DATA
    unwrap(data)
    base: dict[str, Any] = {"stamp": stamp, "kind": "", "pictures": 0, "tasks": {}, "left_out": [], "notes": []}
    base |= {"kind": record.kind, "bare": bool(record.task), "task": record.task, "error": "", "code": ""}
    if record.classes:
        return base | _declared(data, record)
    loose = {**base, "kind": FOLDERS, "bare": False, "unlabelled": layouts.count_pictures(data)}
    try:
        kind = record.kind or layouts.recognise(data)
    except MtlError:
        return loose if loose["unlabelled"] else base | {"error": NOTHING_KNOWN, "code": "nothing_known"}
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
        if kind == FOLDERS and loose["unlabelled"]:
            return loose
        sentence = error.words("what was uploaded", "upload it again")
        return base | {"error": sentence[:1].upper() + sentence[1:], "code": error.code}
    except MtlError as error:
        return base | {"error": str(error), "code": error.code}
    if kind == FOLDERS and not source.samples and not any(reason.code == "label_unknown" for reason in source.left_out):
        return loose
    code, error = ("", "") if source.samples else _no_labels(source)
    return base | {
        "kind": kind,
        "pictures": len(source.samples),
        "tasks": _known_tasks(source),
        "left_out": [{"code": one.code, "values": one.values, "count": one.count} for one in source.left_out],
        "unlabelled": len(layouts.unlabelled(source)),
        "notes": [] if bare or error else [dataclasses.asdict(note) for note in source.notes],
        "bare": bare,
        "task": task,
        "error": error,
        "code": code,
    }


def _declared(data: Path, record: Record) -> dict[str, Any]:
    """What is understood of pictures whose classes the visitor named, as `describe` says it."""
    source = layouts.read(f"{FOLDERS}:{data}", _options(FOLDERS, record.task, record.classes))
    found = {"kind": FOLDERS, "bare": False, "tasks": _known_tasks(source), "pictures": len(source.samples)}
    return found | {"unlabelled": len(layouts.unlabelled(source))}


def _known_tasks(source: Source) -> dict[str, Any]:
    return {
        name: {
            "title": task.title,
            "kind": task.kind,
            "classes": list(kinds.of(task).choices(task)),
            "measured_in": "" if kinds.of(task).choices(task) else kinds.of(task).summary(task),
        }
        for name, task in source.tasks.items()
    }


def check_classes(task: str, classes: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the name of a task and of its classes as a visitor gave them, without blanks around; a task without a name is called
    after its classes. Raises UsageError for names that cannot be."""
    words = tuple(dict.fromkeys(filter(None, (" ".join(word.split()) for word in classes))))
    if not 2 <= len(words) <= MOST_CLASSES or len({word.casefold() for word in words}) < len(words):
        raise UsageError(
            f"{len(words)} different classes are named. Expected 2 to {MOST_CLASSES}, such as hat and no hat; name each once."
        )
    for word in words:
        path = archives.safe_path(word)
        odd = path is None or path.as_posix() != word or any(mark in word for mark in NOT_IN_NAMES)
        if odd or len(word) > LONGEST_WORD or not any(map(str.isalpha, word)) or not layouts.may_be_class(word):
            raise UsageError(
                f"'{word[:LONGEST_WORD]}' cannot be the name of a class. Expected a word or two of {LONGEST_WORD} "
                f"letters at most, without {NOT_IN_NAMES}, and none that folders have for other things (train); choose another."
            )
    name = column_name(task) or column_name(" or ".join(words))
    name = name if len(name) <= LONGEST_WORD else column_name(words[0])
    try:
        if any(mark in name for mark in NOT_IN_NAMES):
            raise UsageError(name)
        layouts.declare_columns(columns_of(name, words))
    except MtlError:
        raise UsageError(
            f"'{name[:LONGEST_WORD]}' cannot be what these classes tell apart: the program knows it with other classes, "
            f"or it has one of {NOT_IN_NAMES} in it. Expected a name of your own; choose another."
        ) from None
    return name, words


def columns_of(task: str, classes: Sequence[str]) -> str:
    """Return the option of the layout that declares a task with its classes; "" without classes."""
    return f"{task}={'|'.join(classes)}" if classes else ""


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
    if unknown := reasons.get("label_unknown"):
        return "label_unknown", f"No picture has a label that is known here. {unknown.examples[0]}"
    return "nothing_known", NOTHING_KNOWN


def layouts_name(name: str) -> str:
    """The name of a task made from that of a checkpoint."""
    return column_name(name.replace("-", " ")) or "label"


def _options(kind: str, task: str, classes: Sequence[str] = ()) -> dict[str, str]:
    if classes:
        return {"columns": columns_of(task, classes)}
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

    @property
    def recorded(self) -> bool:
        """Whether most of the pictures are frames that were recorded on the page."""
        frames = sum(one.file.rsplit("/", 1)[-1].startswith(FRAME) for one in self.pictures)
        return 2 * frames > len(self.pictures)

    def waiting(self, task: str) -> list[Picture]:
        """Pictures without a label of a task that can be used once they have one."""
        unlabelled = self.chosen(task, UNLABELLED) if task in self.tasks else []
        return [one for one in unlabelled if not one.out and one.file not in self.unusable]

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


def read_labelled(run: Run, edits: dataset_edits.Changes | None = None) -> Labelled:
    """edits: changes, those of the run if not given. Raises DataError where the upload holds nothing that can be read."""
    found, record = run.record.found, run.record
    if not found or found.get("error"):
        raise DataError(found["error"] if found else "The upload is not complete. Upload the pictures first.")
    if not found["tasks"]:
        raise DataError(NO_CLASS, "no_class")
    key = (str(run.folder), str(found.get("stamp")))
    with _lock:
        expect_pictures(run)
        if key not in _sources:
            kind = str(found["kind"])
            options = _options(kind, str(found["task"]) or record.task, record.classes)
            source = layouts.read(f"{kind}:{run.data}", options)
            _sources[key] = (source, layouts.unlabelled(source))
            while len(_sources) > KEPT:
                _sources.popitem(last=False)
        _sources.move_to_end(key)
        known = _sources[key]
    report = folders.read(run.folder / folders.REPORT, Report) or {}
    return Labelled(known[0], edits or edits_of(run.folder), known[1], report.get("unusable", ()))


def own_task(run: Run, name: str) -> Task:
    """A task as the upload itself has it; the pictures have been read."""
    return _sources[(str(run.folder), str(run.record.found.get("stamp")))][0].tasks[name]


def expect_pictures(run: Run) -> None:
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


def edits_of(folder: Path) -> dataset_edits.Changes:
    """Raises: RunError with a sentence if changes.json is damaged."""
    return changes_of(read_edits(folder))


def changes_of(edits: Mapping[str, Any]) -> dataset_edits.Changes:
    """Changes as a record of a run holds them."""
    return dataset_edits.Changes(
        tuple(edits.get("left_out", ())), edits.get("labels", {}), edits.get("renamed", {}), edits.get("kept", {})
    )


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
