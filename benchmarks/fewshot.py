"""What a trunk is worth to a task that it never learned: a hundred pictures of each class, the trunk as it is.

python -m benchmarks.fewshot default [NAME ...] --data DATA [--draws 7] [--shots 100] [--runs runs] [--threads 1]

The fit: the network's taps side by side (means of some blocks over coarse grids), standardised; the mirror images are further
rows; logistic regression with an L2 penalty, C = 0.01; an answer is the mean of a face's and its mirror image's. Two tasks
stand in for new ones: bearded or not among CelebA's test men (`No_Beard`), and glasses among its pictures for learning from
few (`fewshot`).
People are parted at random: a draw learns from pictures of some and is tested on all pictures of the others. Printed: the mean
over the draws of the share of right answers, its 95 % interval (normal, from the draws' deviation), the least and largest draw.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_model import card, checkpoint, layouts
from mtl_model.data.batches import Labelled
from mtl_model.crops import to_tensor
from mtl_model.evaluate.metrics import read_labelled
from mtl_model.records import Sample
from mtl_model.tasks import column_name

PENALTY = 0.01  # scikit-learn's C
BATCH = 32
TASKS = (
    ("beard, CelebA's test men", "No_Beard", "test", "male"),
    ("glasses, CelebA's fewshot", "Eyeglasses", "fewshot", ""),
)


@torch.inference_mode()
def features_of(network: Any, data: Labelled, loaded: card.Card) -> np.ndarray:
    """float16 (2, N, F): of each crop as it is, and mirrored."""
    network.eval()
    views: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, len(data), BATCH):
        rows = np.arange(start, min(start + BATCH, len(data)))
        images = to_tensor(data.images(rows), loaded.crop).contiguous(memory_format=torch.channels_last)
        for view, seen in zip(views, (images, images.flip(-1)), strict=True):
            view.append(torch.cat([*network.tap(seen).values()], 1).half().numpy())
    return np.stack([np.concatenate(view) for view in views])


def draw(persons: Sequence[str], classes: np.ndarray, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, `shots` of each class, and rows to test on, all of people that no row to learn from shows.

    People are taken in a random order until those taken show both classes often enough. Raises ValueError where they never do, or
    nobody is left to test on."""
    random = np.random.default_rng(seed)
    names = np.array(persons)
    counts = np.zeros(2, int)
    taken: set[str] = set()
    for name in random.permutation(np.unique(names)).tolist():
        if counts.min() >= shots:
            break
        taken.add(name)
        counts += np.bincount(classes[names == name], minlength=2)
    inside = np.array([name in taken for name in persons])
    if counts.min() < shots or inside.all():
        raise ValueError(
            f"{counts.tolist()} pictures of the two classes cannot give {shots} of each and some to test on"
        )
    learned = [random.permutation(np.flatnonzero(inside & (classes == one)))[:shots] for one in (0, 1)]
    return np.concatenate(learned), np.flatnonzero(~inside)


def accuracy(features: np.ndarray, classes: np.ndarray, learned: np.ndarray, tested: np.ndarray) -> float:
    """The share of right answers on the rows `tested` after learning from the rows `learned`. features: (2, N, F)."""
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate([view[learned] for view in features]).astype(np.float32)
    mean, deviation = rows.mean(0), rows.std(0) + 1e-3
    fitted = LogisticRegression(C=PENALTY, max_iter=300).fit((rows - mean) / deviation, np.tile(classes[learned], 2))
    scores = [fitted.decision_function((view[tested].astype(np.float32) - mean) / deviation) for view in features]
    return float(np.mean((np.add(*scores) > 0) == classes[tested]))


def samples_of(data: Path, attribute: str, split: str, gender: str) -> list[Sample]:
    source = layouts.read(f"celeba:{data / 'celeba'}", {"attributes": attribute})
    return [one for one in source.in_split(split) if not gender or one.labels["gender"] == gender]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=7)
    parser.add_argument("--shots", type=int, default=100, help="pictures of each class to learn from")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        "| checkpoint | new task | pictures | right, % (95 % interval) | least and largest draw |\n|---|---|---|---|---|"
    )
    for name in arguments.checkpoints:
        network, loaded = checkpoint.load(card.find_checkpoint(name, card.shipped_weights(), arguments.runs))
        for title, attribute, split, gender in TASKS:
            samples = samples_of(arguments.data, attribute, split, gender)
            data = read_labelled(layouts.read(f"celeba:{arguments.data / 'celeba'}"), samples, loaded)
            task = column_name(attribute)
            classes = np.array([int(sample.labels[task] == "yes") for sample in data.samples])
            persons = [sample.person for sample in data.samples]
            features = features_of(network, data, loaded)
            shares = np.array([
                100 * accuracy(features, classes, *draw(persons, classes, arguments.shots, seed))
                for seed in range(arguments.draws)
            ])  # fmt: skip
            half = 1.96 * shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else float("nan")
            figures = f"{shares.mean():.1f} ({shares.mean() - half:.1f} to {shares.mean() + half:.1f})"
            print(
                f"| {name} | {title} | {len(data):,} | {figures} | {shares.min():.1f}, {shares.max():.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
