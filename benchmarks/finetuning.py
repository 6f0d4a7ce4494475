"""What fine-tuning brings on real data, three draws each: the figures of docs/finetuning.md.

python -m benchmarks.finetuning glasses --data DATA [--from default] [--how branch] [--threads 2]
python -m benchmarks.finetuning probe   --data DATA --from lite0-imagenet
python -m benchmarks.finetuning smile   --data DATA --from bknet-smile --how all
python -m benchmarks.finetuning old     --data DATA --how last
python -m benchmarks.finetuning flowers --data DATA --from pictures

glasses: eyeglasses, a task nobody taught, from 100 + 100 of CelebA's `fewshot` faces; measured on all those of other people.
probe: the same draws, a linear probe (logistic regression) on the plain pooled features of the checkpoint named by --from.
smile: a parent that knows smiles from elsewhere, adapted with 200 pictures of GENKI-4K; measured on all of its train and val
pictures that were not drawn. old: the age of people over 60, from 300 UTKFace faces; measured on UTKFace val.
What each did to the other tasks is measured on UTKFace val; no test split of faces is read.
flowers: roses or daisies, whole pictures, from 100 + 100 of the set's train part; measured on its test part, beside a linear
probe of the same trunk on the same 200 pictures. Intervals are of 95 %, resampled over the pictures of the test part.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import functools
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mtl_model import card, checkpoint, kinds, layouts
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.crops import to_tensor
from mtl_model.evaluate.metrics import measure, network_outputs
from mtl_model.inference import predictions
from mtl_model.records import Sample

DRAWS = 3


def drawn(samples: Sequence[Sample], key: str, each: int, seed: int) -> list[Sample]:
    """`each` samples of every class of a task."""
    by_class: dict[str, list[Sample]] = defaultdict(list)
    for one in samples:
        by_class[str(one.labels[key])].append(one)
    chooser = random.Random(seed)
    return [one for word in sorted(by_class) for one in chooser.sample(by_class[word], each)]


def lay_out(samples: Sequence[Sample], folder: Path, task: str, key: str) -> None:
    for one in samples:
        target = folder / task / str(one.labels[key]) / Path(one.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.path, target)


def finetune(arguments: argparse.Namespace, folder: Path, name: str, *more: str) -> tuple[Path, float]:
    """By the command, as a person does it. Returns the checkpoint and the seconds from the start of the process."""
    import time

    words = [sys.executable, "-m", "mtl_model", "finetune", str(folder), "--name", name, "--how", arguments.how]
    words += ["--runs", str(arguments.runs), "--threads", str(arguments.threads), *more]
    if arguments.start:
        words += ["--from", arguments.start]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return arguments.runs / name, time.monotonic() - began


def labelled(samples: Sequence[Sample], one: card.Card) -> Labelled:
    crops = cache.crops_of([sample.path for sample in samples], one.detection, one.crop)
    rows = np.flatnonzero(crops.readable)
    return Labelled([([samples[row] for row in rows.tolist()], crops, rows)], one.tasks)


def chances_of(folder: Path, samples: Sequence[Sample]) -> tuple[dict[str, np.ndarray], Labelled, card.Card]:
    network, loaded = checkpoint.load(folder)
    data = labelled(samples, loaded)
    return predictions(network_outputs(network, data, loaded), loaded, data.quality), data, loaded


@functools.cache
def on_val(folder: Path, utkface: Path) -> dict[str, float]:
    samples = layouts.read(f"utkface:{utkface}").in_split("val")
    chances, data, loaded = chances_of(folder, samples)
    return {
        f"{task} {metric}": float(metrics[metric]["value"])
        for task, metrics in measure(loaded.tasks, chances, data, loaded).items()
        for metric in ("mae", "mae_over_60", "accuracy")
        if metric in metrics
    }


def others_on_val(arguments: argparse.Namespace, parent: Path, child: Path) -> dict[str, str]:
    """Parent -> child of each task that both know, on UTKFace val."""
    found: dict[str, list[str]] = defaultdict(list)
    for folder in (parent, child):
        for name, value in on_val(folder, arguments.data / "utkface").items():
            found[name].append(f"{value:.4f}")
    return {name: " -> ".join(values) for name, values in found.items()}


def glasses(arguments: argparse.Namespace) -> list[dict]:
    source = layouts.read(f"celeba:{arguments.data / 'celeba'}", {"attributes": "Eyeglasses"})
    samples = [one for one in source.samples if one.split == "fewshot"]
    rows = []
    for seed in range(DRAWS):
        chosen = drawn(samples, "eyeglasses", 100, seed)
        people = {one.person for one in chosen}
        rest = [one for one in samples if one.person not in people]
        folder = arguments.work / f"glasses{seed}"
        lay_out(chosen, folder, "glasses", "eyeglasses")
        child, seconds = finetune(arguments, folder, f"glasses{seed}")
        chances, data, loaded = chances_of(child, rest)
        task = loaded.task("glasses")
        truth = np.array([task.classes.index(str(one.labels["eyeglasses"])) for one in data.samples])
        row = {"pictures": len(truth), **accuracies((chances["glasses"].argmax(1) == truth).astype(float), truth)}
        rows.append(
            row | {"seconds": seconds} | (others_on_val(arguments, arguments.parent, child) if seed == 0 else {})
        )
    return rows


@torch.inference_mode()
def pooled(folder: Path, samples: Sequence[Sample]) -> tuple[np.ndarray, Labelled]:
    """float32 (N, F), what a trunk gives at its end."""
    network, loaded = checkpoint.load(folder)
    data = labelled(samples, loaded)
    parts = np.array_split(np.arange(len(data)), max(1, len(data) // 64))
    images = (to_tensor(data.images(rows), loaded.crop) for rows in parts)
    return torch.cat([network.trunk(part)["final"] for part in images]).numpy(), data  # type: ignore[operator]


def linear_probe(features: np.ndarray, truth: np.ndarray, taught: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """float64 (N,): 1 where logistic regression that learned from the rows `taught` is right on a row of `tested`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(features[taught], truth[taught])
    return (model.predict(features[tested]) == truth[tested]).astype(float)


def probe(arguments: argparse.Namespace) -> list[dict]:
    source = layouts.read(f"celeba:{arguments.data / 'celeba'}", {"attributes": "Eyeglasses"})
    samples = [one for one in source.samples if one.split == "fewshot"]
    features, data = pooled(arguments.parent, samples)
    truth = np.array([one.labels["eyeglasses"] == "yes" for one in data.samples]).astype(int)
    rows = []
    for seed in range(DRAWS):
        chosen = {one.path for one in drawn(samples, "eyeglasses", 100, seed)}
        people = {one.person for one in samples if one.path in chosen}
        taught = np.array([one.path in chosen for one in data.samples])
        other = np.array([one.person not in people for one in data.samples])
        right = linear_probe(features, truth, taught, other)
        rows.append({"pictures": int(other.sum()), **accuracies(right, truth[other])})
    return rows


def flowers(arguments: argparse.Namespace) -> list[dict]:
    source = layouts.read(f"list:{arguments.data / 'flowers'}", {"columns": "kind=rose|daisy,colour=red|pink|white"})
    samples, test = [source.in_split(split) for split in ("train", "test")]
    features, data = pooled(arguments.parent, [*samples, *test])
    truth = np.array([sample.labels["kind"] == "daisy" for sample in data.samples]).astype(int)
    tested = np.array([sample.split == "test" for sample in data.samples])
    rows, taught_right, probe_right = [], [], []
    for seed in range(DRAWS):
        chosen = drawn(samples, "kind", 100, seed)
        folder = arguments.work / f"flowers{seed}"
        lay_out(chosen, folder, "kind", "kind")
        child, seconds = finetune(arguments, folder, f"flowers{seed}")
        chances, held, _ = chances_of(child, [sample for sample in data.samples if sample.split == "test"])
        answers = chances["kind"].argmax(1) == held.targets["kind"].numpy()
        taught_right.append(answers.astype(float))
        paths = {sample.path for sample in chosen}
        taught = np.array([sample.path in paths for sample in data.samples])
        probe_right.append(linear_probe(features, truth, taught, tested))
        figures = {"pictures": len(answers), "accuracy": answers.mean(), "probe": probe_right[-1].mean()}
        rows.append(figures | {"seconds": seconds})
    taught_share, probe_share = np.mean(taught_right, 0), np.mean(probe_right, 0)
    for name, share in (("taught", taught_share), ("probe", probe_share), ("difference", taught_share - probe_share)):
        low, high = interval(share)
        print(f"{name}: {share.mean():.4f} ({low:.4f} to {high:.4f})")
    return rows


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean over pictures."""
    random = np.random.default_rng(0)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(2000)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def accuracies(right: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    balanced = float(np.mean([right[truth == one].mean() for one in np.unique(truth)]))
    return {"accuracy": float(right.mean()), "balanced": balanced}


def smile(arguments: argparse.Namespace) -> list[dict]:
    source = layouts.read(f"genki4k:{arguments.data / 'genki4k'}")
    samples = [one for one in source.samples if one.split in ("train", "val")]
    rows = []
    for seed in range(DRAWS):
        chosen = drawn(samples, "smile", 100, seed)
        gone = {one.path for one in chosen}
        rest = [one for one in samples if one.path not in gone]
        folder = arguments.work / f"smile{seed}"
        lay_out(chosen, folder, "smile", "smile")
        child, seconds = finetune(arguments, folder, f"smile{seed}")
        row: dict = {"pictures": len(rest)}
        for word, one in (("before", arguments.parent), ("after", child)):
            chances, data, _ = chances_of(one, rest)
            row[word] = float((chances["smile"].argmax(1) == data.targets["smile"].numpy()).mean())
        rows.append(row | {"seconds": seconds})
    return rows


def old(arguments: argparse.Namespace) -> list[dict]:
    source = layouts.read(f"utkface:{arguments.data / 'utkface'}")
    taught = [
        one for one in source.in_split("train") if isinstance(one.labels["age"], float) and one.labels["age"] > 60
    ]
    held = [one for one in source.in_split("val") if isinstance(one.labels["age"], float) and one.labels["age"] > 60]
    rows = []
    for seed in range(DRAWS):
        folder = arguments.work / f"old{seed}"
        folder.mkdir(parents=True)
        for one in random.Random(seed).sample(taught, 300):
            shutil.copyfile(one.path, folder / Path(one.path).name)
        child, seconds = finetune(arguments, folder, f"old{seed}", "--layout", "utkface", "--tasks", "age")
        row: dict = {"pictures": len(held)}
        for word, one in (("before", arguments.parent), ("after", child)):
            chances, data, loaded = chances_of(one, held)
            row[word] = float(
                kinds.of(loaded.task("age"))
                .compare(loaded.task("age"), chances["age"], data.targets["age"].numpy())[1]
                .mean()
            )
        rows.append(row | {"seconds": seconds} | others_on_val(arguments, arguments.parent, child))
    return rows


WHAT = {"glasses": glasses, "probe": probe, "smile": smile, "old": old, "flowers": flowers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--from", dest="start", default="", metavar="NAME")
    parser.add_argument("--how", default="branch", choices=("branch", "last", "all"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where --from is looked for too")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.parent = card.find_checkpoint(arguments.start or None, card.shipped_weights(), arguments.runs)
    with tempfile.TemporaryDirectory() as work:
        arguments.work = Path(work)
        runs, arguments.runs = arguments.runs, arguments.work / "runs"
        if arguments.parent.parent == runs:  # children are made beside a copy of it, and go with the folder
            shutil.copytree(arguments.parent, arguments.runs / arguments.parent.name)
        rows = WHAT[arguments.what](arguments)
    for row in rows:
        print(json.dumps({name: round(one, 4) if isinstance(one, float) else one for name, one in row.items()}))
    for name in ("accuracy", "balanced", "probe", "before", "after", "seconds"):
        values = [row[name] for row in rows if name in row]
        if values:
            print(f"{name}: mean {np.mean(values):.4f}, {min(values):.4f} to {max(values):.4f}")


if __name__ == "__main__":
    main()
