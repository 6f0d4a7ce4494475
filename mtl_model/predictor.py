"""From a picture to its Readings: what the page, the command line and Python programs call."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtl_model import checkpoint, crops, kinds, registry, runtimes, search
from mtl_model.by_hand import FOUND, ByHand, corrected
from mtl_model.card import Card, expect_shown, find_checkpoint, shipped_weights
from mtl_model.detectors import Detector, Refiner
from mtl_model.errors import CheckpointError, MtlError, UsageError
from mtl_model.inference import logits, predictions
from mtl_model.pictures import PictureSource, turn, upright
from mtl_model.quality import fault_of, quality_of, table_of
from mtl_model.records import Estimate, Face, Photo, Reading, reading_order

BATCH = 64  # crops a network pass, so that a crowd does not fill the memory


def choose_device(device: str | None) -> str:
    """The device itself if torch can use it; "auto" or None stands for cuda where there is one, else cpu."""
    if device in (None, "", "auto"):
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if str(device).startswith("mps"):  # it cannot pool 16 x 16 to 3 x 3, as detector and networks have to
            raise RuntimeError
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(
            f"Device '{device}' cannot be used here. Expected auto, cpu or cuda; try --device cpu."
        ) from None
    return str(device)


class Predictor:
    """A loaded checkpoint with its detector; safe to call from several threads."""

    def __init__(
        self, name: str, network: nn.Module, card: Card, device: str = "cpu", runtime: str = runtimes.TORCH
    ) -> None:
        """runtime: one of `runtimes.NAMES`. Raises CheckpointError, UsageError, RunError."""
        self.name, self.card, self.device = name, card, device
        detectors = registry.load("detectors", card.detection.detector)
        expect_shown(card, name)
        if card.subject != detectors.SUBJECT:
            raise CheckpointError(
                f"The card of '{name}' says that it reads {card.subject}s, and its detector {card.detection.detector} finds "
                f"{detectors.SUBJECT}s. Expected the same of both; correct the card, or choose another checkpoint."
            )
        self.runtime = runtimes.chosen(runtime, card, device)
        self.network = runtimes.start(self.runtime, network, card)
        self._detector: Detector = detectors.build(device)

    @classmethod
    def load(
        cls,
        name: str | None = None,
        *,
        weights: str | os.PathLike | None = None,
        runs: str | os.PathLike = "runs",
        device: str | None = None,
        runtime: str = runtimes.AUTO,
    ) -> Predictor:
        """name: None stands for `default` if it is shipped, else `bknet`; looked up in weights, then in runs.

        runtime: auto, torch, onnx or openvino, see `runtimes`. Raises CheckpointError for a checkpoint that is missing, cut,
        foreign, or does not fit; UsageError for a runtime that is not there.
        """
        folder = find_checkpoint(name, Path(weights) if weights else shipped_weights(), Path(runs))
        chosen = choose_device(device)
        network, card = checkpoint.load(folder, chosen)
        return cls(folder.name, network, card, chosen, runtime)

    def find(self, picture: PictureSource, *, smallest_face_px: float | None = None, quick: bool = False) -> list[Face]:
        """The faces alone, in the order in which they are numbered; see `predict`."""
        return self._find([upright(picture)], smallest_face_px, quick)[0]

    def _find(self, pictures: Sequence[np.ndarray], smallest_face_px: float | None, quick: bool) -> list[list[Face]]:
        """The faces of each picture, all of one size, each in the order in which they are numbered."""
        look = crops.find_all if quick or self.card.reads_whole else search.every_face_of
        found = look(pictures, self._detector, self.card.detection, smallest_face_px)
        return [reading_order(faces) for faces in found]

    def predict(
        self, picture: PictureSource, *, smallest_face_px: float | None = None, quick: bool = False
    ) -> list[Reading]:
        """All faces of a picture with an Estimate for each task, row by row from left to right as a person counts them; an empty
        list where there is none. Faces are found whichever way up they stand, and answered in the picture's own pixels.

        picture: a path, the bytes of a file, a PIL image or a uint8 RGB array (H, W, 3).
        smallest_face_px: longer edge of the smallest face looked for, in pixels of the picture; `search.least_px` if not given.
        quick: upright faces alone, and none smaller than the picture scaled down shows, as for the frames of a camera.
        Raises PictureError with a sentence for what cannot be read.
        """
        rgb = upright(picture)
        return self.read(rgb, self.find(rgb, smallest_face_px=smallest_face_px, quick=quick))

    def follow(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Reading] | None:
        """What `predict` says of faces of the frame before, looked for where they were: a few milliseconds instead of a search.

        None where they have to be searched: one of them is lost, reaches over the border, or has become another, or the detector
        can only search.

        rgb: uint8 RGB (H, W, 3), upright, as large as the frame before."""
        if not isinstance(self._detector, Refiner):
            return None
        found = self._detector.refine(rgb, faces)
        height, width = rgb.shape[:2]
        seen = [face for face in found if face is not None and not crops.touches([face], width, height)]
        alone = all(not search.same(*pair) for pair in itertools.combinations(seen, 2))
        return self.read(rgb, reading_order(seen)) if alone and len(seen) == len(faces) else None

    def read(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Reading]:
        """What `predict` says of faces that are found already, in their order; another checkpoint may have found them.

        rgb: uint8 RGB (H, W, 3), the upright picture in whose pixels the boxes are."""
        return self._read([(rgb, face) for face in faces])

    def _read(self, placed: Sequence[tuple[np.ndarray, Face]]) -> list[Reading]:
        """placed: faces, each with its picture; those of one picture follow each other."""
        readings = []
        for start in range(0, len(placed), BATCH):
            batch = placed[start : start + BATCH]
            faces = [face for _, face in batch]
            groups = itertools.groupby(batch, key=lambda pair: id(pair[0]))
            parts = [[*group] for _, group in groups]
            cut = np.concatenate([crops.cut(part[0][0], [face for _, face in part], self.card.crop) for part in parts])
            images = crops.to_tensor(cut, self.card.crop)
            quality = [quality_of(crop, face) for crop, face in zip(cut, faces, strict=True)]
            outputs = logits(self.network, images.to(self.device), self.card)
            predicted = predictions(outputs, self.card, table_of(quality))
            readings += [
                Reading(
                    face, self._estimates(face, {name: rows[row] for name, rows in predicted.items()}), quality[row]
                )
                for row, face in enumerate(faces)
            ]
        return readings

    def _estimates(self, face: Face, predicted: dict[str, np.ndarray]) -> dict[str, Estimate]:
        """predicted: of each task the row of the face."""
        to_picture = crops.inverse(crops.frame(face, self.card.crop))
        estimates = {}
        for task in kinds.shown(self.card.tasks):
            kind = kinds.of(task)
            estimate = kind.estimate(task, predicted[task.name], self.card.calibration_of(task.name))
            estimates[task.name] = kind.locate(estimate, to_picture)
        return estimates

    def photo(
        self,
        source: PictureSource,
        name: str,
        *,
        smallest_face_px: float | None = None,
        by_hand: ByHand = FOUND,
    ) -> Photo:
        """Like `predict`, as a Photo called `name`; what is wrong with the picture is a sentence inside it. Where most faces
        stand sideways or upside down, the picture is turned first, and the Photo says by how much. by_hand: what a person says
        of its faces."""
        try:
            rgb = upright(source)
        except MtlError as error:
            return Photo(name, str(error))
        return self.photos([rgb], [name], smallest_face_px=smallest_face_px, by_hand=by_hand)[0]

    def photos(
        self,
        pictures: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        smallest_face_px: float | None = None,
        by_hand: ByHand = FOUND,
    ) -> list[Photo]:
        """Like `photo`, for pictures of one size as a batch: uint8 RGB (H, W, 3), upright."""
        pictures = [turn(rgb, by_hand.turned or 0) for rgb in pictures]
        try:
            found = self._find(pictures, smallest_face_px, False)
            turned = [self._turned(rgb, faces, by_hand) for rgb, faces in zip(pictures, found, strict=True)]
            readings = iter(self._read([(rgb, face) for rgb, _, faces in turned for face in faces]))
        except MtlError as error:
            return [Photo(name, str(error)) for name in names]
        photos = []
        for name, (rgb, degrees, faces) in zip(names, turned, strict=True):
            height, width = rgb.shape[:2]
            own = tuple(itertools.islice(readings, len(faces)))
            fault = "" if own else fault_of(rgb)
            photos.append(Photo(name, None, own, width, height, self.card.subject, degrees, fault))
        return photos

    def _turned(self, rgb: np.ndarray, faces: list[Face], by_hand: ByHand) -> tuple[np.ndarray, int, list[Face]]:
        """The picture so that most faces stand upright, or as a person turned it; by how many degrees it was turned for that; its
        faces."""
        degrees = needed = search.needed_turn(faces) if by_hand.turned is None else 0
        if needed:
            rgb, faces = turn(rgb, needed), search.turn_faces(faces, rgb.shape[1], rgb.shape[0], needed)
        if (by_hand.drawn or by_hand.dismissed) and not self.card.reads_whole:
            faces = corrected(rgb, faces, by_hand, self._detector)
        return rgb, degrees or by_hand.turned or 0, reading_order(faces)
