"""A trained checkpoint fitted again on val of several data sets: temperatures, the interval's margin, and what the error is for
faces like one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from torch import nn

from mtl_model import cache, layouts
from mtl_model.batches import Labelled
from mtl_model.calibration import LEAST, fit
from mtl_model.card import Card
from mtl_model.errors import DataError
from mtl_model.evaluation import LEAST_GROUP, class_rows, network_outputs, read_labelled, untaught, year_rows
from mtl_model.outputs import band_of, distributions, median_years

SPLIT = "val"


def recalibrate(
    network: nn.Module,
    card: Card,
    specs: Sequence[str],
    *,
    options: Mapping[str, str] | None = None,
    flip_averaging: bool | None = None,
    device: str = "cpu",
    progress: cache.Progress = cache.silent,
    note: Callable[[str], None] = lambda text: None,
) -> Card:
    """The card with its calibration and errors measured on the val splits of all sources together. A task of which val has
    fewer than LEAST labels keeps what it had; figures that were measured with another calibration go. flip_averaging: None leaves
    it as it is. note: is told what a person should know of it.

    Raises DataError for a source without labelled pictures in val, and where no task has enough of them."""
    before = card
    if flip_averaging is not None:
        card = dataclasses.replace(card, flip_averaging=flip_averaging)
    parts = []
    for spec in specs:
        source = layouts.read(spec, layouts.options_for(spec, options or {}))
        names = {task.name for task in card.tasks}
        samples = [one for one in source.samples if one.split == SPLIT and names & set(one.labels)]
        if not samples:
            raise DataError(
                f"Split '{SPLIT}' of {spec} holds no picture of {', '.join(sorted(names))}. Give another source."
            )
        samples = untaught(samples, card, f"split '{SPLIT}' of {spec}", note)
        parts.append(read_labelled(source, samples, card, progress))
    data = Labelled([part for one in parts for part in one.parts], card.tasks)
    outputs = network_outputs(network, data, card, device)
    enough = tuple(task for task in card.tasks if int(data.known[task.name].sum()) >= LEAST)
    if not enough:
        raise DataError(
            f"Split '{SPLIT}' has fewer than {LEAST} labels of every task, too few to fit by. Add pictures."
        )
    fitted = fit(enough, outputs, data.targets, data.known)
    card = dataclasses.replace(card, calibration={**card.calibration, **fitted})
    errors = {task: rows for task, rows in errors_like(card, distributions(outputs, card), data) if task in fitted}
    same = (card.calibration, card.flip_averaging) == (before.calibration, before.flip_averaging)
    return dataclasses.replace(card, errors={**card.errors, **errors}, metrics=card.metrics if same else ())


def errors_like(
    card: Card, chances: Mapping[str, np.ndarray], data: Labelled
) -> Iterator[tuple[str, tuple[dict[str, Any], ...]]]:
    """(task, rows) as Card.errors holds them: by all grouping answers together, then by the band of age alone."""
    levels: dict[str, np.ndarray] = {}
    for task in card.tasks:
        if task.kind == "years":
            values = median_years(chances[task.name])
            levels[task.name] = np.array([band_of(task, float(value)) for value in values])
        elif task.groups:
            levels[task.name] = np.array(task.classes)[chances[task.name].argmax(1)]
    bands = [task.name for task in card.tasks if task.kind == "years"]
    for task in card.tasks:
        known = data.known[task.name].numpy().copy()
        targets = data.targets[task.name].numpy()
        errors = np.zeros(len(data))
        if task.kind == "years":
            known &= targets[:, 0] == targets[:, 1]
            errors[known] = year_rows(task, chances[task.name][known], targets[known], 0.0)["error"]
        else:
            errors[known] = 1 - class_rows(chances[task.name][known], targets[known])["right"]
        rows = [*_rows(levels, list(levels), known, errors), *_rows(levels, bands, known, errors)]
        if rows:
            yield task.name, tuple(rows)


def _rows(
    levels: Mapping[str, np.ndarray], names: Sequence[str], known: np.ndarray, errors: np.ndarray
) -> Iterator[dict[str, Any]]:
    for words in product(*(np.unique(levels[name]).tolist() for name in names)):
        mine = known.copy()
        for name, word in zip(names, words, strict=True):
            mine &= levels[name] == word
        if mine.sum() >= LEAST_GROUP:
            group = dict(zip(names, words, strict=True))
            yield {"group": group, "error": round(float(errors[mine].mean()), 4), "n": int(mine.sum())}
