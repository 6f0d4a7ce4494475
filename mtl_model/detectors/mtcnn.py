"""MTCNN (Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded CNNs", 2016), the one of
facenet-pytorch 2.5.3, whose weights come inside its package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import bbreg, detect_face, imresample, pad, rerec

from mtl_model.records import FACE, Face

SUBJECT = FACE
SURE = (0.8, 0.9, 0.99)
"""Least confidence of the three networks where unsure faces are not wanted; 0.6, 0.7, 0.7 else. It halves the time: most
candidates of the first network are none."""


class MtcnnDetector:
    def __init__(self, device: str = "cpu") -> None:
        self._network = MTCNN(device=torch.device(device)).eval()

    def detect(self, pictures: Sequence[np.ndarray], smallest_face_px: float, surely: bool = False) -> list[list[Face]]:
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
                    SURE if surely else net.thresholds,
                    net.factor,
                    net.device,
                )
        except (RuntimeError, IndexError, ValueError) as error:
            if any(word in str(error).casefold() for word in ("memory", "cuda")):
                raise  # the machine's trouble, not the picture's
            # facenet-pytorch drops candidates that lie wholly outside the picture from one of two parallel arrays,
            # then fails on their lengths. Each picture for itself saves the rest of the batch; a picture that
            # fails alone counts as without a face, and `find` then looks again with a wider border.
            return [[]] if len(pictures) == 1 else [self.detect([one], smallest_face_px, surely)[0] for one in pictures]
        return [_faces(*found) for found in zip(boxes, points, strict=True)]

    @torch.inference_mode()
    def refine(self, picture: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        """See `Refiner.refine`. The last two of the three networks look at the square around each face, as they look at the
        candidates of the first.

        Source: `detect_face` of facenet-pytorch 2.5.3, its second and third stage."""
        net, (_, of_second, of_third) = self._network, self._network.thresholds
        result: list[Face | None] = [None] * len(faces)
        boxes = torch.tensor([face.box for face in faces], dtype=torch.float32).reshape(-1, 4)
        boxes, indices, views = _views(picture, boxes, range(len(faces)), 24)
        if not indices:
            return result
        moved, chances = (part.cpu() for part in net.rnet(views.to(net.device)))
        seen = chances[:, 1] > of_second
        boxes, indices, views = _views(picture, bbreg(boxes, moved)[seen], _where(indices, seen), 48)
        if not indices:
            return result
        moved, points, chances = (part.cpu() for part in net.onet(views.to(net.device)))
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        points = points.reshape(-1, 2, 5) * sides[:, :, None] + boxes[:, :2, None] - 1
        rows = torch.cat([bbreg(boxes, moved), chances[:, 1:]], 1)
        for row, index in enumerate(indices):
            if chances[row, 1] > of_third:
                result[index] = next(iter(_faces(rows[row : row + 1].numpy(), points[row].T[None].numpy())), None)
        return result


def _where(indices: Sequence[int], seen: torch.Tensor) -> list[int]:
    return [index for index, so in zip(indices, seen.tolist(), strict=True) if so]


def _views(
    picture: np.ndarray, boxes: torch.Tensor, indices: Sequence[int], side: int
) -> tuple[torch.Tensor, list[int], torch.Tensor]:
    """Return the squares around boxes (N, 4), which of them lie in the picture, and what is in these, (M, 3, side, side)."""
    squares = rerec(boxes.clone())
    height, width = picture.shape[:2]
    tops, bottoms, lefts, rights = pad(squares.clone(), width, height)
    inside, views = [], []
    for row, (top, bottom, left, right) in enumerate(zip(tops, bottoms, lefts, rights, strict=True)):
        if bottom > top - 1 and right > left - 1:
            part = torch.from_numpy(
                np.ascontiguousarray(picture[top - 1 : bottom, left - 1 : right].transpose(2, 0, 1))
            )
            inside.append(row)
            views.append(imresample(part[None].float(), (side, side)))
    stacked = (torch.cat(views) - 127.5) * 0.0078125 if views else torch.zeros(0, 3, side, side)
    return squares[inside], [indices[row] for row in inside], stacked


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
