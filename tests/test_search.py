"""Every face of a photo, with a detector that sees faces only the right way up and only where they are large enough."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from mtl_model import crops, registry, search
from mtl_model.card import DetectionSettings
from mtl_model.pictures import read_picture, turn
from mtl_model.records import Face

SETTINGS = DetectionSettings()
SURE = 0.999


class Upright:
    """Sees white squares whose upper half is red, with a side of smallest_face_px or more in the picture that it is shown."""

    def __init__(self, confidence: float = SURE) -> None:
        self.shown: list[tuple[int, int]] = []
        self.confidence = confidence

    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float, surely: bool = False) -> list[list[Face]]:
        self.shown += [picture.shape[:2] for picture in pictures]
        return [self._faces(picture, smallest_face_px) for picture in pictures]

    def _faces(self, picture: np.ndarray, least: float) -> list[Face]:
        marked: Any = ndimage.label(picture[..., 0] > 128)
        faces = []
        for rows, columns in ndimage.find_objects(marked[0]):
            red = picture[rows, columns, 1] < 128
            half = len(red) // 2
            side = max(red.shape)
            if side >= least and half and red[:half].mean() > 0.8 and red[half:].mean() < 0.2:
                box = (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
                faces.append(Face(box, self.confidence, _landmarks(box)))
        return faces


def _landmarks(box: tuple[float, float, float, float]) -> tuple[tuple[float, float], ...]:
    left, top, right, bottom = box
    shares = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    return tuple((left + x * (right - left), top + y * (bottom - top)) for x, y in shares)


def scene(height: int, width: int, *faces: tuple[int, int, int, int]) -> np.ndarray:
    """faces: left, top, side and the degrees clockwise by which each is turned."""
    picture = np.zeros((height, width, 3), np.uint8)
    for left, top, side, degrees in faces:
        square = np.full((side, side, 3), 255, np.uint8)
        square[: side // 2, :, 1:] = 0
        picture[top : top + side, left : left + side] = turn(square, degrees)
    return picture


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_picture_the_wrong_way_up_says_by_how_much_it_must_be_turned(degrees: int) -> None:
    picture = turn(scene(200, 300, (40, 30, 60, 0), (180, 90, 60, 0)), degrees)
    faces = search.every_face(picture, Upright(), SETTINGS)
    assert len(faces) == 2 and search.needed_turn(faces) == (360 - degrees) % 360
    height, width = picture.shape[:2]
    back = search.turn_faces(faces, width, height, search.needed_turn(faces))
    assert sorted(face.box for face in back) == [(40, 30, 100, 90), (180, 90, 240, 150)]
    assert search.needed_turn(back) == 0


def test_one_turned_head_is_found_among_upright_ones_and_the_picture_stays() -> None:
    faces = search.every_face(
        scene(200, 300, (20, 30, 60, 0), (110, 30, 60, 90), (200, 30, 60, 0)), Upright(), SETTINGS
    )
    assert sorted(face.box[0] for face in faces) == [20, 110, 200] and search.needed_turn(faces) == 0


def test_what_is_not_sure_the_wrong_way_up_is_not_believed() -> None:
    picture = scene(200, 300, (20, 30, 60, 90))
    assert search.every_face(picture, Upright(confidence=0.99), SETTINGS) == []
    assert len(search.every_face(picture, Upright(), SETTINGS)) == 1


def test_what_find_sees_stays_as_it_is() -> None:
    picture = scene(2000, 3000, (100, 100, 400, 0), (900, 700, 300, 0))
    first = crops.find(picture, Upright(), SETTINGS)
    assert search.every_face(picture, Upright(), SETTINGS)[:2] == first
    assert search.every_face(picture, Upright(), SETTINGS, smallest_face_px=16)[:2] == first


@pytest.mark.parametrize("side", [16, 20, 30, 42])
def test_the_smallest_face_asked_for_is_honoured_at_any_size_of_picture(side: int) -> None:
    places = [(10, 10), (1270, 640), (1900, 1270), (2960 - side, 1900)]  # also where tiles meet
    picture = scene(2000, 3000, *((left, top, side, 0) for left, top in places))
    assert search.every_face(picture, Upright(), SETTINGS) == []
    detector = Upright()
    faces = search.every_face(picture, detector, SETTINGS, smallest_face_px=side)
    assert sorted((face.box[0], face.box[1]) for face in faces) == [pytest.approx(place, abs=3) for place in places]
    assert max(map(max, detector.shown)) < 2000  # never the whole picture


@pytest.mark.parametrize(("size", "least"), [((500, 400), 20), ((1280, 900), 20), ((3000, 4000), 62.5)])
def test_the_smallest_face_follows_the_picture(size: tuple[int, int], least: float) -> None:
    assert search.least_px(*size, SETTINGS) == least


@pytest.mark.data
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_photos_the_wrong_way_up_show_their_faces(data: Path, degrees: int) -> None:
    detector = registry.load("detectors", "mtcnn").build()
    for name, count in (("2008_001009.jpg", 2), ("2008_002506.jpg", 3), ("2009_004587.jpg", 2)):
        faces = search.every_face(turn(read_picture(data / "photos" / name), degrees), detector, SETTINGS)
        assert (len(faces), search.needed_turn(faces)) == (count, 360 - degrees)


def test_ten_small_faces_of_a_large_photo() -> None:
    """The sample's face at ten sizes in a picture of twelve megapixels."""
    sample = Image.fromarray(read_picture(registry.shipped_weights().parent / "samples" / "astronaut.jpg"))
    face = sample.crop((150, 0, 380, 230))  # 111 px of face
    picture = Image.new("RGB", (4000, 3000), (90, 110, 90))
    for index, px in enumerate(np.linspace(16, 40, 10)):
        side = round(px * 230 / 111)
        picture.paste(face.resize((side, side), Image.Resampling.LANCZOS), (150 + 380 * index, 140 + 280 * (index % 9)))
    detector = registry.load("detectors", "mtcnn").build()
    assert len(search.every_face(np.asarray(picture), detector, SETTINGS, smallest_face_px=16)) >= 9
