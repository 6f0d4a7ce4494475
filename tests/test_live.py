"""One camera: what is shown of moving, trembling, smiling faces; told by frames and their own time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mtl_model.card import Card
from mtl_model.detectors import Refiner
from mtl_model.kinds import of
from mtl_model.live import CHANGE_SECONDS, KEPT, SEARCH_SECONDS, Live, thinned
from mtl_model.predictor import Predictor
from mtl_model.records import Estimate, Face, Quality, Reading
from mtl_model.tasks import TASKS
from mtl_model.tracking import Moment
from tests.cli import write_weights

CARD = Card("bknet", {}, tuple(TASKS.values()))
RATE = 15  # frames a second
GROUND = np.full((48, 64, 3), 120, np.uint8)
GOOD = Quality(100, 0.2, 0.5, 0.0)


def estimates(age: float, smile: float, spread: float = 6) -> dict[str, Estimate]:
    years = np.exp(-((np.arange(101) - age) ** 2) / (2 * spread**2))
    rows = {"age": years / years.sum(), "smile": np.array([1 - smile, smile])}
    return {name: of(TASKS[name]).estimate(TASKS[name], row, CARD.calibration_of(name)) for name, row in rows.items()}


class Scene:
    """A model whose faces follow a script: frame -> {name: (x, age, smile, quality)}. `searched` counts whole searches."""

    card = CARD

    def __init__(self, script: Callable[[float], dict[str, tuple[float, float, float, Quality]]]) -> None:
        self._script, self.now = script, 0.0
        self.searched: list[float] = []
        self.followed = 0

    def _seen(self) -> list[Reading]:
        faces = sorted(self._script(self.now).values())
        return [
            Reading(Face((x, 10, x + 50, 60), 0.99), estimates(age, smile), quality) for x, age, smile, quality in faces
        ]

    def predict(self, picture: np.ndarray, *, quick: bool = False) -> list[Reading]:
        assert quick
        self.searched.append(self.now)
        return self._seen()

    def follow(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Reading] | None:
        """Those of the last frame, unless one is gone."""
        self.followed += 1
        found = [min(self._seen(), key=lambda one: abs(one.face.box[0] - face.box[0]), default=None) for face in faces]
        near = [one for one, face in zip(found, faces, strict=True) if one and abs(one.face.box[0] - face.box[0]) < 20]
        return near if len(near) == len(faces) else None

    def run(self, seconds: float, frames: Callable[[float], np.ndarray] = lambda _: GROUND) -> list[dict[int, Reading]]:
        live, shown = Live(self), []
        for frame in range(round(seconds * RATE)):
            self.now = frame / RATE
            shown.append(live.look(frames(self.now), self.now))
        return shown


def still(age: float = 30, smile: float = 0.9) -> Scene:
    return Scene(lambda t: {"a": (100, age, smile, GOOD)})


def test_faces_are_searched_twice_a_second_and_followed_in_between() -> None:
    scene = still()
    assert all([*there] == [1] for there in scene.run(4))
    gaps = np.diff(scene.searched)
    assert len(scene.searched) == pytest.approx(4 / SEARCH_SECONDS, abs=1) and gaps.min() >= SEARCH_SECONDS
    assert scene.followed > 45


def test_a_lost_face_is_searched_at_once_and_an_empty_frame_always() -> None:
    scene = Scene(lambda t: {"a": (100 if t < 1.2 else 300, 30, 0.9, GOOD)} if t < 2 or t > 2.9 else {})
    shown = scene.run(4)
    assert all(shown[frame] for frame in range(30)) and not any(shown[frame] for frame in range(30, 44)) and shown[45]
    assert pytest.approx(1.2) in scene.searched and sum(2 <= second < 2.9 for second in scene.searched) == 14


def test_a_new_face_is_seen_within_half_a_second_and_numbers_are_used_again() -> None:
    def script(t: float) -> dict[str, tuple[float, float, float, Quality]]:
        there = {"a": (100.0, 30.0, 0.9, GOOD)} if t < 3 or t > 5 else {}
        return there | ({"b": (400.0, 50.0, 0.1, GOOD)} if 1 < t < 6 else {})

    shown = Scene(script).run(7)
    assert [*shown[10]] == [1] and [*shown[23]] == [1, 2] and [*shown[60]] == [2]
    assert [*shown[85]] == [1, 2]  # whoever comes after the first has left for over a second has its number


def test_the_shown_age_moves_less_than_a_year_a_second() -> None:
    """Each frame is off by 2 years, every fifth is blurred and 12 years off, and the light swings by two stops."""
    random = np.random.default_rng(0)
    blurred = Quality(100, 0.005, 0.5, 0.0)

    def script(t: float) -> dict[str, tuple[float, float, float, Quality]]:
        bad = round(t * RATE) % 5 == 0
        light = 2 * math.sin(2 * t)  # what a darker picture does to the answer
        age = 30 + light + random.normal(0, 2) + (12 if bad else 0)
        return {"a": (100 + random.normal(0, 2), age, 0.9, blurred if bad else GOOD)}

    light = lambda t: (GROUND * 2 ** (math.sin(2 * t) - 1)).astype(np.uint8)  # noqa: E731
    ages = [float(there[1].estimates["age"].value) for there in Scene(script).run(20, light)]
    assert len(ages) == 20 * RATE
    later = np.array(ages[RATE // 2 :])
    moved = np.abs(later[RATE:] - later[:-RATE])
    assert moved.max() < 1 and abs(later.mean() - 30) < 2


def test_the_shown_interval_narrows_when_the_face_comes_nearer() -> None:
    small = Quality(20, 0.2, 0.5, 0.0)

    class Nearing(Scene):
        def _seen(self) -> list[Reading]:
            near = self.now > 1
            return [
                Reading(Face((100, 10, 150, 60), 0.99), estimates(30, 0.9, 5 if near else 10), GOOD if near else small)
            ]

    shown = [there[1].estimates["age"] for there in Nearing(lambda _: {}).run(8)]
    widths = [float((one.high or 0) - (one.low or 0)) for one in shown]
    sharp = estimates(30, 0.9, 5)["age"]
    assert widths[10] > 1.5 * widths[-1] and widths[-1] == pytest.approx((sharp.high or 0) - (sharp.low or 0), abs=0.5)


def test_a_new_smile_shows_in_under_300_ms() -> None:
    shown = Scene(lambda t: {"a": (100, 30, 0.95 if t >= 2 else 0.05, GOOD)}).run(4)
    smiles = [there[1].estimates["smile"].value for there in shown]
    first = smiles.index("smiling") / RATE
    assert 2 <= first < 2.3 and set(smiles[round(first * RATE) :]) == {"smiling"}


def test_one_odd_frame_changes_nothing() -> None:
    shown = Scene(lambda t: {"a": (100, 30, 0.1 if round(t * RATE) == 30 else 0.9, GOOD)}).run(4)
    assert {there[1].estimates["smile"].value for there in shown} == {"smiling"}


def test_memory_does_not_grow() -> None:
    scene = still()
    live = Live(scene)
    for frame in range(RATE * 60):
        scene.now = frame / RATE
        live.look(GROUND, scene.now)
    (person,) = live._tracker.there
    assert len(person.moments) <= KEPT + CHANGE_SECONDS * RATE + 1 and len(live._shown) == 1


def test_what_is_kept_is_spread_over_time() -> None:
    moments = [Moment(frame / RATE, still()._seen()[0]) for frame in range(100)]
    kept = [moment.seconds for moment in thinned(moments)]
    assert kept[-4:] == [moment.seconds for moment in moments[-4:]] and 20 < len(kept) < 40
    assert kept == [moment.seconds for moment in thinned(thinned(moments))]


# -- with the real detector ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(weights=write_weights(tmp_path_factory.mktemp("weights")), device="cpu")


@pytest.mark.parametrize("moved", [(0, 0), (5, 3), (-12, 6)])
def test_a_face_is_found_again_near_where_it_was(
    predictor: Predictor, sample_picture: np.ndarray, moved: tuple[int, int]
) -> None:
    (before,) = predictor.predict(sample_picture, quick=True)
    picture = np.roll(sample_picture, moved, (1, 0))
    (searched,) = predictor.predict(picture, quick=True)
    (followed,) = predictor.follow(picture, [before.face]) or []
    off = np.abs(np.array(followed.face.box) - searched.face.box).max()
    assert off < 0.12 * searched.face.width
    assert np.abs(np.array(followed.face.landmarks) - searched.face.landmarks).max() < 0.05 * searched.face.width


def test_a_face_that_is_gone_or_at_the_border_is_searched(predictor: Predictor, sample_picture: np.ndarray) -> None:
    (before,) = predictor.predict(sample_picture, quick=True)
    ground = np.full_like(sample_picture, 100)
    assert predictor.follow(ground, [before.face]) is None
    assert predictor.follow(sample_picture, [before.face, Face((900, 900, 950, 950), 1.0)]) is None
    assert predictor.follow(sample_picture, [before.face, before.face]) is None  # two have become one
    left = round(before.face.box[0]) + 5
    assert (
        predictor.follow(
            np.ascontiguousarray(sample_picture[:, left:]),
            [Face((-5, *before.face.box[1:2], before.face.box[2] - left, before.face.box[3]), 1.0)],
        )
        is None
    )
    assert predictor.follow(sample_picture, []) == []


def test_a_detector_that_only_searches_is_asked_to(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(predictor._detector, Refiner)
    monkeypatch.setattr(predictor, "_detector", object())
    assert predictor.follow(GROUND, []) is None
