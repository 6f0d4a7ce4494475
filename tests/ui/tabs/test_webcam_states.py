"""The Webcam tab in a real browser: when the camera is on and when off, and a sentence for whatever goes wrong."""

from __future__ import annotations

import pytest

from tests.ui.tabs.conftest import (
    KEEP_TRACKS,
    Open,
    camera_is_off,
    face,
    frame_of,
    message,
    one_face,
    start,
    started,
    wait_until,
)

pytestmark = pytest.mark.browser


def test_start_and_stop_are_one_button_for_the_keyboard_too(open_tab: Open) -> None:
    page = open_tab(KEEP_TRACKS, one_face)
    assert page.get_by_role("button", name="Freeze").is_disabled()
    page.get_by_role("button", name="Start camera").focus()
    page.keyboard.press("Enter")
    page.locator(".outline").first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Freeze
    wait_until(page, "frozen")
    assert camera_is_off(page)
    assert page.locator("canvas[data-part=still]").is_visible()
    assert page.locator(".outline").count() == 1
    page.keyboard.press("Enter")  # goes on
    page.locator(".webcam[data-state=live] .outline").first.wait_for()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    wait_until(page, "off")
    assert camera_is_off(page)
    assert page.locator(".outline").count() == 0
    assert page.get_by_role("button", name="Start camera").is_visible()


def test_leaving_the_tab_turns_the_camera_off(open_tab: Open) -> None:
    page = open_tab(KEEP_TRACKS, one_face)
    started(page)
    page.locator("button[role=tab]:visible", has_text="Photo").click()
    page.wait_for_function("tracks.every((one) => one.readyState === 'ended')")
    page.locator("button[role=tab]:visible", has_text="Webcam").click()
    assert "because you left" in message(page)
    started(page)  # and it works again


def test_scrolling_away_keeps_the_camera_on(open_tab: Open) -> None:
    page = open_tab(KEEP_TRACKS, one_face)
    started(page)
    page.evaluate("document.body.style.paddingBottom = '3000px'; scrollTo(0, 2500)")
    page.wait_for_timeout(500)
    assert page.evaluate("tracks.at(-1).readyState") == "live"


def test_hiding_the_page_turns_the_camera_off(open_tab: Open) -> None:
    page = open_tab(KEEP_TRACKS, one_face)
    started(page)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => true });"
        "document.dispatchEvent(new Event('visibilitychange'));"
    )
    wait_until(page, "off")
    assert camera_is_off(page)


def test_a_camera_that_comes_after_the_tab_was_left_is_turned_off(open_tab: Open) -> None:
    late = "const wait = navigator.mediaDevices.getUserMedia; navigator.mediaDevices.getUserMedia = async (wanted) =>"
    late += " { await new Promise((done) => { window.allow = done; }); return wait(wanted); };"
    page = open_tab(KEEP_TRACKS + late, one_face)
    start(page)
    page.wait_for_function("Boolean(window.allow)")
    page.locator("button[role=tab]:visible", has_text="Photo").click()
    page.locator(".webcam[data-state=off]").wait_for(state="attached")
    page.evaluate("allow()")
    page.wait_for_function("tracks.length && tracks.every((one) => one.readyState === 'ended')")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("NotAllowedError", "allow"),
        ("NotFoundError", "No camera"),
        ("NotReadableError", "another program"),
        ("X", "again"),
    ],
)
def test_a_camera_that_fails_gets_a_sentence(open_tab: Open, name: str, word: str) -> None:
    page = open_tab(
        f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('inner detail', '{name}'); }};"
    )
    start(page)
    wait_until(page, "off")
    page.locator("[data-part=message]", has_text=word).wait_for()
    assert "inner" not in message(page)
    assert page.get_by_role("button", name="Start camera").is_enabled()


def test_plain_http_is_told_to_want_https(open_tab: Open) -> None:
    page = open_tab(
        "Object.defineProperty(window, 'isSecureContext', { value: false });"
        "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });"
    )
    page.locator("[data-part=message]", has_text="https").wait_for()
    assert "--ssl-certfile" in message(page) and "--ssl-keyfile" in message(page)
    assert page.get_by_role("button", name="Start camera").is_disabled()


def test_a_lost_connection_is_said_and_the_camera_is_off(open_tab: Open) -> None:
    page = open_tab(KEEP_TRACKS, answer=lambda number: frame_of(face(9, 9, 99, 99)) if number < 3 else {})
    start(page)
    page.locator("[data-part=message]", has_text="connection").wait_for()
    assert camera_is_off(page)
    assert page.locator(".outline").count() == 0


def test_a_bad_frame_is_said_and_the_next_one_shows(open_tab: Open) -> None:
    go_on = False

    def answer(number: int) -> dict:
        return frame_of(face(50, 50, 200, 200)) if go_on else frame_of(error="A frame was not readable. Wait.")

    page = open_tab(answer=answer)
    start(page)
    page.locator("[data-part=message]", has_text="not readable").wait_for()
    go_on = True
    page.locator(".outline").wait_for()
    assert message(page) == ""


def test_several_cameras_can_be_chosen(open_tab: Open) -> None:
    two = """
    const cameras = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
    navigator.mediaDevices.enumerateDevices = async () => {
      const found = (await cameras()).filter((one) => one.kind === "videoinput");
      return [...found, { kind: "videoinput", deviceId: "second", label: "Second camera" }];
    };"""
    page = open_tab(KEEP_TRACKS + two, one_face)
    assert not page.locator(".webcam").get_by_label("Camera", exact=True).is_visible()
    started(page)
    choice = page.locator(".webcam").get_by_label("Camera", exact=True)
    choice.wait_for()
    choice.select_option("second")  # which is not really there
    page.locator("[data-part=message]", has_text="no longer there").wait_for()
    assert camera_is_off(page)
