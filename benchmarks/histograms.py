"""What colour alone says of a flower: a linear classifier on the colour histogram of each picture, and the majority class.

python -m benchmarks.histograms [--data DATA] [--split val]

Logistic regression on the shares of 64 colours (four levels each of red, green and blue), standardised; its strength is chosen by
cross-validation on train. Printed per task: right answers on the split, with 95 % bootstrap intervals. What the system `flowers`
is measured beside.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mtl_model import layouts, systems
from mtl_model.evaluate.metrics import interval_of
from mtl_model.pictures import read_picture

LEVELS = 4  # of each of red, green and blue
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def histogram(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) -> float64 (LEVELS ** 3,), the share of each colour."""
    levels = (picture.astype(int) * LEVELS // 256).reshape(-1, 3)
    return np.bincount(levels @ (LEVELS**2, LEVELS, 1), minlength=LEVELS**3) / len(levels)


def measure(source: layouts.Source, task: str, split: str) -> dict[str, dict[str, float | int]]:
    """{classifier: its share of right answers on the split, with the interval}."""
    taught, held = ([sample for sample in source.in_split(part) if task in sample.labels] for part in ("train", split))
    truth = np.array([sample.labels[task] for sample in held])
    known = [str(sample.labels[task]) for sample in taught]
    search = GridSearchCV(LogisticRegression(max_iter=3000), {"C": STRENGTHS}, cv=5)
    classifier = make_pipeline(StandardScaler(), search)
    classifier.fit(_histograms(sample.path for sample in taught), known)
    answers = {
        "colour histograms": classifier.predict(_histograms(sample.path for sample in held)),
        "majority class": np.full(len(truth), Counter(known).most_common(1)[0][0]),
    }
    return {name: interval_of({"right": (answer == truth).astype(float)}, "right") for name, answer in answers.items()}


def _histograms(paths: Iterable[str]) -> np.ndarray:
    return np.array([histogram(read_picture(path)) for path in paths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help=systems.DATA_HELP)
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    config = systems.recipe("flowers", data=systems.data_folder(arguments.data))
    source = layouts.read(config.source[0], {"columns": config.columns})
    for task in source.tasks:
        for name, figure in measure(source, task, arguments.split).items():
            print(f"{task}, {name}: {figure['value']} ({figure['low']} to {figure['high']}, n = {figure['n']})")


if __name__ == "__main__":
    main()
