"""The one road from a picture to the network's input: find the faces, cut them out, turn them into a tensor.

Training, evaluation, page and command line all take it, so that a network sees the same crop everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from mtl_model import registry
from mtl_model.card import CropSettings, DetectionSettings
from mtl_model.detectors import Detector
from mtl_model.quality import GREY, tilt
from mtl_model.records import PICTURE, Box, Face

DETECTOR_LEAST_PX = 20  # MTCNN cannot take a smaller picture
QUARTER = math.pi / 2  # radians
SMALLEST_FACE_LEAST_PX = 12  # the side of the detector's own window: nothing smaller can be found


def find(
    picture: np.ndarray, detector: Detector, settings: DetectionSettings, smallest_face_px: float | None = None
) -> list[Face]:
    """All faces of one picture; see `find_all`."""
    return find_all([picture], detector, settings, smallest_face_px)[0]


def find_all(
    pictures: Sequence[np.ndarray],
    detector: Detector,
    settings: DetectionSettings,
    smallest_face_px: float | None = None,
) -> list[list[Face]]:
    """All faces of each picture, largest first, boxes in pixels of the picture (not clipped to it).

    Of a detector that takes the whole picture, the box is the picture, whatever its size. The rule for all others:
    scale down (never up) to the detection size, detect; where nothing is found or a box touches the border,
    add black, a quarter of the longer side on each side, without scaling again, detect again and keep that pass.
    Near the border the detector's boxes run wild: without the second pass they are 1.17 to 1.28 times too large on
    pictures that a face fills.

    pictures: uint8 RGB (H, W, 3), all of one size: they pass the detector as one batch.
    smallest_face_px: longer edge of the smallest face wanted, in pixels of the pictures; None: the setting's.
    """
    if registry.load("detectors", settings.detector).SUBJECT == PICTURE:
        return detector.detect(pictures, 0)
    height, width = pictures[0].shape[:2]
    scale = min(1.0, settings.size_px / max(height, width))
    least = settings.smallest_face_px
    if smallest_face_px is not None:
        least = max(smallest_face_px * scale, min(least, max(SMALLEST_FACE_LEAST_PX, smallest_face_px)))
    scaled = [shrink(picture, scale) for picture in pictures]
    ready, offset = _widen(scaled, _missing_border(scaled[0]))
    found = [[place(face, offset=offset) for face in faces] for faces in detector.detect(ready, least)]

    rows, columns = scaled[0].shape[:2]
    again = [index for index, faces in enumerate(found) if not faces or touches(faces, columns, rows)]
    if again:
        border = math.ceil(max(rows, columns) / 4)
        ready, offset = _widen([scaled[index] for index in again], (border, border))
        for index, faces in zip(again, detector.detect(ready, least), strict=True):
            found[index] = [place(face, offset=offset) for face in faces]

    wanted = smallest_face_px if smallest_face_px and smallest_face_px > settings.smallest_face_px else 0.0
    back = (width / columns, height / rows)
    result = []
    for faces in found:
        upright = [place(face, back) for face in faces]
        kept = [face for face in upright if max(face.width, face.height) >= wanted]
        result.append(sorted(kept, key=lambda face: -face.area))
    return result


def shrink(picture: np.ndarray, scale: float) -> np.ndarray:
    """Scale a picture (H, W, 3) down; as it is where the scale is 1 or more."""
    if scale >= 1:
        return picture
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))


def _missing_border(picture: np.ndarray) -> tuple[int, int]:
    """Rows and columns of black needed on each side of a picture that is too small for the detector."""
    height, width = picture.shape[:2]
    return math.ceil(max(0, DETECTOR_LEAST_PX - height) / 2), math.ceil(max(0, DETECTOR_LEAST_PX - width) / 2)


def _widen(pictures: Sequence[np.ndarray], border: tuple[int, int]) -> tuple[list[np.ndarray], tuple[int, int]]:
    rows, columns = border
    if rows == columns == 0:
        return list(pictures), (0, 0)
    smallest = _missing_border(pictures[0])
    rows, columns = max(rows, smallest[0]), max(columns, smallest[1])
    wide = [np.pad(picture, ((rows, rows), (columns, columns), (0, 0))) for picture in pictures]
    return wide, (-columns, -rows)


def touches(faces: Sequence[Face], width: int, height: int) -> bool:
    boxes = [face.box for face in faces]
    return any(box[0] <= 0 or box[1] <= 0 or box[2] >= width or box[3] >= height for box in boxes)


def place(face: Face, factors: tuple[float, float] = (1.0, 1.0), offset: tuple[float, float] = (0.0, 0.0)) -> Face:
    """Return a face of a part of a picture in pixels of the whole: scaled across and down, then moved to where the part lies."""
    (x, y), (right_by, down_by) = factors, offset
    left, top, right, bottom = face.box
    return Face(
        (left * x + right_by, top * y + down_by, right * x + right_by, bottom * y + down_by),
        face.confidence,
        tuple((a * x + right_by, b * y + down_by) for a, b in face.landmarks),
    )


def main_face(faces: Sequence[Face], width: int, height: int) -> Face | None:
    """Of a data-set picture that shows one labelled person: the large central face, or None where none was found.

    Source: the "center_weighted_size" of facenet-pytorch's MTCNN.select_boxes (area less twice the squared distance
    from the centre, both in pixels)."""

    def weight(face: Face) -> float:
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        return face.area - 2 * ((x - width / 2) ** 2 + (y - height / 2) ** 2)

    return max(faces, key=weight, default=None)


def centre_box(width: int, height: int) -> Box:
    """The centre square of a picture without a found face."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def square(box: Box, margin: float) -> Box:
    """The square around a box: side = its longer edge, widened by margin times that on each side."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (1 + 2 * margin) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return (x - half, y - half, x + half, y + half)


def cut(picture: np.ndarray, faces: Sequence[Face], settings: CropSettings) -> np.ndarray:
    """Square crops around the boxes of faces, cut from the whole picture; what lies outside it is black.

    picture: uint8 RGB (H, W, 3). Returns: uint8 RGB (N, S, S, 3), S = settings.size_px.
    """
    image, side = Image.fromarray(picture), settings.size_px
    crops = np.zeros((len(faces), side, side, 3), np.uint8)
    for index, face in enumerate(faces):
        box, angle = _placed(face, settings)
        crops[index] = np.asarray(_turned(image, box, side, angle) if angle else _resized(image, box, side))
    return crops


def _placed(face: Face, settings: CropSettings) -> tuple[Box, float]:
    """The square around a face, and the angle by which it is turned clockwise about its centre: that of the face, or where the
    settings do not turn with it the nearest quarter, so that no head stands upside down."""
    angle = tilt(face.landmarks)
    return square(face.box, settings.margin), angle if settings.upright else round(angle / QUARTER) * QUARTER


def frame(face: Face, settings: CropSettings) -> np.ndarray:
    """Return where `cut` takes a crop from: float64 (2, 3), a place (x, y, 1) in px of the picture -> the place in the crop, as
    shares of its side from its upper left corner, 0 to 1 inside it."""
    (left, top, right, bottom), angle = _placed(face, settings)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]]) / max(1e-6, right - left)
    return np.column_stack([turn, 0.5 - turn @ ((left + right) / 2, (top + bottom) / 2)])


def inverse(places: np.ndarray) -> np.ndarray:
    """Return the way back of a `frame`: (2, 3), shares of the crop's side -> px of the picture."""
    turn = np.linalg.inv(places[:, :2])
    return np.column_stack([turn, -turn @ places[:, 2]])


def _resized(image: Image.Image, box: Box, side: int) -> Image.Image:
    left, top, right, bottom = box
    outer = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    inner = (left - outer[0], top - outer[1], right - outer[0], bottom - outer[1])
    region = image.crop(outer)  # black outside the picture
    return region.resize((side, side), Image.Resampling.BILINEAR, box=inner)


def _turned(image: Image.Image, box: Box, side: int, angle: float) -> Image.Image:
    """The square turned clockwise by an angle about its centre. What it reaches over is first resized, which does not alias as
    turning a large region would."""
    reach = abs(math.cos(angle)) + abs(math.sin(angle))
    wide = math.ceil(side * reach)
    x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2 * wide / side
    region = _resized(image, (x - half, y - half, x + half, y + half), wide)
    cosine, sine = math.cos(angle), math.sin(angle)
    left, top = (wide - side * (cosine - sine)) / 2, (wide - side * (sine + cosine)) / 2
    to_region = (cosine, -sine, left, sine, cosine, top)
    return region.transform((side, side), Image.Transform.AFFINE, to_region, Image.Resampling.BICUBIC)


def to_tensor(crops: np.ndarray | torch.Tensor, settings: CropSettings) -> torch.Tensor:
    """The network's input, float32 (N, C, S, S), C = 1 if grey else 3: values 0 to 1, less mean, over std.

    crops: uint8 RGB (N, S, S, 3). The only place where uint8 turns into float.
    """
    images = torch.as_tensor(crops).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)
    if settings.grey:
        weights = torch.tensor(GREY, device=images.device).view(1, 3, 1, 1)
        images = (images * weights).sum(1, keepdim=True)
    mean = torch.tensor(settings.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(settings.std, device=images.device).view(1, -1, 1, 1)
    return ((images - mean) / std).contiguous()
