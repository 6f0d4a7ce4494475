"""Faces that are too small, too blurred or cut off, and the class that suffers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mtl_model.card import CropSettings
from mtl_model.crops import cut
from mtl_model.data import harmful
from mtl_model.quality import quality_of, table_of
from mtl_model.records import Face, Sample
from mtl_model.tasks import class_task

TASK = class_task("hat", ("off", "on"))
BOX = (20.0, 20.0, 120.0, 120.0)


def looked(boxes: list[tuple[float, ...]], sharpness: list[float]) -> list[dict]:
    count = len(boxes)
    samples = [Sample(str(row), {"hat": "on" if row % 2 else "off"}) for row in range(count)]
    faces = [(Face(box, 0.9),) for box in boxes]  # type: ignore[arg-type]
    sizes = [max(box[2] - box[0], box[3] - box[1]) for box in boxes]
    quality = np.array([[size, sharp, 0.5, 0] for size, sharp in zip(sizes, sharpness, strict=True)], np.float32)
    files = [sample.path for sample in samples]
    return harmful.harmful(TASK, samples, files, quality, faces, np.full((count, 2), 140.0))


@pytest.mark.parametrize(
    ("box", "sharpness", "code"),
    [
        (BOX, 0.1, None),
        ((20.0, 20.0, 45.0, 45.0), 0.1, "too_small"),
        (BOX, 0.015, "too_blurred"),
        ((-40.0, 20.0, 60.0, 120.0), 0.1, "cut_off"),
        ((-5.0, 20.0, 95.0, 120.0), 0.1, None),
    ],
)
def test_what_harms_is_named(box: tuple[float, ...], sharpness: float, code: str | None) -> None:
    found = looked([BOX, box], [0.1, sharpness])
    assert [(one["code"], one["files"]) for one in found] == ([(code, ["1"])] if code else [])


def test_half_of_a_class_in_smears_is_a_warning_for_the_class() -> None:
    blurred = [row % 4 == 1 for row in range(40)]  # half of "on"
    (found,) = looked([BOX] * 40, [0.015 if one else 0.1 for one in blurred])
    assert found["code"] == "too_blurred" and found["count"] == 10
    assert found["values"]["much"] == {"on": [10, 20]}


def test_a_face_drawn_up_from_25_px_is_too_blurred_and_the_sample_is_not(sample_picture: np.ndarray) -> None:
    height, width = sample_picture.shape[:2]
    face = Face((0.35 * width, 0.05 * height, 0.6 * width, 0.4 * height), 0.9)
    scale = 25 / face.width
    small = Image.fromarray(sample_picture).resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    smear = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    settings = CropSettings(size_px=128)
    sharp = [
        table_of([quality_of(cut(picture, [face], settings)[0], face)])[0, 1] for picture in (sample_picture, smear)
    ]
    assert sharp[1] < harmful.BLURRED < sharp[0]
