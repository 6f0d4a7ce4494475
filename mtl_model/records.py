"""The plain records that flow upward, and the contract in which predictions leave the program as JSON (as CSV: answers.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mtl_model.names import caption
from mtl_model.tasks import Label

FACE, PICTURE = "face", "picture"
"""What a checkpoint reads: faces that are found in a picture, or the picture itself. The word stands in what people read."""
Box = tuple[float, float, float, float]
"""left, top, right, bottom in pixels of the upright picture; not clipped to it."""


@dataclass(frozen=True)
class Sample:
    """One labelled picture. A task that is absent from `labels` is not labelled.

    file: the picture's name in the data set's own label file. person: who it shows, where the set knows. declared: whether the
    set itself says the split, in a list or by its folders; else it was drawn.
    attributes: what the set knows besides the tasks, such as {"race": "Asian"}.
    """

    path: str
    labels: Mapping[str, Label]
    split: str = "train"
    file: str = ""
    person: str = ""
    source: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    declared: bool = False


@dataclass(frozen=True)
class Face:
    """A face found in a picture; landmarks are eyes, nose and mouth corners as (x, y), left to right, top down."""

    box: Box
    confidence: float
    landmarks: tuple[tuple[float, float], ...] = ()

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def middle(self) -> float:
        """Of its height, from the top of the picture."""
        return (self.box[1] + self.box[3]) / 2

    @property
    def area(self) -> float:
        return self.width * self.height


def reading_order(faces: Iterable[Face]) -> list[Face]:
    """Return the faces as a person counts them: row by row from the top, each row from left to right.

    A face belongs to the row above it while its middle lies less than half a face's height below the middle of that row.
    """
    rows: list[list[Face]] = []
    for face in sorted(faces, key=lambda face: (face.middle, face.box)):
        row = rows[-1] if rows else []
        height = max(face.height, sum(other.height for other in row) / max(1, len(row)))
        if row and face.middle - sum(other.middle for other in row) / len(row) < height / 2:
            row.append(face)
        else:
            rows.append([face])
    return [face for row in rows for face in sorted(row, key=lambda face: face.box)]


@dataclass(frozen=True)
class Quality:
    """How good the picture of a face is.

    size_px: longer edge of the box, in pixels of the picture. sharpness: share of the crop's contrast that goes when 3 x 3 of its
    pixels are averaged, 0 (even) to 1. exposure: mean grey of the crop, 0 (black) to 1 (white). turn: degrees by which the face
    looks to one side, 0 to 90; None where the landmarks are not known.
    """

    size_px: float
    sharpness: float
    exposure: float
    turn: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What a network says of one face for one task.

    title: the task's. text: how people say it ("34 years", "not smiling"). value: a class name, or years with one decimal.
    sure: whether the card's threshold is met. scores: probability of each class, summing to 1.
    low, high, group, unit: the interval, the named band and the unit of a number. confidence: of classes, the top probability.
    points: places (x, y) by name; in px of the picture once the Predictor has answered, before that in shares of the crop's side.
    shape: how it is shown: "bars" (scores as bars), "curve" (scores as a curve, with its interval), "number", "points" or "text".
    """

    text: str
    value: str | float
    sure: bool
    scores: Mapping[str, float]
    low: float | None = None
    high: float | None = None
    group: str | None = None
    confidence: float | None = None
    unit: str = ""
    title: str = field(kw_only=True)
    shape: str = "bars"
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """The answer with its task, as it stands wherever no other text names the task: "Smile: not smiling"."""
        return caption(self.title, self.text)


@dataclass(frozen=True)
class Reading:
    """One face with an Estimate for each task of the checkpoint, and how good its picture is."""

    face: Face
    estimates: Mapping[str, Estimate]
    quality: Quality | None = None


@dataclass(frozen=True)
class Photo:
    """One picture's answer: its readings in `reading_order`, or the sentence why there are none.

    width, height: of the picture in whose pixels the boxes are. subject: see `Card.subject`. turned: degrees clockwise by which
    that picture was turned first, so that its faces stand upright: 0, 90, 180 or 270. fault: where no face was found, the code
    of what is wrong with the picture, "" where nothing is (`quality.fault_of`)."""

    photo: str
    error: str | None = None
    readings: tuple[Reading, ...] = ()
    width: int = 0
    height: int = 0
    subject: str = FACE
    turned: int = 0
    fault: str = ""


def estimate_to_json(estimate: Estimate) -> dict:
    """Return an estimate as the contract has it."""
    plain: dict[str, object] = {"text": estimate.text, "value": estimate.value}
    for name in ("low", "high", "group", "confidence"):
        if getattr(estimate, name) is not None:
            plain[name] = getattr(estimate, name)
    if estimate.unit:
        plain["unit"] = estimate.unit
    plain["sure"], plain["shape"] = estimate.sure, estimate.shape
    plain["scores"] = dict(estimate.scores)
    if estimate.points:
        plain["points"] = {name: [round(x, 1), round(y, 1)] for name, (x, y) in estimate.points.items()}
    return plain


def clip_box(box: Box, width: int, height: int) -> list[float]:
    """The part of a box that lies inside the picture, rounded to a tenth of a pixel."""
    left, top, right, bottom = box
    clipped = [
        min(max(left, 0), width),
        min(max(top, 0), height),
        min(max(right, 0), width),
        min(max(bottom, 0), height),
    ]
    return [round(float(edge), 1) for edge in clipped]


def to_json(photos: Iterable[Photo]) -> list[dict]:
    """The JSON contract: a list with an object a photo. Fields may be added, never renamed."""
    plain = []
    for photo in photos:
        faces = [
            {
                "box": clip_box(reading.face.box, photo.width, photo.height),
                "confidence": round(reading.face.confidence, 4),
                "landmarks": [[round(x, 1), round(y, 1)] for x, y in reading.face.landmarks],
                "estimates": {name: estimate_to_json(one) for name, one in reading.estimates.items()},
                "quality": asdict(reading.quality) if reading.quality else None,
            }
            for reading in photo.readings
        ]
        told = {"photo": photo.photo, "error": photo.error, "turned": photo.turned, "fault": photo.fault or None}
        plain.append({**told, "width": photo.width, "height": photo.height, "faces": faces})
    return plain


def from_json(plain: Mapping[str, Any], titles: Mapping[str, str], subject: str = FACE) -> Photo:
    """Read an object of `to_json` back; boxes come back clipped and rounded.

    Args:
        titles: Title of each task, which the contract leaves out; estimates of other tasks are dropped.

    Raises: KeyError, TypeError or ValueError for an object that `to_json` never wrote."""
    readings = tuple(
        Reading(
            Face(_box(*face["box"]), face["confidence"], tuple((x, y) for x, y in face["landmarks"])),
            {name: _estimate_from_json(one, titles[name]) for name, one in face["estimates"].items() if name in titles},
            Quality(**face["quality"]) if face["quality"] else None,
        )
        for face in plain["faces"]
    )
    size = (plain["width"], plain["height"])
    return Photo(plain["photo"], plain["error"], readings, *size, subject, plain["turned"], plain["fault"] or "")


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    return left, top, right, bottom


def _estimate_from_json(plain: Mapping[str, Any], title: str) -> Estimate:
    points = {name: (x, y) for name, (x, y) in plain.get("points", {}).items()}
    return Estimate(**{**plain, "points": points}, title=title)
