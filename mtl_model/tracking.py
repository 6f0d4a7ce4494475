"""Readings of a video -> people: faces that keep their number from frame to frame, each with smoothed Estimates.

Nobody is recognised: a face keeps its number by where it is and how large. Whoever leaves for longer than a moment, and everybody
after a cut, is counted anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy.optimize import linear_sum_assignment

from mtl_model import kinds
from mtl_model.card import Card
from mtl_model.quality import weight_of
from mtl_model.records import Estimate, Face, Reading

GAP_SECONDS = 1.0
"""For which a face may be covered and keep its number; at least two looks."""
REACH, PER_SECOND = 0.7, 1.0
"""How far from where it is expected a face may be, in its own widths: at once, and more for each second since it was seen."""
SIZES = 1.8
"""By how much the width of a face may change from one look to the next, as a factor; and as much again per second."""
CUT = 0.17
"""Mean difference of the brightness of two looks, 0 to 1, once their means are made equal, from which the picture is another."""
SEEN_PX = 32
STAYING = ("curve", "number")
"""Shapes of answers that stay the same while a person is seen, such as an age; so do those of tasks by whose classes people are
grouped. Others, such as a smile, may change."""


@dataclass(frozen=True)
class Moment:
    """A face at one look. seconds: since the video began."""

    seconds: float
    reading: Reading


@dataclass
class Person:
    """A face that was followed. number: counted from 1, in the order in which they appeared."""

    number: int
    moments: list[Moment] = field(default_factory=list)

    def expected(self, seconds: float) -> tuple[float, float, float]:
        """Return where the face should be: x and y of its middle, and its width. It goes on as it moved between the last two
        looks, for as long as these were apart: who is covered may stand still."""
        x, y, width = _place(self.moments[-1].reading.face)
        if len(self.moments) > 1:
            before, last = self.moments[-2:]
            x0, y0, _ = _place(before.reading.face)
            share = min(1.0, (seconds - last.seconds) / (last.seconds - before.seconds))
            x, y = x + share * (x - x0), y + share * (y - y0)
        return x, y, width


class Tracker:
    """Gives the faces of looks at a video, one after another, the numbers of people.

    The faces of a look are assigned to people so that the distances, in widths of a face, are smallest in all (the Hungarian
    method); a distance beyond REACH, or another size, is another person. Ten lines of IoU are not enough where looks are half a
    second apart: a face that walks does not overlap with itself. ByteTrack and OC-SORT add a second round for unsure boxes and a
    Kalman filter, for looks at 25 a second; here each look is a whole search."""

    def __init__(self, every_seconds: float) -> None:
        self.there: list[Person] = []
        """Who is seen, or was a moment ago."""
        self._gap = gap_of(every_seconds)
        self._seen: np.ndarray | None = None
        self._count = 0

    def follow(self, seconds: float, rgb: np.ndarray, readings: Sequence[Reading]) -> list[Person]:
        """Return whose each reading is; people who were not seen before are new.

        seconds: later than at the last call. rgb: uint8 (H, W, 3), the frame, by which a cut is told."""
        cut = self._is_cut(rgb)
        self.there = [one for one in self.there if not cut and seconds - one.moments[-1].seconds <= self._gap]
        whose = {index: self.there[row] for row, index in _assigned(self.there, readings, seconds)}
        people = [whose.get(index) or self._new() for index in range(len(readings))]
        for person, reading in zip(people, readings, strict=True):
            person.moments.append(Moment(seconds, reading))
        return people

    def _new(self) -> Person:
        self._count += 1
        self.there.append(Person(self._count))
        return self.there[-1]

    def _is_cut(self, rgb: np.ndarray) -> bool:
        small = np.asarray(Image.fromarray(rgb).convert("L").resize((SEEN_PX, SEEN_PX), Image.Resampling.BOX), float)
        small = (small - small.mean()) / 255  # a light that goes on is no cut
        before, self._seen = self._seen, small
        return before is not None and float(np.abs(small - before).mean()) > CUT


def gap_of(every_seconds: float) -> float:
    """Return the seconds between two looks at a person up to which the person counts as there."""
    return max(GAP_SECONDS, 2 * every_seconds) + 1e-6


def _place(face: Face) -> tuple[float, float, float]:
    return (face.box[0] + face.box[2]) / 2, face.middle, max(1e-6, math.sqrt(face.area))


def _assigned(people: Sequence[Person], readings: Sequence[Reading], seconds: float) -> Iterator[tuple[int, int]]:
    """Give the pairs of a person and a reading that belong together, by their indices."""
    far = 1e6
    costs = np.full((len(people), len(readings)), far)
    for row, person in enumerate(people):
        x0, y0, width0 = person.expected(seconds)
        since = seconds - person.moments[-1].seconds
        for column, reading in enumerate(readings):
            x, y, width = _place(reading.face)
            distance = math.hypot(x - x0, y - y0) / max(width, width0)
            size = max(width, width0) / min(width, width0)
            if distance <= REACH + PER_SECOND * since and size <= SIZES * (1 + since):
                costs[row, column] = distance + math.log(size)
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if costs[row, column] < far:
            yield int(row), int(column)


# -- what a person's moments say together --------------------------------------------------------------------------


def smoothed(moments: Sequence[Moment], card: Card) -> dict[str, Estimate]:
    """Return one answer per task from several moments, one at least: each weighs by the quality of its picture, and as the task's
    kind has it by its calibrated doubt."""
    weights = np.array([weight_of(moment.reading.quality) for moment in moments])
    result = {}
    for task in kinds.shown(card.tasks):
        known = [index for index, moment in enumerate(moments) if task.name in moment.reading.estimates]
        if known:
            estimates = [moments[index].reading.estimates[task.name] for index in known]
            result[task.name] = kinds.of(task).pool(task, estimates, weights[known], card.calibration_of(task.name))
    return result


def nearer(shown: Mapping[str, Estimate], now: Mapping[str, Estimate], share: float, card: Card) -> dict[str, Estimate]:
    """Return answers a share of the way, 0 to 1, from what is shown to what is known now; what was not shown yet as it is."""
    return {
        task.name: kinds.of(task).between(
            task, shown.get(task.name, now[task.name]), now[task.name], share, card.calibration_of(task.name)
        )
        for task in kinds.shown(card.tasks)
        if task.name in now
    }


def answers_at(
    moment: Moment, around: Sequence[Moment], whole: Mapping[str, Estimate], card: Card
) -> dict[str, Estimate]:
    """Return what is shown of a person at a moment: of what stays the answer over all moments, of what may change that over those
    around, and of places in the picture that of the moment itself.

    whole: `smoothed` over all moments."""
    now, groups = smoothed(around, card), {task.name for task in card.tasks if task.groups}
    return {
        name: own if own.points else whole[name] if own.shape in STAYING or name in groups else now[name]
        for name, own in moment.reading.estimates.items()
    }


def stretches(person: Person, every_seconds: float, until: float) -> list[tuple[float, float]]:
    """Return from when to when a person was there, in seconds: a look stands for half the time to the next on each side.

    until: seconds of the video that were looked at."""
    spans: list[tuple[float, float]] = []
    for moment in person.moments:
        begin = moment.seconds
        if spans and moment.seconds - spans[-1][1] <= gap_of(every_seconds):
            begin = spans.pop()[0]
        spans.append((begin, moment.seconds))
    half = every_seconds / 2
    ends = [until if until - end <= every_seconds else end + half for _, end in spans]
    return [(round(max(0.0, begin - half), 2), round(end, 2)) for (begin, _), end in zip(spans, ends, strict=True)]


def shares(person: Person) -> dict[str, dict[str, float]]:
    """Return for each task with classes the share of the person's looks that each class was the answer of: {"smile": {"smiling":
    0.4, ...}}."""
    answers: dict[str, list[Estimate]] = {}
    for moment in person.moments:
        for name, estimate in moment.reading.estimates.items():
            if estimate.shape == "bars":
                answers.setdefault(name, []).append(estimate)
    result = {}
    for name, estimates in answers.items():
        values = [str(estimate.value) for estimate in estimates]
        result[name] = {value: round(values.count(value) / len(values), 4) for value in estimates[0].scores}
    return result
