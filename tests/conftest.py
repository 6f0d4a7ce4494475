"""What tests share: the needs that a machine may lack, and a picture with a face.

A test marked `data` or `browser` skips itself where its need is missing. MTL_REQUIRE=data,browser turns that into a
failure, for machines that are meant to have them.
"""

from __future__ import annotations

import os

# Before anything imports gradio, huggingface_hub or torch; processes that tests start inherit them.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
SETS = ("utkface", "fairface", "celeba", "genki4k", "flowers", "housenumbers", "photos")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def _data_folder() -> Path:
    return Path(os.environ.get("MTL_DATA") or Path.home() / ".cache" / "mtl_model" / "data")


def _chromium() -> str | None:
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)


def _missing_data() -> str | None:
    lacking = [name for name in SETS if not (_data_folder() / name).is_dir()]
    return f"{', '.join(lacking)} not in {_data_folder()} (set MTL_DATA)" if lacking else None


def _missing_browser() -> str | None:
    if _chromium() is None:
        return "no Chromium found (install one, or set CHROMIUM to its path)"
    return None if importlib.util.find_spec("playwright") else "playwright is not installed"


NEEDS = {"data": _missing_data, "browser": _missing_browser}


def required_needs(text: str) -> set[str]:
    """The needs that must be there. Raises UsageError for a word that is none."""
    words = {word.strip() for word in text.split(",") if word.strip()}
    if strange := sorted(words - NEEDS.keys()):
        raise pytest.UsageError(f"MTL_REQUIRE names {', '.join(strange)}. Known: {', '.join(sorted(NEEDS))}.")
    return words


def pytest_configure(config: pytest.Config) -> None:
    required_needs(os.environ.get("MTL_REQUIRE", ""))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What drives a browser is tried once more: on a busy machine a step can take longer than a person would wait."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for need, missing in NEEDS.items():
        if item.get_closest_marker(need) and (reason := missing()):
            if need in required_needs(os.environ.get("MTL_REQUIRE", "")):
                pytest.fail(f"{need}: {reason}; MTL_REQUIRE names it", pytrace=False)
            pytest.skip(f"{need}: {reason}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout: requirements.txt, docs/, weights/ and samples/ lie here."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the data sets; for tests marked `data`."""
    return _data_folder()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; for tests marked `browser`."""
    path = _chromium()
    assert path is not None, "mark the test `browser`"
    return path


@pytest.fixture(scope="session")
def sample_picture() -> np.ndarray:
    """uint8 RGB (H, W, 3): the sample picture that is shipped, else a drawn face (no detector need find it)."""
    path = ROOT / "samples" / "astronaut.jpg"
    if path.is_file():
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    image = Image.new("RGB", (320, 320), (120, 140, 170))
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 50, 240, 270), fill=(224, 172, 140))
    for x in (125, 195):
        draw.ellipse((x - 14, 130, x + 14, 148), fill="white")
        draw.ellipse((x - 6, 132, x + 6, 146), fill=(50, 30, 20))
    draw.line((160, 150, 150, 190, 168, 192), fill=(180, 120, 100), width=4)
    draw.arc((120, 190, 200, 235), 20, 160, fill=(160, 50, 60), width=6)
    return np.asarray(image)
