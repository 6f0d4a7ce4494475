"""What another reading of a checkpoint's calibrated answers would bring on val: the border between two classes shifted, another
percentile of the age than the median.

python -m benchmarks.answers default --data DATA

All four data sets' val, for each task the pictures that carry its label. No test split is read.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
from pathlib import Path

import numpy as np

from benchmarks.trials import SOURCES
from mtl_model import card, checkpoint, layouts
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import network_outputs, read_labelled
from mtl_model.inference import predictions
from mtl_model.kinds._years import percentiles

SHIFTS = (-0.4, -0.2, 0.0, 0.2, 0.4)
SHARES = (0.40, 0.45, 0.50, 0.55, 0.60)
AGES = {"all ages": (0, 200), "21 to 60": (21, 60), "over 60": (61, 200), "12 and under": (0, 12)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    network, loaded = checkpoint.load(card.find_checkpoint(arguments.checkpoint, arguments.weights, arguments.runs))
    parts = []
    for kind in SOURCES:
        source = layouts.read(f"{kind}:{arguments.data / kind}")
        mine = [one for one in source.in_split("val") if {task.name for task in loaded.tasks} & set(one.labels)]
        parts += read_labelled(source, mine, loaded).parts
    val = Labelled(parts, loaded.tasks)
    chances = predictions(network_outputs(network, val, loaded), loaded, val.quality)
    for task in loaded.tasks:
        known, targets = val.known[task.name].numpy(), val.targets[task.name].numpy()
        if task.kind == "years":
            known = known & (targets[:, 0] == targets[:, 1])
            truth, some = targets[known, 0], chances[task.name][known]
            print(f"\n| percentile of {task.name} | {' | '.join(AGES)} |\n|---" + "|---" * len(AGES) + "|")
            for share, years in zip(SHARES, percentiles(some, SHARES).T, strict=True):
                errors = np.abs(years - truth)
                cells = [errors[(truth >= low) & (truth <= high)].mean() for low, high in AGES.values()]
                print(f"| {100 * share:.0f} | " + " | ".join(f"{one:.2f}" for one in cells) + " |")
        elif len(task.classes) == 2:
            odds = np.log(chances[task.name][known].clip(1e-12)) @ (-1, 1)
            told = (f"{shift:+.1f}: {100 * ((odds > shift) == targets[known]).mean():.2f}" for shift in SHIFTS)
            print(f"\n{task.name}, % right of {known.sum():,}, border at a log odds of {', '.join(told)}")


if __name__ == "__main__":
    main()
