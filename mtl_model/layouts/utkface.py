"""UTKFace: the labels are in the file name, `[age]_[gender]_[race]_[time].jpg`.

Source: Zhang, Song and Qi, "Age progression/regression by conditional adversarial autoencoder", CVPR 2017,
and the page of the set: gender 0 is male and 1 female; race 0-4 is White, Black, Asian, Indian, Other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mtl_model.errors import UsageError, unknown
from mtl_model.layouts._parts import READ_AS, Collector, Source, picture_names
from mtl_model.tasks import TASKS, Label, class_task

ORDER = 10
EXPECTS = "pictures named [age]_[gender]_[race]_[time].jpg"
OPTIONS: Mapping[str, str] = {**READ_AS, "attributes": "race, to learn it as a task that is never shown"}

OLDEST = 130
WORDS: Mapping[str, str] = {
    "lacks_field": "the name lacks a field",
    "extra_field": "the name has a field too many",
    "age": f"the age in the name is not a number of years from 0 to {OLDEST}",
    "gender": "the gender in the name is not 0 or 1",
    "race": "the race in the name is not 0, 1, 2, 3 or 4",
    "lacks_time": "the name lacks its time",
}

GENDERS = {"0": "male", "1": "female"}
RACES = {"0": "White", "1": "Black", "2": "Asian", "3": "Indian", "4": "Other"}

RACE = replace(class_task("race", tuple(RACES.values())), shown=False)

# Of the published names one has a space before its suffix and one lacks the dot: the time is taken as the
# digits in front, whatever follows them.
WHOLE = re.compile(r"\d{1,3}_[01]_[0-4]_\d+")


def matches(folder: Path) -> bool:
    """Whether most pictures that lie directly in the folder have such names."""
    names = picture_names(folder)
    return sum(1 for name in names if WHOLE.match(name)) * 2 > len(names)


def read(folder: Path, options: Mapping[str, str]) -> Source:
    """Read age, gender and race from the names of all pictures below the folder. Race is an attribute, to report by; it becomes a
    task where the option `attributes` asks for it. Raises UsageError for another attribute."""
    collector = Collector("utkface", folder)
    asked = [name.strip().casefold() for name in options.get("attributes", "").split(",") if name.strip()]
    for name in asked:
        if name != RACE.name:
            raise UsageError(unknown("attribute of utkface", name, [RACE.name]))
    tasks = {**TASKS, RACE.name: RACE}
    for file in collector.pictures.names:
        fields = file.rsplit("/", 1)[-1].split("_")
        fault = find_fault(fields)
        if fault:
            collector.skip(f"utkface.{fault}", file)
        else:
            age, gender, race, _ = fields
            labels: dict[str, Label] = {"age": float(age), "gender": GENDERS[gender]}
            if asked:
                labels[RACE.name] = RACES[race]
            collector.add(file, labels, tasks, attributes={"race": RACES[race]})
    return collector.source()


def find_fault(fields: list[str]) -> str:
    """Return why the fields of a name cannot be read, a code of WORDS; "" if they can.

    >>> find_fault("61_1_20170109142408075.jpg.chip.jpg".split("_"))
    'lacks_field'
    """
    if len(fields) != 4:
        return "lacks_field" if len(fields) < 4 else "extra_field"
    age, gender, race, time = fields
    if not re.fullmatch(r"\d{1,3}", age) or int(age) > OLDEST:
        return "age"
    if gender not in GENDERS:
        return "gender"
    if race not in RACES:
        return "race"
    return "" if re.match(r"\d", time) else "lacks_time"
