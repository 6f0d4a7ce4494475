"""What the tests of the page share: a small fake checkpoint, the page served by a process of its own, a browser."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl_model.by_hand import FOUND, ByHand
from mtl_model.card import Card
from mtl_model.records import Estimate, Face, Photo, Reading
from mtl_model.tasks import TASKS

FLAGS = [
    *"--no-sandbox --disable-quic --disable-background-networking --disable-component-update --disable-sync".split(),
    *"--no-first-run --disable-gpu --use-fake-device-for-media-stream --use-fake-ui-for-media-stream".split(),
]
SIZES = (512, 320, 180)  # of the sample picture in the tiled one: three faces
SHIPPED = ("default", "attributes", "bknet", "digits")
PATIENCE_MS = 60_000  # a machine that is busy with something else passes too

# Runs app.py and writes down every address outside this machine that the process looks up or connects to.
LISTENER = """
import runpy, sys
log = open(sys.argv.pop(1), "a", buffering=1)
HERE = ("127.", "localhost", "::1", "0.0.0.0")
def hear(event, arguments):
    if event == "socket.getaddrinfo" and not str(arguments[0]).startswith(HERE):
        print("look-up", arguments[0], file=log)
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not str(arguments[1][0]).startswith(HERE):
        print("connection", arguments[1], file=log)
sys.addaudithook(hear)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def estimate_years(value: float, low: float, high: float, sure: bool = True) -> Estimate:
    years = np.arange(101)
    chances = np.exp(-(((years - value) / 6.0) ** 2))
    scores = {str(year): round(float(p), 6) for year, p in zip(years, chances / chances.sum(), strict=True)}
    return Estimate(
        f"{round(value)} years", value, sure, scores, low=low, high=high, group="24-39", title="Age", shape="curve"
    )


def estimate_class(names: tuple[str, ...], top: str, chance: float, sure: bool = True, title: str = "Mood") -> Estimate:
    rest = (1 - chance) / (len(names) - 1)
    scores = {name: chance if name == top else rest for name in names}
    return Estimate(top, top, sure, scores, confidence=chance, title=title)


def reading(box: tuple[float, float, float, float], age: float = 34.2, sure: bool = True) -> Reading:
    estimates = {
        "age": estimate_years(age, age - 6, age + 7.4, sure),
        "gender": estimate_class(("female", "male"), "female", 0.93, title="Gender"),
        "smile": estimate_class(("not smiling", "smiling"), "not smiling", 0.61, sure=False, title="Smile"),
    }
    return Reading(Face(box, 0.987), estimates)


class FakePredictor:
    """Answers every picture with two faces, one of them over the border."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.card = Card("bknet", {}, tuple(TASKS.values()), summary="A fake <b>checkpoint</b>.")
        self.asked: list[float | None] = []

    def photo(
        self, source: np.ndarray, name: str, *, smallest_face_px: float | None = None, by_hand: ByHand = FOUND
    ) -> Photo:
        self.asked.append(smallest_face_px)
        height, width = source.shape[:2]
        faces = (
            reading((-0.1 * width, 0.1 * height, 0.4 * width, 0.7 * height)),
            reading((0.5 * width, 0.2 * height, 0.8 * width, 0.5 * height), age=8.6, sure=False),
        )
        return Photo(name, None, faces, width, height)

    def read(self, upright: np.ndarray, faces: Sequence[Face]) -> list[Reading]:
        """Everybody is as old as they are in `photo`, and ten years more."""
        return [reading(face.box, age=44.2 - 25.6 * number) for number, face in enumerate(faces)]


@pytest.fixture
def two_faces() -> Photo:
    rgb = np.zeros((200, 300, 3), np.uint8)
    return FakePredictor().photo(rgb, "two.png")


@pytest.fixture
def fake_predictor() -> FakePredictor:
    return FakePredictor()


@dataclass(frozen=True)
class Served:
    """A running page: its address, and the files in which it can be seen what it did."""

    address: str
    process: subprocess.Popen[str]
    outside: Path
    """Lines about everything outside this machine that the server reached for."""
    kept: Path
    """Where the server puts whatever it keeps for a while."""
    runs: Path


@pytest.fixture(scope="session")
def served(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`python app.py` with the shipped checkpoint, on a free port."""
    with serving(root, tmp_path_factory.mktemp("served")) as running:
        yield running


@contextlib.contextmanager
def serving(root: Path, folder: Path, *options: str) -> Iterator[Served]:
    """`python app.py` with further options and a folder of runs of its own."""
    outside, kept, log = folder / "outside.txt", folder / "kept", folder / "log.txt"
    outside.touch()
    runs = folder / "runs"
    command = [sys.executable, "-c", LISTENER, str(outside), "app.py", "--port", "0", "--runs", str(runs), *options]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(kept), "PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(r"https?://\S+", process.stdout.readline())
            if found is None:
                process.wait()
                pytest.fail(f"the page did not come up: {log.read_text()}")
            yield Served(found[0], process, outside, kept, runs)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chrome(chromium: str) -> Iterator[Any]:
    """A browser; Playwright bears only one at a time, so it ends with the module."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(chrome: Any, served: Served) -> Iterator[Any]:
    """A fresh visitor on the page. Whatever it asks of another host, or says as an error, fails the test."""
    context = chrome.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    visitor, strange = context.new_page(), []
    inside = (served.address, served.address.replace("http", "ws", 1), "data:", "blob:")
    visitor.on("request", lambda request: strange.append(request.url) if not request.url.startswith(inside) else None)
    visitor.on("pageerror", lambda error: strange.append(str(error)))
    visitor.goto(served.address)
    visitor.locator(".photo .invite").wait_for()
    yield visitor
    context.close()
    assert strange == []


@pytest.fixture
def tiled(tmp_path: Path, sample_picture: np.ndarray) -> Path:
    """The sample picture at several sizes, side by side."""
    sheet = Image.new("RGB", (sum(SIZES), max(SIZES)), (60, 70, 80))
    left = 0
    for size in SIZES:
        sheet.paste(Image.fromarray(sample_picture).resize((size, size), Image.Resampling.LANCZOS), (left, 0))
        left += size
    path = tmp_path / "tiled picture.png"
    sheet.save(path)
    return path


def choose(page: Any, *paths: Path) -> None:
    page.set_input_files(".photo input[type=file]", [str(path) for path in paths])


def open_picker(page: Any, picker: str) -> None:
    """Open the list of a picker: `checkpoint` or `compare`. It opens when it gets the focus."""
    field = page.locator(f"#{picker} input")
    field.blur()
    field.focus()
    page.get_by_role("option").first.wait_for()


def pick(page: Any, picker: str, name: str) -> None:
    """Pick a checkpoint."""
    open_picker(page, picker)
    page.get_by_role("option", name=name, exact=True).click()


def wait_until_picked(page: Any, name: str, picker: str = "checkpoint") -> None:
    """Wait until a picker shows the name, and the scripts have it too."""
    page.wait_for_function(
        """([picker, name]) => document.querySelector(`#${picker} input`).value === name && (mtl[picker] || "none") === name""",
        arg=[picker, name],
    )


def offered(page: Any, picker: str = "checkpoint") -> list[str]:
    """Return what a picker offers."""
    open_picker(page, picker)
    names = [option.get_attribute("aria-label") for option in page.get_by_role("option").all()]
    page.keyboard.press("Escape")
    return names


def wait_until_offered(page: Any, *further: str) -> None:
    """Wait for the second in which every window looks what there is besides the shipped ones."""
    first, *others = SHIPPED
    names = [first, *sorted([*others, *further])]
    for _ in range(PATIENCE_MS // 500):
        if offered(page) == names:
            return
        page.wait_for_timeout(500)
    raise AssertionError(f"{offered(page)} is offered, not {names}")
