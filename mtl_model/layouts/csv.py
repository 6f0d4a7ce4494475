"""A CSV file with a header: the column `file` names the picture, the others are its labels; a blank is unlabelled.

Columns called like a task are that task; `split` and `person` are what they say; `race` is an attribute, to
report by and not to learn. Any other column is a task: a quantity, if it holds numbers with many different
values ("height (cm)" names its unit), else one whose classes are the words in it, or an attribute if there are too many
of them. The option `columns` says which columns are tasks, and what the codes 0, 1, ... in
them mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mtl_model import kinds
from mtl_model.config import listed
from mtl_model.errors import UsageError, unknown
from mtl_model.events import Noted
from mtl_model.layouts._parts import (
    SPLITS,
    SPLITS_FILE,
    Collector,
    FolderError,
    Source,
    completed,
    declare_columns,
    most_classes,
    read_split,
    task_of_numbers,
    task_of_words,
)
from mtl_model.tables import Table, read_header, read_table
from mtl_model.tasks import TASKS, Task, column_name, split_unit

ORDER = 60
EXPECTS = "a CSV file whose header has a column file"
OPTIONS: Mapping[str, str] = {
    "columns": "the columns to learn, and the meaning of their codes 0, 1, ...: kind=rose|daisy,quality=poor<fair<good,age",
    "apart": "columns whose labels are also taken apart into tasks, such as a number's length and digits: number, or "
    "number:absent where a digit that is not there is a class of its own",
    "labels": "the name of the CSV file, where there are several",
}
WORDS: Mapping[str, str] = {
    "split": "a split that is not known (known: {known:list})",
    "unnamed": "Columns without a name are left out: {columns:,}.",
    "attribute": "The column {column} has {words:,} different values and is kept as an attribute.",
}

FILE, SPLIT, PERSON = "file", "split", "person"
ATTRIBUTES = frozenset({"race", "ethnicity"})


def _label_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    names = sorted(one for one in folder.glob("*.csv") if one.name != SPLITS_FILE and one.is_file())
    return [path for path in names if FILE in read_header(path)]


def _name_of(column: str) -> str:
    name = column.casefold()
    return name if name in (FILE, SPLIT, PERSON) else column_name(column)


def matches(folder: Path) -> bool:
    """Whether a CSV file other than splits.csv has a column `file`."""
    return bool(_label_files(folder))


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read the labels of one CSV file; a row with a wrong label or number of fields is counted."""
    collector = Collector("csv", folder)
    table = read_table(_choose(folder, options.get("labels", "")), _name_of)
    collector.skip_odd(table)
    tasks, notes = _tasks(table, options.get("columns", ""))
    parts = _parts(tasks, options.get("apart", ""))
    by_name = {task.name: task for task in (*tasks.values(), *(part.task for _, part in parts))}
    kept = [name for name in table.columns if name not in tasks and name not in (FILE, SPLIT, PERSON)]
    for entry in table.entries:
        file = entry[FILE]
        split = read_split(entry.get(SPLIT, ""))
        if entry.get(SPLIT) and split is None:
            collector.skip("csv.split", f"{file}: {entry[SPLIT]}", known=SPLITS)
            continue
        written = [(task, entry[name]) for name, task in tasks.items()]
        written += [(part.task, part.read(entry[name].strip())) for name, part in parts if entry[name].strip()]
        labels = collector.parse_all(file, written)
        if labels is not None:
            attributes = {name: entry[name] for name in kept if entry[name]}
            collector.add(file, labels, by_name, split=split or "", person=entry.get(PERSON, ""), attributes=attributes)
    return collector.source(notes)


def _choose(folder: Path, wanted: str) -> Path:
    found = _label_files(folder)
    by_name = {path.name: path for path in found}
    if wanted in by_name:
        return by_name[wanted]
    if not found or wanted:
        seen = f"'{wanted}' is no such file" if wanted else "There is none"
        raise FolderError(f"{seen} in {{folder}}", folder, EXPECTS, "check its name and its first line")
    if len(found) > 1 and "labels.csv" not in by_name:
        fault = f"{{folder}} holds {len(found)} CSV files with a column file: {', '.join(by_name)}"
        advice = "rename the one that counts, or move the others away"
        raise FolderError(fault, folder, "one, or one called labels.csv", advice, "several_tables")
    return by_name.get("labels.csv", found[0])


def _parts(tasks: Mapping[str, Task], apart: str) -> list[tuple[str, kinds.Part]]:
    """Return the parts of the columns that the option names. Raises UsageError for one that is no task or has no parts."""
    result: list[tuple[str, kinds.Part]] = []
    for column, _, absent in (name.partition(":") for name in listed(apart)):
        if column not in tasks:
            raise UsageError(unknown("column to take apart", column, tasks))
        parts = kinds.of(tasks[column]).parts(tasks[column], absent == "absent")
        if not parts or absent not in ("", "absent"):
            raise UsageError(
                f"The option apart names '{column}{':' if absent else ''}{absent}', which cannot be taken apart. Expected a "
                f"column of texts such as number:sequence, or {column}:absent; mend the option."
            )
        result += [(column, part) for part in parts]
    return result


def _tasks(table: Table, columns: str) -> tuple[dict[str, Task], list[Noted]]:
    """Return the columns that are tasks, and what had to be decided about the others."""
    without_units = {column_name(split_unit(title)[0]): name for name, title in table.titles.items()}
    declared = {
        name if name in table.columns else without_units.get(name, name): task
        for name, task in declare_columns(columns).items()
    }
    for name in declared:
        if name not in table.columns:
            raise UsageError(
                f"The option columns names '{name}', which is no column. Known: {', '.join(table.columns)}. Mend the option."
            )
    tasks: dict[str, Task] = {}
    notes: list[Noted] = []
    if table.unnamed:
        notes.append(Noted("csv.unnamed", {"columns": table.unnamed}))
    for name in declared or table.columns:
        task = declared.get(name) or TASKS.get(name)
        if task is not None and name in declared:
            task = completed(task, [entry[name] for entry in table.entries if entry[name]])
        if task is None and (name in declared or name not in {FILE, SPLIT, PERSON, *ATTRIBUTES}):
            words = [entry[name] for entry in table.entries if entry[name]]
            different = len({word.casefold() for word in words})
            task = task_of_numbers(table.titles.get(name, name), words, name in declared)
            taken = {*table.columns, *TASKS, *(other.name for other in tasks.values())}
            if task is not None and task.name in taken:  # also where it has no unit: then the name stays
                task = replace(task, name=name)
            if task is None and name not in declared and not 2 <= different <= most_classes(len(words)):
                notes.append(Noted("csv.attribute", {"column": name, "words": different}))
                continue
            task = task or task_of_words(name, words)
        if task is not None:
            tasks[name] = task
    return tasks, notes
