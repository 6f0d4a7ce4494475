"""List the checkpoints, or bring the card of one to the newest format."""

from __future__ import annotations

import argparse

from mtl_model.commands._parts import add_places, check_files, check_stdout, weights_of
from mtl_model.destinations import check_file
from mtl_model.errors import CheckpointError
from mtl_model.terminal import answer, given_path, say

HELP = "list the checkpoints, or bring the card of one to the newest format"
ORDER = 70


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the list as JSON")
    parser.add_argument(
        "--rewrite",
        metavar="NAME",
        help="write the card of this checkpoint in the newest format, with nothing else changed",
    )
    add_places(parser)


def run(arguments: argparse.Namespace) -> int:
    from mtl_model import card as cards

    if arguments.rewrite:
        folder = cards.find_checkpoint(arguments.rewrite, weights_of(arguments), arguments.runs)
        check_file(folder / cards.CARD, "--rewrite")
        older = cards.rewrite(folder)
        say(f"{folder.name}: {'written in' if older else 'already of'} format {cards.FORMAT}.")
        return 0
    check_stdout(arguments, "json")
    check_files(arguments, "json")
    rows = []
    for name, folder in cards.list_checkpoints(weights_of(arguments), arguments.runs).items():
        try:
            card = cards.read_card(folder)
        except CheckpointError as error:
            say(f"{name}: {error}")
            continue
        tasks = [task.name for task in card.tasks]
        fields = ("network", "parameters", "parent", "created", "subject")
        known = ", ".join(tasks) or f"a start for {card.subject}s, without a task"
        rows.append({"name": name, "tasks": tasks, **{field: getattr(card, field) for field in fields}})
        parent = f", from {card.parent}" if card.parent else ""
        size = f"{card.parameters / 1e6:.1f} M parameters"
        answer(f"{name}: {known}; {card.network}, {size}, {card.created}{parent}")
    if arguments.json:
        cards.write_plain(arguments.json, rows)
    return 0
