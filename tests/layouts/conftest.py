"""Tiny data sets: a folder of pictures with the names that a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

Draw = Callable[[Iterable[str]], Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes a picture of one colour for each name below a folder, and returns the folder."""

    def write(names: Iterable[str]) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), "teal").save(path, "webp" if path.suffix == ".webp" else "png")
        return tmp_path

    return write
