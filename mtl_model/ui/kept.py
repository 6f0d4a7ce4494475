"""What stays, for how long, where; and how to be rid of it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import uuid
from pathlib import Path

from mtl_model import archives, cache, corrections, jobs, parcels
from mtl_model.card import CARD, CORRECTIONS, PENDING, RUN_LOCK
from mtl_model.errors import RunError
from mtl_model.parcels import COMING
from mtl_model.registry import PACKAGE
from mtl_model.ui import teaching
from mtl_model.ui.environment import TEMPORARY_VARIABLE
from mtl_model.ui.options import UiOptions
from mtl_model.ui.views import escape

GOING = ".deleted-"  # a folder is renamed to this first, so that nothing half-deleted is ever listed
OURS = (CARD, PENDING, RUN_LOCK, "teach.json", "job.json", "events.jsonl", "state.pt", "report.json")
"""A folder of runs/ that holds one of these was made by this program; others are never touched."""
LEFT = (teaching.DATA, teaching.CACHE, "uploaded.json", ".uploads.lock")
"""So was one that holds nothing but these: what is left of an upload where deleting it was cut short."""

REMOVE = (
    "<p>To remove the program too: end it, delete these folders, and remove it with "
    "<code>pip uninstall mtl_model facenet-pytorch</code>, or by deleting its folder.</p>"
)

log = logging.getLogger("mtl_model.ui")


def table(options: UiOptions, folder: Path, shows_places: bool = True) -> str:
    """The section of the About tab, as HTML. folder: of the checkpoint that is shown. shows_places: the column Where."""
    uploads = Path(os.environ.get(TEMPORARY_VARIABLE, "")).absolute()
    detector = importlib.util.find_spec("facenet_pytorch")
    detector_folder = Path(detector.origin).parent if detector and detector.origin else ""
    runs = options.runs.absolute()
    taught = (
        (
            "Pictures given to Teach",
            "until their run is accepted or discarded, at the latest 7 days after they came",
            runs / "NAME" / "data",
        ),
        ("Faces whose answer was corrected", "until you delete them", runs / CORRECTIONS),
    )
    places = (
        ("Photos and webcam pictures", "in memory only while they are answered; never written to the disk", ""),
        ("Files sent to the programming interface", "for 6 minutes at most, and never beyond a restart", uploads),
        *(() if options.read_only else taught),
        ("This checkpoint", "until you delete it", folder.absolute()),
        ("Checkpoints that came with the program", "until you delete them", options.weights.absolute()),
        ("Checkpoints made here, with a short digest of each picture taught", "until you delete them", runs),
        ("Faces cut out of data sets, for training", "until you delete them", cache.default_root().absolute()),
        ("The program", "until you remove it", PACKAGE.absolute()),
        ("The face detector", "until you remove it", detector_folder),
    )
    rows = "".join(
        f"<tr><th scope=row>{escape(what)}</th><td>{escape(how_long)}</td>"
        f"{f'<td>{_code(path)}</td>' if shows_places else ''}</tr>"
        for what, how_long, path in places
    )
    return (
        "<p>Nothing you show to this page leaves the machine on which the program runs.</p>"
        '<div class="scroll"><table class="plain"><thead><tr><th scope=col>What</th><th scope=col>How long</th>'
        f"{'<th scope=col>Where</th>' if shows_places else ''}</tr></thead><tbody>{rows}</tbody></table></div>"
        + ("" if options.read_only else _button(runs))
        + (REMOVE if shows_places else "")
    )


def _code(path: object) -> str:
    return f"<code>{escape(path)}</code>" if path else ""


def _button(runs: Path) -> str:
    return (
        '<div class="actions"><button type="button" class="button danger" data-do="delete-everything">Delete everything'
        f'</button><span class="small">What people gave and what was made from it, in <code>{escape(runs)}</code>: pictures, '
        'corrections, runs and checkpoints. Checkpoints that came with the program stay.</span></div><p role="alert" '
        'class="alert" hidden></p>'
    )


def delete_everything(runs: Path) -> int:
    """End what is being learned and delete all that this program made under runs/. Returns how many runs went.

    Raises: RunError naming what could not be deleted.
    """
    for job in jobs.every(runs):
        jobs.kill(runs, job.name)
    corrections.remove(runs)
    found = [path for path in runs.iterdir() if is_ours(path)] if runs.is_dir() else []
    for path in found:
        with teaching.held(runs, path.name):  # what is arriving there comes to its end, and finds no run any more
            jobs.kill(runs, path.name)
            delete(path)
    return sum(not path.name.startswith(".") for path in found)


def is_ours(path: Path) -> bool:
    if path.name.startswith((GOING, COMING)):
        return True
    if not path.is_dir():
        return False
    inside = {one.name for one in path.iterdir()}
    return not inside.isdisjoint(OURS) or (bool(inside) and all(_is_left(name) for name in inside))


def _is_left(name: str) -> bool:
    return name in LEFT or name.startswith(archives.COMING)


def sweep(runs: Path) -> None:
    """Delete what a server that was killed had begun to delete, or was looking at. What stays is said in the log."""
    for path in runs.glob(f"{GOING}*"):
        try:
            delete(path)
        except RunError as error:
            log.warning("%s", error)
    parcels.sweep(runs)


def delete(path: Path) -> None:
    """Delete a folder of runs/; of a link, only the link. Raises RunError."""
    going = path.with_name(f"{GOING}{uuid.uuid4().hex}")
    try:
        os.replace(path, going)
        with contextlib.suppress(FileNotFoundError):  # a sweep was quicker
            going.unlink() if going.is_symlink() else shutil.rmtree(going)
    except OSError as error:
        raise RunError(
            f"'{path.name}' could not be deleted whole ({error.strerror or error}). Expected permission to write in "
            f"'{path.parent}'; delete the folder by hand."
        ) from None
