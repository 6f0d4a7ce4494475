"""Teach a checkpoint from a visitor's folder, and measure what it brought.

The branch alone: the trunk sees each picture once, and each branch is a convex fit to its features; the other tasks stay as they
are to the last bit. Further: the one training loop goes on from there, and the other tasks are taught the parent's own answers.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mtl_model import __version__, checkpoint
from mtl_model.card import Card
from mtl_model.config import FinetuneConfig
from mtl_model.events import Evaluated, Event, Finished, Noted, Progress, Saved, Started, Stopped, silent
from mtl_model.runs import CACHE
from mtl_model.train import further
from mtl_model.train.branch import unchanged
from mtl_model.train.compare import outcome_of
from mtl_model.train.lesson import AskedToStop, Lesson, prepare
from mtl_model.train.measure import beside, crossed, measure
from mtl_model.train.selection import errors_on
from mtl_model.train.splits import SHARES

FIT_SECONDS = 0.015  # that a picture adds to the fit of one task


def finetune(
    config: FinetuneConfig,
    folder: Path,
    parent: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    progress: Progress = silent,
) -> Iterator[Event]:
    """Teach the checkpoint in `parent` from the pictures of config.data; card, weights and outcome.json go into `folder`.

    Raises UsageError or DataError for settings and pictures that cannot be used."""
    lesson, notes = prepare(config, folder, folder / CACHE, parent, device, progress)
    yield from (*notes, *lesson.risks)
    if lesson.convex and config.how == "branch":
        yield from _fit_branches(lesson)
    else:
        yield from further.learn(lesson, resume)


def _fit_branches(lesson: Lesson) -> Iterator[Event]:
    """The branch alone, as convex fits to all pictures but those of a declared test."""
    config, train, held = lesson.config, lesson.labelled("train"), lesson.labelled("test")
    if config.epochs or config.learning_rate:
        yield Noted("fitted_at_once")
    yield Started(config.name, 0, 0, 0, train.counts())
    try:
        seen, fits = lesson.fit(train, lesson.taught)
    except AskedToStop:
        yield Stopped(0, "stopped_before")
        return
    child, card = lesson.child(fits)
    after, fitting = crossed(lesson, train, fits)
    card = dataclasses.replace(
        card,
        calibration={**card.calibration, **fitting},
        training={
            "command": lesson.command(),
            "data": train.counts(),
            "seconds": round(time.monotonic() - lesson.began),
            "stages": {name: list(fitted.stages) for name, fitted in fits.items()},
            "penalties": {name: fitted.penalty for name, fitted in fits.items()},
            "versions": {"mtl_model": __version__, "torch": torch.__version__},
        },
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        parent=lesson.parent.name,
    )
    card = checkpoint.save(lesson.folder, child, card)
    taken, _ = checkpoint.load(lesson.folder)
    changed = unchanged(
        lesson.network, taken, [task.name for task in lesson.card.tasks if task.name not in lesson.names]
    )
    figures = errors_on(lesson.taught, after, train)
    yield Evaluated(0, 0, figures, round(-float(np.mean([one["error"] for one in figures.values()])), 5), True)
    yield Saved("checkpoint", 0)
    if all(bool(held.known[name].any()) for name in fits):
        found = outcome_of(*lesson.answers(held, taken, card), held, lesson.files(held), lesson.names)
    else:
        found = measure(lesson, train, seen, fits, after, fitting, changed)
    curves, found["suspects"] = beside(lesson, train, fits, after, fitting)
    for name, curve in curves.items():
        found["tasks"][name] |= curve
    sizes = {"train": len(train), "val": 0, "held": len(held)}
    yield lesson.keep(found, sizes, card)
    yield Finished(0, round(time.monotonic() - lesson.began, 1), 0)


@torch.inference_mode()
def estimate_seconds(card: Card, how: str, pictures: int, epochs: int = 0) -> float:
    """About how long `finetune` will take here: finding the faces, then what `how` means, by timing a few passes."""
    network = checkpoint.build_network(card).eval()
    images = torch.zeros(16, 1 if card.crop.grey else 3, card.crop.size_px, card.crop.size_px)
    network(images)
    began = time.perf_counter()
    network(images)
    one = (time.perf_counter() - began) / len(images)
    taught = (1 - sum(SHARES.values())) * pictures
    recipe = further.RECIPES[how]
    work = {
        "branch": pictures * 2 * one + 1 + pictures * FIT_SECONDS,
        "last": (epochs or recipe.epochs) * taught * 1.6 * one,
        "all": (epochs or recipe.epochs) * taught * 3.5 * one,
    }
    return 8 + pictures * (0.05 + 4 * one) + work[how]
