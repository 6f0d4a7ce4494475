"""Pictures are recorded with the webcam: a button per class is held, and nobody is filmed unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_model.ui.teach import teaching
from tests.ui.conftest import FLAGS, PATIENCE_MS, Served
from tests.ui.tabs.conftest import KEEP_TRACKS, camera_frame, camera_is_off, write_video
from tests.ui.tabs.test_teach_page import learned

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def moving(chromium: str, sample_picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose camera shows a face that moves."""
    from playwright.sync_api import sync_playwright

    video, frame = tmp_path_factory.mktemp("camera") / "moving.y4m", camera_frame(sample_picture)
    write_video(video, *(np.roll(frame, 8 * number, 1) for number in range(16)), times=1, per_second=5)
    with sync_playwright() as play:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={video}"]
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def recorder(moving: Any, served: Served) -> Iterator[Any]:
    """The Teach tab with the camera open. An error in a script fails the test."""
    context, errors = moving.new_context(permissions=["camera"], viewport={"width": 1280, "height": 900}), []
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(KEEP_TRACKS)
    page.goto(f"{served.address}/#teach")
    page.get_by_role("button", name="Open the camera").click()
    page.locator(".record-row").nth(1).wait_for()
    yield page
    for run in teaching.open_runs(served.runs):
        page.request.post(f"{served.address}/mtl/teach/discard", data={"run": run.name})
    context.close()
    assert errors == []


def kept(page: Any, row: int) -> int:
    return page.evaluate("(at) => document.querySelectorAll('.record-row')[at].kept", row)


def hold(page: Any, row: int, until: int) -> None:
    """Hold the button of a class until so many pictures are kept."""
    page.locator(".hold").nth(row).hover()
    page.mouse.down()
    page.wait_for_function(
        "([at, until]) => document.querySelectorAll('.record-row')[at].kept >= until", arg=[row, until]
    )
    page.mouse.up()


def pictures(served: Served, run: str, word: str) -> list[Path]:
    return sorted((served.runs / run / "data" / word).glob("webcam *.jpg"))


def test_a_button_per_class_is_held_and_the_check_begins_by_itself(recorder: Any, served: Served) -> None:
    recorder.get_by_label("Name of class 1").fill("hat")
    recorder.get_by_label("Name of class 2").fill("no hat")
    hold(recorder, 0, 3)
    hold(recorder, 1, 2)
    assert recorder.locator(".record-row canvas").count() == kept(recorder, 0) + kept(recorder, 1)
    before = kept(recorder, 0)
    recorder.wait_for_timeout(1000)
    assert kept(recorder, 0) == before, "nothing is taken once the button is let go"
    recorder.get_by_role("button", name="Done: check them").click()
    recorder.locator('.teach[data-state="checked"]').wait_for(timeout=4 * PATIENCE_MS)
    assert camera_is_off(recorder)
    run = teaching.read_run(served.runs, "hat-or-no-hat")
    assert run.record.classes == ("hat", "no hat") and run.record.found["pictures"] >= 5
    assert len(pictures(served, run.name, "hat")) == before and len(pictures(served, run.name, "no hat")) >= 2
    recorder.locator('.step[data-step="1"] > summary').click()
    recorder.get_by_role("button", name="Open the camera").click()  # more of the same classes
    recorder.wait_for_function("document.querySelectorAll('.record-row')[0]?.querySelector('input').readOnly")
    hold(recorder, 0, before + 1)


def test_a_key_is_held_as_a_pointer_is(recorder: Any, served: Served) -> None:
    recorder.locator(".hold").first.focus()
    recorder.keyboard.down(" ")
    recorder.wait_for_function("document.querySelector('.record-row').kept > 1")
    recorder.keyboard.up(" ")
    assert recorder.locator(".record-row.held").count() == 0
    assert pictures(served, "class-1-or-class-2", "class 1"), "a class without a name has its number"


def test_what_was_learned_is_tried_live_before_it_is_kept(recorder: Any, served: Served, root: Path) -> None:
    learned(served, root, "berets")
    recorder.keyboard.press("Escape")
    recorder.locator('[data-run="berets"].run').click()
    recorder.get_by_role("button", name="Try live on the webcam").click()
    recorder.get_by_text("This is berets, which is not kept yet.").wait_for()
    recorder.locator(".outline").first.wait_for()
    recorder.evaluate("mtl.choose('bknet')")  # another one ends the trial
    recorder.get_by_text("This is berets").wait_for(state="hidden")
    recorder.evaluate("mtl.tryLive('nobody')")
    recorder.locator("[data-part=message]", has_text="nobody").wait_for()
    assert recorder.evaluate("mtl.trial") == "" and camera_is_off(recorder)


@pytest.mark.parametrize(
    "leave",
    [
        lambda page: page.locator("button[role=tab]:visible", has_text="Photo").click(),
        lambda page: page.evaluate(HIDE),
        lambda page: page.keyboard.press("Escape"),
        lambda page: page.get_by_role("button", name="Close the camera").click(),
    ],
    ids=["another tab", "hidden", "escape", "button"],
)
def test_the_camera_is_off_when_nobody_looks(recorder: Any, leave: Callable[[Any], None]) -> None:
    assert not camera_is_off(recorder)
    leave(recorder)
    recorder.wait_for_function("tracks.every((one) => one.readyState === 'ended')")
    assert recorder.locator(".recorder").is_hidden()


HIDE = """() => {
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
