"""IMDB-WIKI: `imdb.mat` or `wiki.mat` beside the folders of the face crops.

Age is the year in which the photo was taken less the date of birth, the photo being taken in the middle of
its year.
Source: Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image without
facial landmarks", IJCV 2018, and the page of the set (fields of the .mat, Matlab's serial day numbers, gender
0 female).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from mtl_model.errors import DataError
from mtl_model.layouts._parts import READ_AS, Collector, FolderError, Source
from mtl_model.tasks import TASKS, Label

ORDER = 50
EXPECTS = "imdb.mat or wiki.mat beside the folders of the face crops"
OPTIONS: Mapping[str, str] = READ_AS
OLDEST = 100
WORDS: Mapping[str, str] = {
    "no_face": "no face",
    "second_face": "a second face",
    "gender": "unknown gender",
    "age": f"an age outside 0 to {OLDEST}",
}

SETS = ("imdb", "wiki")
FIELDS = ("dob", "photo_taken", "full_path", "gender", "face_score", "second_face_score")
GENDERS = {0.0: "female", 1.0: "male"}
MATLAB_DAYS = 366  # Matlab counts days from year 0, Python from year 1


def _label_files(folder: Path) -> list[tuple[str, Path]]:
    places = [(name, folder / f"{name}.mat") for name in SETS]
    places += [(name, folder / f"{name}_crop" / f"{name}.mat") for name in SETS]
    return [(name, path) for name, path in places if path.is_file()]


def matches(folder: Path) -> bool:
    """Whether imdb.mat or wiki.mat is there, or in imdb_crop/ or wiki_crop/."""
    return bool(_label_files(folder))


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read age and gender. Entries without a face, with a second face, of unknown gender or odd age are counted.

    Raises: DataError for a file that is no such .mat.
    """
    collector = Collector("imdbwiki", folder)
    found = _label_files(folder)
    if not found:
        raise FolderError("There is no imdb.mat or wiki.mat in {folder}", folder, EXPECTS)
    for name, path in found:
        entries = _load(path, name)
        inside = path.parent.relative_to(folder).as_posix()
        names = entries.get("name", entries["full_path"])
        for row in range(len(entries["full_path"])):
            file = str(entries["full_path"][row])
            values = {field: float(entries[field][row]) for field in FIELDS if field != "full_path"}
            age = age_in_years(values["dob"], values["photo_taken"])
            fault = _find_fault(values, age)
            if fault:
                collector.skip(f"imdbwiki.{fault}", file)
                continue
            labels: dict[str, Label] = {"age": float(age), "gender": GENDERS[values["gender"]]}
            person = str(names[row]) if "name" in entries else ""
            collector.add(file, labels, TASKS, picture=f"{inside}/{file}", person=person)
    return collector.source()


def age_in_years(birth_day: float, year_taken: float) -> int:
    """Whole years from a Matlab day number to the first of July of a year; -1 where there is no such day.

    >>> age_in_years(693726, 1968)  # born on 10 May 1899
    69
    """
    try:
        birth = date.fromordinal(int(birth_day) - MATLAB_DAYS)
        taken = int(year_taken)
    except (ValueError, OverflowError):
        return -1
    return taken - birth.year - (1 if birth.month >= 7 else 0)


def _find_fault(values: Mapping[str, float], age: int) -> str:
    if not math.isfinite(values["face_score"]):
        return "no_face"
    if not math.isnan(values["second_face_score"]):
        return "second_face"
    if values["gender"] not in GENDERS:
        return "gender"
    return "" if 0 <= age <= OLDEST else "age"


def _load(path: Path, name: str) -> dict[str, Any]:
    from scipy.io import loadmat  # the one reader that needs it

    try:
        record = loadmat(path, variable_names=[name], simplify_cells=True)[name]
        entries = {field: np.atleast_1d(record[field]) for field in (*FIELDS, "name") if field in record}
    except Exception as error:  # SciPy raises whatever it stumbles over in a damaged file
        raise DataError(
            f"'{path.name}' is not a whole .mat file ({error}). Expected {EXPECTS}; copy it again."
        ) from None
    missing = [field for field in FIELDS if field not in entries]
    lengths = {len(column) for column in entries.values()}
    if missing or len(lengths) != 1:
        what = f"lacks the field {missing[0]}" if missing else f"has fields of different lengths ({sorted(lengths)})"
        raise DataError(f"'{path.name}' {what}. Expected the fields {', '.join(FIELDS)}; copy it again.")
    return entries
