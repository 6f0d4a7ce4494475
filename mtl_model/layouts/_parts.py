"""What every data layout shares: the record a reader returns, and the way samples are gathered into it.

A reader goes through its label file and hands each entry to a Collector, which finds the picture, decides the
split and counts what cannot be used. So no reader can give a picture the label of its neighbour: a label
travels with the name it was written beside, or is left out and counted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mtl_model import kinds, wording
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.events import Noted
from mtl_model.kinds import parse_label
from mtl_model.names import as_text, printable
from mtl_model.pictures import SUFFIXES
from mtl_model.records import Sample
from mtl_model.tables import Table, read_table
from mtl_model.tasks import (
    TASKS,
    Label,
    Task,
    class_task,
    column_name,
    number_of,
    number_task,
    order_task,
    split_unit,
)

SPLITS_FILE = "splits.csv"
SPLITS = ("train", "val", "test", "fewshot")  # fewshot: kept aside for learning a new task from few pictures
UNLABELLED = "unlabelled"
"""A folder of pictures that are to be labelled; never a class."""
SPLIT_SPELLINGS = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("training",), "train"),
    **dict.fromkeys(("valid", "validation", "dev"), "val"),
    **dict.fromkeys(("testing",), "test"),
}
HASH_SEED = "mtl_model 1"  # another seed would move pictures between splits and make old figures incomparable
EXAMPLES = 5
FEW_CLASSES, MOST_CLASSES = 10, 50
READ_AS = {
    "columns": "kind of a label, where not the usual one, such as gender:binary,age:classes=0-17|18-64|65-99",
}
"""The option of a layout whose labels have names of their own; `layouts.read` sees to it."""
ABSOLUTE = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|file:")


@dataclass(frozen=True)
class LeftOut:
    """Entries that were left out for one reason: its code with its values (see `wording`), how many, up to EXAMPLES of them."""

    code: str
    values: Mapping[str, Any]
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A data set as read.

    samples: their labels are class names, years, or ranges of years (low, high); `split` is one of SPLITS.
    tasks: the tasks that at least one sample is labelled for, or that were declared.
    left_out: the entries that could not be used, by their reason.
    notes: what the reader had to decide by itself.
    loose: the classes were declared, so every other picture may be given one of them.
    """

    kind: str
    folder: Path
    samples: tuple[Sample, ...]
    tasks: Mapping[str, Task]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[Noted, ...] = ()
    loose: bool = False

    def in_split(self, split: str) -> tuple[Sample, ...]:
        return tuple(sample for sample in self.samples if sample.split == split)

    def summary(self, with_splits: bool = True) -> Noted:
        """Return how many pictures there are, what was left out and why."""
        counts = Counter(sample.split for sample in self.samples)
        values = {
            "kind": self.kind,
            "pictures": len(self.samples),
            "splits": {name: counts[name] for name in SPLITS if with_splits and counts[name]},
            "left_out": [{**asdict(reason), "examples": reason.examples[:1]} for reason in self.left_out],
            "notes": [asdict(note) for note in self.notes],
        }
        return Noted("source_read", values)

    def check(self) -> None:
        """Raise DataError for a set without a labelled picture."""
        if not self.samples:
            raise DataError(
                f"{wording.of(self.summary())} Expected labelled pictures; look at what was left out.",
                "no_labelled_picture",
            )


class FolderError(DataError):
    """A folder that is no data set of the kind it was read as.

    fault: what is wrong with it, with {folder} in its place. The page has another name for the folder, and other advice.
    """

    code = "folder"

    def __init__(self, fault: str, folder: Path, expected: str, advice: str = "", code: str = "") -> None:
        """advice: what to do; that the path may be wrong where it is ""."""
        self._fault, self._expected, self._advice = fault, expected, advice
        super().__init__(self.words(f"'{folder}'", "check the path"), code)

    def words(self, folder: str, other_path: str) -> str:
        """Return the sentence, for a folder of this name. other_path: the advice where the path may be wrong."""
        sentence = self._fault.replace("{folder}", folder)
        return f"{sentence}. Expected {self._expected}; {self._advice or other_path}."


def check_options(kind: str, options: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Raises UsageError for an option that the layout does not have."""
    for name in options:
        if name not in known:
            raise UsageError(unknown(f"option of the layout {kind}", name, known))


def stem(name: str) -> str:
    """A name without its picture suffix, so that x.jpg and x.webp are the same picture.

    >>> stem("part/25_0_1_2017.jpg.chip.webp"), stem("portrait.v2")
    ('part/25_0_1_2017.jpg.chip', 'portrait.v2')
    """
    start, suffix = os.path.splitext(name)
    return start if suffix.lower() in SUFFIXES else name


def hash_split(key: str) -> str:
    """Train, val or test (80/10/10) by a seeded hash of a name: the same on every machine, whatever else is there."""
    digest = hashlib.sha256(f"{HASH_SEED}:{key}".encode("utf-8", "surrogateescape")).digest()
    part = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if part < 0.8 else "val" if part < 0.9 else "test"


def _normal(name: str) -> str:
    """A name as names are compared: slashes, and accents composed, which some systems write apart."""
    plain = os.path.normpath(as_text(name).strip().replace("\\", "/")).replace(os.sep, "/")
    return unicodedata.normalize("NFC", plain)


class Pictures:
    """The pictures below a folder, found by the names that label files use for them.

    Names are relative to the folder. Only what lies below it is ever found, whatever a label file says.
    closed: folders that cannot be read -> why; "." is the folder itself.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.names: list[str] = []
        self.closed: dict[str, OSError] = {}
        for where, folders, files in os.walk(folder, onerror=self._note_closed):
            folders[:] = sorted(one for one in folders if not one.startswith((".", "__MACOSX")))
            inside = os.path.relpath(where, folder).replace(os.sep, "/")
            prefix = "" if inside == "." else f"{inside}/"
            self.names += [prefix + one for one in sorted(files) if _is_picture_name(one)]
        self._exact = {_normal(name): name for name in self.names}
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            self._by_stem.setdefault(stem(_normal(name)), []).append(name)

    def _note_closed(self, error: OSError) -> None:
        self.closed[os.path.relpath(error.filename, self.folder).replace(os.sep, "/")] = error

    def find(self, name: str) -> str | None:
        """The picture of that name, or the only one that differs in its picture suffix alone."""
        wanted = _normal(name)
        if wanted in self._exact:
            return self._exact[wanted]
        candidates = self._by_stem.get(stem(wanted), [])
        return candidates[0] if len(candidates) == 1 else None


def _is_picture_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def closed_folder(folder: Path, error: OSError) -> DataError:
    fault = f"The folder {{folder}} cannot be read ({error.strerror or error})"
    return FolderError(fault, folder, "a readable folder", "change its permissions", "folder_closed")


def picture_names(folder: Path) -> list[str]:
    """Names of the pictures that lie directly in a folder, sorted; empty for a folder that is not there or cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_picture_name(entry.name))
    except OSError:
        return []


def read_split(text: str) -> str | None:
    """The split that a word stands for, or None: "validation" is val."""
    return SPLIT_SPELLINGS.get(text.strip().casefold())


class Collector:
    """Gathers the samples of one data set, finds their pictures, decides splits, counts what is left out.

    The split: `splits.csv` in the folder decides it if it is there; else what the layout's own lists say;
    else a seeded hash of the person, where the set knows persons, or of the file's name.
    """

    def __init__(self, kind: str, folder: Path):
        if not folder.is_dir():
            raise FolderError("{folder} is not a folder", folder, f"the folder of a data set ({kind})")
        self.kind = kind
        self.folder = folder
        self.pictures = Pictures(folder)
        if "." in self.pictures.closed:
            raise closed_folder(folder, self.pictures.closed["."])
        self._samples: list[Sample] = []
        self._tasks: dict[str, Task] = {}
        self._used: set[str] = set()
        self._left_out: dict[str, LeftOut] = {}
        self._splits = self._read_splits(folder / SPLITS_FILE)
        for name in self.pictures.closed:
            self.skip("folder_closed", name)

    def skip(self, code: str, example: str, **values: Any) -> None:
        """Leave an entry out and count it. code: of `wording.WORDS`, or "LAYOUT.CODE" for one of the layout's own WORDS; values:
        what its words need."""
        key = json.dumps([code, values], allow_nan=False)
        before = self._left_out.get(key, LeftOut(code, values, 0, ()))
        examples = before.examples if len(before.examples) == EXAMPLES else (*before.examples, printable(example))
        self._left_out[key] = replace(before, count=before.count + 1, examples=examples)

    def skip_odd(self, table: Table) -> None:
        """Count the rows of a table that do not fit its header: no field of theirs can be told apart."""
        for row in table.odd:
            self.skip("row_fields", ",".join(row))

    def parse(self, file: str, task: Task, text: str) -> tuple[bool, Label | None]:
        """Read one label. Returns whether it could be read (if not, the entry is counted), and the label."""
        try:
            return True, parse_label(task, text)
        except DataError as error:
            self.skip("label_unknown", f"{file}: {error}", task=task.name)
            return False, None

    def parse_all(self, file: str, written: Iterable[tuple[Task, str]]) -> dict[str, Label] | None:
        """The labels of one entry. One wrong label makes the entry wrong: it is counted, and None comes back."""
        labels: dict[str, Label] = {}
        for task, text in written:
            readable, label = self.parse(file, task, text)
            if not readable:
                return None
            if label is not None:
                labels[task.name] = label
        return labels

    def add(
        self,
        file: str,
        labels: Mapping[str, Label],
        tasks: Mapping[str, Task],
        *,
        picture: str = "",
        split: str = "",
        person: str = "",
        attributes: Mapping[str, str] | None = None,
        key: str = "",
    ) -> None:
        """Add one picture with its labels, or count why it cannot be used.

        file: its name in the set's own label file. picture: where it lies below the folder, if not at `file`.
        split: what the layout's own lists say. key: what the split is drawn by, if not person or file.
        """
        found = self.pictures.find(picture or file)
        if found is None:
            return self.skip("path_absolute" if ABSOLUTE.match(file) else "picture_missing", file)
        if found in self._used:
            return self.skip("picture_repeated", file)
        if not labels:
            return self.skip("no_label", file)
        person = person or next(filter(None, (kinds.of(tasks[name]).person(labels[name]) for name in labels)), "")
        chosen = self._split_of(file, found, split, key or person)
        if chosen is None:
            return self.skip("split_missing", file, file=SPLITS_FILE)
        self._used.add(found)
        self._tasks |= {name: _usual(tasks[name]) for name in labels}
        self._samples.append(
            Sample(
                path=str(self.folder / found),
                labels=dict(labels),
                split=chosen,
                file=as_text(file),
                person=person,
                source=self.kind,
                attributes=dict(attributes or {}),
                declared=self._splits is not None or bool(split),
            )
        )
        return None

    def source(self, notes: Iterable[Noted] = ()) -> Source:
        """What was gathered. Tasks come in the order in which they were first seen."""
        return Source(
            kind=self.kind,
            folder=self.folder,
            samples=tuple(self._samples),
            tasks=dict(self._tasks),
            left_out=tuple(self._left_out.values()),
            notes=tuple(notes),
        )

    def unused(self) -> Iterator[str]:
        """Pictures below the folder that no sample shows."""
        return (name for name in self.pictures.names if name not in self._used)

    def _split_of(self, file: str, found: str, split: str, key: str) -> str | None:
        if self._splits is not None:
            return self._splits.get(stem(_normal(file))) or self._splits.get(stem(found))
        return split or hash_split(key or stem(_normal(file)))

    def _read_splits(self, path: Path) -> dict[str, str] | None:
        if not path.is_file():
            return None
        table = read_table(path)
        if not {"file", "split"} <= set(table.columns):
            raise DataError(
                f"'{SPLITS_FILE}' has the columns {', '.join(table.columns) or 'none'}. Expected file and split; "
                "mend the header, or take the file away so that a seeded hash splits the pictures."
            )
        self.skip_odd(table)
        splits: dict[str, str] = {}
        for entry in table.entries:
            split, name = read_split(entry["split"]), stem(_normal(entry["file"]))
            if split is None:
                seen = f"{entry['file']}: {entry['split']}"
                self.skip("split_unknown", seen, file=SPLITS_FILE, known=SPLITS)
            elif splits.setdefault(name, split) != split:
                self.skip("split_conflict", entry["file"], file=SPLITS_FILE)
        return splits


def _usual(task: Task) -> Task:
    """Return the program's own task of that name where it is of the same kind: a column may add spellings to it."""
    known = TASKS.get(task.name)
    return known if known and known.kind == task.kind else task


def declare_columns(text: str) -> dict[str, Task | None]:
    """Read the option `columns`: "kind=rose|daisy,quality=poor<fair<good,age" names the columns and the classes of their codes
    0, 1, ..., those with "<" in their order. "marks:points=left_eye|right_eye" and "age (years):number" say a column's kind.

    Returns: column -> its task; None where the classes are the words that will be found in the column.
    Raises: UsageError for classes that the column cannot have, or that cannot be told from their codes.
    """
    columns: dict[str, Task | None] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        head, equals, classes = part.partition("=")
        head, colon, kind = map(str.strip, head.partition(":"))
        head, unit = split_unit(head) if colon else (head, "")
        name = column_name(head)
        if name in columns:
            raise UsageError(f"The option columns names '{name}' twice. Expected each column once; leave one out.")
        ordered = "<" in classes
        words = tuple(map(str.strip, classes.split("<" if ordered else "|")))
        if colon:
            columns[name] = replace(declared_as(kind, name, words if equals else ()), unit=unit)
        else:
            columns[name] = _declared(name, words, ordered) if equals else TASKS.get(name)
    return columns


def declared_as(kind: str, name: str, classes: tuple[str, ...]) -> Task:
    """A column whose kind is said: what its classes are depends on the kind."""
    if kind not in kinds.names():
        raise UsageError(unknown(f"kind of task of the column {name}", kind, kinds.names()))
    task = class_task(name, classes)
    return replace(task, kind=kind, loss=next(iter(kinds.named(kind).losses)))


def completed(task: Task, words: Sequence[str]) -> Task:
    """Return a declared task with what the words of its column say of it.

    Raises: UsageError where it still lacks what its kind needs."""
    task = kinds.of(task).complete(task, words)
    try:
        kinds.of(task).check(task)
    except ValueError as error:
        raise UsageError(f"{error} Mend the option columns.") from None
    least = kinds.of(task).least_classes
    if len(task.classes) < least:
        raise UsageError(
            f"The column {task.name} is declared as {task.kind}, with {len(task.classes)} names. Expected at least {least}, such "
            f"as {task.name}:{task.kind}=first|second; mend the option columns."
        )
    return task


def _declared(name: str, classes: tuple[str, ...], ordered: bool) -> Task:
    known = TASKS.get(name)
    if len(set(classes)) < 2 or "" in classes or (known and not kinds.of(known).choices(known)):
        raise UsageError(
            f"'{name}={'|'.join(classes)}' does not name the classes of {name}. Expected at least two different ones "
            "for a column that is not in years, such as colour=red|pink|white; mend the option columns."
        )
    named = {str(code): word for code, word in enumerate(classes)}
    others = known.classes if known else [f"{name}-{word}" for word in classes]
    for word in classes:
        if named.get(word, word) != word:
            raise UsageError(
                f"'{name}={'|'.join(classes)}' can be read in two ways: {word} is the name of a class, and the code of "
                f"{named[word]}. Expected names that are no codes of others; write {name} alone where the column holds the names "
                f"themselves, or other names, such as {name}={'|'.join(others)}, where it holds "
                f"the codes 0 to {len(classes) - 1}."
            )
    task = known or (order_task if ordered else class_task)(name, classes)
    codes = {str(code): str(parse_label(task, word)) for code, word in enumerate(classes)}
    return replace(task, spellings={**task.spellings, **codes})


def most_classes(labels: int) -> int:
    """How many different words still make classes: names and numbers repeat less than twice and are none."""
    return min(MOST_CLASSES, max(FEW_CLASSES, labels // 2))


def task_of_numbers(column: str, words: Sequence[str], declared: bool = False) -> Task | None:
    """Return a task for a column of numbers; None for one that is no quantity.

    A quantity has more different values than classes would have: than FEW_CLASSES where some are no whole numbers, than two
    where the column names a unit, "height (cm)". Whole numbers without a unit of which each stands once count the pictures,
    unless the column is declared as a task."""
    numbers = [number_of(word) for word in words]
    known = [number for number in numbers if number is not None]
    name, unit = split_unit(column)
    different, whole = len(set(known)), all(number.is_integer() for number in known)
    least = 2 if unit else most_classes(len(words)) if whole else FEW_CLASSES
    counted = whole and different == len(words) and not (unit or declared)
    if not known or len(known) < len(words) or different <= least or counted:
        return None
    return number_task(column_name(name), unit)


def task_of_words(name: str, words: Iterable[str]) -> Task | None:
    """A task whose classes are the words found in a column, in order; None for fewer than two different words."""
    found = {word.casefold(): word for word in sorted(words, reverse=True) if word}
    numbers_first = sorted(found.values(), key=lambda word: (not word.isdigit(), word.isdigit() and int(word), word))
    return class_task(name, tuple(numbers_first)) if len(found) > 1 else None
