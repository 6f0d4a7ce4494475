"""Say how well pictures would be learned now, and which to label next."""

from __future__ import annotations

import argparse

from mtl_model.commands._parts import add_checked, check_files, check_stdout, tell_forecast
from mtl_model.terminal import given_path

HELP = "say how well pictures would be learned now, and which to label next"
ORDER = 65


def add(parser: argparse.ArgumentParser) -> None:
    add_checked(parser)
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write all of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    from mtl_model.destinations import check_folder

    check_stdout(arguments, "json")
    check_files(arguments, "json")
    check_folder(arguments.cache, "--cache")
    tell_forecast(arguments, arguments.json)
    return 0
