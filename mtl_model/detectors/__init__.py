"""Detectors, each in a file of its own, found through `registry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from mtl_model.records import Face


class Detector(Protocol):
    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float, surely: bool = False) -> list[list[Face]]:
        """All faces of each picture, in pixels of that picture, in no particular order.

        pictures: uint8 RGB (H, W, 3), all of one size, at least 20 px on each side. surely: unsure ones may be left out, if that
        is quicker.
        """
        ...


@runtime_checkable
class Refiner(Protocol):
    """A detector that can also find faces again where they were a moment before, which is much quicker than a search."""

    def refine(self, picture: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        """Return where each face is now, in pixels of the picture; None for one that is not seen there any more.

        picture: uint8 RGB (H, W, 3), in which no face has moved further than half its width."""
        ...


class DetectorModule(Protocol):
    SUBJECT: str
    """What a box holds, as a word: records.FACE, or records.PICTURE for the whole of a picture, in which nothing is searched."""

    def build(self, device: str = "cpu") -> Detector:
        """Make the detector ready; must not download anything."""
        ...
