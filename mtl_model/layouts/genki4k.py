"""GENKI-4K: `files/file0001.jpg` onwards, and `labels.txt` whose line N belongs to file N.

A line holds smile (1 or 0), then yaw, pitch and roll of the head in radians, which are tasks in degrees where the option
`attributes` asks for them: yaw grows as the face turns to the right of the picture, pitch as it looks up, roll clockwise.
Source: the MPLab GENKI Database, GENKI-4K Subset, http://mplab.ucsd.edu.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mtl_model.config import listed
from mtl_model.errors import UsageError, unknown
from mtl_model.layouts._parts import READ_AS, Collector, Source, picture_names
from mtl_model.tables import read_lines
from mtl_model.tasks import TASKS, Label, Task, number_task

ORDER = 20
EXPECTS = "files/file0001.jpg onwards and labels.txt, line N for file N"
OPTIONS: Mapping[str, str] = {
    **READ_AS,
    "attributes": "angles of the head to learn as further tasks: yaw, pitch, roll between commas, or all",
}

LABELS = "labels.txt"
WORDS: Mapping[str, str] = {
    "line": "the line is not a smile of 0 or 1 with three angles",
    "no_line": f"the picture has no line in {LABELS}",
}
SMILES = {"0": "not smiling", "1": "smiling"}
ANGLES = ("yaw", "pitch", "roll")


def matches(folder: Path) -> bool:
    """Whether there are labels.txt and files/file0001."""
    first = any(name.startswith("file0001.") for name in picture_names(folder / "files"))
    return first and (folder / LABELS).is_file()


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read smile, and the angles asked for. A line keeps its number whatever the lines above it hold, so a wrong one moves no
    other."""
    collector = Collector("genki4k", folder)
    asked = _asked(options.get("attributes", ""))
    lines = read_lines(folder / LABELS)
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        wanted = f"files/file{number:04d}.jpg"
        file = collector.pictures.find(wanted) or wanted
        labels = _parse(line)
        if labels is None:
            collector.skip("genki4k.line", f"line {number}: {line[:40]}")
        else:
            kept = {name: label for name, label in labels.items() if name in TASKS or name in asked}
            collector.add(file, kept, {**TASKS, **asked})
    for name in collector.unused():
        if _number(name) > len(lines):
            collector.skip("genki4k.no_line", name)
    return collector.source()


def _asked(text: str) -> dict[str, Task]:
    """The angles that the option names, as tasks. Raises UsageError for one that is not there."""
    names = list(ANGLES) if text.strip() == "all" else listed(text)
    for name in names:
        if name not in ANGLES:
            raise UsageError(unknown("angle", name, (*ANGLES, "all")))
    return {name: replace(number_task(name, "°"), axis=name) for name in names}


def _parse(line: str) -> dict[str, Label] | None:
    """Smile and the angles in degrees, where the line has them; None for a line of another shape."""
    fields = line.split()
    try:
        angles = [math.degrees(float(field)) for field in fields[1:]]
    except ValueError:
        return None
    if not fields or fields[0] not in SMILES or len(angles) not in (0, 3) or not all(map(math.isfinite, angles)):
        return None
    return {"smile": SMILES[fields[0]], **dict(zip(ANGLES, angles, strict=False))}


def _number(name: str) -> int:
    digits = name.rsplit("/", 1)[-1].split(".")[0].removeprefix("file")
    return int(digits) if digits.isdigit() else 0
