"""Frames of a camera that come in to be learned from: which of them are worth keeping."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from mtl_model import crops
from mtl_model.decoding import Decoders
from mtl_model.errors import CheckpointError, PictureError
from mtl_model.quality import fault_of, faults, quality_of
from mtl_model.records import PICTURE
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.teach import teaching

AT_ONCE = 2  # frames looked at, over all people
SIDE_PX, ALIKE = (
    24,
    2.0,
)  # what is left of a frame to compare it by; grey levels, by which two frames differ at least on average
REMEMBERED = 64  # classes of runs, of which the last frame is known
BLURRED, DARK, BRIGHT, FACELESS, SAME, BROKEN = "blurred", "dark", "bright", "faceless", "same", "broken"
"""Codes `frame_...` of `wording.WORDS`: why a frame is not kept."""


class Sieve:
    """Judges frames: a kept one is sharp, shows a face where faces are learned, and differs from the one kept before it."""

    def __init__(self, models: Models, decoders: Decoders) -> None:
        self._models, self._decoders = models, decoders
        self._last: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self.free = asyncio.Semaphore(AT_ONCE)

    def judge(self, run: teaching.Run, path: PurePosixPath, body: bytes) -> str:
        """Return the code of why a frame is not kept, "" if it is. path: where it would lie, below the folder of its class."""
        try:
            rgb = self._decoders.read(body)
        except PictureError:
            return f"frame_{BROKEN}"
        small = np.asarray(Image.fromarray(rgb).convert("L").resize((SIDE_PX, SIDE_PX)), np.float32)
        key = (run.name, path.parent.as_posix())
        if (before := self._last.get(key)) is not None and np.abs(small - before).mean() < ALIKE:
            return f"frame_{SAME}"
        if fault := self._fault(run, rgb):
            return fault
        self._last[key] = small
        self._last.move_to_end(key)
        while len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return ""

    def _fault(self, run: teaching.Run, rgb: np.ndarray) -> str:
        whole = fault_of(rgb).removeprefix("picture_")
        if run.record.reads == PICTURE:
            return f"frame_{whole}" if whole else ""
        try:
            predictor = self._models.get(run.record.parent)
        except CheckpointError:  # one that is gone is said when learning begins
            predictor = self._models.get()
        faces = predictor.find(rgb, quick=True)
        face = crops.main_face(faces, rgb.shape[1], rgb.shape[0])
        if face is None:
            return f"frame_{whole or FACELESS}"
        quality = quality_of(crops.cut(rgb, [face], predictor.card.crop)[0], face)
        return f"frame_{BLURRED}" if "face_blurred" in faults(quality) else ""
