"""Quality of a face: what its landmarks and its crop say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mtl_model import registry
from mtl_model.card import CropSettings, DetectionSettings
from mtl_model.crops import cut, find
from mtl_model.pictures import read_picture
from mtl_model.quality import fault_of, faults, poor, quality_of, tilt, turn
from mtl_model.records import Face, Quality
from tests.faces import ASIDE, FRONTAL, Points, turned_face


@pytest.mark.parametrize("landmarks", [FRONTAL, ASIDE])
@pytest.mark.parametrize("degrees", [-170, -45, 0, 10, 45, 90])
def test_landmarks_say_how_far_a_face_is_tilted(degrees: float, landmarks: Points) -> None:
    assert math.degrees(tilt(turned_face(degrees, landmarks).landmarks)) == pytest.approx(degrees, abs=0.1)


@pytest.mark.parametrize("degrees", [-45, 0, 90])
def test_the_nose_says_how_far_a_face_looks_aside_however_it_is_tilted(degrees: float) -> None:
    mirrored: Points = tuple((-x, y) for x, y in (ASIDE[1], ASIDE[0], ASIDE[2], ASIDE[4], ASIDE[3]))
    assert turn(turned_face(degrees).landmarks) == pytest.approx(0, abs=0.1)
    aside = turn(turned_face(degrees, ASIDE).landmarks)
    assert aside is not None and 30 < aside < 60
    assert turn(turned_face(degrees, mirrored).landmarks) == pytest.approx(aside)


def test_without_landmarks_a_face_counts_as_upright_and_its_turn_is_not_known() -> None:
    assert tilt(()) == 0 and turn(()) is None
    assert turn(((1.0, 1.0),) * 5) == 0  # all in one place: nothing to divide by


def test_size_is_that_of_the_picture_and_sharpness_and_exposure_those_of_the_crop(sample_picture: np.ndarray) -> None:
    settings = CropSettings(size_px=64)
    image = Image.fromarray(sample_picture)
    face = Face((170.0, 60.0, 270.0, 180.0), 0.9)

    def quality(changed: Image.Image) -> Quality:
        return quality_of(cut(np.asarray(changed), [face], settings)[0], face)

    sharp, soft = quality(image), quality(image.filter(ImageFilter.GaussianBlur(4)))
    dark = quality(image.point(lambda value: value * 0.4))
    assert sharp.size_px == 120 and sharp.turn is None
    assert sharp.sharpness > 1.5 * soft.sharpness > 0
    assert dark.sharpness == pytest.approx(sharp.sharpness, rel=0.1)
    assert dark.exposure == pytest.approx(0.4 * sharp.exposure, rel=0.05) and 0.2 < sharp.exposure < 0.9
    even = quality(Image.new("RGB", image.size, "white"))
    assert even.sharpness == pytest.approx(0, abs=1e-4) and even.exposure == pytest.approx(1, abs=0.001)


def test_what_is_not_known_is_not_poor() -> None:
    found = poor(np.array([[200, 0.1, 0.5, np.nan], [40, 0.01, 0.1, 60]]))
    assert list(found) == ["small", "soft", "dark", "turned"]
    assert all(mask.tolist() == [False, True] for mask in found.values())


@pytest.mark.data
def test_turn_follows_the_yaw_that_a_data_set_knows(data: Path) -> None:
    folder = data / "genki4k"
    lines = (folder / "labels.txt").read_text().splitlines()
    detector = registry.load("detectors", "mtcnn").build()
    yaws, turns = [], []
    for number in range(1, 4000, 40):
        picture = read_picture(folder / "files" / f"file{number:04d}.webp")
        for face in find(picture, detector, DetectionSettings())[:1]:
            yaws.append(abs(math.degrees(float(lines[number - 1].split()[1]))))
            turns.append(turn(face.landmarks))
    assert len(turns) > 90 and np.corrcoef(yaws, turns)[0, 1] > 0.7
    assert np.abs(np.array(yaws) - np.array(turns)).mean() < 6


@pytest.mark.parametrize(
    ("quality", "codes"),
    [
        (Quality(100, 0.1, 0.5, 10), []),
        (Quality(100, 0.1, 0.5), []),
        (Quality(20, 0.1, 0.5, 10), ["face_small"]),
        (Quality(100, 0.02, 0.5, 10), ["face_blurred"]),
        (Quality(20, 0.02, 0.5, 50), ["face_small", "face_blurred", "face_aside"]),
    ],
)
def test_what_keeps_a_face_from_being_told_has_a_code(quality: Quality, codes: list[str]) -> None:
    assert faults(quality) == codes


def test_a_picture_that_hides_its_faces_says_how(sample_picture: np.ndarray) -> None:
    image = Image.fromarray(sample_picture)
    assert fault_of(sample_picture) == ""
    assert fault_of(np.asarray(image.filter(ImageFilter.GaussianBlur(0.015 * max(image.size))))) == "picture_blurred"
    assert fault_of(np.clip(sample_picture * 2**2.2, 0, 255).astype(np.uint8)) == "picture_bright"
    assert fault_of(sample_picture // 16) == "picture_dark"
    assert fault_of(np.zeros((2, 2, 3), np.uint8)) == ""
