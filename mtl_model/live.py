"""One camera, frame after frame: faces are searched now and then and followed in between, and what is shown of them is smoothed.

Time is that of the frames, which their source tells; nothing here asks a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mtl_model.card import Card
from mtl_model.records import Estimate, Face, Reading
from mtl_model.tracking import Moment, Person, Tracker, answers_at, nearer, smoothed

SEARCH_SECONDS = 0.5
"""From one search of the whole frame to the next, while every face is followed."""
CHANGE_SECONDS = 0.25
"""Over which what may change is smoothed: a new smile outweighs the old one after half of it."""
SETTLE_SECONDS, STEP_SECONDS, LAG_SECONDS = 0.5, 0.4, 1.5
"""An answer that stays settles as fast as evidence comes for so long; from then on it moves in steps and lags, and does not
jump."""
APART_SECONDS, KEPT = 0.2, 60
"""Of moments older than CHANGE_SECONDS one in so many seconds is kept, and so many of them at most."""


class Model(Protocol):
    """The part of a Predictor that a camera needs."""

    @property
    def card(self) -> Card: ...

    def predict(self, picture: np.ndarray, *, quick: bool = False) -> list[Reading]: ...

    def follow(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Reading] | None: ...


@dataclass
class _Shown:
    """What is shown of a person. number: the smallest that nobody else has.

    since: seconds of the first frame. seconds: of the last step."""

    number: int
    since: float
    seconds: float = 0.0
    answers: dict[str, Estimate] = field(default_factory=dict)


class Live:
    """A camera's frames, each looked at once, in their order."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._tracker = Tracker(0.0)
        self._faces: list[Face] = []
        self._size: tuple[int, ...] = ()
        self._searched = -SEARCH_SECONDS
        self._shown: dict[int, _Shown] = {}
        """By the number of the person."""

    def look(self, rgb: np.ndarray, seconds: float) -> dict[int, Reading]:
        """Return who is seen, with smoothed answers, by numbers that people keep while they are seen, in reading order.

        rgb: uint8 RGB (H, W, 3). seconds: when the frame was taken, later than the last."""
        readings = self._read(rgb, seconds)
        people = self._tracker.follow(seconds, rgb, readings)
        self._faces, self._size = [reading.face for reading in readings], rgb.shape
        there = {person.number for person in self._tracker.there}
        self._shown = {person: shown for person, shown in self._shown.items() if person in there}
        return {self._of(person).number: self._smoothed(person) for person in people}

    def _read(self, rgb: np.ndarray, seconds: float) -> list[Reading]:
        """Follow the faces of the last frame, or search where there are none, one is lost, or it is time."""
        if self._faces and seconds - self._searched < SEARCH_SECONDS and rgb.shape == self._size:
            readings = self._model.follow(rgb, self._faces)
            if readings is not None:
                return readings
        self._searched = seconds
        return self._model.predict(rgb, quick=True)

    def _of(self, person: Person) -> _Shown:
        if person.number not in self._shown:
            taken = {shown.number for shown in self._shown.values()}
            free = next(number for number in range(1, len(taken) + 2) if number not in taken)
            self._shown[person.number] = _Shown(free, person.moments[-1].seconds)
        return self._shown[person.number]

    def _smoothed(self, person: Person) -> Reading:
        person.moments[:] = thinned(person.moments)
        last, shown = person.moments[-1], self._of(person)
        around = [moment for moment in person.moments if last.seconds - moment.seconds <= CHANGE_SECONDS]
        card = self._model.card
        since = last.seconds - shown.seconds
        if last.seconds - shown.since <= SETTLE_SECONDS:
            shown.answers, shown.seconds = smoothed(person.moments, card), last.seconds
        elif since >= STEP_SECONDS:  # not at every frame: what is shown is rounded, and would never move
            share = min(1.0, since / LAG_SECONDS)
            shown.answers = nearer(shown.answers, smoothed(person.moments, card), share, card)
            shown.seconds = last.seconds
        answers = answers_at(last, around, shown.answers, card)
        return Reading(last.reading.face, answers, last.reading.quality)


def thinned(moments: Sequence[Moment]) -> list[Moment]:
    """Return the moments worth keeping: the newest ones, and of those before one now and then, so that memory does not grow."""
    last = moments[-1].seconds
    old = [moment for moment in moments if last - moment.seconds > CHANGE_SECONDS]
    kept: list[Moment] = []
    for moment in old:
        if not kept or moment.seconds - kept[-1].seconds >= APART_SECONDS:
            kept.append(moment)
    return [*kept[-KEPT:], *moments[len(old) :]]
