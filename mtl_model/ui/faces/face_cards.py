"""Records become HTML: the photo with its boxes, a card a face, the table. Every text is escaped here.

Nothing asks for a task's name: an Estimate with an interval is shown as years, any other as a class with bars.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.drawing import colour_of
from mtl_model.names import isolated
from mtl_model.records import Estimate, Photo, Reading, clip_box
from mtl_model.tasks import Task

SHOWN_PX = 1600
"""Longer side of the photo as the page shows it."""
OTHER_CLASSES = 2  # shown below the most probable class, where there are more than two
CURVE = "curve"
NO_FACE = "No face found. Try a larger picture of the face, or a smaller “smallest face”."
CURVE_WIDTH, CURVE_HEIGHT = 202, 40


def escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def named(text: object) -> str:
    """A name that people chose, escaped; its direction stays inside it (see `names.isolated`)."""
    return f"<bdi>{escape(text)}</bdi>"


def percent(probability: float) -> str:
    return f"{round(100 * probability)} %"


def whole_years(years: float) -> str:
    return str(int(years + 0.5))


def group_text(group: str) -> str:
    """ "24-39" as "24–39", "56+" as "56 and over"."""
    return f"{group[:-1]} and over" if group.endswith("+") else group.replace("-", "–")


def faces_text(count: int) -> str:
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


def stage(rgb: np.ndarray, photo: Photo) -> str:
    """The photo with a button over each face."""
    boxes = "".join(_box(number, reading, photo) for number, reading in enumerate(photo.readings, start=1))
    alt = f"{isolated(photo.photo)}: {faces_text(len(photo.readings)).lower()}"
    return (
        f'<div class="frame" style="--wide:{photo.width};--high:{photo.height}">'
        f'<img src="{data_url(rgb, SHOWN_PX)}" alt="{escape(alt)}" width="{photo.width}" height="{photo.height}">'
        f"{boxes}</div>"
    )


def _box(number: int, reading: Reading, photo: Photo) -> str:
    left, top, right, bottom = clip_box(reading.face.box, photo.width, photo.height)
    across, down = 100 / max(1, photo.width), 100 / max(1, photo.height)
    place = (
        f"left:{left * across:.3f}%;top:{top * down:.3f}%;"
        f"width:{(right - left) * across:.3f}%;height:{(bottom - top) * down:.3f}%;--face:{colour_of(number)}"
    )
    return (
        f'<button type="button" class="box" tabindex="-1" data-face="{number}" aria-pressed="false" '
        f'aria-label="Show face {number}" style="{place}">{_badge(number)}</button>'
    )


def _badge(number: int) -> str:
    return f'<span class="badge" aria-hidden="true">{number}</span>'


def cards(photo: Photo, crops: np.ndarray, card: Card, correctable: bool = False) -> str:
    """A card a face. crops: uint8 RGB (N, S, S, 3), in the order of the readings. correctable: with "This is wrong"."""
    if not photo.readings:
        return f'<p class="message">{NO_FACE}</p>'
    each = zip(photo.readings, crops, strict=True)
    return "".join(
        _card(number, reading, crop, card, correctable) for number, (reading, crop) in enumerate(each, start=1)
    )


def _card(number: int, reading: Reading, crop: np.ndarray, card: Card, correctable: bool) -> str:
    blocks = estimates(str(number), reading, card)
    curves = [task for task, estimate in reading.estimates.items() if estimate.shape == CURVE]
    first = "".join(blocks.pop(task) for task in curves[:1])
    return face(number, crop, first, "".join(blocks.values()), correctable)


def face(number: int, crop: np.ndarray, beside: str, below: str, correctable: bool) -> str:
    """The frame of a card: the crop, the HTML beside it and below it, and "This is wrong"."""
    button = (
        '<button type="button" class="link" tabindex="-1" data-do="wrong" aria-expanded="false">This is wrong</button>'
    )
    wrong = f'<div class="wrong">{button}</div>' if correctable else ""
    return (
        f'<section class="face" role="group" aria-label="Face {number}" data-face="{number}" '
        f'style="--face:{colour_of(number)}">'
        f'<div class="top"><button type="button" class="crop" data-face="{number}" aria-pressed="false" '
        f'aria-label="Show face {number}" aria-describedby="face-keys">'
        f'<img src="{data_url(crop, crop.shape[0], 90)}" alt="" width="96" height="96">'
        f"{_badge(number)}</button>{beside}</div>{below}{wrong}</section>"
    )


def estimates(key: str, reading: Reading, card: Card) -> dict[str, str]:
    """{task: a block that says what is estimated}. key: what makes the ids in it unlike all others on the page."""
    blocks = {}
    for name, one in reading.estimates.items():
        task, identity = card.task(name), f"{name}-{key}"
        why = kinds.of(task).unsure(one, card.calibration_of(name))
        mark = "" if one.sure else f" {with_tip(f'why-{identity}', 'unsure', 'unsure', why)}"
        like = _like(f"like-{identity}", task, card.error_like(name, *kinds.of(task).like(one)))
        blocks[name] = _BLOCKS[one.shape](task, one, mark, like)
    return blocks


def _like(identity: str, task: Task, row: Mapping[str, Any] | None) -> str:
    """What the error is for faces like this one, if the card knows."""
    if row is None:
        return ""
    (answer,) = row["group"].values()
    said, what, sure = kinds.of(task).like_text(row["error"], *row["range"])
    tip = with_tip(
        identity, "explained", said, f"{what} on {row['n']:,} validation faces estimated as {answer} {sure}."
    )
    return f'<p class="like">faces like this: {tip}</p>'


def with_tip(identity: str, name: str, text: str, why: str) -> str:
    """A few words that say more when pointed at or focused. name: its class in the style sheet."""
    return (
        f'<span class="why"><button type="button" class="{name}" tabindex="-1" aria-describedby="{escape(identity)}">'
        f'{escape(text)}</button><span role="tooltip" id="{escape(identity)}">{escape(why)}</span></span>'
    )


def _years(task: Task, estimate: Estimate, mark: str, like: str) -> str:
    low, high = whole_years(estimate.low or 0), whole_years(estimate.high or 0)
    group = ""
    if estimate.group:
        group = f'<span class="group"><span class="unseen">, </span>group {escape(estimate.group)}</span>'
    return (
        f'<div class="estimate years{"" if estimate.sure else " muted"}" data-task="{escape(task.name)}">'
        f'<p class="value"><span class="name">{named(task.title)}</span> <b>{escape(estimate.text)}</b>{mark}</p>'
        f'<p class="interval"><span class="unseen">, most likely </span>{low} to {high}{group}</p>'
        f"{_curve(task, estimate)}{like}</div>"
    )


def _curve(task: Task, estimate: Estimate) -> str:
    """The distribution over the years as a small filled curve, the interval shaded, the value as a line."""
    scores = [estimate.scores[name] for name in estimate.scores]
    years = [float(name) for name in estimate.scores]
    first, last, top = years[0], max(years[-1], years[0] + 1), max(max(scores), 1e-9)

    def across(year: float) -> float:
        return round(1 + (min(max(year, first), last) - first) / (last - first) * (CURVE_WIDTH - 2), 2)

    points = " ".join(
        f"{across(year)},{round(CURVE_HEIGHT - 1 - score / top * (CURVE_HEIGHT - 5), 2)}"
        for year, score in zip(years, scores, strict=True)
    )
    left, right, middle = across(estimate.low or 0), across(estimate.high or 0), across(float(estimate.value))
    label = f"Distribution of {isolated(task.title.lower())} from {first:.0f} to {last:.0f}, around {estimate.text}"
    return (
        f'<div class="curve"><svg viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><rect class="shade" x="{left}" y="0" width="{max(1.0, right - left):.2f}" '
        f'height="{CURVE_HEIGHT}"/><polygon points="1,{CURVE_HEIGHT} {points} {CURVE_WIDTH - 1},{CURVE_HEIGHT}"/>'
        f'<line x1="{middle}" x2="{middle}" y1="0" y2="{CURVE_HEIGHT}"/></svg>'
        f'<p class="scale" aria-hidden="true"><span>{first:.0f}</span><span>{(first + last) / 2:.0f}</span>'
        f"<span>{last:.0f}</span></p></div>"
    )


def _classes(task: Task, estimate: Estimate, mark: str, like: str) -> str:
    ranked = sorted(estimate.scores.items(), key=lambda item: -item[1])
    others = [item for item in ranked if item[0] != estimate.value][:OTHER_CLASSES] if len(ranked) > 2 else []
    rows = "".join(_bar(word, score) for word, score in others)
    confidence = estimate.confidence or 0.0
    return (
        f'<div class="estimate classes{"" if estimate.sure else " muted"}" data-task="{escape(task.name)}">'
        f'<p class="line"><span class="name">{named(task.title)}</span> <b>{named(estimate.text)}</b>{mark} '
        f'<span class="number">{percent(confidence)}</span></p>{_track(confidence)}{rows}{like}</div>'
    )


def _bar(word: str, score: float) -> str:
    return (
        f'<p class="line other"><span class="name"></span> <span>{named(word)}</span> '
        f'<span class="number">{percent(score)}</span></p>{_track(score)}'
    )


_BLOCKS = {CURVE: _years, "bars": _classes}
"""By the shape of an estimate."""


def _track(share: float) -> str:
    return f'<div class="track" aria-hidden="true"><span style="width:{100 * share:.1f}%"></span></div>'


def table(photo: Photo, card: Card) -> str:
    """All faces as rows; the heads are buttons that sort."""
    if not photo.readings:
        return ""
    rows = [[cell for task in card.tasks for cell in cells(task, reading.estimates)] for reading in photo.readings]
    return sortable(photo, [named(head) for task in card.tasks for head in kinds.of(task).heads(task)], rows)


Cell = tuple[str, float | str]
"""What a cell says, as HTML, and what its column is sorted by."""


def sortable(photo: Photo, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """heads: HTML, of the columns between the number of the face and the confidence of its detection."""
    head_cells = "".join(
        f'<th scope="col" aria-sort="{"ascending" if index == 0 else "none"}">'
        f'<button type="button" data-column="{index}">{head}</button></th>'
        for index, head in enumerate(["Face", *heads, "Detection"])
    )
    each = enumerate(zip(photo.readings, rows, strict=True), start=1)
    body = "".join(_row(number, reading, row) for number, (reading, row) in each)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of faces"><table class="readings">'
        f"<thead><tr>{head_cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(number: int, reading: Reading, row: Sequence[Cell]) -> str:
    found = reading.face.confidence
    columns = "".join(
        f'<td data-sort="{escape(key)}">{text}</td>' for text, key in [(number, number), *row, (percent(found), found)]
    )
    return f'<tr data-face="{number}">{columns}</tr>'


def cells(task: Task, estimates: Mapping[str, Estimate]) -> list[Cell]:
    """The cells of one task."""
    one = estimates.get(task.name)
    if one is None:
        return [("", "")] * len(kinds.of(task).heads(task))
    text = named(one.text) + ("" if one.sure else ' <span class="small">unsure</span>')
    return [(text, one.value), *((escape(said), key) for said, key in kinds.of(task).table_cells(one))]
