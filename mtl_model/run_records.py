"""The records of a run as its files hold them, as far as this program reads them again. `runs.read` holds files to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


@dataclass(frozen=True)
class Record:
    """run.json. uploaded: seconds since 1970 of the last upload, or of the beginning; 0 where nothing is uploaded. kept: the
    pictures stay although the checkpoint is accepted."""

    program: Literal["mtl_model"]
    format: Literal[1]
    created: float = 0.0
    uploaded: float = 0.0
    kept: bool = False


def new_record(created: float = 0.0, uploaded: float = 0.0) -> Record:
    return Record("mtl_model", 1, created, uploaded)


class Finding(TypedDict, total=False):
    """See check.Finding. text: its sentence, in a report of an older version, which had no codes."""

    code: str
    values: dict[str, Any]
    text: str
    count: int
    files: list[str]


class Copies(TypedDict, total=False):
    groups: list[list[str]]


class Report(TypedDict, total=False):
    """report.json, as far as the page reads it; see check.Report. made: seconds since 1970."""

    made: float
    pictures: int
    no_face: int | None
    exact: Copies | None
    near: Copies | None
    faults: list[Finding]
    warnings: list[Finding]
    unusable: list[str]


class Compared(TypedDict, total=False):
    """What a learning brought to one task; see compare.outcome_of. folds: 0 where it was measured on pictures held out for good.
    guess: the figure of the best answer that does not look at the picture."""

    title: str
    metric: str
    unit: str
    new: bool
    before: float | None
    after: float | None
    interval: list[float] | None
    difference: list[float] | None
    n: int
    folds: int
    guess: float
    beats_guess: bool
    reliability: dict[str, float]
    curve: list[list[float]]
    twice: float
    classes: list[str]
    confusion_before: list[list[int]] | None
    confusion_after: list[list[int]] | None


class Unshown(TypedDict):
    """A task and the groups of it that no picture shows."""

    title: str
    groups: list[str]


class Refused(TypedDict):
    """Why a task cannot be learned yet: the code of the error, and its sentence."""

    title: str
    code: str
    message: str


class Trap(TypedDict):
    title: str
    right: float
    fact: str
    alone: float
    means: dict[str, float]


class Harm(TypedDict):
    """See harmful.harmful."""

    code: str
    count: int
    files: list[str]
    values: dict[str, Any]


class Edited(TypedDict):
    """See dataset_edits.Changes."""

    left_out: list[str]
    labels: dict[str, dict[str, str]]
    renamed: dict[str, dict[str, str]]
    kept: dict[str, list[str]]


class Forecast(TypedDict):
    """forecast.json; see `train.forecast`. guesses: absent in one of an older version."""

    parent: str
    seconds: float
    tasks: dict[str, Compared]
    refused: dict[str, Refused]
    traps: dict[str, Trap]
    suspects: list[dict[str, str | float]]
    harmful: list[Harm]
    suggestions: list[dict[str, str | float]]
    guesses: NotRequired[dict[str, dict[str, list[str | float]]]]
    edits: Edited


class Outcome(TypedDict, total=False):
    """outcome.json. titles: of the tasks in `changed`. shifts: of those of them whose answers are
    numbers with groups, see compare. sentence: of an older version, in place of titles and unshown.
    weights_sha256: of the weights that were measured."""

    parent: str
    how: str
    seconds: float
    counts: dict[str, int]
    tasks: dict[str, Compared]
    changed: dict[str, float]
    shifts: dict[str, dict[str, Any]]
    titles: dict[str, str]
    unshown: list[Unshown]
    pictures: dict[str, list[dict[str, str]]]
    suspects: list[dict[str, str | float]]
    left_out: list[str]
    relabelled: dict[str, dict[str, str]]
    sentence: str
    weights_sha256: str


class Count(TypedDict):
    """uploaded.json: what lies in data/, so that nobody counts twenty thousand files for each batch."""

    files: int
    total_bytes: int
