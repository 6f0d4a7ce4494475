"""Measure numbers that are read by a branch for the length and one per digit: both together, as one answer.

python -m benchmarks.digits CHECKPOINT... [--data DIR] [--runs runs] [--split val] [--results docs/digits.jsonl]

Each branch has an accuracy of its own in an ordinary evaluation; that of whole numbers stands in none of them. A number is right
if its length and all of its digits are; a digit that is answered with the class of absent ones is wrong. A checkpoint that reads
the number as one text is measured in the same way. Figures have 95 % bootstrap intervals.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_model import checkpoint, kinds, layouts
from mtl_model.card import Card, find_checkpoint
from mtl_model.evaluate.metrics import interval_of, network_outputs, read_labelled
from mtl_model.inference import predictions
from mtl_model.registry import shipped_weights

COLUMN = "label"
OPTIONS = {"columns": f"{COLUMN}:sequence", "apart": COLUMN}
UNREADABLE = "!"
"""Stands for a digit that a branch does not give, and for all of a number whose length it does not give."""


def texts_of(card: Card, predicted: Mapping[str, np.ndarray]) -> list[str]:
    """Return the number that a checkpoint reads in each picture, by one task or by a branch for its length and one per digit."""
    tasks = {task.name: task for task in card.tasks}
    if COLUMN in tasks:
        task = tasks[COLUMN]
        calibration = card.calibration_of(COLUMN)
        return [kinds.of(task).estimate(task, row, calibration).text for row in predicted[COLUMN]]
    lengths = answers_of(tasks[f"{COLUMN}_length"].classes, predicted[f"{COLUMN}_length"])
    places = sum(name.removeprefix(f"{COLUMN}_").isdigit() for name in tasks)
    digits = [
        answers_of(tasks[f"{COLUMN}_{place + 1}"].classes, predicted[f"{COLUMN}_{place + 1}"])
        for place in range(places)
    ]
    return [
        "".join([digits[place][row] for place in range(int(length))]) if length.isdigit() else UNREADABLE
        for row, length in enumerate(lengths)
    ]


def answers_of(classes: Sequence[str], chances: np.ndarray) -> list[str]:
    words = [classes[int(best)] for best in chances.argmax(1)]
    return [word if len(word) == 1 else UNREADABLE for word in words]


def figures_of(truth: Sequence[str], said: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Return the shares of right numbers, lengths and digits, and of right numbers by length, with their intervals."""
    lengths = np.array([len(text) for text in truth])
    pairs = list(zip(truth, said, strict=True))
    digits = [sum(symbol == other for symbol, other in zip(text, answer, strict=False)) for text, answer in pairs]
    rows = {
        "whole": np.array([text == answer for text, answer in pairs], float),
        "length": np.array([len(text) == len(answer) for text, answer in pairs], float),
        "right": np.array(digits, float),
        "digits": lengths.astype(float),
    }
    found = {
        "whole": interval_of(rows, "whole"),
        "length": interval_of(rows, "length"),
        "digits": interval_of(rows, lambda drawn: float(drawn["right"].sum() / drawn["digits"].sum())),
    }
    for length in np.unique(lengths):
        found[f"whole_{length}"] = interval_of({"whole": rows["whole"][lengths == length]}, "whole")
    return found


def measure(folder: Path, data: Path, split: str) -> dict[str, Any]:
    network, card = checkpoint.load(folder)
    source = layouts.read(f"csv:{data}/housenumbers", OPTIONS)
    labelled = read_labelled(source, source.in_split(split), card)
    predicted = predictions(network_outputs(network, labelled, card), card, labelled.quality)
    truth = [str(sample.labels[COLUMN]) for sample in labelled.samples]
    return {"checkpoint": folder.name, "split": split, "figures": figures_of(truth, texts_of(card, predicted))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--data", type=Path, default=Path("~/.cache/mtl_model/data").expanduser())
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--results", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.checkpoints:
        line = json.dumps(
            measure(find_checkpoint(name, shipped_weights(), arguments.runs), arguments.data, arguments.split)
        )
        print(line, flush=True)
        if arguments.results:
            with arguments.results.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


if __name__ == "__main__":
    main()
