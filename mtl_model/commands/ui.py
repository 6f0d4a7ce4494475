"""Serve the page."""

from __future__ import annotations

import argparse

from mtl_model.options import add_options
from mtl_model.ui import launch
from mtl_model.ui.server.options import UiOptions, read_options

HELP = "serve the page"
ORDER = 80


def add(parser: argparse.ArgumentParser) -> None:
    add_options(parser, UiOptions)


def run(arguments: argparse.Namespace) -> int:
    return launch(read_options(arguments))
