"""How good the picture of a face is, from its crop and its landmarks: what an error depends on besides the face itself."""

from __future__ import annotations

import cmath
import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mtl_model.records import Face, Quality

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma, the weights of PIL's "L"
REACH = 0.54  # of the nose's tip before eyes and mouth, in distances from the eyes to the mouth; fitted on GENKI-4K's train part
LANDMARKS = 5
SMALL_PX, BLURRED, ASIDE_DEGREES = 24, 0.03, 45
"""A face whose box is smaller, that is less sharp, or that is turned as far is said to be hard to tell."""
GOOD_PX, SHARP = 64, 0.05
"""A face from this size and sharpness on is as good as the data sets' (`poor`)."""
SEEN_PX, BLACK, WHITE = 512, 16, 250


def tilt(landmarks: Sequence[tuple[float, float]]) -> float:
    """Radians by which a face is turned clockwise in the plane of the picture, -pi to pi; 0 where its landmarks are not known.

    landmarks: as in `Face`. The line between the eyes says it, and the one from between the eyes to between the corners of the
    mouth, each by its length: the first is short in a face that looks aside, the second in one that looks up or down."""
    if len(landmarks) != LANDMARKS:
        return 0.0
    across, down, _ = _axes(landmarks)
    return cmath.phase(across + down / 1j)


def turn(landmarks: Sequence[tuple[float, float]]) -> float | None:
    """Degrees by which a face looks to one side, 0 to 90; None where its landmarks are not known.

    By how far the tip of the nose lies beside the middle of eyes and mouth. On GENKI-4K (2,756 faces of its train part) it is 3.7
    degrees off the set's own yaw on average, and correlates with it at 0.93."""
    if len(landmarks) != LANDMARKS:
        return None
    _, down, nose = _axes(landmarks)
    aside = (nose * cmath.exp(-1j * tilt(landmarks))).real
    return math.degrees(math.asin(min(1.0, abs(aside) / max(REACH * abs(down), 1e-6))))


def _axes(landmarks: Sequence[tuple[float, float]]) -> tuple[complex, complex, complex]:
    """From the left eye to the right one, from the eyes to the mouth, and from the middle of these four to the nose."""
    left_eye, right_eye, nose, left_mouth, right_mouth = (complex(x, y) for x, y in landmarks)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    return right_eye - left_eye, mouth - eyes, nose - (eyes + mouth) / 2


def quality_of(crop: np.ndarray, face: Face) -> Quality:
    """crop: uint8 RGB (S, S, 3), what was cut around the face's box."""
    edge = len(crop) // 6
    grey = crop[edge : len(crop) - edge, edge : len(crop) - edge].astype(np.float32) @ np.array(GREY, np.float32)
    return Quality(
        size_px=round(max(face.width, face.height), 1),
        sharpness=round(_lost(grey), 4),
        exposure=round(float(grey.mean()) / 255, 4),
        turn=None if (degrees := turn(face.landmarks)) is None else round(degrees, 1),
    )


def table_of(qualities: Sequence[Quality]) -> np.ndarray:
    """float32 (N, Q), a row a face, a column for each field of `Quality`, NaN for what is not known."""
    rows = [dataclasses.astuple(quality) for quality in qualities]
    return np.array(rows, np.float32).reshape(-1, len(dataclasses.fields(Quality)))


def faults(quality: Quality) -> list[str]:
    """Return codes of what keeps a face from being told, worst first: "face_small", "face_blurred", "face_aside".

    Source: faces of photos that are as their cameras took them lose at least 4.8 % of their contrast (43 faces), the same out of
    focus by 3 % of their height at most 3.2 %; of FairFace's test one face in 100 loses less than 2.9 %."""
    marks = {
        "face_small": quality.size_px < SMALL_PX,
        "face_blurred": quality.sharpness < BLURRED,
        "face_aside": quality.turn is not None and quality.turn >= ASIDE_DEGREES,
    }
    return [code for code, so in marks.items() if so]


def fault_of(rgb: np.ndarray) -> str:
    """Return the code of what is wrong with a picture in which no face was found, "" where nothing is: "picture_blurred",
    "picture_bright", "picture_dark".

    rgb: uint8 (H, W, 3). Source: nine photos and 98 of flowers, as they are and spoiled: out of focus by 1.5 % of their longer
    side they lose at most 0.95 % of their contrast, else 6 % at least; 2.2 stops brighter 31 to 81 % of their pixels are white,
    else 18 % but for photos on white ground; four stops darker all are black."""
    image = Image.fromarray(rgb)
    image.thumbnail((SEEN_PX, SEEN_PX))
    grey = np.asarray(image.convert("L"), np.float32)
    if min(grey.shape) < 3:
        return ""
    if (grey <= BLACK).mean() >= 0.95:
        return "picture_dark"
    if (grey >= WHITE).mean() >= 0.3:
        return "picture_bright"
    return "picture_blurred" if _lost(grey) < 0.015 else ""


def _lost(grey: np.ndarray) -> float:
    """Return the share of a picture's contrast that goes when 3 x 3 of its pixels are averaged. grey: float (H, W)."""
    height, width = (side - 2 for side in grey.shape)
    windows = [grey[row : row + height, column : column + width] for row in range(3) for column in range(3)]
    return float((grey[1:-1, 1:-1] - sum(windows) / 9).std() / max(grey.std(), 1.0))


def weight_of(quality: Quality | None) -> float:
    """Return how much the picture of a face can tell beside others of the same face, 0.01 to 1.

    It is as large as can be from the size and sharpness on that `poor` calls good, and falls in proportion below them, and with
    the cosine of the angle by which the face looks aside. Where nothing is known it is 1."""
    if quality is None:
        return 1.0
    size, sharp = min(1.0, quality.size_px / GOOD_PX), min(1.0, quality.sharpness / SHARP)
    return max(0.01, size * sharp * math.cos(math.radians(quality.turn or 0.0)))


def poor(quality: np.ndarray) -> dict[str, np.ndarray]:
    """{what is poor: bool (N,)} of qualities (N, Q), a column for each field of `Quality`; about one face in ten of the data sets
    is poor in each way but the first. What is not known is not poor."""
    size_px, sharpness, exposure, degrees = quality.T
    return {"small": size_px < GOOD_PX, "soft": sharpness < SHARP, "dark": exposure < 0.3, "turned": degrees >= 25}
