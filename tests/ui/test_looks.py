"""Contrast, targets, width and focus of the page in a real browser, in both themes, on a phone and a desk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import PATIENCE_MS, Served, choose

pytestmark = pytest.mark.browser

# Text whose contrast with the nearest opaque ground behind it is under 4.5 (3 for large text), as sentences.
CONTRAST = """() => {
  const parse = (text) => { const m = text.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour[3] > 0.8) return colour;
    }
    return [255, 255, 255, 1];
  };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest(".unseen, #announcer, script, style")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(ground(element))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.7 && style.fontWeight >= 700);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (large ? 3 : 4.5)) bad.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return bad;
}"""

SMALL_TARGETS = """() => [...document.querySelectorAll(
    ".button, [role=tab], summary, .link, .readings th button, .crop, select, input[type=range]")]
  .filter((one) => one.checkVisibility())
  .map((one) => [one.textContent.trim() || one.className || one.id, one.getBoundingClientRect()])
  .filter(([, box]) => box.height > 0 && box.height < 43.5).map(([name, box]) => `${name}: ${box.height}`)"""


@pytest.fixture
def visit(chrome: Any, served: Served) -> Any:
    """A visitor with a theme and a window of a given width."""
    contexts = []

    def open_page(theme: str, width: int) -> Any:
        contexts.append(chrome.new_context(viewport={"width": width, "height": 844}, color_scheme=theme))
        contexts[-1].set_default_timeout(PATIENCE_MS)
        page = contexts[-1].new_page()
        page.goto(served.address)
        page.locator(".photo .invite").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_contrast_targets_and_width(
    visit: Callable[[str, int], Any], theme: str, width: int, tiled: Path, root: Path
) -> None:
    page = visit(theme, width)

    def check(where: str) -> None:
        assert page.evaluate(CONTRAST) == [], where
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where
        if width < 600:
            assert page.evaluate(SMALL_TARGETS) == [], where

    check("empty")
    choose(page, tiled, root / "README.md" if (root / "README.md").exists() else root / "app.py")
    page.locator('.strip [data-status="failed"]').wait_for()
    for fold in page.locator(".photo summary").all():
        fold.click()
    check("cards")
    page.get_by_role("button", name="This is wrong").first.click()
    page.get_by_role("button", name="Save").click()
    page.locator(".correct .alert:not([hidden])").wait_for()
    check("the right answers")
    page.evaluate("mtl.chooseComparison('bknet')")
    page.locator(".sides").first.wait_for()
    page.locator('.strip [data-status="failed"]').wait_for()
    check("comparing")
    page.locator(".strip button").nth(1).click()
    page.locator(".problem").wait_for()
    check("problem")
    page.get_by_role("tab", name="About").locator("visible=true").click()
    page.locator(".about h2").wait_for()
    for fold in reversed(page.locator(".about details:not([open]) > summary").all()):
        fold.click()
    check("about")


def test_focus_is_seen(visit: Callable[[str, int], Any]) -> None:
    page = visit("light", 1280)
    page.locator(".invite .button.primary").focus()
    page.keyboard.press("Tab")
    seen = page.evaluate("getComputedStyle(document.activeElement).outlineWidth + document.activeElement.textContent")
    assert seen.startswith("3px") and "Take a picture" in seen
