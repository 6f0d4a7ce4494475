"""Checkpoints beside each other on one split of all face sets, by bands of age: what a generation is chosen by.

python -m benchmarks.generation default NEW ... --data DATA [--split val] [--runs runs] [--threads 1]

Years of error and of bias (answer less truth) by band, how often the 80 % interval covers the truth, gender and smile, and the
calibration error of both over all sets; answers are calibrated and mirrored as each card says. DATA holds the sets by the names
of SETS. Of the splits val alone is for choosing: each reading of test stands in docs/test-readings.md.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from mtl_model import card, checkpoint, kinds, layouts
from mtl_model.data.batches import Labelled
from mtl_model.card import Card, CropSettings
from mtl_model.evaluate.metrics import gap, interval_of, network_outputs, read_labelled
from mtl_model.inference import predictions
from mtl_model.kinds._years import median_years

SETS = {"UTKFace": "utkface:utkface", "AAF": "csv:aaf", "FairFace": "fairface:fairface", "CelebA": "celeba:celeba",
        "GENKI": "genki4k:genki4k"}  # fmt: skip
BANDS = {"all": (0, 200), "12 and under": (0, 12), "13 to 20": (13, 20), "21 to 60": (21, 60), "over 60": (61, 200)}
Answers = tuple[Labelled, Mapping[str, np.ndarray]]
"""Faces, and {task: distributions (N, width)}."""


def read(data: Path, split: str, loaded: Card, sets: Iterable[str] = ()) -> dict[str, Labelled]:
    """{set: its faces, cut as the card says}; sets: all of SETS if none is named"""
    result = {}
    for name in sets or SETS:
        kind, _, folder = SETS[name].partition(":")
        source = layouts.read(f"{kind}:{data / folder}")
        names = {task.name for task in loaded.tasks}
        result[name] = read_labelled(source, [one for one in source.in_split(split) if names & set(one.labels)], loaded)
    return result


def figures(loaded: Card, answers: Mapping[str, Answers]) -> dict[str, float]:
    """{what: figure}; shares in percent, the calibration error as it is."""
    result: dict[str, float] = {}
    pooled: dict[str, list[dict[str, np.ndarray]]] = {}
    for name, (data, chances) in answers.items():
        for task in loaded.tasks:
            known = data.known[task.name].numpy()
            if not known.any():
                continue
            some, targets = chances[task.name][known], data.targets[task.name].numpy()[known]
            rows = kinds.of(task).rows(task, some, targets, loaded.calibration_of(task.name), targets)
            if "right" not in rows:
                result |= _years(f"{name}, {task.name}", rows, median_years(some))
                continue
            pooled.setdefault(task.name, []).append(rows)
            result[f"{name}, {task.name}, % right"] = 100 * float(rows["right"].mean())
            race = np.array([sample.attributes.get("race", "") for sample in data.samples])[known]
            if name == "FairFace" and len(np.unique(race)) > 1:
                worst = gap({"right": rows["right"], "level": race})
                result[f"{name}, {task.name}, worst race below the mean, points"] = 100 * worst
    for task, parts in pooled.items():
        joined = {row: np.concatenate([part[row] for part in parts]) for row in ("confidence", "right")}
        result[f"all sets, {task}, calibration error"] = float(interval_of(joined, kinds.all_metrics()["ece"])["value"])
    return result


def _years(what: str, rows: Mapping[str, np.ndarray], answers: np.ndarray) -> dict[str, float]:
    exact = np.isfinite(rows["error"])
    if not exact.any():
        return {f"{what}, % in the right range": 100 * float(rows["right_range"].mean())}
    bias, result = (answers - rows["truth"])[exact], {}
    rows = {name: values[exact] for name, values in rows.items()}
    masks = {band: (rows["truth"] >= low) & (rows["truth"] <= high) for band, (low, high) in BANDS.items()}
    masks = {band: mask for band, mask in masks.items() if mask.any()}
    result |= {f"{what}, years off, {band}": float(rows["error"][mask].mean()) for band, mask in masks.items()}
    result |= {f"{what}, bias, {band}": float(bias[mask].mean()) for band, mask in masks.items()}
    result[f"{what}, % covered"] = 100 * float(rows["covered"].mean())
    return result


def table(columns: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    """Markdown, a column a checkpoint."""
    yield "| | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for what in dict.fromkeys(row for column in columns.values() for row in column):
        cells = [f"{column[what]:{_form(what)}}" if what in column else "" for column in columns.values()]
        yield f"| {what} | " + " | ".join(cells) + " |"


def _form(what: str) -> str:
    if "calibration" in what:
        return ".3f"
    return "+.2f" if "bias" in what else ".2f" if "years" in what else ".1f"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    columns: dict[str, dict[str, float]] = {}
    cut: dict[CropSettings, dict[str, Labelled]] = {}
    for name in arguments.checkpoints:
        folder = card.find_checkpoint(name, card.shipped_weights(), arguments.runs)
        network, loaded = checkpoint.load(folder)
        if loaded.crop not in cut:
            cut[loaded.crop] = read(arguments.data, arguments.split, loaded)
        answers = {
            source: (data, predictions(network_outputs(network, data, loaded), loaded, data.quality))
            for source, data in cut[loaded.crop].items()
        }
        columns[name] = figures(loaded, answers)
    print("\n".join(table(columns)))


if __name__ == "__main__":
    main()
