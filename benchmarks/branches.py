"""Measure what a fitted branch reaches on tasks that nobody taught: the figures of docs/finetuning.md.

python -m benchmarks.branches TASK... --data DATA [--from default] [--shots 10,25,50,100,250] [--draws 3] [--runs runs]
python -m benchmarks.branches smile gender --data DATA --from mobile-face --elsewhere
python -m benchmarks.branches smile eyeglasses --data DATA --flipped 0.05
python -m benchmarks.branches --speed 200,1000,5000

TASK: beard (men of CelebA), eyeglasses, bangs, hats, sideburns (men), hair (the five classes of CelebA, of those labelled with
one alone), smile, gender; from CelebA's val and fewshot, which no branch was taught for the first six. People are parted at
random: a draw learns from so many pictures of each class, of some people, and is tested on pictures of the others, at most 1,000.
Printed per task and shots, over the draws: the mean share of right answers, each class counting the same, with the least and the
largest; the same of a linear probe (logistic regression, C = 0.01, on the standardised features of the end of the trunk), as
Teachable Machine does if --from is lite0-imagenet; what cross-validation promised; how often its interval held the share.
--elsewhere: the mean probability of an answer and the share of right ones on faces of sets that were not learned from.
--flipped: this share of the labels is exchanged on purpose; printed is how many of them are in the first tenth of the labels that
look wrong, of CelebA's fewshot alone. A task that --from knows is fitted as a correction of it.
--speed: seconds and memory of a fit to so many pictures of random features, as wide as those of --from.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_model import card, checkpoint, kinds, layouts
from mtl_model.card import Card
from mtl_model.crops import to_tensor
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import read_labelled
from mtl_model.networks import FINAL, TAPPED, folded
from mtl_model.records import Sample
from mtl_model.tasks import Task, class_task
from mtl_model.train import compare
from mtl_model.train.branch import fit_task
from mtl_model.train.features import BATCH, Seen, look
from mtl_model.train.fit import Fit
from mtl_model.train.suspects import suspicion


HAIR = {"black_hair": "black", "blond_hair": "blond", "brown_hair": "brown", "gray_hair": "grey", "bald": "bald"}
ATTRIBUTES = "No_Beard,Eyeglasses,Wearing_Hat,Bangs,Sideburns,Black_Hair,Blond_Hair,Brown_Hair,Gray_Hair,Bald"
MEN = ("beard", "sideburns")
OTHER_SETS = {"smile": ("genki4k",), "gender": ("utkface", "fairface")}
MOST_TESTED = 1000
FOLDS = 5


@dataclass
class Pictures:
    """Features of labelled faces: taps, the end of the trunk, and each one's class, person."""

    taps: Mapping[str, np.ndarray]
    end: np.ndarray
    classes: np.ndarray
    persons: np.ndarray

    def take(self, rows: np.ndarray) -> Pictures:
        taps = {name: values[rows] for name, values in self.taps.items()}
        return Pictures(taps, self.end[rows], self.classes[rows], self.persons[rows])


def class_of(sample: Sample, task: str) -> str:
    """Return the class of a face; "" for one that has no part in the task."""
    labels = {name: str(value) for name, value in sample.labels.items()}
    if task in MEN and labels["gender"] != "male":
        return ""
    if task == "hair":
        named = [word for attribute, word in HAIR.items() if labels[attribute] == "yes"]
        return named[0] if len(named) == 1 else ""
    if task == "beard":
        return {"no": "yes", "yes": "no"}[labels["no_beard"]]
    return labels[{"hats": "wearing_hat"}.get(task, task)]


@torch.inference_mode()
def features_of(network: Any, data: Labelled, loaded: Card) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the taps of each face and the end of the trunk, each the mean over the face and its mirror image."""
    quick: Any = folded(network)
    parts: dict[str, list[np.ndarray]] = {TAPPED: [], FINAL: []}
    for start in range(0, len(data), BATCH):
        images = to_tensor(data.images(np.arange(start, min(start + BATCH, len(data)))), loaded.crop)
        stages = quick.trunk(torch.cat([images, images.flip(-1)]), tuple(parts))
        for name, kept in parts.items():
            kept.append(stages[name].unflatten(0, (2, -1)).mean(0).half().numpy())
    together, end = (np.concatenate(kept) for kept in parts.values())
    ends = np.cumsum([*network.taps.values()])
    return dict(zip(network.taps, np.split(together, ends[:-1], axis=1), strict=True)), end.astype(np.float32)


def draw(pictures: Pictures, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to learn from, and rows of other people to test on. Raises ValueError where there are not enough."""
    random = np.random.default_rng(seed)
    counts, taken = np.zeros(pictures.classes.max() + 1, int), set()
    for person in random.permutation(np.unique(pictures.persons)).tolist():
        if counts.min() >= shots:
            break
        taken.add(person)
        counts += np.bincount(pictures.classes[pictures.persons == person], minlength=len(counts))
    inside = np.isin(pictures.persons, [*taken])
    if counts.min() < shots or inside.all():
        raise ValueError(f"{counts.tolist()} pictures of the classes cannot give {shots} of each and some to test on")
    learned = [
        random.permutation(np.flatnonzero(inside & (pictures.classes == number)))[:shots]
        for number in range(len(counts))
    ]
    return np.concatenate(learned), random.permutation(np.flatnonzero(~inside))[:MOST_TESTED]


class Answered:
    """The targets of labelled pictures, as `fit_task` takes them."""

    def __init__(self, task: Task, classes: np.ndarray) -> None:
        self.targets = {task.name: torch.from_numpy(classes)}
        self.known = {task.name: torch.ones(len(classes), dtype=torch.bool)}


def folds_of(persons: np.ndarray, seed: int) -> np.ndarray:
    _, which = np.unique(persons, return_inverse=True)
    return np.random.default_rng(seed).permutation(which.max() + 1)[which] % FOLDS


def fit_to(task: Task, pictures: Pictures, seed: int) -> Fit:
    folds: Any = Answered(task, pictures.classes)
    return fit_task(task, Seen(pictures.taps), folds, folds_of(pictures.persons, seed), seed)


def figure_of(task: Task, logits: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Return accuracy and its interval as fine-tuning measures it."""
    kind = kinds.of(task)
    return compare._compare(task, None, kind.predict(task, logits, kind.Calibration()), classes, kind.Calibration())


def balanced(right: np.ndarray, classes: np.ndarray) -> float:
    return 100 * float(np.mean([right[classes == number].mean() for number in np.unique(classes)]))


def probe(learned: Pictures, tested: Pictures) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(learned.end, learned.classes)
    return balanced(model.predict(tested.end) == tested.classes, tested.classes)


def one_draw(task: Task, pictures: Pictures, shots: int, seed: int) -> dict[str, float]:
    learned, tested = (pictures.take(rows) for rows in draw(pictures, shots, seed))
    began = time.monotonic()
    fitted = fit_to(task, learned, seed)
    seconds = time.monotonic() - began
    kind = kinds.of(task)
    answers = kind.predict(task, fitted.logits(tested.taps), kind.Calibration()).argmax(1)
    promised = figure_of(task, fitted.out_of_fold, learned.classes)
    right = balanced(answers == tested.classes, tested.classes)
    low, high = promised["interval"]
    return {
        "right": right,
        "probe": probe(learned, tested),
        "promised": 100 * promised["after"],
        "inside": float(low <= right / 100 <= high),
        "seconds": seconds,
        "stages": len(fitted.stages),
        "tested": len(tested.classes),
    }


def elsewhere(task: Task, pictures: Pictures, data: Path, network: Any, loaded: Card, shots: int, draws: int) -> None:
    for other in OTHER_SETS[task.name]:
        source = layouts.read(f"{other}:{data / other}")
        samples = [sample for sample in source.in_split("val") if task.name in sample.labels][:MOST_TESTED]
        faces = read_labelled(source, samples, loaded)
        taps, _ = features_of(network, faces, loaded)
        truth = np.array([task.classes.index(str(sample.labels[task.name])) for sample in faces.samples])
        for seed in range(draws):
            learned = pictures.take(draw(pictures, shots, seed)[0])
            fitted, kind = fit_to(task, learned, seed), kinds.of(task)
            calibration: Any = kind.calibrate(task, fitted.out_of_fold, learned.classes)
            chances = kind.predict(task, fitted.logits(taps), calibration)
            sure, right = 100 * chances.max(1).mean(), 100 * (chances.argmax(1) == truth).mean()
            print(
                f"| {task.name} | {other}, {len(truth):,} | {sure:.1f} | {right:.1f} | {calibration.temperature:.2f} |",
                flush=True,
            )


def flipped(task: Task, seen: Seen, pictures: Pictures, share: float, shots: int, seed: int) -> float:
    """Return how many of the exchanged labels are among the first tenth of all, ranked by how wrong they look, as a share."""
    rows, _ = draw(pictures, shots, seed)
    random, truth = np.random.default_rng(seed), pictures.classes[rows]
    wrong = random.choice(len(rows), round(share * len(rows)), replace=False)
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + random.integers(1, len(task.classes), len(wrong))) % len(task.classes)
    parts = [{name: values[rows] for name, values in part.items()} for part in (seen.taps, seen.own, seen.logits)]
    data: Any = Answered(task, labels)
    fitted, kind = fit_task(task, Seen(*parts), data, folds_of(pictures.persons[rows], seed), seed), kinds.of(task)
    values, _ = suspicion(kind.predict(task, fitted.out_of_fold, kind.Calibration()), labels)
    return float(np.isin(wrong, np.argsort(-values, kind="stable")[: len(rows) // 10]).mean())


def speed(counts: Sequence[int], network: Any) -> None:
    print("| pictures | seconds of the fit | memory of the process, MB |\n|---|---|---|")
    task = class_task("new", ("no", "yes"))
    for count in counts:
        random = np.random.default_rng(0)
        taps = {name: random.normal(0, 1, (count, width)).astype(np.float16) for name, width in network.taps.items()}
        pictures = Pictures(taps, np.zeros((count, 1)), random.integers(0, 2, count), np.arange(count))
        began = time.monotonic()
        fit_to(task, pictures, 0)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {count:,} | {time.monotonic() - began:.1f} | {memory:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--from", dest="start", default="default", metavar="NAME")
    parser.add_argument("--shots", default="100", help="pictures of each class, several with commas")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--elsewhere", action="store_true")
    parser.add_argument("--flipped", type=float, default=0.0, metavar="SHARE", help="of labels, exchanged on purpose")
    parser.add_argument("--speed", default="", help="counts of pictures")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network, loaded = checkpoint.load(card.find_checkpoint(arguments.start, card.shipped_weights(), arguments.runs))
    if arguments.speed:
        speed([int(count) for count in arguments.speed.split(",")], network)
        return
    source = layouts.read(f"celeba:{arguments.data / 'celeba'}", {"attributes": ATTRIBUTES})
    samples = [*(() if arguments.flipped else source.in_split("val")), *source.in_split("fewshot")]
    data = read_labelled(layouts.read(f"celeba:{arguments.data / 'celeba'}"), samples, loaded)
    taps, end = features_of(network, data, loaded)
    if arguments.flipped:
        print("| task | of each class | exchanged labels in the first tenth, %, each draw |\n|---|---|---|")
    elif arguments.elsewhere:
        print("| task | faces of | mean probability, % | right, % | temperature |\n|---|---|---|---|---|")
    else:
        print(
            "| task | of each class | right, % | probe | promised | in its interval | seconds |\n|---|---|---|---|---|---|---|"
        )
    for name in arguments.tasks:
        words = [class_of(sample, name) for sample in data.samples]
        rows = np.flatnonzero(np.array(words) != "")
        task = class_task(name, tuple(sorted({words[row] for row in rows})))
        classes = np.array([task.classes.index(words[row]) for row in rows])
        persons = np.array([data.samples[row].person for row in rows])
        pictures = Pictures({stage: values[rows] for stage, values in taps.items()}, end[rows], classes, persons)
        known = next((one for one in loaded.tasks if one.name == name), task)
        seen = Seen(pictures.taps)
        if arguments.flipped and known is not task:
            all_of = look(network, data, loaded, [known])
            seen = Seen(
                {}, *({key: values[rows] for key, values in part.items()} for part in (all_of.own, all_of.logits))
            )
        for shots in map(int, arguments.shots.split(",")):
            try:
                if arguments.flipped:
                    draws = range(arguments.draws)
                    shares = [flipped(known, seen, pictures, arguments.flipped, shots, seed) for seed in draws]
                    print(f"| {name} | {shots} | {', '.join(f'{100 * share:.0f}' for share in shares)} |", flush=True)
                    continue
                if arguments.elsewhere:
                    elsewhere(task, pictures, arguments.data, network, loaded, shots, arguments.draws)
                    continue
                found = [one_draw(task, pictures, shots, seed) for seed in range(arguments.draws)]
            except ValueError as error:
                print(f"| {name} | {shots} | {error} | | | | |")
                continue
            mean = {key: float(np.mean([result[key] for result in found])) for key in found[0]}
            shares = [result["right"] for result in found]
            spread = f"{mean['right']:.1f} ({min(shares):.1f} to {max(shares):.1f})"
            held = f"{sum(result['inside'] for result in found):.0f} of {len(found)}"
            others = f"{mean['probe']:.1f} | {mean['promised']:.1f} | {held} | {mean['seconds']:.1f}"
            print(f"| {name} | {shots} | {spread} | {others} |", flush=True)


if __name__ == "__main__":
    main()
