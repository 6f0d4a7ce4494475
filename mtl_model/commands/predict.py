"""Predict what the tasks of a checkpoint say of every face in pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_model.commands._parts import (
    add_device,
    add_places,
    check_files,
    check_stdout,
    progress,
    use_threads,
)
from mtl_model.errors import UsageError
from mtl_model.events import Stage
from mtl_model.terminal import answer, given_path, say

if TYPE_CHECKING:
    from mtl_model.predictor import Predictor
    from mtl_model.records import Photo
    from mtl_model.tasks import Task

HELP = "age, gender and smile of every face in pictures"
ORDER = 10
STOPPED = 130
"""Exit code where answers were left to give, as shells have it after Ctrl+C."""
CLOSED_FOLDER = "The folder may not be read. Expected a readable folder; change its permissions."


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="+", type=given_path, metavar="PATH", help="a picture, or a folder of pictures")
    parser.add_argument(
        "--checkpoint", default=None, metavar="NAME", help="default: `default` if it is there, else bknet"
    )
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the answers as JSON")
    parser.add_argument("--csv", type=given_path, metavar="FILE", help="write the answers as CSV, a row a face")
    parser.add_argument("--annotate", type=given_path, metavar="DIR", help="write the pictures with numbered boxes")
    parser.add_argument(
        "--smallest-face",
        type=float,
        default=None,
        metavar="PX",
        help="longer edge of the smallest face looked for, in pixels of the upright picture",
    )
    add_places(parser)
    add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    check_stdout(arguments, "json", "csv", "annotate")
    try:
        _check(arguments)
        return _answer(arguments, _load(arguments))
    except KeyboardInterrupt:
        say("Stopped.")
        return STOPPED


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that cannot be."""
    from mtl_model.destinations import check_folder

    for path in arguments.path:
        if not path.exists():
            raise UsageError(f"'{path}' is not there. Expected a picture or a folder; check the path.")
    if arguments.smallest_face is not None and not arguments.smallest_face > 0:
        raise UsageError(f"--smallest-face is {arguments.smallest_face}. Expected pixels above 0; give another number.")
    check_files(arguments, "json", "csv")
    check_folder(arguments.annotate, "--annotate")


def _load(arguments: argparse.Namespace) -> Predictor:
    from mtl_model.predictor import Predictor

    use_threads(arguments)
    places = {"weights": arguments.weights, "runs": arguments.runs}
    predictor = Predictor.load(arguments.checkpoint, **places, device=arguments.device)
    if arguments.smallest_face is not None and predictor.card.reads_whole:
        raise UsageError(
            f"--smallest-face is {arguments.smallest_face:g}, and '{predictor.name}' reads whole pictures. Expected none there; "
            "leave it out, or choose another --checkpoint."
        )
    return predictor


def _answer(arguments: argparse.Namespace, predictor: Predictor) -> int:
    """Predict each picture, and write the answers however it ends. Returns the exit code."""
    from mtl_model import processes
    from mtl_model.names import as_text
    from mtl_model.pictures import list_pictures
    from mtl_model.records import Photo

    listed = [list_pictures(path) for path in arguments.path]
    photos = [Photo(as_text(str(folder)), CLOSED_FOLDER) for _, folders in listed for folder in folders]
    files = [file for pictures, _ in listed for file in pictures]
    if not files:
        say("There is no picture in " + ", ".join(f"'{path}'" for path in arguments.path) + ".")
    bar, drawn, closed, stopped = progress(arguments), set(), len(photos), False
    try:
        with processes.interruptible():
            for number, file in enumerate(files):
                bar(Stage.PREDICTING, number, len(files))
                photos.append(predictor.photo(file, as_text(str(file)), smallest_face_px=arguments.smallest_face))
                if arguments.annotate and not photos[-1].error:
                    _annotate(arguments.annotate, file, arguments.path, photos[-1], drawn)
        if files:
            bar(Stage.PREDICTING, len(files), len(files))
    except KeyboardInterrupt:
        stopped = True
        say(f"Stopped after {len(photos) - closed:,} of {len(files):,} pictures; the answers to them are written.")
    finally:  # also where a picture could not be drawn: the answers are no less worth
        _write(arguments, photos, predictor.card.tasks)
    return STOPPED if stopped else 1 if any(photo.error for photo in photos) else 0


def _annotate(folder: Path, file: Path, roots: Sequence[Path], photo: Photo, drawn: set[Path]) -> None:
    """Write a picture with its boxes at its place below `folder`.

    drawn: files written already; a second picture of a name gets a number."""
    from mtl_model.drawing import save_annotated

    root = next((root for root in roots if root.is_dir() and root in file.parents), file.parent)
    place = folder / file.relative_to(root)
    names = (f"{file.name}.png", *(f"{file.name}-{number}.png" for number in range(2, len(drawn) + 3)))
    target = next(path for path in map(place.with_name, names) if path not in drawn)
    drawn.add(target)
    save_annotated(file, photo, target)


def _write(arguments: argparse.Namespace, photos: list[Photo], tasks: Sequence[Task]) -> None:
    from mtl_model import answers, card
    from mtl_model.records import to_json

    if arguments.json:
        card.write_plain(arguments.json, to_json(photos))
    if arguments.csv:
        card.write_text(arguments.csv, answers.to_csv(photos, tasks))
    for photo in photos:
        if photo.error:
            say(f"{photo.photo}: {photo.error}")
        elif not (arguments.json or arguments.csv):
            for line in answers.to_lines(photo, tasks):
                answer(line)
