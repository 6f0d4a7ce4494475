"""What the tests of the Webcam tab share: a camera that shows the sample picture, and a server that says what it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ui.conftest import FLAGS, PATIENCE_MS, Served

WIDTH, HEIGHT = 640, 480


def camera_frame(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB (HEIGHT, WIDTH, 3): the picture at the left edge, so that mirroring shows."""
    frame = Image.new("RGB", (WIDTH, HEIGHT), (90, 110, 120))
    frame.paste(Image.fromarray(picture).resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS), (0, 0))
    return np.asarray(frame)


def write_video(path: Path, *frames: np.ndarray, times: int = 5, per_second: int = 30) -> None:
    """A YUV4MPEG2 file that shows uint8 RGB frames; BT.601, 16-235, chroma halved, as a browser expects it."""
    height, width = frames[0].shape[:2]
    body = b""
    for frame in frames:
        luma, *chroma = (np.asarray(plane, np.float64) for plane in Image.fromarray(frame).convert("YCbCr").split())
        planes = [16 + luma * 219 / 255]
        planes += [128 + (one.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) - 128) * 224 / 255 for one in chroma]
        body += b"FRAME\n" + b"".join(plane.round().astype(np.uint8).tobytes() for plane in planes)
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F{per_second}:1 Ip A1:1 C420jpeg\n".encode() + body * times)


@pytest.fixture(scope="module")
def camera_browser(
    chromium: str, sample_picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A browser whose camera shows the sample picture."""
    from playwright.sync_api import sync_playwright

    video = tmp_path_factory.mktemp("camera") / "face.y4m"
    write_video(video, camera_frame(sample_picture))
    with sync_playwright() as play:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={video}"]
        opened = play.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


Open = Callable[..., Any]


@pytest.fixture
def open_tab(camera_browser: Any, served: Served) -> Iterator[Open]:
    """open_tab(script, answer, width) -> the page with the Webcam tab open.

    script: JavaScript that runs before the page's own. answer: takes the WebSocket's place, for what a real server
    does not do on request; a function of the frame's number that returns a dict, or None for silence.
    """
    contexts = []

    def opener(script: str = "", answer: Callable[[int], dict | None] | None = None, width: int = 1280) -> Any:
        context = camera_browser.new_context(viewport={"width": width, "height": 844}, permissions=["camera"])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(script)
        page.faults = []
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        if answer is not None:
            page.route_web_socket(re.compile("/live$"), lambda socket: pretend(socket, answer))
        page.goto(served.address)
        page.locator("button[role=tab]:visible", has_text="Webcam").click()
        page.locator(".webcam").wait_for()
        return page

    yield opener
    for context in contexts:
        faults = [fault for page in context.pages for fault in page.faults]
        context.close()
        assert faults == []


TITLES = [
    {"name": "age", "title": "Age", "kind": "years"},
    {"name": "mood", "title": "Mood", "kind": "classes"},
]


def pretend(socket: Any, answer: Callable[[int], dict | None]) -> None:
    count = 0

    def receive(message: str | bytes) -> None:
        nonlocal count
        if isinstance(message, str):
            said: dict | None = {"settings": json.loads(message), "tasks": TITLES, "error": None}
        else:
            said = answer(count)
            count += 1
        if said == {}:
            socket.close()
        elif said is not None:
            socket.send(json.dumps(said))

    socket.on_message(receive)


def face(left: float, top: float, right: float, bottom: float, mood: str = "calm", sure: bool = True) -> dict:
    years = {
        "text": "34 years",
        "value": 34.4,
        "shape": "curve",
        "low": 27.5,
        "high": 41.2,
        "group": "24-39",
        "sure": sure,
        "scores": {},
    }
    classes = {"text": mood, "value": mood, "confidence": 0.934, "sure": sure, "scores": {mood: 0.934}}
    estimates = {"age": years, "mood": classes}
    return {"box": [left, top, right, bottom], "confidence": 0.99, "landmarks": [], "estimates": estimates}


def frame_of(*faces: dict, error: str | None = None) -> dict:
    return {
        "photo": "frame",
        "error": error,
        "faces": [{"number": number, **one} for number, one in enumerate(faces, start=1)],
        "width": 640,
        "height": 480,
        "seconds": 0.01,
    }


def one_face(number: int) -> dict:
    return frame_of(face(64, 120, 192, 300))


def start(page: Any) -> None:
    page.get_by_role("button", name="Start camera").click()


def started(page: Any) -> None:
    start(page)
    page.locator(".outline").first.wait_for()


def wait_until(page: Any, state: str) -> None:
    page.locator(f".webcam[data-state={state}]").wait_for()


def camera_is_off(page: Any) -> bool:
    """Every camera track that the page ever got has ended (KEEP_TRACKS must have run)."""
    return page.evaluate("tracks.length > 0 && tracks.every((one) => one.readyState === 'ended')")


def message(page: Any) -> str:
    return page.locator("[data-part=message]").inner_text()


KEEP_TRACKS = """
window.tracks = [];
const given = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await given(wanted);
  tracks.push(...stream.getTracks());
  return stream;
};
"""
