"""Videos: people with smoothed answers and the time that each is seen, written however the work ends."""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_model.commands._parts import progress
from mtl_model.events import Stage
from mtl_model.terminal import answer, say

if TYPE_CHECKING:
    from PIL import Image

    from mtl_model.footage import Footage
    from mtl_model.predictor import Predictor
    from mtl_model.records import Reading
    from mtl_model.tracking import Person
    from mtl_model.video import Frame

EVERY_SECONDS = 0.5
STOPPED = 130


def predict(arguments: argparse.Namespace, predictor: Predictor) -> int:
    """Answer each video, and write the answers however it ends. Returns the exit code."""
    from mtl_model import processes

    footages: list[Footage] = []
    with processes.stoppable() as stop:
        try:
            footages.extend(_all_watched(arguments, predictor, stop))
        finally:
            _write(arguments, footages, predictor)
        if arguments.annotate:
            _annotate(arguments, footages, stop)
    return STOPPED if stop.is_set() else int(any(footage.error for footage in footages))


def _all_watched(arguments: argparse.Namespace, predictor: Predictor, stop: threading.Event) -> Iterator[Footage]:
    for file in dict.fromkeys(arguments.path):
        if not stop.is_set():
            yield _watched(arguments, predictor, file, stop)


def _watched(arguments: argparse.Namespace, predictor: Predictor, file: Path, stop: threading.Event) -> Footage:
    """Look at a video every so often, and follow its people. What is damaged is told inside, with what was seen before it."""
    from mtl_model import pipeline, video
    from mtl_model.errors import MtlError
    from mtl_model.footage import Footage
    from mtl_model.names import as_text
    from mtl_model.tracking import Tracker

    interval = arguments.every or EVERY_SECONDS
    name, tracker, until, error = as_text(str(file)), Tracker(interval), 0.0, None
    people: dict[int, Person] = {}
    shape, bar = video.Shape(0, 0, 0.0), progress(arguments)
    try:
        shape = video.shape_of(file)

        def look(frame: Frame) -> list[Reading]:
            return predictor.predict(frame.rgb, quick=True, smallest_face_px=arguments.smallest_face)

        with contextlib.closing(pipeline.in_order(video.frames(file, interval), look)) as looks:
            for frame, readings in looks:
                people |= {person.number: person for person in tracker.follow(frame.seconds, frame.rgb, readings)}
                until = frame.seconds + interval
                bar(Stage.WATCHING, round(frame.seconds), max(round(shape.seconds), round(frame.seconds) + 1))
                if stop.is_set():
                    say(
                        f"{name}: stopped after {until:.1f} of {shape.seconds:.1f} seconds; the answers so far are written."
                    )
                    break
            else:
                until = shape.seconds or until
                bar(Stage.WATCHING, max(1, round(until)), max(1, round(until)))
    except MtlError as caught:
        error = str(caught)
    return Footage(
        name, predictor.card, error, shape.width, shape.height, shape.seconds, interval, until, tuple(people.values())
    )


def _write(arguments: argparse.Namespace, footages: Sequence[Footage], predictor: Predictor) -> None:
    """Write the forms that were asked for, or print a line per person."""
    from mtl_model import card, footage

    if arguments.json:
        card.write_plain(arguments.json, footage.to_json(footages))
    if arguments.csv:
        card.write_text(arguments.csv, footage.to_csv(footages, predictor.card.tasks))
    for shown in footages:
        if not (arguments.json or arguments.csv):
            for line in footage.to_lines(shown):
                answer(line)
        if shown.error:
            say(f"{shown.video}: {shown.error}")


def _annotate(arguments: argparse.Namespace, footages: Sequence[Footage], stop: threading.Event) -> None:
    """Write copies with numbered boxes, in a second pass: only then each person's answers are whole."""
    from mtl_model import drawing, video
    from mtl_model.records import Photo

    taken: set[Path] = set()
    for file, footage in zip(dict.fromkeys(arguments.path), footages, strict=False):
        if footage.width == 0:
            continue
        if stop.is_set():
            say(f"{footage.video}: the copy with boxes was not begun.")
            continue
        bar = progress(arguments)
        length = max(1, round(footage.seconds))

        def drawn(frame: Frame, footage: Footage = footage, bar=bar, length: int = length) -> Image.Image:
            there = footage.at(frame.seconds)
            bar(Stage.DRAWING, min(length - 1, round(frame.seconds)), length)
            photo = Photo(footage.video, None, tuple(there.values()), footage.width, footage.height)
            return drawing.annotate(frame.rgb, photo, [*there])

        target = _free(arguments.annotate / file.name, taken)
        written = video.copy(file, target, drawn, stop.is_set)
        if stop.is_set():
            say(f"{footage.video}: stopped; '{written}' ends early.")
        else:
            bar(Stage.DRAWING, length, length)


def _free(target: Path, taken: set[Path]) -> Path:
    """Return a name that no other video of the command has."""
    names = (target, *(target.with_name(f"{target.name}-{number}") for number in range(2, len(taken) + 3)))
    free = next(name for name in names if name not in taken)
    taken.add(free)
    return free
