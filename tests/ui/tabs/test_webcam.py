"""The Webcam tab in a real browser: what it shows of the answers, with a fake camera that shows the sample picture."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.ui.conftest import Served
from tests.ui.tabs.conftest import (
    HEIGHT,
    KEEP_TRACKS,
    TITLES,
    WIDTH,
    Open,
    camera_is_off,
    face,
    frame_of,
    one_face,
    start,
    started,
    wait_until,
)

pytestmark = pytest.mark.browser


def values_of(card: Any) -> dict[str, str]:
    """What a face card says for each task: its main value, without bars and marks."""
    blocks = card.locator("[data-task]").all()
    return {block.get_attribute("data-task"): block.locator("b").first.inner_text() for block in blocks}


def test_a_box_lies_on_the_face_and_the_photo_tab_says_the_same(open_tab: Open, served: Served) -> None:
    before = set(served.kept.rglob("*"))
    page = open_tab(KEEP_TRACKS)
    started(page)
    picture, box = page.locator(".picture").bounding_box(), page.locator(".outline").bounding_box()
    assert abs(picture["width"] / picture["height"] - WIDTH / HEIGHT) < 0.02
    middle = (box["x"] + box["width"] / 2 - picture["x"]) / picture["width"]
    foot = (box["y"] + box["height"] - picture["y"]) / picture["height"]
    # the face lies at 0.44 and 0.21 of the astronaut's width and height, at the left of the frame, seen mirrored
    assert 1 - 0.44 * HEIGHT / WIDTH - 0.06 < middle < 1 - 0.44 * HEIGHT / WIDTH + 0.06
    assert 0.2 < foot < 0.45
    page.get_by_text(re.compile(r"frames? a second")).wait_for()

    page.get_by_role("button", name="Freeze").click()
    wait_until(page, "frozen")
    assert camera_is_off(page)
    live = values_of(page.locator(".webcam").get_by_role("group", name="Face 1", exact=True))
    page.get_by_role("button", name="Open in Photo").click()
    card = page.locator(".photo").get_by_role("group", name="Face 1", exact=True)
    card.wait_for()
    photo = values_of(card)
    assert live.keys() == photo.keys()
    for task, value in live.items():
        if value.endswith("years"):  # another JPEG of the same picture
            assert abs(int(value.split()[0]) - int(photo[task].split()[0])) <= 3
        else:
            assert value == photo[task]
    assert set(served.kept.rglob("*")) == before  # nothing of it was written down


def test_mirroring_turns_picture_and_boxes_but_no_text(open_tab: Open) -> None:
    page = open_tab(answer=one_face)
    started(page)
    picture = page.locator(".picture").bounding_box()

    def left_of_box() -> float:
        return (page.locator(".outline").bounding_box()["x"] - picture["x"]) / picture["width"]

    assert left_of_box() == pytest.approx(1 - 192 / 640, abs=0.01)
    assert "-1" in page.locator("video:visible").evaluate("(video) => getComputedStyle(video).transform")
    page.get_by_label("Mirror").uncheck()
    assert left_of_box() == pytest.approx(64 / 640, abs=0.01)
    assert page.locator("video:visible").evaluate("(video) => getComputedStyle(video).transform") == "none"
    assert page.locator(".line-of-face").evaluate("(label) => getComputedStyle(label).transform") == "none"


def test_a_face_is_said_in_one_line_and_in_a_card(open_tab: Open) -> None:
    faces = [face(0, 0, 300, 200), face(350, 280, 600, 470, "<b onclick=alert(1)>", sure=False)]
    page = open_tab(answer=lambda number: frame_of(*faces))
    started(page)
    line = page.locator(".line-of-face[data-face='1'] .answers > span")
    assert line.all_text_contents() == ["Age: 34 (28–41)", "Mood: calm"]
    unsure = page.locator(".line-of-face[data-face='2'] .muted")
    assert unsure.all_text_contents() == ["Age: 34? (28–41)", "Mood: <b onclick=alert(1)>?"]  # text stays text
    cards = page.locator(".webcam [role=group]")
    assert [card.get_attribute("aria-label") for card in cards.all()] == ["Face 1", "Face 2"]
    first, second = (card.inner_text().replace("\xa0", " ") for card in cards.all())
    assert re.sub(r"\s+", " ", first) == "1 Age 34 years 28 to 41 · 24–39 Mood calm 93 %"
    assert second.count("unsure") == 2


def test_cards_change_at_most_twice_a_second(open_tab: Open) -> None:
    page = open_tab(answer=one_face)
    started(page)
    changes, frames, seconds = page.evaluate(
        """() => new Promise((done) => {
          let changes = 0, frames = 0;
          const began = performance.now();
          const watch = (part, then) => new MutationObserver(then).observe(
            document.querySelector(`[data-part=${part}]`), { attributes: true, childList: true, subtree: true });
          watch("cards", () => { changes += 1; });
          watch("overlay", () => { if (++frames === 40) done([changes, frames, (performance.now() - began) / 1000]); });
        })"""
    )
    assert frames == 40
    assert 0 < changes <= 2 * seconds + 1


def test_no_face_is_said(open_tab: Open) -> None:
    page = open_tab(answer=lambda number: frame_of())
    start(page)
    page.get_by_text("No face is seen.").wait_for()


def test_one_frame_is_in_flight(open_tab: Open) -> None:
    seen: list[int] = []
    page = open_tab(answer=lambda number: seen.append(number))  # which returns None: never answered
    start(page)
    wait_until(page, "live")
    page.wait_for_timeout(1500)
    assert seen == [0]


def test_a_phone_needs_no_sideways_scroll_and_has_large_targets(open_tab: Open) -> None:
    faces = [face(40 + 90 * index, 100, 110 + 90 * index, 190) for index in range(6)]
    page = open_tab(answer=lambda number: frame_of(*faces), width=390)
    started(page)
    page.get_by_role("button", name="Freeze").click()
    wait_until(page, "frozen")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for target in page.locator(".webcam :is(button, label):visible").all():
        assert target.bounding_box()["height"] >= 44
    labels = [label.bounding_box() for label in page.locator(".line-of-face").all()]
    for index, one in enumerate(labels):
        for other in labels[:index]:
            assert (
                one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
                or (one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"])
            )


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    return (
        min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"]) > 1
        and min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"]) > 1
    )


LONG = "x" * 60


def test_a_line_covers_no_other_face_and_stays_in_the_picture(open_tab: Open) -> None:
    boxes = [(60, 20, 200, 190), (60, 200, 200, 370), (230, 150, 330, 270), (340, 150, 440, 270), (500, 380, 600, 480)]
    page = open_tab(answer=lambda number: frame_of(*(face(*box, mood=LONG) for box in boxes)))
    started(page)
    picture = page.locator(".picture").bounding_box()
    outlines = [one.bounding_box() for one in page.locator(".outline").all()]
    lines = [one.bounding_box() for one in page.locator(".line-of-face").all()]
    for index, line in enumerate(lines):
        assert line["x"] >= picture["x"] and line["x"] + line["width"] <= picture["x"] + picture["width"]
        others = outlines[:index] + outlines[index + 1 :] + lines[:index]
        assert not [other for other in others if overlap(line, other)]
    assert page.locator('.line-of-face:not([data-form="number-only"])').count() >= 3


def test_names_from_right_to_left_keep_to_themselves(open_tab: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TITLES[1], "title", "צבע שיער")
    page = open_tab(answer=lambda number: frame_of(face(64, 120, 192, 300, "שחור", sure=False)))
    started(page)
    names = page.locator(".line-of-face .answers > span").nth(1).locator("bdi")
    title, value = (name.bounding_box() for name in names.all())
    assert title["x"] + title["width"] <= value["x"], "the task first, as the sentence runs"


def test_a_quantity_is_shown_in_its_unit_with_its_interval_where_one_is_known(open_tab: Open) -> None:
    known = {"text": "171 cm", "value": 171.2, "unit": "cm", "shape": "number", "sure": True, "scores": {}}
    heights = (known | {"low": 165.2, "high": 177.2}, known | {"sure": False})

    def answer(number: int) -> dict:
        return frame_of(
            *({**face(64 + 250 * k, 120, 192 + 250 * k, 300), "estimates": {"height": heights[k]}} for k in (0, 1))
        )

    page = open_tab(answer=answer)
    started(page)
    labels = page.locator(".line-of-face")
    assert re.sub(r"\s+", " ", labels.nth(0).inner_text()).endswith("height: 171 cm (165.2–177.2)")
    assert labels.nth(1).inner_text().endswith("height: 171 cm?")
    cards = page.locator(".webcam [data-task=height]")
    cards.nth(1).wait_for()
    assert cards.nth(0).locator(".interval").inner_text() == "165.2 to 177.2"
    assert cards.nth(1).locator(".interval").inner_text() == "" and "unsure" in cards.nth(1).inner_text()
