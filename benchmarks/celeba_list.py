"""Write CelebA as the text list that Caffe's recipe reads: one line per picture, its path and one digit per label.

python -m benchmarks.celeba_list --data DATA --into DIR [--attributes Young,High_Cheekbones,Mouth_Slightly_Open] [--tasks a,b]

DIR gets train.txt, val.txt and test.txt, split as CelebA's own folder is, and the pictures in images/, as further links to the
same files where the disk allows it. What is printed trains the system from the list: the names and classes of the columns
stand in no list, and have to be said.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mtl_model import kinds, layouts, systems
from mtl_model.card import write_text
from mtl_model.config import listed
from mtl_model.tasks import Task

PARTS = ("train", "val", "test")


def link(picture: Path, into: Path) -> None:
    """Give a picture a second name, or copy it where that cannot be."""
    into.parent.mkdir(parents=True, exist_ok=True)
    if into.exists():
        return
    try:
        os.link(picture, into)
    except OSError:
        shutil.copyfile(picture, into)


def write_lists(source: layouts.Source, names: Sequence[str], into: Path) -> dict[str, int]:
    """Write the lists and the pictures of the tasks named. Returns {part: lines}.

    A label is the number of its class. A picture that lacks one of the labels has "-" in its place."""
    tasks, counts = [source.tasks[name] for name in names], {}
    for part in PARTS:
        lines = []
        for sample in source.in_split(part):
            name = f"images/{Path(sample.path).name}"
            link(Path(sample.path), into / name)
            codes = [_code(task, sample.labels.get(task.name)) for task in tasks]
            lines.append(" ".join([name, *codes]))
        write_text(into / f"{part}.txt", "".join(f"{line}\n" for line in lines))
        counts[part] = len(lines)
    return counts


def _code(task: Task, label: object) -> str:
    return "-" if label is None else str(task.classes.index(str(label)))


def columns_of(source: layouts.Source, names: Sequence[str]) -> str:
    """Return the option `columns` that says what the digits of the lists mean."""
    return ",".join(f"{name}={'|'.join(kinds.of(source.tasks[name]).choices(source.tasks[name]))}" for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help=systems.DATA_HELP)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--attributes", default=systems.named("attributes").config.attributes)
    parser.add_argument("--tasks", default=systems.named("attributes").config.tasks)
    arguments = parser.parse_args()
    folder = systems.data_folder(arguments.data) / "celeba"
    source = layouts.read(f"celeba:{folder}", {"attributes": arguments.attributes})
    names = listed(arguments.tasks)
    for part, count in write_lists(source, names, arguments.into).items():
        print(f"{part}.txt: {count} lines")
    columns = columns_of(source, names)
    print(f'train --system attributes --source list:{arguments.into} --attributes "" --columns "{columns}"')


if __name__ == "__main__":
    main()
