"""README and docs: their links lead somewhere, and their commands have the options that they name."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from mtl_model.cli import make_parser

ROOT = Path(__file__).resolve().parent.parent
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGES = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
README_WORDS = 900


def ids(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def options() -> dict[str, set[str]]:
    """Return the options of each command, by its name."""
    parser = make_parser()
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {
        name: {option for action in command._actions for option in action.option_strings}
        for name, command in subparsers.choices.items()
    }


KNOWN = options()


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_every_command_has_the_options_that_it_is_shown_with(page: Path) -> None:
    wrong = []
    for block in re.findall(r"```sh\n(.*?)```", text_of(page), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            shown = re.match(r"(?:.*/)?python -m mtl_model ([a-z]+)(.*)", line.partition(" #")[0])
            if shown:
                unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", shown[2])) - KNOWN.get(shown[1], set())
                wrong += [line] if shown[1] not in KNOWN else [f"{shown[1]} {option}" for option in unknown]
    assert wrong == []


def test_the_readme_is_read_in_minutes() -> None:
    assert len(text_of(ROOT / "README.md").split()) <= README_WORDS


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        names = (link.partition("#")[0] for link in LINK.findall(text_of(page)))
        waiting += [(page.parent / name).resolve() for name in names if name]
    assert {page.name for page in PAGES if page not in reached} == {"SECURITY.md", "CHANGELOG.md"}, (
        "where people look for them"
    )
