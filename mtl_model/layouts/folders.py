"""Class folders: the folder a picture lies in is its label.

- `smile/yes/*  smile/no/*  gender/female/*  age/25/*  age/20-29/*`: several tasks at once, as task/class/picture;
- `rose/*  daisy/*`: one task, named by the option `task`;
- `train/rose/*  val/rose/*`: the same, with the splits above;
- pictures in any folders, with the option `columns`: `hat=on|off` declares one task and its classes. A folder called like one of
  them, at any depth, is that class, and every other picture may be labelled later.

Folders called train, val, test, files, unlabelled or img_* are never a class. Photos that lie loose beside folders of
classes, and a folder of photos beside one of classes, are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mtl_model import kinds
from mtl_model.errors import UsageError
from mtl_model.events import Noted
from mtl_model.layouts._parts import (
    UNLABELLED,
    Collector,
    FolderError,
    Pictures,
    Source,
    declare_columns,
    read_split,
    stem,
    task_of_words,
)
from mtl_model.names import as_text
from mtl_model.tasks import TASKS, Task, column_name

ORDER = 80
EXPECTS = "a folder a class (rose/, daisy/), or a folder a task with a folder a class in it (smile/yes/, smile/no/)"
OPTIONS: Mapping[str, str] = {
    "task": "the name of the task whose classes the folders are; else the name of DIR",
    "columns": "one task and its classes, such as hat=on|off, where the folders need not say them",
}
WORDS: Mapping[str, str] = {
    "no_class": "the picture lies in no class folder, so it has no label yet",
    "only_class": "the folder {folder} holds photos beside folders of classes, or the only class there is",
    "named_after_folder": (
        "The folders are the classes of one task, called {task} after the folder; rename the folder if it is another."
    ),
}


@dataclass(frozen=True)
class _Place:
    """Where a picture lies: task and class are "" where no folder says so."""

    file: str
    split: str
    task: str
    word: str


def matches(folder: Path) -> bool:
    """Whether some picture lies in a folder that may be a class."""
    return any(place.word for place in _places(Pictures(folder).names, ""))


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read one label a picture. Without the option `task`, bare class folders are a task named after the folder.

    A picture whose folder is no class of a known task is counted, and so is one that lies in no class folder.
    Raises: DataError for a class or a new task whose folder has a name that is not UTF-8; UsageError for an option that
    declares other than one task with classes.
    """
    if options.get("columns"):
        return _read_declared(folder, options["columns"])
    collector = Collector("folders", folder)
    bare = column_name(options.get("task", ""))
    places = list(_places(collector.pictures.names, bare))
    notes: list[Noted] = []
    if not bare and any(place.word and not place.task for place in places):
        bare = column_name(as_text(folder.resolve().name)) or "label"
        if bare in _tasks(places, bare):
            notes.append(Noted("folders.named_after_folder", {"task": bare}))
    if not any(place.word for place in places):
        raise FolderError("No picture in {folder} lies in a class folder", folder, EXPECTS)
    tasks = _tasks(places, bare)
    for place in places:
        if not place.word:
            collector.skip("folders.no_class", place.file)
            continue
        task = tasks.get(place.task or bare)
        if task is None:
            collector.skip("folders.only_class", place.file, folder=place.word)
            continue
        labels = collector.parse_all(place.file, [(task, place.word)])
        if labels:
            # By the bare name, so that one photo sorted into the folders of two tasks stays in one split.
            name = stem(place.file.rsplit("/", 1)[-1])
            collector.add(place.file, labels, tasks, split=place.split, key=name)
    return collector.source(notes)


def _read_declared(folder: Path, columns: str) -> Source:
    """Read the classes of one declared task: the innermost folder that is called like one labels its pictures."""
    declared = declare_columns(columns)
    task = next(iter(declared.values()), None)
    if task is None or len(declared) > 1 or not kinds.of(task).choices(task):
        raise UsageError(
            f"The option columns is '{columns}'. Expected one task with its classes, such as hat=on|off; mend the option."
        )
    codes = {str(code) for code in range(len(task.classes))}
    own = {spelling: word for spelling, word in task.spellings.items() if spelling not in codes}
    task = TASKS.get(task.name) or replace(task, spellings=own)  # folders hold names, never codes
    collector = Collector("folders", folder)
    for file in collector.pictures.names:
        path = as_text(file).split("/")
        word = next((name for name in reversed(path[:-1]) if name.casefold() in task.spellings), "")
        if word:
            labels = collector.parse_all(file, [(task, word)])
            split = (read_split(path[0]) or "") if len(path) > 1 else ""
            collector.add(file, labels or {}, {task.name: task}, split=split, key=stem(path[-1]))
    return replace(collector.source(), tasks={task.name: task}, loose=True)


def never_a_class(name: str) -> bool:
    """Whether a folder of this name has a meaning of its own, so that it is no class."""
    return read_split(name) is not None or name in ("files", UNLABELLED) or name.startswith("img_")


def _places(names: list[str], bare: str) -> Iterator[_Place]:
    """Say of each picture what its folders mean. bare: the name that was given to the task of bare class folders."""
    paths = [as_text(name).split("/") for name in names]
    wrapping = _wrapping(paths, bare)
    paths = [path[min(wrapping, len(path) - 1) :] for path in paths]
    splits = [(read_split(path[0]) or "") if len(path) > 1 else "" for path in paths]
    inner = [(split, path[1:] if split else path) for split, path in zip(splits, paths, strict=True)]
    tasks = _task_folders([path for _, path in inner], bare)
    for file, (split, path) in zip(names, inner, strict=True):
        folders = path[:-1]
        task = word = ""
        if folders and not any(map(never_a_class, folders)):
            if folders[0] not in tasks:  # beside the folder of the very task it is a class of none
                word, task = folders[0], column_name(folders[0]) if bare in tasks.values() else ""
            elif len(folders) > 1:
                task, word = tasks[folders[0]], folders[1]
        yield _Place(file, split, task, word)


def _task_folders(paths: list[list[str]], bare: str) -> dict[str, str]:
    """Return {outermost folder: its task} of those that hold folders of classes; the others are classes.

    One that is called like a known task holds them, or like the one given. Of others, where none is given or there is one alone:
    if no picture lies in it itself, or more lie in several folders within it (what is loose is then beside the classes)."""
    tops = dict.fromkeys(path[0] for path in paths if len(path) > 1 and not never_a_class(path[0]))
    found = {}
    for top in tops:
        name, inside = column_name(top), [path for path in paths if path[0] == top and len(path) > 1]
        loose = sum(len(path) == 2 for path in inside)
        within = {path[1] for path in inside if len(path) > 2}
        several = len(within) > 1 and (len(tops) == 1 or len(inside) - loose > loose)
        if name in TASKS or name == bare:
            found[top] = name
        elif (not bare and (not loose or several)) or (len(tops) == 1 and loose and several):
            found[top] = bare or name
    return found


def _wrapping(paths: list[list[str]], bare: str) -> int:
    """How many outer folders only wrap the rest, as unpacked archives have them; what lies loose beside it does not count."""
    depth = 0
    least = 3 if bare else 4  # wrapping, class, picture; or wrapping, task, class, picture
    while paths and 2 * sum(len(path) >= depth + least for path in paths) > len(paths):
        outer = {path[depth] for path in paths if len(path) > depth + 1}
        name = outer.pop()
        if outer or column_name(name) in TASKS or never_a_class(name):
            break
        depth += 1
    return depth


def _tasks(places: list[_Place], bare: str) -> dict[str, Task]:
    """Name -> task; a name that the program does not know gets the words of its folders as classes."""
    words: dict[str, set[str]] = {}
    for place in places:
        if place.word:
            words.setdefault(place.task or bare, set()).add(place.word)
    found = {name: TASKS.get(name) or task_of_words(name, sorted(inside)) for name, inside in words.items()}
    return {name: task for name, task in found.items() if task is not None}
