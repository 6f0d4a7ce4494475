"""Loose photos are labelled on the page: classes are named, several pictures chosen, keys pressed, guesses taken."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_model import runs
from mtl_model.card import write_plain
from mtl_model.ui.teach import dataset, teaching
from tests.ui.conftest import PATIENCE_MS, Served
from tests.ui.tabs.test_teach_page import faces, fill, learned, opened  # noqa: F401  the fixture

pytestmark = pytest.mark.browser


def expect_counts(page: Any, served: Served, run: str, wanted: dict[str, int]) -> None:
    """The page goes on before the server has answered."""
    until = time.monotonic() + PATIENCE_MS / 1000
    while counts(served, run) != wanted and time.monotonic() < until:
        page.wait_for_timeout(100)
    assert counts(served, run) == wanted


def counts(served: Served, run: str) -> dict[str, int]:
    return dataset.read_labelled(teaching.read_run(served.runs, run)).counts()["hat_or_no_hat"]


def begin(page: Any, photos: Path, run: str) -> None:
    page.locator("#teach-name").fill(run)
    page.set_input_files("[data-pick=photos]", sorted(map(str, photos.iterdir())))
    page.get_by_text("12 photos, and no class yet.").wait_for()
    page.get_by_label("Class 1").fill("hat")
    page.get_by_label("Class 2").fill("no hat")
    page.get_by_role("button", name="Label these photos").click()
    page.locator("[data-grid] .pick").nth(11).wait_for()


def left(page: Any, count: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('[data-grid] .pick').length === {count}")


@pytest.fixture
def photos(tmp_path: Path, sample_picture: np.ndarray) -> Path:
    some = faces(sample_picture, 12)
    return fill(tmp_path / "photos", {f"{number:02d}.png": one for number, one in enumerate(some)})


def test_keys_shift_and_guesses(opened: Any, photos: Path, served: Served) -> None:  # noqa: F811
    begin(opened, photos, "wearing")
    opened.locator("[data-grid] [data-choose]").first.focus()
    for key in "1212":  # one after another: each press is for the next picture
        opened.keyboard.press(key)
    left(opened, 8)
    expect_counts(opened, served, "wearing", {"hat": 2, "no hat": 2, "not labelled": 8})
    opened.keyboard.press("Shift+ArrowRight")
    opened.keyboard.press("Shift+ArrowRight")
    opened.get_by_text("3 chosen").wait_for()
    with opened.expect_response("**/mtl/teach/pictures*"):  # what is drawn anew meanwhile leaves the choice
        opened.request.post(
            f"{served.address}/mtl/teach/change",
            data=json.dumps({"run": "wearing", "files": ["11.png"], "keep": True, "task": "hat_or_no_hat"}),
        )
    assert opened.get_by_text("3 chosen").count() == 1
    opened.keyboard.press("1")
    left(opened, 5)
    opened.locator("[data-grid] .thumb").nth(1).click()
    opened.locator("[data-grid] .thumb").nth(4).click(modifiers=["Shift"])
    opened.get_by_text("4 chosen").wait_for()
    opened.locator(".bulk").get_by_role("button", name="2 no hat").click()
    left(opened, 1)
    expect_counts(opened, served, "wearing", {"hat": 5, "no hat": 6, "not labelled": 1})
    opened.get_by_role("button", name="Undo the last change").click()  # all four at once
    left(opened, 5)

    opened.locator('.teach[data-state="checked"]').wait_for(timeout=4 * PATIENCE_MS)
    run = teaching.read_run(served.runs, "wearing")
    shown = dataset.read_labelled(run)
    told = {
        one.file: ["hat" if number % 2 else "no hat", 0.9] for number, one in enumerate(shown.waiting("hat_or_no_hat"))
    }
    empty: dict[str, Any] = {"tasks": {}, "refused": {}, "traps": {}, "suspects": [], "harmful": [], "suggestions": []}
    edits = dataclasses.asdict(shown.edits)
    write_plain(
        run.folder / runs.FORECAST,
        {"parent": "default", "seconds": 1.0, "guesses": {"hat_or_no_hat": told}, "edits": edits, **empty},
    )
    opened.locator(".pick .tag").nth(4).wait_for()
    opened.locator("[data-grid] [data-choose]").first.focus()
    assert opened.evaluate("document.activeElement.getAttribute('aria-label')").endswith("looks like hat")
    opened.keyboard.press("Enter")  # takes the guess
    left(opened, 4)
    opened.get_by_role("button", name="Take the guesses").click()
    opened.locator("[data-grid]").wait_for(state="detached")
    expect_counts(opened, served, "wearing", {"hat": 7, "no hat": 5})
    opened.get_by_role("button", name="12 labelled").wait_for()


def test_classes_are_renamed_joined_and_added_on_their_strips(opened: Any, photos: Path, served: Served) -> None:  # noqa: F811
    begin(opened, photos, "lids")
    opened.locator('.teach[data-state="checked"]').wait_for(timeout=4 * PATIENCE_MS)
    opened.get_by_role("button", name="Rename no hat").click()
    opened.get_by_role("dialog").get_by_label("New name").fill("bare")
    opened.get_by_role("dialog").get_by_role("button", name="Rename").click()
    opened.get_by_role("button", name="Rename bare").wait_for()
    opened.get_by_role("button", name="Add a class").click()
    opened.get_by_role("dialog").get_by_label("Name of the class").fill("cap")
    opened.get_by_role("dialog").get_by_role("button", name="Add it").click()
    opened.get_by_role("button", name="Rename cap").wait_for(timeout=4 * PATIENCE_MS)
    assert list(counts(served, "lids")) == ["hat", "bare", "cap", "not labelled"]
    assert json.loads((served.runs / "lids" / runs.TEACH).read_text())["classes"] == ["hat", "no hat", "cap"]


def test_a_checkpoint_whose_pictures_were_kept_is_taught_further(opened: Any, served: Served, root: Path) -> None:  # noqa: F811
    learned(served, root, "wigs")
    opened.request.post(f"{served.address}/mtl/teach/accept", data=json.dumps({"run": "wigs", "keep": True}))
    opened.evaluate("document.dispatchEvent(new CustomEvent('mtl:models'))")
    opened.locator("button[role=tab]:visible", has_text="Models").click()
    opened.get_by_role("button", name="Add pictures: wigs").click()
    opened.get_by_role("button", name="Add pictures or mend labels").click()
    opened.locator('.teach[data-run="wigs-2"] .understood', has_text="2 pictures with labels").wait_for()
    assert opened.url.endswith("#teach/wigs-2")
    shutil.rmtree(served.runs / "wigs")
