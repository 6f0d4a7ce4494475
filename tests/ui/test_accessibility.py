"""What axe-core finds on every tab in both themes, keys, addresses, and names that are long or run from right to left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from mtl_model import checkpoint
from mtl_model.card import Card, CropSettings, write_plain
from mtl_model.tasks import TASKS, class_task
from tests.ui.conftest import PATIENCE_MS, Served, choose, serving
from tests.ui.tabs.test_teach import learned
from tests.ui.tabs.test_teach_page import check, faces, fill

pytestmark = pytest.mark.browser
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe

LONG = "n" * 64
HEBREW = class_task("צבע_שיער", ("שחור", "חום", "בהיר"))
RULES = {"label-content-name-mismatch": {"enabled": True}}  # experimental in axe, WCAG 2.5.3


@pytest.fixture(scope="module")
def own(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page with a checkpoint whose tasks and classes have names of 60 letters, and Hebrew ones."""
    with serving(root, tmp_path_factory.mktemp("own")) as running:
        tasks = (TASKS["age"], class_task("t" * 60, ("a" * 60, "b" * 60)), HEBREW)
        card = Card("bknet", {"size_px": 16, "hidden": 8}, tasks, crop=CropSettings(size_px=16))
        checkpoint.save(running.runs / LONG, checkpoint.build_network(card), card)
        yield running


Visit = Callable[..., Any]


@pytest.fixture
def visit(chrome: Any, own: Served) -> Iterator[Visit]:
    """visit(theme, width, address) -> the page as a new visitor sees it. An error in a script fails the test."""
    contexts, errors = [], []

    def open_page(theme: str = "light", width: int = 1280, address: str = "/") -> Any:
        contexts.append(chrome.new_context(viewport={"width": width, "height": 900}, color_scheme=theme))
        contexts[-1].set_default_timeout(PATIENCE_MS)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(own.address + address)
        page.locator("#tabs [role=tab][tabindex='0']").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def tab(page: Any, title: str) -> None:
    page.get_by_role("tab", name=title).locator("visible=true").click()


def assert_accessible(page: Any, where: str) -> None:
    found = Axe().run(page, options={"resultTypes": ["violations"], "rules": RULES}).response["violations"]
    each = [(one["id"], node["target"], node["failureSummary"]) for one in found for node in one["nodes"]]
    assert each == [], where


def grid(tmp_path: Path, sample: np.ndarray, columns: int, rows: int) -> Path:
    """A crowd: the sample picture's head again and again, without a gap."""
    head = Image.fromarray(sample).crop((150, 20, 300, 200)).resize((120, 144))
    sheet = Image.new("RGB", (120 * columns, 144 * rows))
    for index in range(columns * rows):
        sheet.paste(head, (120 * (index % columns), 144 * (index // columns)))
    sheet.save(tmp_path / f"{columns} by {rows}.png")
    return tmp_path / f"{columns} by {rows}.png"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_photo_has_no_violations(
    visit: Visit, theme: str, tmp_path: Path, sample_picture: np.ndarray, root: Path
) -> None:
    page = visit(theme)
    assert_accessible(page, "empty")
    choose(page, grid(tmp_path, sample_picture, 7, 2), root / "app.py")
    page.locator(".cards.many section.face").nth(12).wait_for()
    page.locator('.strip [data-status="failed"]').wait_for()
    for fold in page.locator(".photo summary").all():
        fold.click()
    assert_accessible(page, "a crowd, the table, the downloads")
    choose(page, root / "samples" / "astronaut.jpg")
    page.locator(".cards:not(.many) section.face").wait_for()
    page.get_by_role("button", name="This is wrong").click()
    page.get_by_role("button", name="Save").click()
    page.locator(".correct .alert:not([hidden])").wait_for()
    assert_accessible(page, "the right answers")
    page.evaluate("(name) => mtl.chooseComparison(name)", LONG)
    page.locator(".sides").wait_for()
    assert_accessible(page, "comparing")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_webcam_models_and_about_have_no_violations(visit: Visit, theme: str) -> None:
    page = visit(theme)
    page.context.grant_permissions(["camera"])
    tab(page, "Webcam")
    assert_accessible(page, "the camera off")
    page.get_by_role("button", name="Start camera").click()
    page.locator(".webcam[data-state=live]").wait_for()
    assert_accessible(page, "the camera on")
    tab(page, "Models")
    page.locator(".model").nth(2).wait_for()
    assert_accessible(page, "the models")
    page.locator(f'.model[data-name="{LONG}"]').get_by_role("button", name="Rename").click()
    assert_accessible(page, "a question")
    page.keyboard.press("Escape")
    tab(page, "Systems")
    page.locator(".system h3").last.wait_for()
    for fold in reversed(page.locator(".system details:not([open]) > summary").all()):
        fold.click()
    assert_accessible(page, "the systems")
    tab(page, "About")
    page.locator(".about h2").wait_for()
    for fold in reversed(page.locator(".about details:not([open]) > summary").all()):
        fold.click()
    assert_accessible(page, "about")


@pytest.fixture(scope="module")
def taught(own: Served, chrome: Any, tmp_path_factory: pytest.TempPathFactory, sample_picture: np.ndarray) -> str:
    """A run with checked pictures, whose name and classes are long."""
    some = faces(sample_picture, 20)
    words = ["yes" * 20] * 10 + ["no" * 20] * 10
    folder = fill(
        tmp_path_factory.mktemp("taught"),
        {f"{word}/{LONG}{n}.png": one for n, (word, one) in enumerate(zip(words, some, strict=True))},
    )
    context = chrome.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{own.address}/#teach")
    name = "r" * 60
    page.locator("#teach-name").fill(name)
    check(page, folder)
    context.close()
    return name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_teach_has_no_violations(visit: Visit, theme: str, taught: str, own: Served) -> None:
    page = visit(theme, address="/#teach")
    page.locator("#teach-new").click()
    page.locator('.teach[data-run=""]').wait_for()
    assert_accessible(page, "nothing yet")
    page.locator(".run").first.click()
    page.locator(".count").first.click()
    page.locator(".browse .picture").first.wait_for()
    for number in (1, 3):
        page.locator(f'.step[data-step="{number}"] > summary').click()
    assert_accessible(page, "the pictures are checked")
    written = list(map((own.runs / taught).joinpath, ("card.json", "model.safetensors", "outcome.json")))
    learned(own.runs, taught)
    page.locator(".teach[data-state=done]").wait_for()
    for fold in page.locator('.step[data-step="4"] .fold > summary').all():
        fold.click()
    assert page.locator(".step .scroll[tabindex='0'][role=region]").count() == 2
    assert_accessible(page, "the results")
    for path in written:
        path.unlink()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_labelling_and_recording_have_no_violations(
    visit: Visit, theme: str, width: int, own: Served, tmp_path: Path, sample_picture: np.ndarray
) -> None:
    """With classes of 60 letters, and guesses."""
    page = visit(theme, width, "/#teach")
    page.context.grant_permissions(["camera"])
    page.locator(".teach[data-state]").wait_for()
    if page.locator("#teach-new").count():  # other tests leave runs
        page.locator("#teach-new").click()
        page.locator('.teach[data-run=""]').wait_for()
    photos = fill(tmp_path / "photos", {f"{n}.png": one for n, one in enumerate(faces(sample_picture, 6))})
    page.locator("#teach-name").fill(f"loose-{width}")
    page.set_input_files("[data-pick=photos]", sorted(map(str, photos.iterdir())))
    page.locator(".naming-classes").wait_for()
    assert_accessible(page, "the classes are named")
    words = ["yes" * 20, "no" * 20]
    for number, word in enumerate(words, 1):
        page.get_by_label(f"Class {number}").fill(word)
    page.get_by_label("What they tell apart").fill("t" * 30)
    page.get_by_role("button", name="Label these photos").click()
    page.locator(".teach[data-state=checked]").wait_for(timeout=4 * PATIENCE_MS)
    run = own.runs / f"loose-{width}"
    guesses = {f"{n}.png": [words[n % 2], 0.6 + 0.3 * (n % 2)] for n in range(6)}
    write_plain(run / "forecast.json", {**NOTHING_TOLD, "guesses": {"t" * 30: guesses}})
    page.locator(".pick .tag.unsure").first.wait_for()
    page.locator("[data-grid] [data-choose]").first.check()
    assert_accessible(page, "the grid")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    page.locator('.step[data-step="1"] > summary').click()
    page.get_by_role("button", name="Open the camera").click()
    page.locator(".record-row").nth(1).wait_for()
    assert_accessible(page, "the recorder")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.request.post(f"{own.address}/mtl/teach/discard", data=json.dumps({"run": run.name}))


NOTHING_TOLD = {
    "parent": "default",
    "seconds": 1.0,
    "tasks": {},
    "refused": {},
    "traps": {},
    "suspects": [],
    "harmful": [],
    "suggestions": [],
    "edits": {"left_out": [], "labels": {}, "renamed": {}, "kept": {}},
}


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_stay_in_their_place(visit: Visit, width: int, taught: str, root: Path, tmp_path: Path) -> None:
    page = visit(width=width)

    def check_width(where: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where
        assert page.evaluate(OVERFLOWING) == [], where

    file = tmp_path / f"{'f' * 200}.jpg"
    file.write_bytes((root / "samples" / "astronaut.jpg").read_bytes())
    page.evaluate("(name) => mtl.choose(name)", LONG)
    choose(page, file)
    page.locator(".face", has_text="t" * 59).wait_for()
    check_width("a card")
    page.evaluate("() => mtl.chooseComparison('bknet')")
    page.locator(".sides").wait_for()
    check_width("comparing")
    for title, wanted in (("Models", ".model"), ("About", ".about h2"), ("Teach", ".tally")):
        tab(page, title)
        page.locator(wanted).first.wait_for()
        check_width(title)


OVERFLOWING = """() => [...document.querySelectorAll(".face, .button, .model, #pickers, .about .section, .step, .picture, .run")]
  .filter((one) => one.checkVisibility()).flatMap((one) => [...one.querySelectorAll("*")]
    .filter((inner) => inner.checkVisibility() && !inner.closest(".unseen, .scroll, .file, .step .line, [role=tooltip], svg"))
    .filter((inner) => inner.getBoundingClientRect().right > one.getBoundingClientRect().right + 1)
    .map((inner) => `${inner.tagName}.${inner.className}: ${inner.textContent.slice(0, 20)}`))"""


def test_numbers_run_from_left_to_right_and_cover_no_other_face(
    visit: Visit, tmp_path: Path, sample_picture: np.ndarray
) -> None:
    page = visit()
    choose(page, grid(tmp_path, sample_picture, 5, 3))
    page.locator("section.face").nth(14).wait_for()
    boxes = page.evaluate(BOXES, ".box")
    assert boxes == sorted(boxes, key=lambda box: (round(box["top"] / 60), box["left"]))
    for index, badge in enumerate(page.evaluate(BOXES, ".box .badge")):
        assert not [box for box in boxes[:index] + boxes[index + 1 :] if shared(badge, box) > 4]
    assert "Gender" in page.locator(".cards.many .face").first.inner_text(), "a class stands with its task"


BOXES = """(selector) => [...document.querySelectorAll(selector)].map((one) => one.getBoundingClientRect().toJSON())"""


def shared(one: dict[str, float], other: dict[str, float]) -> float:
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    return max(0, across) * max(0, min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]))


def focused(page: Any) -> str:
    return page.evaluate(
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
    )


def test_a_face_is_one_stop_and_arrows_walk_inside(visit: Visit, tmp_path: Path, sample_picture: np.ndarray) -> None:
    page = visit()
    choose(page, grid(tmp_path, sample_picture, 2, 1))
    page.locator("section.face").nth(1).wait_for()
    page.get_by_label("Smallest face").focus()
    stops = []
    for _ in range(3):
        page.keyboard.press("Tab")
        stops.append(focused(page))
    assert stops == ["Show face 1", "Show face 2", "Table"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")
    assert focused(page) == "Not a face"
    page.keyboard.press("ArrowUp")
    assert focused(page) == "This is wrong"
    page.keyboard.press("ArrowLeft")
    assert focused(page) == "Show face 1" and page.locator(".keys").is_visible()
    page.keyboard.press("ArrowDown")
    assert page.locator("[role=tooltip]:visible").count() == 1


def test_arrows_move_between_the_tabs(visit: Visit) -> None:
    page = visit()
    page.locator("#tabs [role=tab][tabindex='0']").focus()
    for key, title in (
        ("ArrowRight", "Webcam"),
        ("End", "About"),
        ("ArrowRight", "Photo"),
        ("ArrowLeft", "About"),
        ("Home", "Photo"),
    ):
        page.keyboard.press(key)
        page.locator(f"#tabs [role=tab][aria-selected=true][tabindex='0']:text-is('{title}')").wait_for()
        assert focused(page) == title and page.locator("#tabs [role=tab][tabindex='0']").count() == 1


def test_each_tab_and_each_run_has_its_address(visit: Visit, taught: str) -> None:
    page = visit()
    tab(page, "Models")
    tab(page, "Teach")
    page.wait_for_url(f"**/#teach/{quote(taught)}")  # the newest run that is open
    page.locator("#teach-new").click()
    page.wait_for_url("**/#teach")
    page.reload()
    page.locator(".teach").wait_for()
    page.go_back()
    page.locator(f'.teach[data-run="{taught}"]').wait_for()
    page.go_back()
    page.locator(".models").wait_for()
    page.go_forward()
    page.locator(f'.teach[data-run="{taught}"]').wait_for()
    copied = visit(address=f"/#teach/{taught}")
    copied.locator(f'.teach[data-run="{taught}"]').wait_for()
    for key, wanted in (
        ("photo", ".photo"),
        ("webcam", ".webcam"),
        ("models", ".models"),
        ("about", ".about h2"),
        ("nothing", ".photo"),
    ):
        other = visit(address=f"/#{key}")
        other.locator(wanted).wait_for()


def test_a_run_that_is_gone_is_said(visit: Visit) -> None:
    page = visit(address="/#teach/gone")
    page.locator(".alert", has_text="gone is no longer here").wait_for()
    assert json.dumps(page.url.split("/")[-1]) == '"#teach"'
