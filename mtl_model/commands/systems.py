"""List the published systems that can be trained here."""

from __future__ import annotations

import argparse
from typing import Any

from mtl_model import systems
from mtl_model.commands._parts import check_files, check_stdout
from mtl_model.terminal import answer, given_path

HELP = "list the published systems that can be trained, with the figures reached here"
ORDER = 25


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=given_path, metavar="DIR", help=systems.DATA_HELP)
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the list as JSON")


def run(arguments: argparse.Namespace) -> int:
    check_stdout(arguments, "json")
    check_files(arguments, "json")
    data = systems.data_folder(arguments.data)
    rows = [row_of(name, systems.missing(systems.named(name), data)) for name in systems.names()]
    for row in rows:
        answer(f"{row['letter']}  {row['name']}: {row['title']}")
        answer(f"   {row['text']}")
        for figure in row["figures"]:
            answer(f"   {figure_text(figure)}")
        for variant, text in row["variants"].items():
            answer(f"   --variant {variant}: {text}")
        absent = f"not in {data}: {', '.join(row['missing'])}" if row["missing"] else "at hand"
        answer(f"   data sets: {', '.join(row['folders'])} ({absent})")
    if arguments.json:
        from mtl_model.card import write_plain

        write_plain(arguments.json, rows)
    return 0


def row_of(name: str, missing: list[str]) -> dict[str, Any]:
    """Return what the list says of a system. missing: folders of data sets that are not at hand."""
    system = systems.named(name)
    here = systems.reached(name).get("figures", [{} for _ in system.headlines])
    return {
        "name": name,
        "letter": system.letter,
        "title": system.title,
        "text": system.text,
        "source": system.source,
        "folders": list(system.folders),
        "missing": missing,
        "variants": {variant: settings.text for variant, settings in system.variants.items()},
        "figures": [
            {"label": headline.label, "metric": headline.metric, "author": headline.author, "here": figure}
            for headline, figure in zip(system.headlines, here, strict=True)
        ],
    }


def figure_text(figure: dict[str, Any]) -> str:
    """Return a figure as words: the author's, and the one reached here with its interval."""
    from mtl_model.kinds import SHARE, all_metrics

    is_share = all_metrics()[figure["metric"]].unit == SHARE
    times, unit = (100, " %") if is_share else (1, f" {figure['here'].get('unit', '')}".rstrip())
    author = f"{times * figure['author']:.4g}{unit} by its author" if figure["author"] is not None else ""
    here = figure["here"]
    reached = (
        f"{times * here['value']:.3g}{unit} here ({times * here['low']:.3g} to {times * here['high']:.3g})"
        if here
        else "not measured here"
    )
    return f"{figure['label']}: {', '.join(filter(None, (reached, author)))}"
