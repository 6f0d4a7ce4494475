"""What the command line shows: answers on stdout, everything else on stderr, and how far the work is.

Names of files and classes come from anybody: control characters in them are escaped, and what the stream's encoding
lacks is too.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import NoReturn, TextIO

from mtl_model import events
from mtl_model.names import printable


def prepare() -> None:
    """Make stdout and stderr safe to write to, whatever the locale, and where they were closed.

    A closed one is the null device from now on, so that no other file takes its number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - until the end
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def has_stdout() -> bool:
    """Return whether stdout was open when the program began."""
    return sys.__stdout__ is not None


def answer(text: str) -> None:
    """Print a line of what was asked for."""
    print(printable(text))


def say(text: object) -> None:
    """Print a line about the work: a note, a warning, an error."""
    print(printable(str(text)), file=sys.stderr, flush=True)


def sentence(event: events.Event) -> str:
    """Return an event of a training as a line for people."""
    match event:
        case events.Started():
            steps = event.steps - event.first_step
            if not event.steps:
                return f"{event.name}: one fit; {json.dumps(event.counts, allow_nan=False)}"
            return f"{event.name}: {steps:,} steps, {event.epochs} epochs; {json.dumps(event.counts, allow_nan=False)}"
        case events.Step():
            losses = " ".join(f"{task} {loss:.3f}" for task, loss in event.losses.items())
            pace = f"{event.pictures_per_second:.0f} pictures/s, {event.seconds_left / 60:.0f} min left"
            return f"epoch {event.epoch + 1} step {event.step:,}: {losses}; {pace}"
        case events.Evaluated():
            figures = "; ".join(
                f"{task} " + " ".join(f"{name} {value:.3f}" for name, value in metrics.items())
                for task, metrics in event.metrics.items()
            )
            if not event.step:
                return f"cross-validated: {figures}"
            best = ", the best so far" if event.best else ""
            return f"epoch {event.epoch + 1} on val: {figures}; score {event.score:.4f}{best}"
        case events.Saved():
            return f"saved the {event.kind}" + (f" at step {event.step:,}" if event.step else "")
        case events.Stopped():
            return f"stopped at step {event.step:,}: {event.reason}"
        case events.Finished(step=0):
            return f"finished after {event.seconds:.0f} s"
        case events.Finished():
            spent = f"{event.step:,} steps and {event.seconds / 60:.1f} min"
            return f"finished after {spent}; the best epoch is {event.best_epoch + 1}"
        case events.Noted() | events.Failed():
            return event.text


def let_go() -> None:
    """Drop what could not be written, which Python would try again on the way out, and complain of."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def given_path(text: str) -> Path:
    """Read a path of the command line. An empty one would be the current folder, which nobody has named."""
    if not text:
        raise argparse.ArgumentTypeError(
            "the path is empty. Expected a file or folder; the current folder is written ."
        )
    return Path(text)


class Parser(argparse.ArgumentParser):
    """A parser whose errors quote what was typed, or what a shell made of `*`, without control characters."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


class Progress:
    """A bar on stderr that says what is being done, how far it is, and how long it will take."""

    width = 24

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream, self.what, self.began, self.last = stream or sys.stderr, "", 0.0, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self.what:
            self.what, self.began, self.last = what, now, 0.0
        shown = self.stream.isatty()
        if now - self.last < (0.2 if shown else 10) and done < total:
            return
        self.last, spent = now, now - self.began
        left = f", {spent / done * (total - done):.0f} s left" if 0 < done < total else ""
        full = self.width * done // max(1, total)
        line = f"{what} [{'#' * full}{'-' * (self.width - full)}] {done:,} of {total:,}{left}"
        print(f"\r{line}   " if shown else line, end="" if shown else "\n", file=self.stream, flush=True)
        if shown and done >= total:
            print(file=self.stream)
