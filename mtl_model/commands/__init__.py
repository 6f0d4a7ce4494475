"""Commands of the command line, one file per command, found by its name through `registry`."""

from __future__ import annotations

import argparse
from typing import Protocol, cast

from mtl_model import registry

FOLDER = "commands"


class Command(Protocol):
    """What a file of this folder offers. It is imported for every --help: it loads torch, numpy and the engine in `run`."""

    HELP: str
    """What it does, in a line."""
    ORDER: int
    """Commands are listed by it, smallest first."""

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it, and return the exit code. Raises MtlError: RunError while it works, others for wrong usage."""
        ...


def named(name: str) -> Command:
    """Return the command of that name. Raises UsageError with the near match for one that is not there."""
    return cast(Command, registry.load(FOLDER, name))


def names() -> list[str]:
    """Return the names of all commands in the order in which they are listed."""
    return sorted(registry.names(FOLDER), key=lambda name: named(name).ORDER)
