"""Faces keep their number, and a person's answer is made of all that was seen of it: made sequences, by their own time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mtl_model.card import Card
from mtl_model.kinds import Kind, of
from mtl_model.records import Estimate, Face, Quality, Reading
from mtl_model.tasks import TASKS, number_task
from mtl_model.tracking import Moment, Person, Tracker, shares, smoothed, stretches

CARD = Card("bknet", {}, tuple(TASKS.values()))
GROUND = np.full((60, 100, 3), 120, np.uint8)
Path = Callable[[float], tuple[float, float, float] | None]
"""Seconds -> x and y of a face's middle and its width; None while it is not seen."""


def reading(x: float, y: float, width: float, estimates: dict[str, Estimate] | None = None) -> Reading:
    box = (x - width / 2, y - width / 2, x + width / 2, y + width / 2)
    return Reading(Face(box, 0.99), estimates or {})


def followed(
    paths: Sequence[Path], every: float, seconds: float, frames: Callable[[float], np.ndarray] = lambda _: GROUND
):
    """Follow faces; returns for each path the numbers that it had, in order, each once."""
    tracker = Tracker(every)
    numbers: list[list[int]] = [[] for _ in paths]
    for look in range(round(seconds / every) + 1):
        now = look * every
        seen = [(index, place) for index, path in enumerate(paths) if (place := path(now))]
        if look % 2:
            seen.reverse()  # the order of faces in a frame says nothing
        people = tracker.follow(now, frames(now), [reading(*place) for _, place in seen])
        for (index, _), person in zip(seen, people, strict=True):
            if person.number not in numbers[index]:
                numbers[index].append(person.number)
    return numbers


SEQUENCES = {
    "they stand": ([lambda t: (100, 100, 50), lambda t: (300, 100, 50)], [[1], [2]]),
    "one walks two widths a second": ([lambda t: (100 + 100 * t, 100, 50)], [[1]]),
    "one comes nearer": ([lambda t: (300, 200, 40 * 1.3**t)], [[1]]),
    "they cross": ([lambda t: (100 + 60 * t, 100, 50), lambda t: (460 - 60 * t, 110, 55)], [[1], [2]]),
    "they cross, alike": ([lambda t: (100 + 70 * t, 100, 50), lambda t: (460 - 70 * t, 100, 50)], [[1], [2]]),
    "one is covered for a second": ([lambda t: None if 2 < t < 3 else (100 + 10 * t, 100, 50)], [[1]]),
    "one walks behind a post": ([lambda t: None if 2 < t < 2.6 else (100 + 50 * t, 100, 50)], [[1]]),
    "one leaves for three seconds": ([lambda t: None if 1 < t < 4 else (100, 100, 50)], [[1, 2]]),
    "another appears elsewhere": (
        [lambda t: (100, 100, 50) if t < 3 else None, lambda t: (500, 100, 50) if t > 3 else None],
        [[1], [2]],
    ),
    "a small one behind a large one": (
        [lambda t: (100, 100, 120) if t < 3 else None, lambda t: (110, 100, 20) if t > 3 else None],
        [[1], [2]],
    ),
    "jitter": ([lambda t: (100 + 8 * math.sin(97 * t), 100 + 8 * math.cos(71 * t), 50 + 4 * math.sin(53 * t))], [[1]]),
}  # fmt: skip


@pytest.mark.parametrize("every", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(("paths", "expected"), SEQUENCES.values(), ids=SEQUENCES.keys())
def test_faces_keep_their_number(paths: list[Path], expected: list[list[int]], every: float) -> None:
    assert followed(paths, every, 6) == expected


def test_after_a_cut_everybody_is_counted_anew_and_after_a_change_of_light_nobody_is() -> None:
    still = [lambda t: (100, 100, 50)]
    random = np.random.default_rng(0)
    first, second = (random.integers(0, 256, (6, 10, 3)).astype(np.uint8).repeat(10, 0).repeat(10, 1) for _ in range(2))
    assert followed(still, 0.5, 4, lambda t: first if t < 2 else second) == [[1, 2]]
    assert followed(still, 0.5, 4, lambda t: (first * (0.4 + 0.6 * abs(math.sin(t)))).astype(np.uint8)) == [[1]]
    noise = lambda t: np.clip(first + random.normal(0, 20, first.shape), 0, 255).astype(np.uint8)  # noqa: E731
    assert followed(still, 0.5, 4, noise) == [[1]]


# -- smoothed answers ----------------------------------------------------------------------------------------------


def age(mean: float, spread: float) -> Estimate:
    years = np.arange(101)
    chances = np.exp(-((years - mean) ** 2) / (2 * spread**2))
    return of(TASKS["age"]).estimate(TASKS["age"], chances / chances.sum(), CARD.calibration_of("age"))


def smile(share: float) -> Estimate:
    return of(TASKS["smile"]).estimate(TASKS["smile"], np.array([1 - share, share]), CARD.calibration_of("smile"))


GOOD, SMALL, BLURRED = Quality(120, 0.2, 0.5, 0.0), Quality(20, 0.2, 0.5, 0.0), Quality(120, 0.01, 0.5, 0.0)


def seen(*parts: tuple[Estimate, Quality]) -> Person:
    """One who is looked at twice a second."""
    face = Face((0, 0, 9, 9), 1.0)
    moments = [
        Moment(index / 2, Reading(face, {one.title.lower(): one}, good)) for index, (one, good) in enumerate(parts)
    ]
    return Person(1, moments)


def age_of(*parts: tuple[Estimate, Quality]) -> Estimate:
    return smoothed(seen(*parts).moments, CARD)["age"]


def width(estimate: Estimate) -> float:
    return (estimate.high or 0) - (estimate.low or 0)


def test_one_look_is_its_own_answer() -> None:
    alone = age(31.4, 5)
    pooled = age_of((alone, GOOD))
    assert pooled.value == pytest.approx(alone.value, abs=0.2)
    assert (pooled.low, pooled.high) == pytest.approx((alone.low, alone.high), abs=0.3)
    assert sum(pooled.scores.values()) == pytest.approx(1, abs=1e-3)


def test_an_age_jumps_less_the_longer_one_is_seen() -> None:
    random = np.random.default_rng(0)
    looks = [(age(30 + random.normal(0, 2), 6), GOOD) for _ in range(60)]
    values = [float(age_of(*looks[: count + 1]).value) for count in range(60)]
    assert abs(values[-1] - 30) < 0.8
    steps = np.abs(np.diff(values))[10:]
    assert steps.max() < 0.5  # two looks a second: less than a year a second


def test_the_interval_narrows_with_evidence_and_never_below_one_sharp_photo() -> None:
    sharp, poor = age(30, 5), age(30, 9)
    blurred = [(poor, BLURRED)] * 40
    widths = [width(age_of(*blurred[:count], (sharp, GOOD))) for count in (0, 1, 5)]
    assert width(age_of(*blurred[:5])) > max(widths)
    assert all(one >= width(sharp) - 0.25 for one in widths)
    assert width(age_of(*[(sharp, GOOD)] * 200)) == pytest.approx(width(sharp), abs=0.3)
    noisy = [(age(30, 8 if index % 2 else 5), GOOD if index % 2 == 0 else BLURRED) for index in range(50)]
    assert width(age_of(*noisy)) >= width(sharp) - 0.25
    both = [width(age_of(*[(sharp, GOOD), (poor, SMALL)] * count)) for count in (1, 20)]
    assert both[1] <= both[0]


def test_poor_and_doubtful_looks_weigh_little() -> None:
    right, wrong = (age(30, 5), GOOD), age(60, 5)
    assert float(age_of(right, right, (wrong, BLURRED), (wrong, SMALL)).value) < 40
    assert float(age_of(right, (age(60, 20), GOOD)).value) < 35


def test_classes_are_the_mean_of_their_chances_and_never_surer_than_the_surest() -> None:
    person = seen((smile(0.9), GOOD), (smile(0.2), BLURRED), (smile(0.8), GOOD))
    pooled = smoothed(person.moments, CARD)["smile"]
    assert pooled.value == "smiling" and 0.75 < (pooled.confidence or 0) < 0.9
    assert shares(person) == {"smile": {"not smiling": 0.3333, "smiling": 0.6667}}


def test_other_kinds_answer_too() -> None:
    """The mean of a number whose margin stays, and the best look of what has no mean."""
    task = number_task("height", "cm")
    kind, calibration = of(task), of(task).Calibration(margin=4.0, threshold=10.0)
    estimates = [kind.estimate(task, np.array([value]), calibration) for value in (170.0, 174.0)]
    pooled = kind.pool(task, estimates, np.array([1.0, 1.0]), calibration)
    assert (pooled.value, pooled.low, pooled.high) == (172, 168, 176)
    best = Kind.pool(kind, task, estimates, np.array([0.2, 0.9]), calibration)
    assert best is estimates[1]


def test_stretches_are_told_with_the_gaps_between_them() -> None:
    times = (0.0, 0.5, 1.0, 2.0, 5.0, 6.0)
    person = Person(1, [Moment(second, reading(0, 0, 9)) for second in times])
    assert stretches(person, 0.5, 10.0) == [(0.0, 2.25), (4.75, 6.25)]
    assert stretches(person, 0.5, 6.2) == [(0.0, 2.25), (4.75, 6.2)]
