"""What fine-tuning brings on real data, three draws each: the figures of docs/finetuning.md.

python -m benchmarks.finetuning glasses --data DATA [--from default] [--how branch] [--threads 2]
python -m benchmarks.finetuning probe   --data DATA --from lite0-imagenet
python -m benchmarks.finetuning smile   --data DATA --from bknet-smile --how all
python -m benchmarks.finetuning old     --data DATA --how last

glasses: eyeglasses, a task nobody taught, from 100 + 100 of CelebA's `fewshot` faces; measured on all those of other people.
probe: the same draws, a linear probe (logistic regression) on the plain pooled features of the checkpoint named by --from.
smile: a parent that knows smiles from elsewhere, adapted with 200 pictures of GENKI-4K; measured on all of its train and val
pictures that were not drawn. old: the age of people over 60, from 300 UTKFace faces; measured on UTKFace val.
What each did to the other tasks is measured on UTKFace val. No test split is read.
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


def probe(arguments: argparse.Namespace) -> list[dict]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    source = layouts.read(f"celeba:{arguments.data / 'celeba'}", {"attributes": "Eyeglasses"})
    samples = [one for one in source.samples if one.split == "fewshot"]
    loaded = card.read_card(arguments.parent)
    network = trunk_of(arguments.parent, loaded)
    data = labelled(samples, loaded)
    with torch.inference_mode():
        parts = [
            to_tensor(data.images(np.arange(at, min(at + 64, len(data)))), loaded.crop)
            for at in range(0, len(data), 64)
        ]
        features = torch.cat([network.trunk(part)["final"] for part in parts]).numpy()  # type: ignore[operator]
    truth = np.array([one.labels["eyeglasses"] == "yes" for one in data.samples]).astype(int)
    rows = []
    for seed in range(DRAWS):
        chosen = {one.path for one in drawn(samples, "eyeglasses", 100, seed)}
        people = {one.person for one in samples if one.path in chosen}
        taught = np.array([one.path in chosen for one in data.samples])
        other = np.array([one.person not in people for one in data.samples])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        model.fit(features[taught], truth[taught])
        right = (model.predict(features[other]) == truth[other]).astype(float)
        rows.append({"pictures": int(other.sum()), **accuracies(right, truth[other])})
    return rows


def trunk_of(folder: Path, loaded: card.Card) -> torch.nn.Module:
    """A checkpoint that has no task yet is a trunk alone."""
    from safetensors.torch import load_file

    network = checkpoint.build_network(loaded)
    network.load_state_dict({name: one.float() for name, one in load_file(folder / card.WEIGHTS).items()}, strict=False)
    return network.eval()


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("glasses", "probe", "smile", "old"))
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
        rows = {"glasses": glasses, "probe": probe, "smile": smile, "old": old}[arguments.what](arguments)
    for row in rows:
        print(json.dumps({name: round(one, 4) if isinstance(one, float) else one for name, one in row.items()}))
    for name in ("accuracy", "balanced", "before", "after", "seconds"):
        values = [row[name] for row in rows if name in row]
        if values:
            print(f"{name}: mean {np.mean(values):.4f}, {min(values):.4f} to {max(values):.4f}")


if __name__ == "__main__":
    main()
