"""How good a network is on labelled pictures: the field's metrics, each with a bootstrap interval, whole and by group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model import kinds, layouts
from mtl_model.card import Card, expect_tasks
from mtl_model.data import cache, pseudo_labels
from mtl_model.data.batches import Labelled
from mtl_model.errors import DataError
from mtl_model.events import Noted, Progress, Stage, silent
from mtl_model.inference import predictions
from mtl_model.kinds import POINTS, SHARE, Metric, Rows
from mtl_model.networks import folded
from mtl_model.quality import poor
from mtl_model.records import Sample
from mtl_model.tasks import Task

BATCH = 32  # what lies in the processor's own memory; 128 take twice as long a picture
RESAMPLES = 1000
GROUPING = ("race",)  # what a source knows of its faces, by which the metrics are told apart
LEAST_GROUP = 20  # a figure on fewer faces says nothing

ACROSS: Mapping[str, Metric] = {
    "accuracy_13_plus": Metric(
        "Right answers, known to be 13 and over", SHARE, "right", part=lambda rows: rows["age"] >= 13, whole=True
    ),
}
"""Metrics across tasks, of every kind that has right answers: an age that begins as a range may hold younger ones."""
GAPS = {
    f"gap_{name}": Metric(f"Right answers, worst {name} below the mean of all", POINTS, "right", True)
    for name in GROUPING
}


def all_metrics() -> dict[str, Metric]:
    """Return every metric of a record by name."""
    own = kinds.all_metrics()
    return {"accuracy": own["accuracy"], **ACROSS, **GAPS, **own}


def interval_of(rows: Rows, of: Metric | str | Callable[[Rows], float], seed: int = 0) -> dict[str, float | int]:
    """A figure with its 95 % bootstrap interval, by percentiles; one given by name is the mean of that row.

    The calibration error is biased upwards, and that of a resample once more: percentiles would lie above the truth, and often
    above the figure itself. The interval of a biased metric is the basic one, which mirrors them, from 0 on and never without the
    figure. (For a true error of 0.01 on 4,000 faces it holds the truth in 89 of 100 draws, percentiles in 3; for 0 in
    about half, and in none.)
    Source: Davison and Hinkley, "Bootstrap Methods and Their Application", 1997, section 5.2.1 (basic), 5.3.1 (percentile)."""
    biased = isinstance(of, Metric) and of.biased
    measure_rows = of.of if isinstance(of, Metric) else of
    count = len(next(iter(rows.values())))
    random = np.random.default_rng(seed)
    if isinstance(measure_rows, str):
        values = rows[measure_rows]
        value = float(values.mean())
        again = np.array([values[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    else:
        value, drawn = measure_rows(rows), []
        for _ in range(RESAMPLES // 4):
            picked = random.integers(0, count, count)
            drawn.append(measure_rows({name: values[picked] for name, values in rows.items()}))
        again = np.array(drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(again, (0.025, 0.975))
    if biased:
        low, high = max(0.0, 2 * value - high), max(value, 2 * value - low)
    return {"value": _short(value), "low": _short(low), "high": _short(high), "n": count}


def _short(number: float) -> float:
    return round(float(number), 4)


def measure(
    tasks: Sequence[Task],
    predicted: Mapping[str, np.ndarray],
    data: Labelled,
    card: Card,
    rows: np.ndarray | None = None,
    whole: bool = True,
) -> dict[str, dict[str, dict[str, float | int]]]:
    """{task: {metric: {"value", "low", "high", "n"}}} on the given rows of data (all, if None).

    whole: with the metrics that are for a whole split only; groups leave them out."""
    chosen = np.zeros(len(data), bool)
    chosen[rows if rows is not None else slice(None)] = True
    ages = _ages(data)
    result = {}
    for task in tasks:
        known = data.known[task.name].numpy()
        mask = known & chosen
        if mask.sum() < (1 if whole else LEAST_GROUP):
            continue
        kind, targets = kinds.of(task), data.targets[task.name].numpy()
        measured = kind.rows(
            task, predicted[task.name][mask], targets[mask], card.calibration_of(task.name), targets[known]
        )
        measured["age"] = ages[mask]
        figures = _figures(kind.metrics, measured, whole)
        if "right" in measured:
            figures |= _figures(ACROSS, measured, whole)
            if whole:
                figures |= _gaps(measured["right"], data, mask)
        result[task.name] = figures
    return result


def _figures(metrics: Mapping[str, Metric], rows: Rows, whole: bool) -> dict[str, dict[str, float | int]]:
    """Each metric that has rows to be measured on, and a value: one class alone has no AUC."""
    figures = {}
    for name, metric in metrics.items():
        part = metric.rows(rows) if whole or not metric.whole else {"": np.zeros(0)}
        if len(next(iter(part.values()))) and np.isfinite((figure := interval_of(part, metric))["value"]):
            figures[name] = figure
    return figures


def gap(rows: Rows) -> float:
    """By how much the share of right answers in the worst level lies below the mean over the levels."""
    shares = [rows["right"][rows["level"] == one].mean() for one in np.unique(rows["level"])]
    return float(np.mean(shares) - min(shares))


def _gaps(right: np.ndarray, data: Labelled, mask: np.ndarray) -> dict[str, dict[str, float | int]]:
    """{"gap_<attribute>": figure} over the levels with enough faces; the interval is of resampled faces, not levels."""
    found = {}
    for name in GROUPING:
        level = np.array([sample.attributes.get(name, "") for sample in data.samples])[mask]
        names, counts = np.unique(level[level != ""], return_counts=True)
        enough = np.isin(level, names[counts >= LEAST_GROUP])
        if len(np.unique(level[enough])) > 1:
            found[f"gap_{name}"] = interval_of({"right": right[enough], "level": level[enough]}, gap)
    return found


def _ages(data: Labelled) -> np.ndarray:
    """float (N,), the age in years that each sample has at least; -1 where none is known."""
    ages = np.full(len(data), -1.0)
    for task in data.tasks:
        known = data.known[task.name].numpy()
        if (years := kinds.of(task).ages(data.targets[task.name].numpy()[known])) is not None:
            ages[known] = years
    return ages


def groups_of(data: Labelled) -> dict[str, dict[str, np.ndarray]]:
    """{attribute: {level: rows}}: what the source knows of its faces, the tasks whose classes serve as groups, age by
    its bands, or by the ranges as which it is known, in order of age, these two crossed, whether a face was found, and what
    is poor in its picture."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    names = sorted({name for sample in data.samples for name in sample.attributes if name in GROUPING})
    for name in names:
        groups[name] = _levels([sample.attributes.get(name, "") for sample in data.samples])
    aged, others = [], []
    for task in data.tasks:
        kind = kinds.of(task)
        has_ages = kind.ages(data.targets[task.name].numpy()) is not None
        if not has_ages and not task.groups:
            continue
        labels = [sample.labels.get(task.name) for sample in data.samples]
        levels = _levels(["" if label is None else kind.group_of(task, label) for label in labels])
        if has_ages:
            targets = data.targets[task.name].numpy()
            levels = dict(sorted(levels.items(), key=lambda level: targets[level[1]].min(0).tolist()))
        groups[task.name] = levels
        (aged if has_ages else others).append(task.name)
    for years in aged:
        for other in others:
            groups[f"{years} x {other}"] = {
                f"{band}, {word}": np.intersect1d(mine, theirs)
                for band, mine in groups[years].items()
                for word, theirs in groups[other].items()
            }
    groups["face"] = {"found": np.flatnonzero(data.faces > 0)}
    groups["quality"] = {name: rows for name, mask in poor(data.quality).items() if len(rows := np.flatnonzero(mask))}
    return {name: levels for name, levels in groups.items() if levels}


def _levels(values: Sequence[str]) -> dict[str, np.ndarray]:
    array = np.array(values)
    return {level: np.flatnonzero(array == level) for level in sorted(set(values)) if level}


@torch.inference_mode()
def network_outputs(network: nn.Module, data: Labelled, card: Card, device: str = "cpu") -> dict[str, Tensor]:
    """{task: float32 (N, width)}, logits in the order of data, on the CPU."""
    quick = folded(network)
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(data), BATCH):
        rows = np.arange(start, min(start + BATCH, len(data)))
        parts.append(data.logits(quick, rows, card, device))
    return {task.name: torch.cat([part[task.name] for part in parts]) for task in card.tasks}


def read_labelled(
    source: layouts.Source, samples: Sequence[Sample], card_like: Card, progress: Progress = silent
) -> Labelled:
    """Some samples of a source with their crops, as the card's detection and crop settings cut them.

    Unreadable pictures are left out. A label that the card does not know is refused with a DataError, before faces are
    looked for."""
    for task in card_like.tasks:
        kinds.of(task).encode(task, [sample.labels[task.name] for sample in samples if task.name in sample.labels])
    samples = pseudo_labels.detect(samples, card_like.tasks, card_like.detection, progress)
    paths = [sample.path for sample in samples]
    crops = cache.crops_of(paths, card_like.detection, card_like.crop, progress=progress)
    rows = np.flatnonzero(crops.readable).tolist()
    if not rows:
        raise DataError(f"None of the {len(samples):,} pictures of {source.folder.name} can be read. Bring whole ones.")
    return Labelled([([samples[row] for row in rows], crops, np.array(rows, int))], card_like.tasks)


def untaught(
    samples: Sequence[Sample], card: Card, split: str, source: str, note: Callable[[Noted], None]
) -> list[Sample]:
    """Return the samples without those that the card was fine-tuned with; how many those are is noted.

    split, source: where the samples are from. Raises DataError where none is left."""
    taught = set(card.taught)
    left = [one for one in samples if not taught or cache.short_digest(one.path) not in taught]
    if samples and not left:
        raise DataError(
            f"All {len(samples):,} pictures of split '{split}' of {source} are some that this checkpoint was taught or stopped "
            "by. Expected others, which alone say how good it is; give another split or source.",
            "all_taught",
        )
    if count := len(samples) - len(left):
        note(Noted("taught_left_out", {"count": count, "total": len(samples), "split": split, "source": source}))
    return left


def evaluate(
    network: nn.Module,
    card: Card,
    spec: str,
    split: str,
    *,
    device: str = "cpu",
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    progress: Progress = silent,
    note: Callable[[Noted], None] = lambda noted: None,
) -> dict[str, Any]:
    """Measure a loaded network on one split of a data set ("KIND:DIR"). note: is told what a person should know of it.

    Returns the record {"source", "data_set": its folder, "split", "n", "no_face", "several_faces", "unreadable", "tasks",
    "groups", "curves"}.
    Raises DataError where the split has no sample of the network's tasks."""
    expect_tasks(card)
    source = layouts.read_as(layouts.read(spec, layouts.options_for(spec, options or {})), card.tasks)
    names = {task.name for task in card.tasks}
    splits = sorted({sample.split for sample in source.samples})
    samples = pseudo_labels.with_labels(source.in_split(split), card.tasks)
    samples = untaught(samples, card, split, spec, note)
    if limit is not None and limit < len(samples):
        picked = np.random.default_rng(0).permutation(len(samples))[:limit]
        samples = [samples[row] for row in sorted(picked.tolist())]
    if not samples:
        raise DataError(
            f"Split '{split}' of {spec} holds no picture with a label of {', '.join(sorted(names))}. "
            f"Splits there: {', '.join(splits) or 'none'}; tasks there: {', '.join(source.tasks) or 'none'}."
        )
    data = read_labelled(source, samples, card, progress)
    outputs = network_outputs(network, data, card, device)
    progress(Stage.MEASURING, 0, 1)
    return {
        "source": source.kind,
        "data_set": source.folder.name,
        "split": split,
        "n": len(data),
        "no_face": int((data.faces == 0).sum()),
        "several_faces": int((data.faces > 1).sum()),
        "unreadable": len(samples) - len(data),
        **record(card, outputs, data),
    }


def record(card: Card, outputs: Mapping[str, Tensor], data: Labelled) -> dict[str, Any]:
    """The "tasks", "groups" and "curves" of a record, from logits in the order of data."""
    predicted = predictions(outputs, card, data.quality)
    groups = {}
    for attribute, levels in groups_of(data).items():
        if attribute == "face" and card.reads_whole:  # nothing was looked for
            continue
        measured = {
            level: measure(card.tasks, predicted, data, card, rows, whole=attribute == "face")
            for level, rows in levels.items()
        }
        groups[attribute] = {level: figures for level, figures in measured.items() if figures}
    return {
        "tasks": measure(card.tasks, predicted, data, card),
        "groups": groups,
        "curves": {
            task.name: kinds.of(task).curves(task, predicted[task.name][mask], data.targets[task.name].numpy()[mask])
            for task in card.tasks
            if (mask := data.known[task.name].numpy()).any()
        },
    }
