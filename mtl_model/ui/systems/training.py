"""The training of a published system as a job: its name, its command line, and how the last one ended."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from mtl_model import jobs, systems
from mtl_model.card import CARD, is_taken
from mtl_model.errors import UsageError
from mtl_model.run_records import new_record
from mtl_model.runs import STATE, is_unused, write_record
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach import teaching
from mtl_model.ui.teach.teaching import TRAIN, Record, Run


def missing(name: str) -> str:
    """Return the sentence on the data sets that a system lacks, "" where all are at hand."""
    system, data = systems.named(name), systems.data_folder()
    absent = systems.missing(system, data)
    how = "with $MTL_DATA before the page is started"
    return systems.missing_text(system.title, absent, data, how) if absent else ""


def begin(name: str, options: UiOptions) -> str:
    """Queue the training of a system. Returns the name of its run. Raises UsageError where a data set is missing."""
    data = systems.data_folder()
    if absent := missing(name):
        raise UsageError(absent)
    run = free_name(name, options.weights, options.runs)
    words = ["train", "--system", name, "--name", run, "--data", str(data.absolute())]
    places = ["--runs", str(options.runs.absolute()), "--weights", str(options.weights.absolute())]
    folder = options.runs / run
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, new_record(created=time.time()))
    jobs.submit(options.runs, run, TRAIN, [*words, *places, "--device", options.device])
    return run


def free_name(name: str, weights: Path, runs: Path) -> str:
    """Return the name itself, or with -2, -3, ... behind it. A run in which nothing was learned does not keep its name."""

    def is_free(run: str) -> bool:
        job = jobs.look(runs, run)
        begun = job is not None and job.state in jobs.ACTIVE
        return not begun and (not is_taken(run, weights, runs) or is_unused(runs / run))

    return next(run for run in _numbered(name) if is_free(run))


def _numbered(name: str) -> itertools.chain[str]:
    return itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))


def ended_badly(name: str, runs: Path) -> str:
    """Return how the last training of a system ended, where it ended before anything was learned; else ""."""
    asked = ["--system", name]
    own = [job for job in jobs.every(runs) if job.kind == TRAIN and list(job.words[1:3]) == asked]
    if not own or own[0].state in jobs.ACTIVE or own[0].exit_code == 0:
        return ""
    job = own[0]
    if any((runs / job.name / file).exists() for file in (STATE, CARD)):
        return ""  # the panel of jobs says how it ended, or it is a checkpoint
    why = teaching.last_words(Run(runs / job.name, Record(job.name), job, job.state))
    return f"The last training ended before it had learned anything. {why}"
