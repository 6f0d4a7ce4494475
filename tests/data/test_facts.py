"""Numbers of picture files that have nothing to do with a face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_model.data import facts
from mtl_model.records import Sample


def made(folder: Path, name: str, level: int, size: tuple[int, int] = (40, 30), **options: Any) -> Sample:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(level).integers(0, 40, (*size[::-1], 3)) + level
    Image.fromarray(noise.astype(np.uint8)).save(path, **options)
    return Sample(str(path), {"hat": name.split("/")[0]}, file=name)


@pytest.mark.parametrize(
    ("fact", "first", "second"),
    [
        ("width", {"size": (40, 30)}, {"size": (80, 30)}),
        ("height", {"size": (40, 30)}, {"size": (40, 60)}),
        ("brightness", {"level": 10}, {"level": 200}),
        ("jpeg_quality", {"quality": 95}, {"quality": 20}),
        ("bytes_per_pixel", {"quality": 20}, {"quality": 95}),
    ],
)
def test_each_number_says_what_it_is_called(tmp_path: Path, fact: str, first: dict, second: dict) -> None:
    some = [made(tmp_path, f"on/{n}.jpg", **{"level": 10, **given}) for n, given in enumerate((first, second))]
    values = facts.facts_of(some, [one.file for one in some])[fact][:, 0]
    assert values[0] < values[1]


def test_formats_and_folders_within_a_class_are_told_apart(tmp_path: Path) -> None:
    names = ["on/1.png", "on/phone/2.jpg", "off/3.png", "off/4.png"]
    some = [made(tmp_path, name, 10) for name in names]
    found = facts.facts_of(some, names)
    assert found["format"].argmax(1).tolist() == [0, 1, 0, 0]
    assert found["folder"].argmax(1).tolist() == [0, 1, 0, 0], "the class itself is no fact"
    assert facts.means(found, "brightness", np.array(["a", "a", "b", "b"])).keys() == {"a", "b"}
