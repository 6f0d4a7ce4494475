"""Every face of a photo: beyond what `crops.find` sees, faces that are small in a large picture, and heads that are turned.

What `crops.find` sees stays as it is, for training and evaluation know that alone; here faces are added.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mtl_model import crops
from mtl_model.card import DetectionSettings
from mtl_model.detectors import Detector
from mtl_model.pictures import turn
from mtl_model.quality import tilt
from mtl_model.records import Box, Face

SURE = 0.998
"""Confidence of a face that is believed in whatever way up it stands. In photos turned the wrong way MTCNN sees faces at up to
0.994; upright ones are at 0.997 to 1 but for 2 of 43."""
HEAD, LIKE = 1 / 16, 0.6
"""Longer edge of the smallest turned head looked for beside upright ones: as shares of the picture's longer side and of the
median of the faces found; the larger of both counts. Smaller ones would take as long as the whole search, three times."""
HEAD_PX = 40
"""Longer edge of that head as it is searched: about what the last of MTCNN's networks looks at (48 px)."""
TILE_PX = 1280
SLACK = 0.8
"""Of the smallest face: a box may be smaller than the face by so much."""
SAME, WITHIN = 0.3, 0.7
"""Two boxes of one face: intersection over union, or over the smaller of both where one lies in the other."""


def every_face(
    picture: np.ndarray, detector: Detector, settings: DetectionSettings, smallest_face_px: float | None = None
) -> list[Face]:
    """Find the faces of a photo in whatever way up they stand, down to the smallest asked for; largest first.

    Where a smaller face is asked for than `crops.find` can see in the picture scaled down, the picture is searched for it in
    tiles, so that memory does not grow with it. Where nothing sure is found, the picture is searched in the three other ways up;
    else these are searched for large heads alone.

    picture: uint8 RGB (H, W, 3). Boxes and landmarks are in its pixels; `quality.tilt` says which way up a face stands.
    smallest_face_px: longer edge of the smallest face wanted, in pixels of the picture, 12 at least; None: `least_px`.
    """
    return every_face_of([picture], detector, settings, smallest_face_px)[0]


def every_face_of(
    pictures: Sequence[np.ndarray],
    detector: Detector,
    settings: DetectionSettings,
    smallest_face_px: float | None = None,
) -> list[list[Face]]:
    """Find the faces of each photo as `every_face` does.

    pictures: uint8 RGB (H, W, 3), all of one size: as they stand they pass the detector as one batch."""
    upright = crops.find_all(pictures, detector, settings, smallest_face_px)
    return [
        _completed(picture, faces, detector, settings, smallest_face_px)
        for picture, faces in zip(pictures, upright, strict=True)
    ]


def _completed(
    picture: np.ndarray,
    faces: list[Face],
    detector: Detector,
    settings: DetectionSettings,
    smallest_face_px: float | None,
) -> list[Face]:
    """Add the small and the turned faces of a photo to those that `crops.find` sees."""
    if smallest_face_px is not None and smallest_face_px < (seen := _seen_px(picture, settings, smallest_face_px)):
        faces = _with(faces, _in_tiles(picture, detector, settings, smallest_face_px, seen))
    if sizes := [max(face.width, face.height) for face in faces if face.confidence >= SURE]:
        least = max(smallest_face_px or 0.0, HEAD * max(picture.shape), LIKE * statistics.median(sizes))
        ways = _heads(picture, detector, least)
    else:
        ways = _in_other_ways(picture, detector, settings, smallest_face_px)
        if _sure(best := max(ways, key=lambda way: len(_sure(way)))):
            faces = best  # the picture stands the wrong way up, and so does whatever was seen in it
    return sorted(_with(faces, (face for way in ways for face in _sure(way))), key=lambda face: -face.area)


def least_px(width: int, height: int, settings: DetectionSettings) -> float:
    """Return the longer edge of the smallest face that is looked for if no other is asked for, in pixels of the picture."""
    return settings.smallest_face_px * max(1.0, max(width, height) / settings.size_px)


def needed_turn(faces: Iterable[Face]) -> int:
    """Return by how many degrees clockwise a picture must be turned for most of its faces to stand upright: 0, 90, 180, 270."""
    ways = [0.0] * 4
    for face in faces:
        ways[round(-tilt(face.landmarks) / crops.QUARTER) % 4] += face.confidence
    return 90 * int(np.argmax(ways))


def turn_faces(faces: Iterable[Face], width: int, height: int, degrees: int) -> list[Face]:
    """Return where faces of a picture of this size are once `pictures.turn` has turned it."""
    result = list(faces)
    for _ in range(degrees // 90):
        result = [_quarter(face, height) for face in result]
        width, height = height, width
    return result


def _quarter(face: Face, height: int) -> Face:
    left, top, right, bottom = face.box
    landmarks = tuple((height - y, x) for x, y in face.landmarks)
    return Face((height - bottom, left, height - top, right), face.confidence, landmarks)


def _seen_px(picture: np.ndarray, settings: DetectionSettings, smallest_face_px: float) -> float:
    """Return the longer edge of the smallest face that `crops.find` sees if it is asked for these, in pixels of the picture."""
    shrunk = max(1.0, max(picture.shape) / settings.size_px)
    return shrunk * max(crops.SMALLEST_FACE_LEAST_PX, min(settings.smallest_face_px, smallest_face_px))


def _in_tiles(
    picture: np.ndarray, detector: Detector, settings: DetectionSettings, smallest_px: float, largest_px: float
) -> Iterator[Face]:
    """Search tiles of the picture, scaled so that the smallest face has the size that the detector is set to (never up), for
    faces between two sizes. Tiles overlap by twice the larger one, so that each of these faces lies whole in one."""
    scale = min(1.0, settings.smallest_face_px / smallest_px)
    overlap = math.ceil(2 * largest_px)
    side = max(2 * overlap, round(TILE_PX / scale))
    height, width = picture.shape[:2]
    for top in _starts(height, side, overlap):
        for left in _starts(width, side, overlap):
            part = picture[top : top + side, left : left + side]
            tile = crops.shrink(part, scale)
            inner = (left > 0, top > 0, left + side < width, top + side < height)
            for face in detector.detect([tile], max(crops.SMALLEST_FACE_LEAST_PX, SLACK * smallest_px * scale))[0]:
                rows, columns = tile.shape[:2]
                if _cut_off(face.box, columns, rows, inner):
                    continue
                placed = crops.place(face, (part.shape[1] / columns, part.shape[0] / rows), (left, top))
                if SLACK * smallest_px <= max(placed.width, placed.height) <= 1.5 * largest_px:
                    yield placed


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Where tiles begin along a side of the picture: evenly, the last at its end."""
    count = max(1, math.ceil((length - overlap) / (side - overlap)))
    return [round(index * (length - side) / max(1, count - 1)) for index in range(count)] if length > side else [0]


def _cut_off(box: Box, width: int, height: int, inner: tuple[bool, bool, bool, bool]) -> bool:
    """Whether a box reaches over an edge of its tile beyond which the picture goes on."""
    beyond = (box[0] <= 0, box[1] <= 0, box[2] >= width, box[3] >= height)
    return any(edge and over for edge, over in zip(inner, beyond, strict=True))


def _in_other_ways(
    picture: np.ndarray, detector: Detector, settings: DetectionSettings, smallest_face_px: float | None
) -> list[list[Face]]:
    """Search the picture turned by one, two and three quarters; the faces of each in pixels of the picture as it is."""
    height, width = picture.shape[:2]
    ways: dict[int, list[Face]] = {}
    for angles in ((90, 270), (180,)):  # those of one size pass the detector together
        wide, high = (height, width) if 90 in angles else (width, height)
        seen = crops.find_all([turn(picture, angle) for angle in angles], detector, settings, smallest_face_px)
        ways |= {angle: turn_faces(faces, wide, high, 360 - angle) for angle, faces in zip(angles, seen, strict=True)}
    return [ways[angle] for angle in (90, 180, 270)]


def _heads(picture: np.ndarray, detector: Detector, least_px: float) -> list[list[Face]]:
    """Search like `_in_other_ways` for large heads beside upright ones, in the picture scaled down until the smallest of them has
    HEAD_PX. There is no second look with a border, which `crops.find` takes wherever it finds nothing, as it does in nearly every
    other way up: it cost twice the search for upright faces."""
    small = crops.shrink(picture, HEAD_PX / least_px)
    (high, wide), (height, width) = small.shape[:2], picture.shape[:2]
    ways = []
    for angle in (90, 180, 270):
        (seen,) = detector.detect([turn(small, angle)], min(HEAD_PX, least_px), surely=True)
        columns, rows = (high, wide) if angle in (90, 270) else (wide, high)
        back = turn_faces(seen, columns, rows, 360 - angle)
        ways.append([crops.place(face, (width / wide, height / high)) for face in back])
    return ways


def _sure(faces: Iterable[Face]) -> list[Face]:
    return [face for face in faces if face.confidence >= SURE]


def _with(faces: Sequence[Face], more: Iterable[Face]) -> list[Face]:
    """Add faces where there is none yet, the surest first."""
    kept = [*faces]
    for face in sorted(more, key=lambda face: -face.confidence):
        if not any(same(face, other) for other in kept):
            kept.append(face)
    return kept


def same(face: Face, other: Face) -> bool:
    shared = _shared(face.box, other.box)
    return overlap(face.box, other.box) > SAME or shared > WITHIN * min(face.area, other.area)


def overlap(box: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    shared = _shared(box, other)
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in (box, other))
    return shared / max(1e-9, area - shared)


def _shared(box: Box, other: Box) -> float:
    (a, b, c, d), (e, f, g, h) = box, other
    return max(0.0, min(c, g) - max(a, e)) * max(0.0, min(d, h) - max(b, f))
