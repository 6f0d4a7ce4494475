"""FairFace: `fairface_label.csv` (or the published `fairface_label_train.csv` and `..._val.csv`) with age ranges.

Source: Karkkainen and Joo, "FairFace: face attribute dataset for balanced race, gender and age", WACV 2021.
Nine ranges of years, the last one written "more than 70"; two genders; seven races as the set spells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mtl_model.errors import DataError
from mtl_model.layouts._parts import READ_AS, Collector, FolderError, Source
from mtl_model.tables import read_table
from mtl_model.tasks import TASKS

ORDER = 30
EXPECTS = "fairface_label.csv with the columns file, age, gender, race"
OPTIONS: Mapping[str, str] = READ_AS
WORDS: Mapping[str, str] = {}

COLUMNS = ("file", "age", "gender", "race")


def _label_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("fairface_label*.csv"))


def matches(folder: Path) -> bool:
    """Whether a fairface_label*.csv is there."""
    return bool(_label_files(folder))


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read age as a range (low, high) of years, gender, and race as an attribute."""
    collector = Collector("fairface", folder)
    files = _label_files(folder)
    if not files:
        raise FolderError("There is no fairface_label.csv in {folder}", folder, EXPECTS)
    for path in files:
        _read_file(path, collector)
    return collector.source()


def _read_file(path: Path, collector: Collector) -> None:
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"'{path.name}' lacks the column {missing[0]}. Expected {EXPECTS}; mend its first line.")
    collector.skip_odd(table)
    for entry in table.entries:
        labels = collector.parse_all(entry["file"], [(TASKS[name], entry[name]) for name in ("age", "gender")])
        if labels is not None:
            race = {"race": entry["race"]} if entry["race"] else {}
            collector.add(entry["file"], labels, TASKS, attributes=race)
