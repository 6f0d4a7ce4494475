"""The one road from a picture to the network's input, with a detector that a test can steer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import registry
from mtl_model.card import CropSettings, DetectionSettings
from mtl_model.crops import centre_box, cut, find, find_all, main_face, square, to_tensor
from mtl_model.pictures import read_picture
from mtl_model.records import Box, Face
from tests.faces import turned_face

SETTINGS = DetectionSettings()


class Fake:
    """Finds the white rectangle of a picture; notes what it was shown. `least_side`: smaller pictures hide the face."""

    def __init__(self, least_side: int = 0) -> None:
        self.shown: list[tuple[int, int]] = []
        self.smallest: list[float] = []
        self.least_side = least_side

    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float, surely: bool = False) -> list[list[Face]]:
        self.smallest.append(smallest_face_px)
        found = []
        for picture in pictures:
            self.shown.append(picture.shape[:2])
            rows, columns = np.nonzero(picture[..., 0] > 200)
            if not len(rows) or min(picture.shape[:2]) < self.least_side:
                found.append([])
                continue
            box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
            found.append([Face(box, 0.9, (((box[0] + box[2]) / 2, float(box[1])),) * 5)])
        return found


def picture(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = box
    canvas[top:bottom, left:right] = 255
    return canvas


def test_a_face_inside_is_found_in_one_pass() -> None:
    detector = Fake()
    (face,) = find(picture(100, 120, (30, 20, 60, 70)), detector, SETTINGS)
    assert face.box == (30, 20, 60, 70)
    assert detector.shown == [(100, 120)] and detector.smallest == [20]


@pytest.mark.parametrize("box", [(0, 20, 60, 70), (30, 0, 60, 70), (30, 20, 120, 70), (30, 20, 60, 100)])
def test_a_box_at_the_border_is_looked_at_again_with_black_around(box: tuple[int, int, int, int]) -> None:
    detector = Fake()
    (face,) = find(picture(100, 120, box), detector, SETTINGS)
    assert face.box == box
    assert detector.shown == [(100, 120), (160, 180)]  # a quarter of the longer side on each of the four sides


def test_where_nothing_is_found_the_border_is_widened() -> None:
    detector = Fake(least_side=150)
    (face,) = find(picture(100, 120, (30, 20, 60, 70)), detector, SETTINGS)
    assert face.box == (30, 20, 60, 70)


def test_a_large_picture_is_scaled_down_and_boxes_come_back_in_its_own_pixels() -> None:
    detector = Fake()
    (face,) = find(picture(1280, 2560, (400, 600, 800, 1000)), detector, SETTINGS)
    assert detector.shown == [(640, 1280)]
    assert face.box == pytest.approx((400, 600, 800, 1000), abs=3)
    assert face.landmarks[0] == pytest.approx((600, 600), abs=3)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (1, 40), (19, 300), (20, 20)])
def test_a_picture_under_20_px_is_widened_first(height: int, width: int) -> None:
    detector = Fake()
    assert find(np.zeros((height, width, 3), np.uint8), detector, SETTINGS) == []
    assert all(min(shape) >= 20 for shape in detector.shown)
    (face,) = find(picture(10, 10, (2, 3, 8, 9)), Fake(), SETTINGS)
    assert face.box == (2, 3, 8, 9)


@pytest.mark.parametrize(
    ("asked", "scale", "expected"),
    [(None, 1, 20), (20, 1, 20), (40, 1, 40), (40, 2, 20), (100, 2, 50), (14, 1, 14), (5, 1, 12)],
)
def test_the_smallest_face_is_asked_for_in_pixels_of_the_photo(
    asked: float | None, scale: int, expected: float
) -> None:
    detector = Fake()
    find(picture(640, 1280 * scale, (100, 100, 400, 400)), detector, SETTINGS, asked)
    assert detector.smallest == [expected]


def test_faces_under_the_smallest_are_dropped() -> None:
    image = picture(100, 120, (30, 20, 60, 70))
    assert find(image, Fake(), SETTINGS, 51) == [] and len(find(image, Fake(), SETTINGS, 50)) == 1


def test_several_pictures_at_once_get_what_each_gets_alone() -> None:
    images = [picture(100, 120, box) for box in ((30, 20, 60, 70), (0, 0, 50, 50), (10, 10, 11, 99))]
    images.append(np.zeros((100, 120, 3), np.uint8))
    assert find_all(images, Fake(), SETTINGS) == [find(one, Fake(), SETTINGS) for one in images]


def test_the_main_face_is_large_and_central() -> None:
    central, larger, corner = (
        Face(box, 0.9) for box in ((40.0, 40.0, 60.0, 60.0), (30.0, 30.0, 60.0, 60.0), (0.0, 0.0, 31.0, 31.0))
    )
    assert main_face([corner, central], 100, 100) == central
    assert main_face([central, larger], 100, 100) == larger
    assert main_face([], 100, 100) is None
    assert centre_box(100, 60) == (20, 0, 80, 60)


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 10, 30, 20), 0.0, (10, 5, 30, 25)),
        ((10, 10, 20, 40), 0.0, (0, 10, 30, 40)),
        ((10, 10, 20, 20), 0.5, (5, 5, 25, 25)),
    ],
)
def test_the_square_has_the_longer_edge(box: Box, margin: float, expected: Box) -> None:
    assert square(box, margin) == expected


def test_crops_are_cut_where_the_box_is_and_black_outside() -> None:
    image = picture(100, 100, (0, 0, 50, 100))
    faces = [Face(box, 0.9) for box in ((10.0, 10.0, 40.0, 40.0), (-40.0, 30.0, 40.0, 70.0))]
    inside, over = cut(image, faces, CropSettings(size_px=16))
    assert inside.shape == (16, 16, 3) and inside.min() == 255
    assert over[:, :7].max() == 0 and over[:, 9:].min() == 255  # left half lies outside the picture
    assert cut(image, [], CropSettings(size_px=16)).shape == (0, 16, 16, 3)


def test_a_box_of_fractions_moves_the_crop_by_fractions() -> None:
    ramp = np.repeat(np.repeat(2 * np.arange(100, dtype=np.uint8)[None, :, None], 100, 0), 3, 2)
    here, there = (
        cut(ramp, [Face(box, 0.9)], CropSettings(size_px=20))[0].mean()
        for box in ((40.0, 40.0, 60.0, 60.0), (40.5, 40.0, 60.5, 60.0))
    )
    assert there - here == pytest.approx(1.0, abs=0.1)  # the shade rises by 2 a pixel


@pytest.mark.parametrize("degrees", [-60, -20, 5, 45, 90])
def test_an_upright_crop_turns_with_the_face(sample_picture: np.ndarray, degrees: float) -> None:
    image = Image.fromarray(sample_picture).resize((200, 200))
    turned = np.asarray(image.rotate(-degrees, Image.Resampling.BICUBIC, center=(100, 100)))
    as_found, upright = CropSettings(size_px=48, margin=0.1), CropSettings(size_px=48, margin=0.1, upright=True)
    expected = cut(np.asarray(image), [turned_face(0)], as_found)[0].astype(float)
    found = cut(turned, [turned_face(degrees)], upright)[0].astype(float)
    assert np.abs(found - expected).mean() < 4
    sideways = np.abs(cut(turned, [turned_face(degrees)], as_found)[0] - expected).mean()
    assert sideways < 4 if degrees == 90 else sideways > 8  # a quarter counts in every crop: no head stands sideways


def test_crops_of_cards_without_upright_stay_as_they_were(sample_picture: np.ndarray) -> None:
    settings = CropSettings(size_px=48)
    without = Face(turned_face(30).box, 0.9)
    assert (cut(sample_picture, [turned_face(30)], settings) == cut(sample_picture, [without], settings)).all()
    upright = CropSettings(size_px=48, upright=True)
    assert (cut(sample_picture, [without], upright) == cut(sample_picture, [without], settings)).all()


def test_tensors_are_scaled_and_ordered() -> None:
    crops = np.zeros((2, 4, 4, 3), np.uint8)
    crops[1, ..., 0] = 255
    colour = to_tensor(crops, CropSettings(4, False, 0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    assert colour.shape == (2, 3, 4, 4) and colour.dtype == torch.float32
    assert colour[1, :, 0, 0].tolist() == [1, 0, 0]
    grey = to_tensor(crops, CropSettings(4, True, 0, (0.5,), (0.25,)))
    assert grey.shape == (2, 1, 4, 4)
    assert grey[:, 0, 0, 0].tolist() == pytest.approx([-2.0, (0.299 - 0.5) / 0.25])


def overlap(one: Box, other: Box) -> float:
    width, height = (min(one[2 + axis], other[2 + axis]) - max(one[axis], other[axis]) for axis in (0, 1))
    if min(width, height) <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.data
def test_the_detector_finds_the_faces_of_photos_and_none_in_dogs(data: Path) -> None:
    detector = registry.load("detectors", "mtcnn").build()
    wanted: dict[str, list[Box]] = {}
    for row in csv.DictReader((data / "photos" / "boxes.csv").open()):
        left, top, width, height = (float(row[name]) for name in ("left", "top", "width", "height"))
        wanted.setdefault(row["file"], []).append((left, top, left + width, top + height))
    hits = 0
    for file, boxes in wanted.items():
        faces = find(read_picture(data / "photos" / file), detector, SETTINGS)
        hits += sum(any(overlap(box, face.box) >= 0.4 for face in faces) for box in boxes)
    assert sum(map(len, wanted.values())) == 43
    assert hits >= 41
    assert find(read_picture(data / "photos" / "dogs.jpg"), detector, SETTINGS) == []


def test_the_detector_takes_a_batch_and_finds_the_sample_face(sample_picture: np.ndarray) -> None:
    detector = registry.load("detectors", "mtcnn").build()
    alone = find(sample_picture, detector, SETTINGS)
    assert len(alone) == 1 and len(alone[0].landmarks) == 5 and alone[0].confidence > 0.95
    for found in find_all([sample_picture] * 2, detector, SETTINGS):
        assert found[0].box == pytest.approx(alone[0].box, abs=1e-3)
