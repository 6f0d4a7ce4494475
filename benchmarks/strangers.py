"""What a checkpoint answers of a set that it never saw, beside those that it knows: python -m benchmarks.strangers
CHECKPOINT=SET ... --data DATA [--widen 0,0.1,0.2] [--spoiled 4] [--alone]

SET: the one that was left out (UTKFace, AAF, ...). Val of every set: years off and bias by band of age, how often the interval
covers the truth when each end moves out by a share of its width, the calibration error of the other tasks; then how often it
covers parts that differ as sets do: by race, by age, the worst tenth by each measure of quality. --spoiled N: and every Nth face
spoiled in the ways of benchmarks.robustness. Answers are calibrated as the card says. No test split is read.
--alone: the set that was left out and no other.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.generation import BANDS, SETS, read
from benchmarks.robustness import WAYS, Spoiled
from mtl_model import card, checkpoint, kinds
from mtl_model.card import Card
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.inference import predictions
from mtl_model.kinds._years import is_exact, median_years
from mtl_model.records import Quality

LEAST = 30  # faces of a part


def ages(
    loaded: Card, data: Labelled, outputs: Mapping[str, torch.Tensor], shares: Sequence[float]
) -> dict[str, np.ndarray]:
    """{"rows", "truth", "answer", "0.1", ...}, each (N,) of the faces whose age is known to the year."""
    task = next(task for task in loaded.tasks if kinds.of(task).ages(np.zeros((0, 2))) is not None)
    known = data.known[task.name].numpy()
    prediction = predictions(outputs, loaded, data.quality)[task.name][known]
    targets, calibration = data.targets[task.name].numpy()[known], loaded.calibration_of(task.name)
    exact = is_exact(targets)
    covered = {
        f"{share:g}": kinds.of(task).rows(
            task, prediction, targets, dataclasses.replace(calibration, widening=share), targets
        )["covered"][exact]
        for share in shares
    }
    rows = np.flatnonzero(known)[exact]
    return {"rows": rows, "truth": targets[exact, 0], "answer": median_years(prediction)[exact], **covered}


def row(what: str, read_as: Mapping[str, np.ndarray], mask: np.ndarray, shares: Sequence[float]) -> str:
    error = (read_as["answer"] - read_as["truth"])[mask]
    covered = " / ".join(f"{100 * read_as[f'{share:g}'][mask].mean():.1f}" for share in shares)
    return f"| {what} | {mask.sum():,} | {np.abs(error).mean():.2f} | {error.mean():+.2f} | {covered} |"


def parts(data: Labelled, read_as: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """(what, mask over the rows of `ages`) of parts that differ as sets do."""
    truth, rows = read_as["truth"], read_as["rows"]
    yield from ((band, (truth >= low) & (truth <= high)) for band, (low, high) in BANDS.items())
    race = np.array([sample.attributes.get("race", "") for sample in data.samples])[rows]
    yield from ((name, race == name) for name in np.unique(race) if name)
    for column, field in enumerate(dataclasses.fields(Quality)):
        values = data.quality[rows, column]
        worst = -values if field.name == "turn" else values
        yield f"worst tenth, {field.name}", worst <= np.nanquantile(worst, 0.1)


def errors_of_classes(
    loaded: Card, data: Labelled, outputs: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, float, float]]:
    """(task, share right, calibration error) of the tasks with classes."""
    answers = predictions(outputs, loaded, data.quality)
    for task in loaded.tasks:
        known, kind = data.known[task.name].numpy(), kinds.of(task)
        if not known.any() or "ece" not in kind.metrics:
            continue
        targets = data.targets[task.name].numpy()[known]
        rows = kind.rows(task, answers[task.name][known], targets, loaded.calibration_of(task.name), targets)
        error = kind.metrics["ece"].of
        assert callable(error)
        yield task.name, float(rows["right"].mean()), error(rows)


def spoiled(
    network: nn.Module, loaded: Card, data: Labelled, step: int, shares: Sequence[float]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    samples, crops, rows = data.parts[0]
    chosen = Spoiled([(list(samples)[::step], crops, rows[::step])], data.tasks)
    for way, spoil in WAYS.items():
        chosen.spoil = spoil
        yield way, ages(loaded, chosen, network_outputs(network, chosen, loaded), shares)


def report(
    name: str, left_out: str, folder: Path, data_folder: Path, shares: Sequence[float], step: int, sets: Sequence[str]
) -> Iterator[str]:
    network, loaded = checkpoint.load(folder)
    covers = f"covered, %, widened by {' / '.join(f'{share:g}' for share in shares)}"
    head = f"| | faces | years off | bias | {covers} |\n|---|---|---|---|---|"
    classes: list[str] = []
    for source, data in read(data_folder, "val", loaded, sets).items():
        outputs = network_outputs(network, data, loaded)
        where = f"{source}, left out" if source == left_out else source
        for task, right, error in errors_of_classes(loaded, data, outputs):
            classes.append(f"| {where} | {task} | {100 * right:.1f} | {error:.3f} |")
        read_as = ages(loaded, data, outputs, shares)
        if not len(read_as["rows"]):
            continue
        yield f"\n`{name}`, {where}\n\n{head}"
        for what, mask in parts(data, read_as):
            if mask.sum() >= LEAST:
                yield row(what, read_as, mask, shares)
        for way, worse in spoiled(network, loaded, data, step, shares) if step else ():
            yield row(way, worse, np.ones(len(worse["rows"]), bool), shares)
    yield f"\n`{name}`\n\n| val | task | right, % | calibration error |\n|---|---|---|---|"
    yield from classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folds", nargs="+", metavar="CHECKPOINT=SET")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--widen", default="0,0.1,0.2")
    parser.add_argument("--spoiled", type=int, default=0)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shares = [float(share) for share in arguments.widen.split(",")]
    for fold in arguments.folds:
        name, _, left_out = fold.partition("=")
        folder = card.find_checkpoint(name, card.shipped_weights(), arguments.runs)
        sets = [left_out] if arguments.alone else [*SETS]
        for line in report(name, left_out, folder, arguments.data, shares, arguments.spoiled, sets):
            print(line, flush=True)


if __name__ == "__main__":
    main()
