"""What older versions left in runs/ gets the record that runs have now: once, and only where all of it can be read."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from mtl_model import events, jobs, runs
from mtl_model.card import CARD, CORRECTIONS, NAME, WEIGHTS, read_card, write_plain
from mtl_model.errors import CheckpointError, RunError
from mtl_model.run_records import Outcome, Report, new_record
from mtl_model.runs import CHANGES, EVENTS, OUTCOME, RECORD, REPORT, TEACH
from mtl_model.ui.teach import teaching

log = logging.getLogger("mtl_model.ui")


def adopt(folder: Path) -> None:
    """Give each run in a folder of runs that has none the record `run.json`; a checkpoint's card is record enough.

    What cannot be written is said in the log."""
    for run in sorted(folder.iterdir()) if folder.is_dir() else []:
        named = NAME.fullmatch(run.name) and run.name != CORRECTIONS and not run.is_symlink()
        bears_none = not (run / RECORD).exists() and ((run / TEACH).exists() or not runs.is_ours(run))
        if named and bears_none and _is_readable(run):
            try:
                with runs.held(folder, run.name):
                    _adopt(run)
            except (OSError, RunError) as error:
                log.warning("%s could not be taken over from an older version: %s", run, error)


def _is_readable(run: Path) -> bool:
    """Whether it is one of this program's, and every record in it is whole."""
    try:
        known = [teaching.read_record(run) is not None, *_known(run)]
        runs.read(run / REPORT, Report)
        runs.read(run / OUTCOME, Outcome)
        teaching.read_edits(run)
        return any(known) and not jobs.is_damaged(run)
    except (OSError, ValueError, RunError, CheckpointError):
        return False


def _known(run: Path) -> Iterator[bool]:
    if (run / CARD).exists():
        yield bool(read_card(run))
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), (run / EVENTS).open(encoding="utf-8") as lines:
        yield any(bool(events.from_line(line)) for line in [next(lines, "")] if line)


def _adopt(run: Path) -> None:
    """The record last: until it is there, all of this is done anew. Times of files told then what records tell now."""
    outcome, teach = runs.read(run / OUTCOME, Outcome), teaching.read_record(run)
    measured, same = (not _is_later(run / name, run / OUTCOME) for name in (WEIGHTS, CHANGES))
    uploaded = (run / TEACH).stat().st_mtime if teach else 0.0
    if teach and teach.learned and "edits" not in teach.learned:
        edits = teaching.edits_digest(run) if same else "others"
        teaching.write_record(run, dataclasses.replace(teach, learned={**teach.learned, "edits": edits}))
    if outcome is not None and (run / CARD).exists() and "weights_sha256" not in outcome:
        write_plain(run / OUTCOME, {**outcome, "weights_sha256": read_card(run).weights_sha256 if measured else ""})
    runs.write_record(run, new_record(created=uploaded, uploaded=uploaded))


def _is_later(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.stat().st_mtime_ns > other.stat().st_mtime_ns
