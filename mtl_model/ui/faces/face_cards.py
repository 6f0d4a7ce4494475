"""Records become HTML: the photo with its boxes, one card per face, the table. The HTML itself stands in templates/faces/.

Nothing asks for a task's name or kind: an Estimate is shown by its shape, by the template of that name.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from mtl_model import kinds, wording
from mtl_model.card import Card
from mtl_model.names import isolated
from mtl_model.quality import faults
from mtl_model.records import FACE, PICTURE, Estimate, Photo, Quality, Reading, clip_box
from mtl_model.tasks import Task
from mtl_model.ui.render import named, percent, render

SHOWN_PX = 1600
"""Longer side of the photo as the page shows it."""
OTHER_CLASSES = 2  # shown below the most probable class, where there are more than two
CURVE, NUMBER, BARS, TEXT = "curve", "number", "bars", "text"
BESIDE = (CURVE, NUMBER)
"""Shapes of which the first estimate stands beside the crop."""
CURVE_WIDTH, CURVE_HEIGHT = 202, 40


def whole_years(years: float) -> str:
    return str(int(years + 0.5))


def group_text(group: str) -> str:
    """ "24-39" as "24–39", "56+" as "56 and over"."""
    return f"{group[:-1]} and over" if group.endswith("+") else group.replace("-", "–")


def faces_text(photo: Photo) -> str:
    """Return how many faces were found, or that the picture itself was read."""
    if photo.subject == PICTURE:
        return "The whole picture"
    count = len(photo.readings)
    return "1 face found" if count == 1 else f"{count} faces found" if count else "No face found"


def jpeg(rgb: np.ndarray, longest_px: int, quality: int) -> bytes:
    """A picture as a file, scaled down (never up) until its longer side has longest_px."""
    image = Image.fromarray(rgb)
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def data_url(rgb: np.ndarray, longest_px: int, quality: int = 88) -> str:
    """A JPEG inside the page itself: nothing is stored on the server, nothing has to be deleted."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(rgb, longest_px, quality)).decode("ascii")


def stage(rgb: np.ndarray, photo: Photo) -> Markup:
    """Return the photo with a button over each face, none where the picture itself is read, and the points that are estimated."""
    alt = f"{isolated(photo.photo)}: {faces_text(photo).lower()}"
    places = [] if photo.subject == PICTURE else [_place(reading, photo) for reading in photo.readings]
    dots = [_dots(reading, photo) for reading in photo.readings]
    return render("faces/stage.html", photo=photo, picture=data_url(rgb, SHOWN_PX), alt=alt, places=places, dots=dots)


def _place(reading: Reading, photo: Photo) -> str:
    left, top, right, bottom = clip_box(reading.face.box, photo.width, photo.height)
    across, down = 100 / max(1, photo.width), 100 / max(1, photo.height)
    return (
        f"left:{left * across:.3f}%;top:{top * down:.3f}%;"
        f"width:{(right - left) * across:.3f}%;height:{(bottom - top) * down:.3f}%"
    )


def _dots(reading: Reading, photo: Photo) -> list[tuple[str, str]]:
    """Return name and place of the points that are estimated inside the picture."""
    across, down = 100 / max(1, photo.width), 100 / max(1, photo.height)
    return [
        (name, f"left:{x * across:.3f}%;top:{y * down:.3f}%")
        for estimate in reading.estimates.values()
        for name, (x, y) in estimate.points.items()
        if 0 <= x <= photo.width and 0 <= y <= photo.height
    ]


def cards(photo: Photo, crops: np.ndarray, card: Card, correctable: bool = False) -> Markup:
    """Return one card per face.

    crops: uint8 RGB (N, S, S, 3), in the order of the readings. correctable: with "This is wrong"."""
    if not photo.readings:
        return render("faces/none.html", fault=wording.text(photo.fault) if photo.fault else "")
    each = enumerate(zip(photo.readings, crops, strict=True), start=1)
    return Markup().join(_card(number, reading, crop, card, correctable) for number, (reading, crop) in each)


def _card(number: int, reading: Reading, crop: np.ndarray, card: Card, correctable: bool) -> Markup:
    blocks = estimates(str(number), reading, card)
    shown = [task for task, estimate in reading.estimates.items() if estimate.shape in BESIDE]
    beside = Markup().join(blocks.pop(task) for task in shown[:1])
    return face(card.subject, number, crop, reading.quality, beside, Markup().join(blocks.values()), correctable)


def face(
    subject: str,
    number: int,
    crop: np.ndarray,
    quality: Quality | None,
    beside: Markup,
    below: Markup,
    correctable: bool,
) -> Markup:
    """Return the frame of a card: the crop, what stands beside it and below it, what keeps a face from being told, and "This is
    wrong".

    subject: see `Card.subject`."""
    picture = data_url(crop, crop.shape[0], 90)
    known = faults(quality) if quality and subject == FACE else []
    parts = {"subject": subject, "number": number, "picture": picture, "beside": beside, "below": below}
    parts["faults"] = [wording.text(code) for code in known]
    return render("faces/card.html", **parts, correctable=correctable)


@dataclass(frozen=True)
class Block:
    """What is said of one task of one face.

    identity: what makes the ids in it unlike all others on the page. why: a sentence, shown where the answer is unsure.
    like: what the error is for faces like this one, if the card knows."""

    task: Task
    estimate: Estimate
    identity: str
    why: str
    like: Mapping[str, str] | None


def estimates(key: str, reading: Reading, card: Card) -> dict[str, Markup]:
    """Return {task: what is estimated}. key: the same for no other face and checkpoint on the page."""
    blocks = {}
    for name, estimate in reading.estimates.items():
        task, kind = card.task(name), kinds.of(card.task(name))
        why = kind.unsure(estimate, card.calibration_of(name))
        like = _like(task, card.error_like(name, *kind.like(estimate)), card.subject)
        block = Block(task, estimate, f"{name}-{key}", why, like)
        details = _DETAILS[estimate.shape](task, estimate) if estimate.shape in _DETAILS else {}
        blocks[name] = render(f"faces/{estimate.shape}.html", block=block, **details)
    return blocks


def _like(task: Task, row: Mapping[str, Any] | None, subject: str) -> dict[str, str] | None:
    if row is None:
        return None
    (answer,) = row["group"].values()
    text, error, sure = kinds.of(task).like_text(row["error"], *row["range"])
    why = f"{error} on {row['n']:,} validation {subject}s estimated as {answer} {sure}."
    return {"text": text, "why": why, "of": f"{subject}s"}


def _curve(task: Task, estimate: Estimate) -> dict[str, Any]:
    """Return what the template draws of a distribution over years, in units of its view box."""
    scores = list(estimate.scores.values())
    years = [float(name) for name in estimate.scores]
    first, last, top = years[0], max(years[-1], years[0] + 1), max(max(scores), 1e-9)

    def across(year: float) -> float:
        return round(1 + (min(max(year, first), last) - first) / (last - first) * (CURVE_WIDTH - 2), 2)

    def down(score: float) -> float:
        return round(CURVE_HEIGHT - 1 - score / top * (CURVE_HEIGHT - 5), 2)

    low, high = estimate.low or 0, estimate.high or 0
    title = isolated(task.title.lower())
    return {
        "low": whole_years(low),
        "high": whole_years(high),
        "left": across(low),
        "right": across(high),
        "middle": across(float(estimate.value)),
        "points": " ".join(f"{across(year)},{down(score)}" for year, score in zip(years, scores, strict=True)),
        "label": f"Distribution of {title} from {first:.0f} to {last:.0f}, around {estimate.text}",
        "first": first,
        "last": last,
        "width": CURVE_WIDTH,
        "height": CURVE_HEIGHT,
    }


def _bars(task: Task, estimate: Estimate) -> dict[str, Any]:
    """Return the share of the answer, and the most probable of the other classes."""
    ranked = sorted(estimate.scores.items(), key=lambda item: -item[1])
    others = [item for item in ranked if item[0] != estimate.value][:OTHER_CLASSES] if len(ranked) > 2 else []
    return {"share": estimate.confidence or 0.0, "others": others}


_DETAILS: Mapping[str, Callable[[Task, Estimate], dict[str, Any]]] = {
    CURVE: _curve,
    NUMBER: lambda task, estimate: {"interval": kinds.of(task).detail(estimate)},
    BARS: _bars,
    TEXT: lambda task, estimate: {"share": estimate.confidence or 0.0},
}
"""By the shape of an estimate, what its template shows beside the estimate itself."""


class Head(NamedTuple):
    """The head of a column; `of` says whose column it is, where there are several."""

    text: str
    of: str = ""


class Cell(NamedTuple):
    """What a cell says (Markup keeps its elements), and what its column is sorted by."""

    text: str
    key: float | str
    sure: bool = True


def table(photo: Photo, card: Card) -> Markup:
    """Return all faces as rows; the heads are buttons that sort."""
    rows = [
        [cell for task in kinds.shown(card.tasks) for cell in cells(task, reading.estimates)]
        for reading in photo.readings
    ]
    return sortable(
        photo, [Head(named(text)) for task in kinds.shown(card.tasks) for text in kinds.of(task).heads(task)], rows
    )


def sortable(photo: Photo, heads: Sequence[Head], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Return the table; "" without faces. heads: of the columns between the number of the face and its detection."""
    if not photo.readings:
        return Markup()
    each = enumerate(zip(photo.readings, rows, strict=True), start=1)
    detected = photo.subject != PICTURE
    whole = [
        [Cell(str(number), number), *row, *([_detection(reading)] if detected else [])]
        for number, (reading, row) in each
    ]
    heads = [Head(photo.subject.capitalize()), *heads, *([Head("Detection")] if detected else [])]
    return render("faces/table.html", subject=photo.subject, heads=heads, rows=whole)


def _detection(reading: Reading) -> Cell:
    return Cell(percent(reading.face.confidence), reading.face.confidence)


def cells(task: Task, estimates: Mapping[str, Estimate]) -> list[Cell]:
    """Return the cells of one task."""
    kind, estimate = kinds.of(task), estimates.get(task.name)
    if estimate is None:
        return [Cell("", "")] * len(kind.heads(task))
    more = (Cell(text, key) for text, key in kind.table_cells(estimate))
    return [Cell(named(estimate.text), estimate.value, estimate.sure), *more]
