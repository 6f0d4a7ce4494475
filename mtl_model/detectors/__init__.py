"""Detectors, each in a file of its own, found through `registry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mtl_model.records import Face


class Detector(Protocol):
    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float) -> list[list[Face]]:
        """All faces of each picture, in pixels of that picture, in no particular order.

        pictures: uint8 RGB (H, W, 3), all of one size, at least 20 px on each side.
        """
        ...


class DetectorModule(Protocol):
    SUBJECT: str
    """What a box holds, as a word: records.FACE, or records.PICTURE for the whole of a picture, in which nothing is searched."""

    def build(self, device: str = "cpu") -> Detector:
        """Make the detector ready; must not download anything."""
        ...
