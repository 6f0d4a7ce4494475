"""Apply a person's corrections to the faces of a photo: its orientation, boxes that were missed, boxes that hold no face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mtl_model import crops
from mtl_model.detectors import Detector
from mtl_model.records import Box, Face
from mtl_model.search import SAME, overlap

AROUND = 0.6
"""Of a drawn box, added on each side before it is searched."""
SIDE_PX = 120
"""Longer edge of a drawn box as it is searched: at that size the detector finds a face and its landmarks best."""


@dataclass(frozen=True)
class ByHand:
    """Corrections to what the detector found. Boxes are (left, top, right, bottom), in pixels of the picture as it was turned.

    turned: degrees clockwise by which the picture is turned first, 0, 90, 180 or 270; None: so that most faces stand upright.
    drawn: around faces that were missed. dismissed: where there is none."""

    turned: int | None = None
    drawn: tuple[Box, ...] = ()
    dismissed: tuple[Box, ...] = ()


FOUND = ByHand()
"""No corrections."""


def corrected(picture: np.ndarray, faces: Sequence[Face], by_hand: ByHand, detector: Detector) -> list[Face]:
    """Return the faces without the dismissed ones, and with one in each drawn box.

    picture: uint8 RGB (H, W, 3), in whose pixels all boxes are. A face that was found where one is drawn is replaced."""
    drawn = [_drawn(picture, box, detector) for box in by_hand.drawn]
    gone = [*by_hand.dismissed, *(face.box for face in drawn)]
    return [*(face for face in faces if not any(overlap(face.box, box) > SAME for box in gone)), *drawn]


def _drawn(picture: np.ndarray, box: Box, detector: Detector) -> Face:
    """Return the face that the detector sees in a box if it looks there alone, so that it is framed like all others; else the
    box itself, without landmarks. Its confidence is 1: a person says that it is a face."""
    left, top, right, bottom = (round(edge) for edge in crops.square(box, AROUND))
    part = Image.fromarray(picture).crop((left, top, right, bottom))  # black outside the picture
    scale = SIDE_PX / max(box[2] - box[0], box[3] - box[1])
    size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
    seen = detector.detect([np.asarray(part.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))], SIDE_PX / 3)[0]
    factors = (part.width / size[0], part.height / size[1])
    placed = [crops.place(face, factors, (left, top)) for face in seen]
    best = max(placed, key=lambda face: overlap(face.box, box), default=None)
    if best is None or overlap(best.box, box) <= SAME:
        return Face(box, 1.0)
    return Face(best.box, 1.0, best.landmarks)
