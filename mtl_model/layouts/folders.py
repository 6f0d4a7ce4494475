"""Class folders: the folder a picture lies in is its label.

- `smile/yes/*  smile/no/*  gender/female/*  age/25/*  age/20-29/*`: several tasks at once, as task/class/picture;
- `rose/*  daisy/*`: one task, named by the option `task`;
- `train/rose/*  val/rose/*`: the same, with the splits above.

Folders called train, val, test, files or img_* are never a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl_model.events import Noted
from mtl_model.layouts._parts import (
    Collector,
    FolderError,
    Pictures,
    Source,
    read_split,
    stem,
    task_of_words,
)
from mtl_model.names import as_text
from mtl_model.tasks import TASKS, Task, column_name

ORDER = 80
EXPECTS = "a folder a class (rose/, daisy/), or a folder a task with a folder a class in it (smile/yes/, smile/no/)"
OPTIONS: Mapping[str, str] = {"task": "the name of the task whose classes the folders are; else the name of DIR"}
WORDS: Mapping[str, str] = {
    "no_class": "the picture lies in no class folder",
    "only_class": "its class is the only one of its task",
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
    Raises: DataError for a class or a new task whose folder has a name that is not UTF-8.
    """
    collector = Collector("folders", folder)
    bare = column_name(options.get("task", ""))
    places = list(_places(collector.pictures.names, bare))
    notes: list[Noted] = []
    if not bare and any(place.word and not place.task for place in places):
        bare = column_name(as_text(folder.resolve().name)) or "label"
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
            collector.skip("folders.only_class", place.file)
            continue
        labels = collector.parse_all(place.file, [(task, place.word)])
        if labels:
            # By the bare name, so that one photo sorted into the folders of two tasks stays in one split.
            name = stem(place.file.rsplit("/", 1)[-1])
            collector.add(place.file, labels, tasks, split=place.split, key=name)
    return collector.source(notes)


def _never_a_class(name: str) -> bool:
    return read_split(name) is not None or name == "files" or name.startswith("img_")


def _places(names: list[str], bare: str) -> Iterator[_Place]:
    """Say of each picture what its folders mean.

    The outermost folder is a task if it is called like a known one, or if it holds no picture itself; with
    `bare` given, only if it is called like a known one.
    """
    paths = [as_text(name).split("/") for name in names]
    wrapping = _wrapping(paths, bare)
    paths = [path[wrapping:] for path in paths]
    splits = [(read_split(path[0]) or "") if len(path) > 1 else "" for path in paths]
    inner = [(split, path[1:] if split else path) for split, path in zip(splits, paths, strict=True)]
    direct = {path[0] for _, path in inner if len(path) == 2}
    for file, (split, path) in zip(names, inner, strict=True):
        folders = path[:-1]
        task = word = ""
        if folders and not any(map(_never_a_class, folders)):
            is_task = column_name(folders[0]) in TASKS or (folders[0] not in direct and not bare)
            if not is_task:
                word = folders[0]
            elif len(folders) > 1:
                task, word = column_name(folders[0]), folders[1]
        yield _Place(file, split, task, word)


def _wrapping(paths: list[list[str]], bare: str) -> int:
    """How many outer folders only wrap the rest, as unpacked archives have them."""
    depth = 0
    least = 3 if bare else 4  # wrapping, class, picture; or wrapping, task, class, picture
    while paths and all(len(path) >= depth + least for path in paths):
        outer = {path[depth] for path in paths}
        name = outer.pop()
        if outer or column_name(name) in TASKS or _never_a_class(name):
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
