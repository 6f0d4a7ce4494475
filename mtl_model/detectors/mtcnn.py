"""MTCNN (Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded CNNs", 2016), the one of
facenet-pytorch 2.5.3, whose weights come inside its package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import detect_face

from mtl_model.records import FACE, Face

SUBJECT = FACE


class MtcnnDetector:
    def __init__(self, device: str = "cpu") -> None:
        self._network = MTCNN(device=torch.device(device)).eval()

    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float) -> list[list[Face]]:
        """See `Detector.detect`. Safe to call from several threads at once: MTCNN.detect takes the smallest size from
        an attribute that threads would share, so the function below it is called with the size itself."""
        net = self._network
        # Plane after plane in memory, which the resizing of detect_face reads a fifth quicker, with the very same result.
        planes = np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))
        try:
            with torch.inference_mode():
                boxes, points = detect_face(
                    torch.from_numpy(planes).permute(0, 2, 3, 1),
                    smallest_face_px,
                    net.pnet,
                    net.rnet,
                    net.onet,
                    net.thresholds,
                    net.factor,
                    net.device,
                )
        except (RuntimeError, IndexError, ValueError) as error:
            if any(word in str(error).casefold() for word in ("memory", "cuda")):
                raise  # the machine's trouble, not the picture's
            # facenet-pytorch drops candidates that lie wholly outside the picture from one of two parallel arrays,
            # then fails on their lengths. Each picture for itself saves the rest of the batch; a picture that
            # fails alone counts as without a face, and `find` then looks again with a wider border.
            return [[]] if len(pictures) == 1 else [self.detect([one], smallest_face_px)[0] for one in pictures]
        return [_faces(*found) for found in zip(boxes, points, strict=True)]


def _faces(boxes: np.ndarray, points: np.ndarray) -> list[Face]:
    """boxes: (N, 5), the last column the confidence; points: (N, 5, 2)."""
    faces = []
    for row, landmarks in zip(boxes, points, strict=True):
        left, top, right, bottom, confidence = (float(one) for one in row)
        if right > left and bottom > top:
            where = tuple((float(x), float(y)) for x, y in landmarks)
            faces.append(Face((left, top, right, bottom), confidence, where))
    return faces


def build(device: str = "cpu") -> MtcnnDetector:
    return MtcnnDetector(device)
