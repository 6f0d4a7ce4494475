"""A learned task is put onto another checkpoint on the Models tab."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from mtl_model.card import read_card
from mtl_model.tasks import TASKS
from tests.test_branches import BEARD, HAT, made
from tests.ui.conftest import Served
from tests.ui.test_accessibility import assert_accessible

pytestmark = pytest.mark.browser


def test_it_is_chosen_named_and_there(page: Any, served: Served) -> None:
    hats = made(served.runs / "join-hats", TASKS["smile"], HAT)
    beards = made(served.runs / "join-beards", TASKS["smile"], BEARD)
    page.reload()
    page.locator("button[role=tab]:visible", has_text="Models").click()
    picker = page.locator('.model[data-name="join-hats"]').get_by_label("Add a task of another")
    picker.wait_for()
    assert_accessible(page, "a task of another")
    picker.click()
    page.get_by_role("option", name="Beard of join-beards").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("All answers that join-hats gives stay the same.").wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    picker.click()  # the same again
    page.get_by_role("option", name="Beard of join-beards").click()
    assert dialog.get_by_label("Name of the new checkpoint").input_value() == "join-hats-beard"
    dialog.get_by_label("Name of the new checkpoint").fill("join-both")
    dialog.get_by_role("button", name="Put together").click()
    page.locator('.model[data-name="join-both"]').wait_for()
    assert [task.name for task in read_card(served.runs / "join-both").tasks] == ["smile", "hat", "beard"]
    for folder in (hats, beards, served.runs / "join-both"):
        shutil.rmtree(folder)
