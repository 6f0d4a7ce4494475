"""A checkpoint as one file to hand on: a zip with card.json and model.safetensors, and nothing else.

What comes in is somebody else's: two files are copied out by name and under limits, whatever else the zip holds is not
looked at, no path of it is used, and no pickle is ever read. Before it is kept it has to load and answer.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from mtl_model import archives, checkpoint
from mtl_model.card import CARD, WEIGHTS, Card, check_name, is_taken, read_card, rewrite
from mtl_model.errors import CheckpointError, UsageError
from mtl_model.predictor import Predictor
from mtl_model.records import Face
from mtl_model.runs import INCOMING, sweep

LARGEST = {CARD: 4 * 2**20, WEIGHTS: 512 * 2**20}  # bytes, unpacked
LARGEST_ZIP = sum(LARGEST.values()) + 2**20
MOST_ENTRIES, LARGEST_TABLE = 100, 2**20  # of the zip, and bytes of their list
MOST_TASKS = 100
MOST_CLASSES = 10_000  # over all tasks: each is a row of weights
LARGEST_CROP_PX = 1024
EXPECTED = f"Expected a zip with {CARD} and {WEIGHTS}, as Download makes it"


def pack(folder: Path, target: IO[bytes]) -> None:
    """Weights hardly shrink, so they are stored as they are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in (CARD, WEIGHTS):
            archive.write(folder / name, f"{folder.name}/{name}")


@contextlib.contextmanager
def opened(file: IO[bytes], runs: Path) -> Iterator[tuple[Path, Card]]:
    """The checkpoint of a zip in a folder of its own, which is gone afterwards unless `keep` has moved it.

    Raises: CheckpointError with a sentence for anything but a whole checkpoint that answers.
    """
    runs.mkdir(parents=True, exist_ok=True)
    sweep(runs)
    with tempfile.TemporaryDirectory(prefix=INCOMING, dir=runs, ignore_cleanup_errors=True) as place:
        folder = Path(place) / "checkpoint"
        folder.mkdir()
        try:
            with archives.bounded(file, LARGEST_TABLE) as archive:
                for member in _members(archive):
                    _copy(archive, member, folder / PurePosixPath(member.filename).name)
        except (
            zipfile.BadZipFile,
            zlib.error,
            struct.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            raise CheckpointError(
                f"The file is no zip that can be read ({error!s:.200}). {EXPECTED}; make it anew."
            ) from None
        yield folder, _try(folder)


def keep(folder: Path, name: str, weights: Path, runs: Path) -> Path:
    """Give an opened checkpoint its name in runs/, in one step. Raises UsageError for a name that cannot be or is taken."""
    if is_taken(check_name(name), weights, runs):
        raise UsageError(f"There is a checkpoint '{name}' already, or a run of that name. Choose another name.")
    os.rename(folder, runs / name)
    return runs / name


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The two files, beside each other at the top or in one folder."""
    found: dict[PurePosixPath, dict[str, zipfile.ZipInfo]] = {}
    if len(archive.infolist()) > MOST_ENTRIES:
        raise CheckpointError(
            f"The zip lists {len(archive.infolist()):,} files. {EXPECTED}; one of at most {MOST_ENTRIES} files."
        )
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.name in LARGEST and not member.is_dir() and "__MACOSX" not in path.parts:
            found.setdefault(path.parent, {})[path.name] = member
    whole = [members for members in found.values() if len(members) == len(LARGEST)]
    if len(whole) != 1:
        seen = f"holds {len(whole)} checkpoints" if whole else "holds no checkpoint"
        raise CheckpointError(f"The zip {seen}. {EXPECTED}; one checkpoint a zip.")
    return [whole[0][name] for name in LARGEST]


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """What the zip says of sizes is not believed: it is counted. Raises CheckpointError."""
    if member.compress_type not in archives.PLAIN_METHODS:
        raise CheckpointError(
            f"The {target.name} in the zip is packed in a way that is not known here. {EXPECTED}; pack it again as an "
            "ordinary zip."
        )
    most, size = LARGEST[target.name], 0
    with archive.open(member) as source, target.open("wb") as copy:
        while part := source.read(2**20):
            size += len(part)
            if size > most:
                raise CheckpointError(
                    f"The {target.name} in the zip is larger than {most // 2**20} MB. {EXPECTED}; choose another."
                )
            copy.write(part)


def _try(folder: Path) -> Card:
    """Return the card, once a face has gone the whole road with it; then it is brought to the newest format."""
    try:
        card = read_card(folder)
        _check_size(card)
        checkpoint.check_shapes(folder, card)
        network, card = checkpoint.load(folder)
        black = np.zeros((64, 64, 3), np.uint8)
        Predictor(folder.name, network, card).read(black, [Face((8.0, 8.0, 56.0, 56.0), 1.0)])
        rewrite(folder)
    except CheckpointError:
        raise
    except Exception as error:  # a card written by hand can hold anything
        raise CheckpointError(f"Its card cannot be used ({error!r:.200}). {EXPECTED}; choose another.") from None
    return card


def _check_size(card: Card) -> None:
    """A network as large as its card pleases would fill the memory before anything could be said about it."""
    classes = sum(len(task.classes) for task in card.tasks)
    many = len(card.tasks) > MOST_TASKS or classes > MOST_CLASSES
    if many or not 8 <= card.crop.size_px <= LARGEST_CROP_PX:
        raise CheckpointError(
            f"Its card asks for {len(card.tasks):,} tasks with {classes:,} classes and crops of {card.crop.size_px} px. Expected "
            f"at most {MOST_TASKS}, {MOST_CLASSES:,} and 8 to {LARGEST_CROP_PX} px; choose another checkpoint."
        )
