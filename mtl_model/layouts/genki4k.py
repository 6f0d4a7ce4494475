"""GENKI-4K: `files/file0001.jpg` onwards, and `labels.txt` whose line N belongs to file N.

A line holds smile (1 or 0), then yaw, pitch and roll of the head in radians, which are not used here.
Source: the MPLab GENKI Database, GENKI-4K Subset, http://mplab.ucsd.edu.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mtl_model.layouts._parts import READ_AS, Collector, Source, picture_names
from mtl_model.tables import read_lines
from mtl_model.tasks import TASKS

ORDER = 20
EXPECTS = "files/file0001.jpg onwards and labels.txt, line N for file N"
OPTIONS: Mapping[str, str] = READ_AS

LABELS = "labels.txt"
WORDS: Mapping[str, str] = {
    "line": "the line is not a smile of 0 or 1 with three angles",
    "no_line": f"the picture has no line in {LABELS}",
}
SMILES = {"0": "not smiling", "1": "smiling"}


def matches(folder: Path) -> bool:
    """Whether there are labels.txt and files/file0001."""
    first = any(name.startswith("file0001.") for name in picture_names(folder / "files"))
    return first and (folder / LABELS).is_file()


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read smile. A line keeps its number whatever the lines above it hold, so a wrong one moves no other."""
    collector = Collector("genki4k", folder)
    lines = read_lines(folder / LABELS)
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        wanted = f"files/file{number:04d}.jpg"
        file = collector.pictures.find(wanted) or wanted
        smile = _parse(line)
        if smile is None:
            collector.skip("genki4k.line", f"line {number}: {line[:40]}")
        else:
            collector.add(file, {"smile": smile}, TASKS)
    for name in collector.unused():
        if _number(name) > len(lines):
            collector.skip("genki4k.no_line", name)
    return collector.source()


def _parse(line: str) -> str | None:
    fields = line.split()
    try:
        angles = [float(field) for field in fields[1:]]
    except ValueError:
        return None
    return SMILES.get(fields[0]) if fields and len(angles) in (0, 3) else None


def _number(name: str) -> int:
    digits = name.rsplit("/", 1)[-1].split(".")[0].removeprefix("file")
    return int(digits) if digits.isdigit() else 0
