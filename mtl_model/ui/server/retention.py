"""What stays, for how long, where; and how to be rid of it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from mtl_model import jobs
from mtl_model import runs as folders
from mtl_model.card import CORRECTIONS, NAME
from mtl_model.data import cache, corrections
from mtl_model.errors import UsageError
from mtl_model.registry import PACKAGE
from mtl_model.runs import DATA
from mtl_model.ui.server.environment import TEMPORARY_VARIABLE
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach import adoption, dataset

EVERYTHING = (
    "Everything is what people gave and what was made from it, in <code>{runs}</code>: pictures, corrections, runs and "
    "checkpoints. What came with the program stays, and what other programs put there."
)


def places(options: UiOptions, folder: Path) -> list[tuple[str, str, object]]:
    """Return what stays, how long and where. folder: of the checkpoint that is shown."""
    uploads = Path(os.environ.get(TEMPORARY_VARIABLE, "")).absolute()
    detector = importlib.util.find_spec("facenet_pytorch")
    detector_folder = Path(detector.origin).parent if detector and detector.origin else ""
    runs = options.runs.absolute()
    taught = (
        (
            "Pictures given to Teach",
            "until their checkpoint is kept or discarded, at the latest 7 days after they came, unless you say that they stay",
            runs / "NAME" / "data",
        ),
        *(
            (f"Pictures that {name} was taught with, {megabytes(size)}", "until you delete them", runs / name / DATA)
            for name, size in kept_pictures(runs)
        ),
        ("What was discarded or deleted", "for 10 minutes, so that it can be undone", runs),
        ("Faces whose answer was corrected", "until you delete them", runs / CORRECTIONS),
    )
    return [
        ("Photos and webcam pictures", "in memory only while they are answered; never written to the disk", ""),
        ("Files sent to the programming interface", "for 6 minutes at most, and never beyond a restart", uploads),
        *(() if options.read_only else taught),
        ("This checkpoint", "until you delete it", folder.absolute()),
        ("Checkpoints that came with the program", "until you delete them", options.weights.absolute()),
        ("Checkpoints made here, with a short digest of each picture taught", "until you delete them", runs),
        ("Faces cut out of data sets, for training", "until you delete them", cache.default_root().absolute()),
        ("The program", "until you remove it", PACKAGE.absolute()),
        ("The face detector", "until you remove it", detector_folder),
    ]


def megabytes(size: int) -> str:
    """Return a number of bytes as people read it, never as nothing."""
    return f"{max(1, round(size / 1e6)):,} MB"


def delete_everything(runs: Path) -> tuple[int, int]:
    """End what is being learned and delete all that this program made under runs/, what could be undone as well.

    Returns how many runs went, and how many folders of other programs stay: those that bear no record of this one.
    Raises: RunError naming what could not be deleted.
    """
    adoption.adopt(runs)
    for job in jobs.every(runs):
        if folders.is_ours(runs / job.name):
            jobs.kill(runs, job.name)
    corrections.remove(runs)
    ours = [path for path in runs.iterdir() if folders.is_ours(path)] if runs.is_dir() else []
    for path in ours:
        with folders.held(runs, path.name):  # what is arriving there comes to its end, and finds no run any more
            jobs.kill(runs, path.name)
            folders.delete(path)
    left = sum(path.is_dir() for path in runs.iterdir()) if runs.is_dir() else 0
    return sum(bool(NAME.fullmatch(path.name)) for path in ours), left


def kept_pictures(runs: Path) -> list[tuple[str, int]]:
    """Return the names of the runs whose pictures a person kept, and how many bytes they take."""
    uploads = [path.parent for path in sorted(runs.glob(f"*/{DATA}")) if NAME.fullmatch(path.parent.name)]
    records = ((folder, folders.read_record(folder)) for folder in uploads)
    return [
        (folder.name, folders.count_pictures(folder)["total_bytes"])
        for folder, record in records
        if record and record.kept
    ]


def delete_pictures(runs: Path, name: str) -> None:
    """Delete the pictures that were kept with a checkpoint, which stays. Raises UsageError, RunError."""
    if name not in dict(kept_pictures(runs)):
        raise UsageError(f"No pictures of '{name[:64]}' are kept any more. Open this tab anew to see what is.")
    with folders.held(runs, name):
        folders.clear_pictures(runs / name)
        dataset.forget(runs / name)
