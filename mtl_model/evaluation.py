"""How good a network is on labelled pictures: the field's metrics, each with a bootstrap interval, whole and by group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model import cache, layouts
from mtl_model.batches import Labelled
from mtl_model.card import Card
from mtl_model.errors import DataError, unknown
from mtl_model.outputs import band_of, class_of, distributions, folded, median_years, year_interval
from mtl_model.quality import poor
from mtl_model.records import Sample
from mtl_model.tasks import Task

BATCH = 32  # what lies in the processor's own memory; 128 take twice as long a picture
RESAMPLES = 1000
ECE_BINS = 15
GROUPING = ("race",)  # what a source knows of its faces, by which the metrics are told apart
LEAST_GROUP = 20  # a figure on fewer faces says nothing

Rows = Mapping[str, np.ndarray]
"""What a metric looks at: arrays of one length, a row a labelled face."""
Metric = Callable[[Rows], float]


def balanced_accuracy(rows: Rows) -> float:
    """Mean over the classes seen of the share of each that is found."""
    from sklearn.metrics import recall_score

    truth = rows["truth"]
    return float(recall_score(truth, rows["chances"].argmax(1), labels=np.unique(truth), average="macro"))


def area_under_curve(rows: Rows) -> float:
    """Area under the ROC curve; of several classes the mean over each against the rest."""
    from sklearn.metrics import roc_auc_score

    truth, chances = rows["truth"], rows["chances"]
    present = np.unique(truth)
    if len(present) < 2:
        return float("nan")
    if chances.shape[1] == 2:
        return float(roc_auc_score(truth, chances[:, 1]))
    return float(np.mean([roc_auc_score(truth == one, chances[:, one]) for one in present]))


def calibration_error(rows: Rows) -> float:
    """Expected calibration error of the top class over bins of equal mass.

    Source: Guo et al., 2017, section 2, with the bins of Nguyen and O'Connor, 2015."""
    confidence, right = rows["confidence"], rows["right"]
    bins = equal_mass(confidence)
    return float(sum(len(one) * abs(confidence[one].mean() - right[one].mean()) for one in bins) / len(confidence))


def equal_mass(confidence: np.ndarray) -> list[np.ndarray]:
    """Rows in bins of equal numbers, from the least to the most confident."""
    order = np.argsort(confidence, kind="stable")
    return np.array_split(order, min(ECE_BINS, len(order)))


MEANS: dict[str, dict[str, str]] = {
    "classes": {"accuracy": "right"},
    "years": {"mae": "error", "cs5": "within_5", "coverage80": "covered", "accuracy_five_groups": "right_group"},
}
OTHERS: dict[str, dict[str, Metric]] = {
    "classes": {"balanced_accuracy": balanced_accuracy, "auc": area_under_curve, "ece": calibration_error},
    "years": {},
}
AGE_PARTS = {"mae_0_12": (0, 12), "mae_21_60": (21, 60), "mae_over_60": (61, 1000)}


def class_rows(chances: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """chances: float (N, width), targets: int (N,)."""
    top = chances.argmax(1)
    right = (top == targets).astype(float)
    return {"truth": targets, "chances": chances, "confidence": chances.max(1), "right": right}


def year_rows(task: Task, chances: np.ndarray, targets: np.ndarray, margin: float) -> dict[str, np.ndarray]:
    """chances: float (N, width), targets: float (N, 2) with equal ends."""
    truth, value, interval = targets[:, 0], median_years(chances), year_interval(chances, margin)
    error = np.abs(value - truth)
    right_group = [band_of(task, v) == band_of(task, t) for v, t in zip(value.round(1), truth, strict=True)]
    return {
        "truth": truth,
        "error": error,
        "within_5": (error <= 5).astype(float),
        "covered": ((truth >= interval[:, 0]) & (truth <= interval[:, 1])).astype(float),
        "right_group": np.array(right_group, float),
    }


def range_rows(chances: np.ndarray, targets: np.ndarray, ranges: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """For ages known as ranges: the range with the largest summed probability, among those that the data set uses, (R, 2);
    those of targets, if not given. A group by age holds one or two of them, and would make the answer easy."""
    ranges = np.unique(targets, axis=0) if ranges is None else ranges
    last = chances.shape[1] - 1
    sums = np.stack([chances[:, int(low) : int(min(high, last)) + 1].sum(1) for low, high in ranges], 1)
    return {"right": (ranges[sums.argmax(1)] == targets).all(1).astype(float)}


def interval_of(rows: Rows, metric: Metric | str, seed: int = 0) -> dict[str, float | int]:
    """A figure with its 95 % bootstrap interval, by percentiles; a metric given by name is the mean of that row.

    The calibration error is biased upwards, and that of a resample once more: percentiles would lie above the truth, and often
    above the figure itself. Its interval is the basic one, which mirrors them, from 0 on and never without the figure. (For a
    true error of 0.01 on 4,000 faces it holds the truth in 89 of 100 draws, percentiles in 3; for 0 in about half, and in none.)
    Source: Davison and Hinkley, "Bootstrap Methods and Their Application", 1997, section 5.2.1 (basic), 5.3.1 (percentile)."""
    count = len(next(iter(rows.values())))
    random = np.random.default_rng(seed)
    if isinstance(metric, str):
        values = rows[metric]
        value = float(values.mean())
        again = np.array([values[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    else:
        value, found = metric(rows), []
        for _ in range(RESAMPLES // 4):
            picked = random.integers(0, count, count)
            found.append(metric({name: one[picked] for name, one in rows.items()}))
        again = np.array(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(again, (0.025, 0.975))
    if metric is calibration_error:
        low, high = max(0.0, 2 * value - high), max(value, 2 * value - low)
    return {"value": _short(value), "low": _short(low), "high": _short(high), "n": count}


def _short(number: float) -> float:
    return round(float(number), 4)


def measure(
    tasks: Sequence[Task],
    chances: Mapping[str, np.ndarray],
    data: Labelled,
    card: Card,
    rows: np.ndarray | None = None,
    whole: bool = True,
) -> dict[str, dict[str, dict[str, float | int]]]:
    """{task: {metric: {"value", "low", "high", "n"}}} on the given rows of data (all, if None).

    whole: with the metrics that are no means, which take longer; groups leave them out."""
    chosen = np.zeros(len(data), bool)
    chosen[rows if rows is not None else slice(None)] = True
    ages = _first_years(data)
    result = {}
    for task in tasks:
        mask = data.known[task.name].numpy() & chosen
        if mask.sum() < (1 if whole else LEAST_GROUP):
            continue
        targets, some = data.targets[task.name].numpy()[mask], chances[task.name][mask]
        if task.kind == "years":
            margin = card.calibration_of(task.name).margin
            every = data.targets[task.name].numpy()[data.known[task.name].numpy()]
            ranges = np.unique(every[every[:, 0] != every[:, 1]], axis=0)
            result[task.name] = _measure_years(task, some, targets, ranges, margin, whole)
        else:
            of_rows = class_rows(some, targets)
            found = {name: interval_of(of_rows, row) for name, row in MEANS["classes"].items()}
            if whole:
                others = {name: interval_of(of_rows, metric) for name, metric in OTHERS["classes"].items()}
                found |= {
                    name: one for name, one in others.items() if np.isfinite(one["value"])
                }  # one class has no AUC
            grown = ages[mask] >= 13  # a range that begins earlier may hold younger ones
            if whole and grown.any():
                found["accuracy_13_plus"] = interval_of({"right": of_rows["right"][grown]}, "right")
            if whole:
                found |= _gaps(of_rows["right"], data, mask)
            result[task.name] = found
    return result


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


def _measure_years(
    task: Task, chances: np.ndarray, targets: np.ndarray, ranges: np.ndarray, margin: float, whole: bool
) -> dict:
    exact = targets[:, 0] == targets[:, 1]
    found = {}
    if exact.any():
        rows = year_rows(task, chances[exact], targets[exact], margin)
        found = {name: interval_of(rows, row) for name, row in MEANS["years"].items()}
        for name, (first, last) in AGE_PARTS.items():
            part = (rows["truth"] >= first) & (rows["truth"] <= last)
            if whole and part.any():
                found[name] = interval_of({"error": rows["error"][part]}, "error")
    if (~exact).any():
        found["accuracy_ranges"] = interval_of(range_rows(chances[~exact], targets[~exact], ranges), "right")
    return found


def _first_years(data: Labelled) -> np.ndarray:
    """float (N,), the years that each sample has at least: its age, or where its range begins; -1 where none is known."""
    ages = np.full(len(data), -1.0)
    for task in data.tasks:
        if task.kind == "years":
            known = data.known[task.name].numpy()
            ages[known] = data.targets[task.name].numpy()[known, 0]
    return ages


def groups_of(data: Labelled) -> dict[str, dict[str, np.ndarray]]:
    """{attribute: {level: rows}}: what the source knows of its faces, the tasks whose classes serve as groups, age by
    its bands, or by the ranges as which it is known, in order of age, these two crossed, whether a face was found, and what
    is poor in its picture."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    names = sorted({name for sample in data.samples for name in sample.attributes if name in GROUPING})
    for name in names:
        groups[name] = _levels([sample.attributes.get(name, "") for sample in data.samples])
    for task in data.tasks:
        if task.kind != "years" and not task.groups:
            continue
        labels = [sample.labels.get(task.name) for sample in data.samples]
        levels = _levels(["" if one is None else class_of(task, one) for one in labels])
        if task.kind == "years":
            targets = data.targets[task.name].numpy()
            levels = dict(sorted(levels.items(), key=lambda level: targets[level[1]].min(0).tolist()))
        groups[task.name] = levels
    for years in (task.name for task in data.tasks if task.kind == "years" and task.name in groups):
        for other in (task.name for task in data.tasks if task.groups and task.name in groups):
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
    source: layouts.Source, samples: Sequence[Sample], card_like: Card, progress: cache.Progress = cache.silent
) -> Labelled:
    """Some samples of a source with their crops, as the card's detection and crop settings cut them.

    Unreadable pictures are left out. A label of a class that the card does not know is refused with a DataError."""
    for task in card_like.tasks:
        known = set(task.classes)
        strange = {str(s.labels[task.name]) for s in samples if task.name in s.labels} - known
        if task.kind != "years" and strange:
            raise DataError(unknown(f"class of {task.name}", sorted(strange)[0], known))
    paths = [sample.path for sample in samples]
    crops = cache.crops_of(paths, card_like.detection, card_like.crop, progress=progress)
    rows = np.flatnonzero(crops.readable).tolist()
    if not rows:
        raise DataError(f"None of the {len(samples):,} pictures of {source.folder.name} can be read. Bring whole ones.")
    return Labelled([([samples[row] for row in rows], crops, np.array(rows, int))], card_like.tasks)


def untaught(samples: Sequence[Sample], card: Card, where: str, note: Callable[[str], None]) -> list[Sample]:
    """The samples without those that the card was fine-tuned with; how many those are is noted.

    Raises DataError where none is left. where: the split and source, as people name them."""
    taught = set(card.taught)
    left = [one for one in samples if not taught or cache.short_digest(one.path) not in taught]
    if samples and not left:
        raise DataError(
            f"All {len(samples):,} pictures of {where} are some that this checkpoint was taught or stopped by. Expected others, "
            "which alone say how good it is; give another split or source."
        )
    if count := len(samples) - len(left):
        note(f"{count:,} of {len(samples):,} pictures of {where} were learned from or stopped by, and are left out.")
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
    progress: cache.Progress = cache.silent,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure a loaded network on one split of a data set ("KIND:DIR"). note: is told what a person should know of it.

    Returns the record {"source", "split", "n", "no_face", "several_faces", "unreadable", "tasks", "groups", "curves"}.
    Raises DataError where the split has no sample of the network's tasks."""
    source = layouts.read(spec, layouts.options_for(spec, options or {}))
    names = {task.name for task in card.tasks}
    splits = sorted({sample.split for sample in source.samples})
    samples = [one for one in source.samples if one.split == split and names & set(one.labels)]
    samples = untaught(samples, card, f"split '{split}' of {spec}", note)
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
    progress("measuring", 0, 1)
    return {
        "source": source.kind,
        "split": split,
        "n": len(data),
        "no_face": int((data.faces == 0).sum()),
        "several_faces": int((data.faces > 1).sum()),
        "unreadable": len(samples) - len(data),
        **record(card, outputs, data),
    }


def record(card: Card, outputs: Mapping[str, Tensor], data: Labelled) -> dict[str, Any]:
    """The "tasks", "groups" and "curves" of a record, from logits in the order of data."""
    chances = distributions(outputs, card)
    groups = {}
    for attribute, levels in groups_of(data).items():
        measured = {
            level: measure(card.tasks, chances, data, card, rows, whole=attribute == "face")
            for level, rows in levels.items()
        }
        groups[attribute] = {level: found for level, found in measured.items() if found}
    return {
        "tasks": measure(card.tasks, chances, data, card),
        "groups": groups,
        "curves": {task.name: found for task in card.tasks if (found := curves_of(task, chances[task.name], data))},
    }


def confusion(task: Task, chances: np.ndarray, targets: np.ndarray) -> list[list[int]]:
    """Counts of faces: a row a true class, a column an answer."""
    counts = np.zeros((len(task.classes),) * 2, int)
    np.add.at(counts, (targets, chances.argmax(1)), 1)
    return counts.tolist()


def curves_of(task: Task, chances: np.ndarray, data: Labelled) -> dict[str, Any]:
    """What the charts show. Classes: "confusion", counts by truth and answer, and "calibration", for each bin the mean
    confidence, the share of right answers, and the faces. Years: "errors", for each ten years of true age its name, the
    mean error, the mean absolute error, and the faces."""
    mask = data.known[task.name].numpy()
    targets, some = data.targets[task.name].numpy()[mask], chances[mask]
    if not mask.any():
        return {}
    if task.kind != "years":
        rows = class_rows(some, targets)
        bins = equal_mass(rows["confidence"])
        calibration = [
            [_short(rows[name][one].mean()) for name in ("confidence", "right")] + [len(one)] for one in bins
        ]
        return {"classes": list(task.classes), "confusion": confusion(task, some, targets), "calibration": calibration}
    exact = targets[:, 0] == targets[:, 1]
    truth, errors = targets[exact, 0], median_years(some[exact]) - targets[exact, 0]
    found = []
    for decade in np.unique(truth // 10):
        mine = errors[truth // 10 == decade]
        first = int(decade) * 10
        found.append([f"{first}-{first + 9}", _short(mine.mean()), _short(np.abs(mine).mean()), len(mine)])
    return {"errors": found}
