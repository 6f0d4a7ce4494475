"""Write a checkpoint as ONNX, to run it without this program."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_model.commands._parts import add_places, weights_of
from mtl_model.terminal import given_path, say

HELP = "write a checkpoint as ONNX, with its card and an example, to run it elsewhere"
ORDER = 75
FORMATS = ("onnx",)


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name of the checkpoint")
    parser.add_argument("--to", choices=FORMATS, default=FORMATS[0], help="the format (default: onnx)")
    parser.add_argument("--out", type=given_path, metavar="DIR", help="where to write it (default: CHECKPOINT-onnx)")
    add_places(parser)


def run(arguments: argparse.Namespace) -> int:
    from mtl_model import card, runtimes
    from mtl_model.destinations import check_folder

    runtimes.require("An export to ONNX")
    found = card.find_checkpoint(arguments.checkpoint, weights_of(arguments), arguments.runs)
    folder = arguments.out or Path(f"{found.name}-{arguments.to}")
    check_folder(folder, "--out")

    from mtl_model import checkpoint
    from mtl_model.export import export

    for path in export(found.name, *checkpoint.load(found), folder):
        say(f"Written: {path}")
    return 0
