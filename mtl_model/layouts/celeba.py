"""CelebA: `list_attr_celeba.txt` (40 attributes, 1 or -1), `identity_CelebA.txt`, pictures in `img_celeba/`.

Source: Liu, Luo, Wang and Tang, "Deep learning face attributes in the wild", ICCV 2015.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mtl_model.config import listed
from mtl_model.errors import DataError, UsageError, unknown
from mtl_model.kinds import parse_label
from mtl_model.layouts._parts import READ_AS, Collector, Source, declared_as
from mtl_model.tables import read_lines
from mtl_model.tasks import TASKS, Label, Task, class_task, column_name

ORDER = 40
EXPECTS = "list_attr_celeba.txt and pictures in a folder img_celeba or img_align_celeba"
OPTIONS: Mapping[str, str] = {
    **READ_AS,
    "attributes": "further attributes to learn as tasks of the classes no and yes, such as Eyeglasses,Young; or all; or "
    "identity, who is the same person, identity:12 of training pictures alone whose person has 12 or more",
}

WORDS: Mapping[str, str] = {"line": "the line is not a name and {values} values of 1 or -1"}

ATTRIBUTES = "list_attr_celeba.txt"
IDENTITIES = "identity_CelebA.txt"
IDENTITY = "identity"
PARTITION = "list_eval_partition.txt"
PARTS = {"0": "train", "1": "val", "2": "test"}
KNOWN = {  # attribute -> the task it labels, the class of -1 and of 1
    "Smiling": ("smile", "not smiling", "smiling"),
    "Male": ("gender", "female", "male"),
}


def matches(folder: Path) -> bool:
    """Whether list_attr_celeba.txt is there."""
    return (folder / ATTRIBUTES).is_file()


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read smile and gender, the person, and the attributes asked for as tasks of the classes no and yes."""
    collector = Collector("celeba", folder)
    lines = read_lines(folder / ATTRIBUTES)
    names = lines[1].split() if len(lines) > 1 else []
    if not names or not lines[0].strip().isdigit():
        raise DataError(
            f"'{ATTRIBUTES}' does not begin with a count and a line of attribute names. Expected {EXPECTS}; "
            "copy the file again."
        )
    asked = listed(options.get("attributes", ""))
    people = [name for name in asked if name.partition(":")[0] == IDENTITY]
    who, least = (declared_as(IDENTITY, IDENTITY, ()), _least(people[0])) if people else (None, 0)
    wanted = _wanted(names, [name for name in asked if name not in people])
    tasks: dict[str, Task] = {task.name: task for task, _, _ in wanted.values()} | ({who.name: who} if who else {})
    persons = _read_pairs(folder / IDENTITIES)
    parts = _read_pairs(folder / PARTITION)
    where = next((one.name for one in sorted(folder.glob("img_*")) if one.is_dir()), ".")
    for line in filter(str.strip, lines[2:]):
        file, *values = line.split()
        if len(values) != len(names) or not set(values) <= {"1", "-1"}:
            collector.skip("celeba.line", line[:60], values=len(names))
            continue
        said = dict(zip(names, values, strict=True))
        labels: dict[str, Label] = {
            task.name: yes if said[name] == "1" else no for name, (task, no, yes) in wanted.items()
        }
        person = persons.get(file, "")
        if who and person:
            labels[who.name] = person
        split = PARTS.get(parts.get(file, ""), "")
        collector.add(file, labels, tasks, picture=f"{where}/{file}", person=person, split=split)
    return _with_frequent(collector.source(), least)


def _least(asked: str) -> int:
    """The number in "identity:12"; 0 without one. Raises UsageError for what is no whole number."""
    number = asked.partition(":")[2]
    if ":" in asked and not number.isdecimal():
        raise UsageError(f"'{asked}' gives no number of pictures. Expected {IDENTITY}:12 or {IDENTITY}; correct it.")
    return int(number or 0)


def _with_frequent(source: Source, least: int) -> Source:
    """Take the person's label from training pictures of people with fewer than `least` of them."""
    counts = Counter(sample.person for sample in source.in_split("train"))
    rare = {person for person, count in counts.items() if count < least}
    samples = [
        replace(sample, labels={name: label for name, label in sample.labels.items() if name != IDENTITY})
        if sample.split == "train" and sample.person in rare
        else sample
        for sample in source.samples
    ]
    return replace(source, samples=tuple(samples))


def _wanted(names: list[str], asked: list[str]) -> dict[str, tuple[Task, str, str]]:
    """Attribute -> (task, class of -1, class of 1), for the known ones and those asked for.

    Raises: UsageError for an unknown attribute; DataError for one that is called like a task which knows no yes and no."""
    further = names if "all" in asked else asked
    wanted: dict[str, tuple[Task, str, str]] = {}
    for name in [*(one for one in KNOWN if one in names), *further]:
        exact = {one.casefold(): one for one in names}.get(name.casefold())
        if exact is None:
            raise UsageError(unknown("attribute", name, names))
        if exact in KNOWN:
            task, no, yes = KNOWN[exact]
            wanted[exact] = TASKS[task], no, yes
        else:
            name = column_name(exact)
            further_task = TASKS.get(name) or class_task(name, ("no", "yes"))
            wanted[exact] = further_task, str(parse_label(further_task, "no")), str(parse_label(further_task, "yes"))
    return wanted


def _read_pairs(path: Path) -> dict[str, str]:
    """A file of two words a line, as name -> word; empty where the set came without it."""
    if not path.is_file():
        return {}
    pairs = (line.split() for line in read_lines(path))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
