"""What people said was wrong, kept as a data set that a checkpoint can be taught from.

runs/corrections/ holds files/<name>.jpg and labels.csv, as the layout `csv` reads it: the column `file`, then a column a
task; a blank is "not labelled". A picture is written before the row that names it, and labels.csv is replaced whole
under a lock, so several people (and several servers on the same runs/) lose nothing.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from mtl_model import kinds
from mtl_model.card import CORRECTIONS, write_text
from mtl_model.errors import DataError, UsageError, disk_text, unknown
from mtl_model.kinds import parse_label
from mtl_model.tables import read_table
from mtl_model.tasks import Task, column_name

FILES, LABELS, FILE = "files", "labels.csv", "file"
NAME = re.compile(r"[0-9a-f]{32}[.]jpg")  # what `add` gives out: no other file is ever copied or deleted
LOCK = f".{CORRECTIONS}.lock"  # beside the folder, which `remove` takes away
PATIENCE_SECONDS = 30


def folder(runs: Path) -> Path:
    """Where they lie; the folder is there as soon as there is one."""
    return runs / CORRECTIONS


def count(runs: Path) -> int:
    return len(_read(runs))


def read_labels(tasks: Iterable[Task], given: Mapping[str, str]) -> dict[str, str]:
    """Right answers as a person gave them, {task: text}, as labels.csv holds them; blank ones are left out.

    Raises: UsageError for an unknown task, or where no answer is left; DataError for an answer that its task cannot have.
    """
    # None is called like a column of the list, least of all like the one that names the picture.
    known = {task.name: task for task in tasks if column_name(task.name) == task.name}
    labels = {}
    for name, text in given.items():
        if name not in known:
            raise UsageError(unknown("task", name, known))
        label = parse_label(known[name], text)
        if label is not None:
            labels[name] = kinds.of(known[name]).write(known[name], label)
    if not labels:
        raise UsageError("No right answer is given. Expected at least one; say what you know and leave out the rest.")
    return labels


def add(runs: Path, image: np.ndarray, labels: Mapping[str, str]) -> str:
    """Keep one face with its right answers. Returns the name by which `remove` takes it back.

    image: uint8 RGB (H, W, 3), with enough around the face for the detector to find it again. labels: of `read_labels`.
    Raises: DataError where the folder cannot be written.
    """
    name = f"{uuid.uuid4().hex}.jpg"
    picture = folder(runs) / FILES / name
    with _locked(runs):
        rows = _read(runs)
        picture.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(image).save(picture, "JPEG", quality=95, subsampling=0)
            _write(runs, [*rows, {**labels, FILE: f"{FILES}/{name}"}])
        except BaseException:
            picture.unlink(missing_ok=True)
            raise
    return name


def remove(runs: Path, name: str | None = None) -> None:
    """Take one correction back, or all of them; one that is gone already, or never was, is no mistake.

    Files that `add` did not give out stay, whoever put them there."""
    if name is not None and not NAME.fullmatch(name):
        return
    with _locked(runs):
        rows = [] if name is None else _read(runs)
        kept = [row for row in rows if row[FILE] != f"{FILES}/{name}"]
        if not kept:
            _remove_all(folder(runs))
        elif len(kept) < len(rows):
            _write(runs, kept)
            (folder(runs) / FILES / str(name)).unlink(missing_ok=True)


def _remove_all(place: Path) -> None:
    """The pictures that were given out, the list if it names any, and the folders if nothing else is in them."""
    pictures = [path for path in (place / FILES).glob("*.jpg") if NAME.fullmatch(path.name)]
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if pictures or re.search(rf"{FILES}/{NAME.pattern}".encode(), (place / LABELS).read_bytes()):
            (place / LABELS).unlink()
    for path in pictures:
        path.unlink(missing_ok=True)
    for path in (place / FILES, place):
        with contextlib.suppress(OSError):  # not there, or not empty
            path.rmdir()


def copy_to(runs: Path, target: Path) -> int:
    """Copy the set into a folder, such as the data/ of a run. Returns how many there are.

    Raises: UsageError where there are none.
    """
    with _locked(runs):
        rows = _read(runs)
        if not rows:
            raise UsageError("No correction is kept yet. Press “This is wrong” on a card of the Photo tab first.")
        (target / FILES).mkdir(parents=True, exist_ok=True)
        for name in filter(NAME.fullmatch, (row[FILE].removeprefix(f"{FILES}/") for row in rows)):
            with contextlib.suppress(FileNotFoundError):  # deleted by hand: whoever reads the set counts it
                shutil.copyfile(folder(runs) / FILES / name, target / FILES / name)
        shutil.copyfile(folder(runs) / LABELS, target / LABELS)
    return len(rows)


@contextlib.contextmanager
def _locked(runs: Path) -> Iterator[None]:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with FileLock(runs / LOCK, timeout=PATIENCE_SECONDS):
            yield
    except OSError as error:  # a lock that stays taken is a TimeoutError, which is one too
        raise DataError(disk_text(f"The corrections in '{runs}' cannot be changed", error)) from None


def _read(runs: Path) -> list[dict[str, str]]:
    path = folder(runs) / LABELS
    if not path.exists():
        return []
    table = read_table(path)
    if FILE not in table.columns or table.odd:
        raise DataError(
            f"The {LABELS} of the corrections has a row that does not fit its header. Expected the column {FILE} and "
            "one a task; mend it, or delete all corrections."
        )
    return list(table.entries)


def _write(runs: Path, rows: list[dict[str, str]]) -> None:
    columns = [FILE, *dict.fromkeys(name for row in rows for name in row if name != FILE)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder(runs) / LABELS, text.getvalue())
