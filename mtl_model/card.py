"""card.json: everything about a checkpoint but its numbers, and the one place that turns a name into a folder.

A checkpoint is a folder with card.json and model.safetensors. The card is written last: its presence means that the
checkpoint is whole. Names are looked up in weights/ (shipped) first, then in runs/ (made here).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_model import card_values, kinds, wording
from mtl_model import tasks as tasks_module
from mtl_model.answers import find_clash
from mtl_model.destinations import temporary_name
from mtl_model.errors import CheckpointError, UsageError, unknown
from mtl_model.kinds import Fitted
from mtl_model.names import is_text
from mtl_model.records import FACE, PICTURE
from mtl_model.registry import shipped_weights as shipped_weights
from mtl_model.tasks import Task

FORMAT = 2
READ = (1, 2)
"""1 kept the same three numbers of calibration for every kind of task; since 2 a kind owns its part."""
CARD, WEIGHTS, PENDING = "card.json", "model.safetensors", "pending"
CORRECTIONS = "corrections"
"""The folder in runs/ that holds what people said was wrong; never a checkpoint, whatever lies in it."""
SURROGATES = re.compile("[\ud800-\udfff]")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class DetectionSettings:
    """How faces are looked for.

    detector: a name in detectors/. size_px: pictures are scaled down until their longer side has this many pixels.
    smallest_face_px: in pixels of the scaled picture.
    """

    detector: str = "mtcnn"
    size_px: int = 1280
    smallest_face_px: int = 20


@dataclass(frozen=True)
class CropSettings:
    """How a face becomes the network's input: a square of the box's longer edge, widened by margin on each side.

    size_px: side of the crop. grey: one channel instead of three. mean, std: per channel, of values from 0 to 1.
    upright: whether the square is turned with the face, by its landmarks. mirror: whether a mirror image shows the same, so that
    it may be learned from and asked for too; of digits it does not.
    """

    size_px: int = 48
    grey: bool = True
    margin: float = 0.0
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    upright: bool = False
    mirror: bool = True


@dataclass(frozen=True)
class Card:
    network: str
    network_options: Mapping[str, Any]
    tasks: tuple[Task, ...]
    detection: DetectionSettings = DetectionSettings()
    crop: CropSettings = CropSettings()
    calibration: Mapping[str, Fitted] = field(default_factory=dict)
    """{task: what its kind fitted on val}"""
    flip_averaging: bool = False
    subject: str = FACE
    """What it reads, as a word: the SUBJECT of its detector."""
    weights_sha256: str = ""
    parameters: int = 0
    created: str = ""
    parent: str = ""
    summary: str = ""
    terms: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on and how: sources with counts, config, epochs, seconds, the command."""
    taught: tuple[str, ...] = ()
    """Of one that was fine-tuned: `cache.short_digest` of each picture that it, or a parent, was taught or stopped by, and cannot
    be measured on. (What `train` learns from is parted alike everywhere; a visitor's folder is parted for the run alone.)"""
    metrics: tuple[Mapping[str, Any], ...] = ()
    """Records as `evaluate --json` prints them, each with the command that reproduces it."""
    errors: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """What the error is for faces like one, measured on val by what alone is known of a new face, the answer and how certain it
    is: {task: rows}, a row {"group": {"gender": "female"}, "range": [0.55, 0.65], "error": 0.41, "n": 321}. range: of the
    answer's probability, or of the interval's width in years, without its upper end; error: the share wrong, or the mean in
    years. Older cards hold rows without a range, of all faces of a group, which say nothing of an unsure answer."""
    limits: tuple[str, ...] = ()
    """Sentences: where it fails and what it must not be used for."""

    @property
    def reads_whole(self) -> bool:
        """Whether a picture as a whole is read, and nothing is looked for in it."""
        return self.subject == PICTURE

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)

    def calibration_of(self, name: str) -> Any:
        """Return the record of the task's kind; see `Kind.Calibration`."""
        return self.calibration.get(name) or kinds.of(self.task(name)).Calibration()

    def error_like(self, task_name: str, answer: str, spread: float) -> Mapping[str, Any] | None:
        """Return the row of `errors` for an answer, None if there is none.

        answer: class, or band of age. spread: its probability, or the width of its interval in years."""
        for row in self.errors.get(task_name, ()):
            low, high = row.get("range", (0.0, 0.0))
            if row["group"] == {task_name: answer} and low <= spread < high:
                return row
        return None


def expect_tasks(card: Card, name: str = "NAME") -> None:
    """Raise CheckpointError for a start, which holds a trunk to teach from and no task."""
    if not card.tasks:
        raise CheckpointError(
            "This checkpoint has no task: it is a start to teach from, and answers nothing by itself. Expected one that was "
            f"taught; teach one with finetune --from {name}, or choose another."
        )


def expect_shown(card: Card, name: str = "NAME") -> None:
    """Raise CheckpointError for one that answers nothing: a start, or one whose tasks are all trained and evaluated alone."""
    expect_tasks(card, name)
    if not kinds.shown(card.tasks):
        titles = ", ".join(task.title for task in card.tasks)
        raise CheckpointError(
            f"The checkpoint '{name}' answers nothing: what it learned ({titles}) is evaluated and never shown. Expected a task "
            "that is shown; measure this one with evaluate, or choose another."
        )


def to_json(card: Card) -> dict[str, Any]:
    plain = {one.name: getattr(card, one.name) for one in dataclasses.fields(card)}
    plain["tasks"] = {task.name: tasks_module.to_json(task) for task in card.tasks}
    plain["detection"] = dataclasses.asdict(card.detection)
    plain["crop"] = dataclasses.asdict(card.crop)
    plain["calibration"] = {name: dataclasses.asdict(one) for name, one in card.calibration.items()}
    return {"format": FORMAT, **plain}


_TYPES: Mapping[str, type] = {"str": str, "int": int, "bool": bool}


def from_json(plain: Mapping[str, Any]) -> Card:
    """Return the card. Raises any exception for one that is not whole; unknown fields are left alone, and ranges of values are
    for `card_values.check`."""
    known = {one.name: _TYPES.get(str(one.type), (Mapping, list, tuple)) for one in dataclasses.fields(Card)}
    given = {name: value for name, value in plain.items() if name in known}
    for name, value in given.items():
        if not isinstance(value, known[name]):
            raise TypeError(f"{name} is {value!r:.60}")
    given["tasks"] = tuple(tasks_module.from_json(name, one) for name, one in plain["tasks"].items())
    for task in given["tasks"]:
        kinds.check_task(task)
    if clash := find_clash(given["tasks"]):
        raise wording.error(CheckpointError, "column_clash", clash._asdict())
    given["detection"] = DetectionSettings(**plain["detection"])
    crop = dict(plain["crop"])
    given["crop"] = CropSettings(**{**crop, "mean": tuple(crop["mean"]), "std": tuple(crop["std"])})
    if {len(given["crop"].mean), len(given["crop"].std)} != {1 if given["crop"].grey else 3}:
        raise ValueError("crop: mean and std need one number a channel")
    known_tasks = {task.name: task for task in given["tasks"]}
    given["calibration"] = {
        name: kinds.calibration_from(known_tasks[name], values)
        for name, values in plain.get("calibration", {}).items()
        if name in known_tasks
    }
    given["errors"] = {name: tuple(_error_row(one) for one in rows) for name, rows in plain.get("errors", {}).items()}
    given["taught"] = tuple(str(one) for one in plain.get("taught", ()))
    given["metrics"] = tuple(map(dict, plain.get("metrics", ())))
    given["limits"] = tuple(plain.get("limits", ()))
    if not all(isinstance(one, str) for one in given["limits"]):
        raise TypeError("limits: only sentences can stand there")
    return Card(**given)


def _error_row(plain: Mapping[str, Any]) -> dict[str, Any]:
    low, high = plain.get("range", (0.0, 0.0))
    edges = {"range": [float(low), float(high)]} if "range" in plain else {}
    return {"group": dict(plain["group"]), **edges, "error": float(plain["error"]), "n": int(plain["n"])}


def write_text(path: Path, text: str) -> None:
    """Write a file whole; see `write_parts`."""
    write_parts(path, [text])


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """Write a file whole, part after part: to a temporary name beside it, then rename. A link stays one: what it leads to is
    written. A pipe or a device takes the text as it is. Raises UsageError for a folder."""
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder. Expected the name of a file to write; give one in it, or another one.")
    target = Path(os.path.realpath(path))
    temporary = temporary_name(target)
    # A file's name may hold bytes that are no UTF-8; in JSON the escape stands for the very same name.
    encoding, errors = "utf-8", "backslashreplace"
    if path.exists() and not path.is_file():
        with path.open("w", encoding=encoding, errors=errors) as stream:
            stream.writelines(parts)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("w", encoding=encoding, errors=errors) as stream:
            stream.writelines(parts)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_plain(path: Path, plain: object) -> None:
    """Records, numbers and words as JSON, whole. Raises ValueError for a number that JSON does not have."""
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_list(path: Path, items: Iterable[object]) -> None:
    """Write what `write_plain` writes for a list of these, of which one at a time is in memory."""

    def parts() -> Iterator[str]:
        before = "[\n "
        for item in items:
            yield before + json.dumps(item, indent=1, ensure_ascii=False, allow_nan=False).replace("\n", "\n ")
            before = ",\n "
        yield "[]\n" if before.startswith("[") else "\n]\n"

    write_parts(path, parts())


def to_text(card: Card) -> str:
    """Write a card as JSON that is UTF-8: the command in it may name a folder that is not."""
    text = json.dumps(to_json(card), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text if is_text(text) else SURROGATES.sub(lambda found: rf"\\u{ord(found[0]):04x}", text)


def write_card(folder: Path, card: Card) -> None:
    write_text(folder / CARD, to_text(card))


def rewrite(folder: Path) -> bool:
    """Bring a card of an older format to the newest, with nothing else changed. Returns whether it was older.

    Raises CheckpointError, see `read_card`."""
    card = read_card(folder)
    older = json.loads((folder / CARD).read_text(encoding="utf-8"))["format"] < FORMAT
    if older:
        write_card(folder, card)
    return older


def read_card(folder: Path) -> Card:
    """Raises CheckpointError with a sentence when the folder holds no whole card of a format known here."""
    path = folder / CARD
    advice = "Expected a folder written by this program; copy it again, or choose another with --checkpoint."
    try:
        plain = json.loads(
            path.read_text(encoding="utf-8"), parse_float=card_values.finite, parse_constant=card_values.finite
        )
    except FileNotFoundError:
        raise CheckpointError(f"'{folder.name}' is no checkpoint: {CARD} is missing. {advice}") from None
    except (OSError, ValueError, RecursionError):
        raise CheckpointError(f"The {CARD} of '{folder.name}' is cut off or not JSON. {advice}") from None
    version = plain.get("format") if isinstance(plain, dict) else None
    if version not in READ:
        raise CheckpointError(
            f"The {CARD} of '{folder.name}' has format {version!r:.60}; this program reads format "
            f"{' and '.join(map(str, READ))}. "
            "Update the program, or choose another checkpoint."
        )
    try:
        card_values.check_plain(plain)
        card = from_json(plain)
        card_values.check(card)
        return card
    except CheckpointError as error:
        raise CheckpointError(f"'{folder.name}' cannot be used. {error}", error.code) from None
    except Exception as error:  # one written by hand can hold anything
        raise CheckpointError(f"The {CARD} of '{folder.name}' is not whole ({error!r:.200}). {advice}") from None


def list_checkpoints(weights: Path, runs: Path) -> dict[str, Path]:
    """Whole checkpoints by name, shipped ones first; pending ones are left out."""
    found: dict[str, Path] = {}
    for parent in (weights, runs):
        for path in sorted(parent.glob(f"*/{CARD}")):
            name = path.parent.name
            if NAME.fullmatch(name) and name != CORRECTIONS and not (path.parent / PENDING).exists():
                found.setdefault(name, path.parent)
    return found


def is_taken(name: str, weights: Path, runs: Path) -> bool:
    return any((parent / name).exists() for parent in (weights, runs))


def check_name(name: str) -> str:
    """The name itself, if it can be a folder's. Raises UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a checkpoint. Expected 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit; choose another name."
        )
    if name.casefold() == CORRECTIONS:
        raise UsageError(
            f"'{name}' cannot name a checkpoint: that folder is kept for the corrections that people make. "
            "Expected any other name; choose one."
        )
    return name


def find_checkpoint(name: str | None, weights: Path, runs: Path) -> Path:
    """The folder of a checkpoint; None stands for `default` if it is there, else `bknet`.

    Raises CheckpointError for a name that neither folder holds, with those that are there.
    """
    known = list_checkpoints(weights, runs)
    if name is None:
        name = "default" if "default" in known else "bknet"
    if name not in known:
        for parent in (weights, runs):
            if NAME.fullmatch(name) and (parent / name).is_dir():
                read_card(parent / name)  # says what is missing there
        raise CheckpointError(unknown("checkpoint", name, known) + f" Looked in {weights} and {runs}.")
    return known[name]
