"""Text lists `train.txt`, `val.txt`, `test.txt` (or one `list.txt`): a line `path, label, label ...` a picture.

A blank between commas, semicolons or tabs is no label. Spaces do as separators too; there a blank cannot be
written but at the end, so `-` or `?` stands for it. The option `columns` names the columns and their codes:
kind=rose|daisy,colour=red|pink|white. A first line `path, kind, colour` names the columns as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl_model.errors import UsageError
from mtl_model.events import Noted
from mtl_model.layouts._parts import (
    Collector,
    FolderError,
    Source,
    completed,
    declare_columns,
    task_of_numbers,
    task_of_words,
)
from mtl_model.pictures import SUFFIXES
from mtl_model.tables import DELIMITERS, check_names, read_lines
from mtl_model.tasks import TASKS, Task, column_name

ORDER = 70
EXPECTS = "train.txt, val.txt and test.txt (or list.txt) with lines path, label, label ..."
OPTIONS: Mapping[str, str] = {
    "columns": "names of the columns, and the meaning of their codes 0, 1, ...: kind=rose|daisy,quality=poor<fair<good",
}

# Test comes first, so that a picture named in two lists stays out of training.
LISTS = {"test.txt": "test", "val.txt": "val", "train.txt": "train", "list.txt": ""}
BLANKS = frozenset({"-", "?"})
PATH = re.compile(rf"^\s*(.+?(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))}))(?=[,;\s]|$)", re.IGNORECASE)
WORDS: Mapping[str, str] = {
    "line": "the line is not a path and its labels",
    "label_count": "the line has not {labels} labels after its path",
    "one_class": "The column {column} holds fewer than two classes and is left out.",
    "unnamed": "The columns have no names and are called {columns:list}; the option columns names them.",
}


@dataclass(frozen=True)
class _Line:
    where: str
    split: str
    path: str
    fields: list[str]
    spaced: bool


def matches(folder: Path) -> bool:
    """Whether one of the lists is there and its first or second line begins with the path of a picture."""
    for name in LISTS:
        if (folder / name).is_file():
            lines = [line for line in read_lines(folder / name) if line.strip()]
            return any(PATH.match(line) for line in lines[:2])
    return False


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read the lists; a line with too many labels, too few, or an unknown one is counted and moves no other."""
    collector = Collector("list", folder)
    if not any((folder / name).is_file() for name in LISTS):
        raise FolderError("There is no train.txt in {folder}", folder, EXPECTS)
    titles: list[str] = []
    lines: list[_Line] = []
    for name in LISTS:
        if (folder / name).is_file():
            titles = _read_list(folder / name, collector, lines) or titles
    columns = _columns(titles, lines, options.get("columns", ""))
    for line in lines:
        fields = line.fields
        if line.spaced:  # trailing blanks cannot be seen
            fields = fields + [""] * (len(columns) - len(fields))
        if len(fields) != len(columns):
            collector.skip("list.label_count", line.where, labels=len(columns))
            continue
        written = [(task, text) for task, text in zip(columns.values(), fields, strict=True) if task is not None]
        labels = collector.parse_all(line.path, written)
        if labels is not None:
            tasks = {task.name: task for task, _ in written}
            collector.add(line.path, labels, tasks, split=line.split)
    return collector.source(_notes(columns, bool(titles) or bool(options.get("columns"))))


def _read_list(path: Path, collector: Collector, lines: list[_Line]) -> list[str]:
    """Append the lines of one list. Return the titles of the columns if its first line holds them."""
    titles: list[str] = []
    for number, text in enumerate(read_lines(path), start=1):
        found = PATH.match(text)
        where = f"{path.name}, line {number}: {text[:60]}"
        if found:
            fields, spaced = _split(text[found.end() :])
            lines.append(_Line(where, LISTS[path.name], found[1].strip("\"'"), fields, spaced))
        elif number == 1 and re.match(r"(path|file)\b", text.strip(), re.IGNORECASE):
            titles, _ = _split(text.strip()[4:])
            check_names(path, [column_name(title) for title in titles])
        elif text.strip():
            collector.skip("list.line", where)
    return titles


def _split(rest: str) -> tuple[list[str], bool]:
    """Return the labels after a path, and whether blank ones at the end may be missing, which tabs and spaces do not show."""
    for delimiter in DELIMITERS:
        if delimiter in rest:
            inside = rest.strip(" ") if delimiter == "\t" else rest.strip()
            fields = inside.removeprefix(delimiter).split(delimiter)
            return [_unblank(field) for field in fields], delimiter == "\t"
    return [_unblank(field) for field in rest.split()], True


def _unblank(field: str) -> str:
    return "" if field.strip() in BLANKS else field.strip().strip("\"'")


def _columns(titles: list[str], lines: list[_Line], option: str) -> dict[str, Task | None]:
    """Return name -> task of each column in order; None for a column that holds fewer than two different words."""
    declared = declare_columns(option)
    header = [column_name(title) for title in titles]
    widest = max((len(line.fields) for line in lines), default=0)
    names = list(declared) or header or [f"label_{number}" for number in range(1, widest + 1)]
    if header and len(header) != len(names):
        raise UsageError(
            f"The option columns names {len(names)} columns, the first line of the list {len(header)}. "
            "Expected as many names as there are labels in a line; mend the option columns."
        )
    columns: dict[str, Task | None] = {}
    for place, name in enumerate(names):
        words = [line.fields[place] for line in lines if len(line.fields) > place and line.fields[place]]
        column = titles[place] if titles and titles[place] else name
        if task := declared.get(name):
            columns[name] = completed(task, words)
        else:
            columns[name] = TASKS.get(name) or task_of_numbers(column, words, True) or task_of_words(name, words)
    return columns


def _notes(columns: Mapping[str, Task | None], named: bool) -> list[Noted]:
    notes = [Noted("list.one_class", {"column": name}) for name in columns if not columns[name]]
    if not named and columns:
        notes.append(Noted("list.unnamed", {"columns": list(columns)}))
    return notes
