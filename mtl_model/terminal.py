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
from typing import NoReturn

from mtl_model import events, wording
from mtl_model.names import printable

REPORT_SECONDS, BAR_SECONDS, LINE_SECONDS = 0.5, 0.2, 10
"""Between two events of the same stage, two states of a bar, two lines in a log."""
BAR_WIDTH = 24


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
            return f"stopped at step {event.step:,}: {wording.of(event)}"
        case events.Finished(step=0):
            return f"finished after {event.seconds:.0f} s"
        case events.Finished():
            spent = f"{event.step:,} steps and {event.seconds / 60:.1f} min"
            return f"finished after {spent}; the best epoch is {event.best_epoch + 1}"
        case events.Noted() | events.Failed():
            return wording.of(event)
        case events.Progressed():
            return bar(event)


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


def bar(event: events.Progressed) -> str:
    """Return how far the work is, drawn in letters."""
    full = BAR_WIDTH * event.done // max(1, event.total)
    left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left"
    drawn = f"[{'#' * full}{'-' * (BAR_WIDTH - full)}]"
    return f"{wording.stage(event.stage)} {drawn} {event.done:,} of {event.total:,}{left}"


class Progress:
    """How far the work is: a bar on stderr with the time that is left, or events for whoever listens instead."""

    def __init__(self, report: events.Report | None = None) -> None:
        self._stream, self._report = sys.stderr, report
        self._stage, self._began, self._last = "", 0.0, 0.0

    def __call__(self, stage: events.Stage, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._last = stage, now, 0.0
        pause = REPORT_SECONDS if self._report else BAR_SECONDS if self._stream.isatty() else LINE_SECONDS
        if now - self._last < pause and done < total:
            return
        self._last = now
        left = round((now - self._began) / done * (total - done), 1) if 0 < done < total else None
        (self._report or self._draw)(events.Progressed(stage, done, total, left))

    def _draw(self, event: events.Progressed) -> None:
        shown = self._stream.isatty()
        end = "" if shown and event.done < event.total else "\n"
        print(f"\r{bar(event)}   " if shown else bar(event), end=end, file=self._stream, flush=True)
