"""What a network can be taught: strings and numbers, nothing else.

A Task names its kind (a file in kinds/) and its loss (one of that kind's). Nothing else in the program knows a task by
its name, nor a kind by its own.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mtl_model.errors import CheckpointError, DataError
from mtl_model.names import is_text, printable

YEARS = 101  # one class a year, 0 to 100; older people train as 100 and are scored as they are

LARGEST_NUMBER = 1e12  # that a label can have

AGE_BANDS = (("1-13", 0, 13), ("14-23", 14, 23), ("24-39", 24, 39), ("40-55", 40, 55), ("56+", 56, 100))

Label = str | float | tuple[float, ...]
"""A class name, a number, a range of years (both ends included), or the places of points (x1, y1, x2, y2, ...)."""


@dataclass(frozen=True)
class Task:
    """One branch of a network.

    classes: names of the classes in the order of the outputs; for years the years as strings.
    spellings: accepted spelling (lower case) -> class, besides the names of the classes. Any other is refused.
    bands: named ranges of whole numbers (name, first, last), both ends included; years need some, classes may be some.
    groups: whether its classes are worth reporting the other tasks' metrics by.
    unit: of a quantity, such as "cm"; "" where there is none. scale: of a quantity, mean and deviation of train; () before that.
    mirror: whether the mirror image of a picture has the same label, or one that its kind works out; digits have none.
    length: of a text, the most symbols it can have.
    shown: False for a task that is trained and evaluated, and left out of every answer; see `kinds.shown`.
    axis: of an angle of the head in degrees, "yaw", "pitch" or "roll", so that it follows the picture: a mirror turns the sign of
    yaw and roll, a turned picture turns roll.
    detected: whether a face detector gives the labels of pictures that have none (pseudo-labels).
    """

    name: str
    title: str
    kind: str
    loss: str
    classes: tuple[str, ...]
    spellings: Mapping[str, str] = field(default_factory=dict)
    bands: tuple[tuple[str, int, int], ...] = ()
    groups: bool = False
    unit: str = ""
    scale: tuple[float, ...] = ()
    mirror: bool = True
    length: int = 0
    shown: bool = True
    axis: str = ""
    detected: bool = False


TASKS: dict[str, Task] = {
    "age": Task(
        name="age",
        title="Age",
        kind="years",
        loss="soft_years",
        classes=tuple(str(year) for year in range(YEARS)),
        bands=AGE_BANDS,
    ),
    "gender": Task(
        name="gender",
        title="Gender",
        kind="classes",
        loss="cross_entropy",
        classes=("female", "male"),
        spellings={
            **dict.fromkeys(("female", "f", "woman", "women", "girl", "w"), "female"),
            **dict.fromkeys(("male", "m", "man", "men", "boy"), "male"),
        },
        groups=True,
    ),
    "smile": Task(
        name="smile",
        title="Smile",
        kind="classes",
        loss="cross_entropy",
        classes=("not smiling", "smiling"),
        spellings={
            **dict.fromkeys(("not smiling", "not_smiling", "no", "n", "0", "-1", "false", "neutral"), "not smiling"),
            **dict.fromkeys(("smiling", "smile", "yes", "y", "1", "true"), "smiling"),
        },
    ),
}

DETECTED: dict[str, Task] = {
    "landmarks": Task(
        name="landmarks",
        title="Landmarks",
        kind="points",
        loss="wing",
        classes=("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
        detected=True,
    ),
}
"""Tasks that can be asked for by name without a label: the face detector gives them, in the order of `Face.landmarks`."""


TAKEN = frozenset(
    "file split person "  # columns of a list of labels that are none
    "photo face left top right bottom confidence error "  # columns of the answers
    "apply bfloat16 buffers children clear compile cpu cuda double eval float forward half ipu items keys modules mtia "
    "parameters pop to train training type update values xpu".split()  # what PyTorch's ModuleDict has of its own
)


def column_name(text: str) -> str:
    """How a column of labels is called as a task: "Hair Colour " is hair_colour. No dots, and no name that means something else
    where tasks are kept: "type" is type_."""
    name = "_".join(text.casefold().replace(".", " ").split())
    return f"{name}_" if name in TAKEN else name


def class_task(name: str, classes: tuple[str, ...]) -> Task:
    """Make a task that the program has never heard of from the names of its classes.

    Raises: DataError for a name that is not UTF-8, as folders of old archives have them: no card could hold it."""
    for what, text in (("task", name), *(("class", one) for one in classes)):
        if not is_text(text):
            raise DataError(
                f"The {what} '{printable(text)}' has a name that is not UTF-8. Expected one that is; rename its folder or column."
            )
    spellings = {spelling.casefold(): spelling for spelling in classes}
    title = name.replace("_", " ").strip().capitalize()
    return Task(name=name, title=title, kind="classes", loss="cross_entropy", classes=classes, spellings=spellings)


def order_task(name: str, classes: tuple[str, ...]) -> Task:
    """Make a task from the names of its classes in their order, the least first; of two it is one of classes."""
    task = class_task(name, classes)
    return dataclasses.replace(task, kind="ordinal", loss="coral") if len(classes) > 2 else task


def number_task(name: str, unit: str = "") -> Task:
    """Make a task for a quantity that the program has never heard of."""
    title = name.replace("_", " ").strip().capitalize()
    return Task(name=name, title=title, kind="number", loss="mean_squared_error", classes=(), unit=unit)


def band_of(task: Task, number: float) -> str:
    """Return the named band of a number, rounded half up; one beyond the last belongs to the last."""
    whole = math.floor(number + 0.5)
    return next((name for name, _, last in task.bands if whole <= last), task.bands[-1][0])


def number_of(text: str) -> float | None:
    """Read a number as people write it: "12.5", "-3", "12,5", "1e-3"; None for anything else.

    A comma before exactly three digits may part thousands ("1,234"), and is read only behind a zero ("0,125")."""
    if re.fullmatch(r"[+-]?(0,\d{3}|\d*,(?!\d{3}$)\d+)", text):
        text = text.replace(",", ".")
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return number if abs(number) <= LARGEST_NUMBER else None


def split_unit(column: str) -> tuple[str, str]:
    """Part the name of a column from the unit in its brackets: "Height (cm)" -> "Height", "cm"; "" where there is none."""
    match = re.fullmatch(r"(.*\S)\s*[(\[]([^()\[\]]{1,20})[)\]]\s*", column)
    return (match[1], match[2].strip()) if match and re.search(r"[^\W\d_]|[%°€$£¥]", match[2]) else (column, "")


def to_json(task: Task) -> dict[str, object]:
    """The task as a card holds it. What only few tasks have stands there for those alone."""
    usual = {field.name: field.default for field in dataclasses.fields(Task) if field.name in _OPTIONAL}
    whole = dataclasses.asdict(task)
    return {name: value for name, value in whole.items() if name != "name" and (name, value) not in usual.items()}


def from_json(name: str, plain: Mapping) -> Task:
    """The task of a card. Raises KeyError, TypeError or ValueError for one that is not whole, CheckpointError for a name that
    no task can have."""
    if column_name(name) != name:
        raise CheckpointError(
            f"A task of the card is called {name!r:.60}. Expected a name in small letters, without blanks or dots, that means "
            f"nothing else where labels are kept, such as {column_name(name)!r:.60}; choose another checkpoint."
        )
    for key, kinds in _FIELDS.items():
        if not isinstance(plain[key], kinds):
            raise TypeError(f"{key} of {name} is {plain[key]!r:.60}")
    for key, kinds in _OPTIONAL.items():
        if key in plain and not isinstance(plain[key], kinds):
            raise TypeError(f"{key} of {name} is {plain[key]!r:.60}")
    if not all(map(is_text, map(str, (name, plain["title"], plain.get("unit", ""), *plain["classes"])))):
        raise CheckpointError(
            f"The task '{printable(name[:60])}' of the card has a name, title or class that is not UTF-8. Expected whole "
            "letters; choose another checkpoint."
        )
    return Task(
        name=name,
        title=plain["title"],
        kind=plain["kind"],
        loss=plain["loss"],
        classes=tuple(plain["classes"]),
        spellings={str(key): str(value) for key, value in plain["spellings"].items()},
        bands=tuple((str(label), int(low), int(high)) for label, low, high in plain["bands"]),
        groups=plain["groups"],
        unit=plain.get("unit", ""),
        scale=tuple(map(float, plain.get("scale", ()))),
        mirror=plain.get("mirror", True),
        length=plain.get("length", 0),
        shown=plain.get("shown", True),
        axis=plain.get("axis", ""),
        detected=plain.get("detected", False),
    )


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("title", "kind", "loss"), str),
    **dict.fromkeys(("classes", "bands"), (list, tuple)),
    "spellings": Mapping,
    "groups": bool,
}
_OPTIONAL: Mapping[str, type | tuple[type, ...]] = {
    "unit": str,
    "scale": (list, tuple),
    "mirror": bool,
    "length": int,
    "shown": bool,
    "axis": str,
    "detected": bool,
}
