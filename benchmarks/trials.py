"""Small trainings that answer one question each: bknet at 48 px, a tenth of the four data sets, several seeds.

python -m benchmarks.trials multitask --data DATA     each task alone, all together, independent branches
python -m benchmarks.trials losses    --data DATA     of the age
python -m benchmarks.trials others    --data DATA     what else might help
    [--seeds 0,1,2] [--epochs 12] [--threads 1] [--results docs/trials.jsonl] [--table]

All runs of one seed see the same tenth of the pictures (that of `train --fraction 0.1 --seed SEED`), take the same number of
steps, and pass as often over what they use: a task alone learns from the faces that carry its label, in batches that are
smaller by as much (what no longer fills a batch in every step is left out, less than one picture a step). Dropout and
augmentation are weaker than for a whole training: with those a task alone hardly begins to learn in so few steps. Measured on
val at the last step, with the moving average; nothing is chosen by it. docs/trials.jsonl keeps a line a run; one that stands
there is not made again, and --table only prints.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import dataclasses
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import torch

from benchmarks.lines import Lines
from mtl_model import checkpoint, wording
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.config import TrainConfig
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.events import Failed
from mtl_model.inference import predictions
from mtl_model.kinds._years import median_years
from mtl_model.train.prepare import Data, prepare
from mtl_model.train.selection import errors_on
from mtl_model.tasks import Task
from mtl_model.train.loop import Run

FRACTION, BATCH = 0.1, 48
DROPOUT, AUGMENTATION = 0.2, 0.4
SOURCES = ("utkface", "genki4k", "fairface", "celeba")
ATTRIBUTES = (  # of CelebA, those that say something of age, gender or smile, and none that is kept unseen
    "Bags_Under_Eyes,Big_Lips,Big_Nose,Bushy_Eyebrows,Chubby,Double_Chin,Gray_Hair,Heavy_Makeup,High_Cheekbones,"
    "Mouth_Slightly_Open,Narrow_Eyes,Oval_Face,Pointy_Nose,Receding_Hairline,Rosy_Cheeks,Young"
)


@dataclasses.dataclass(frozen=True)
class Trial:
    name: str
    tasks: tuple[str, ...] = ("age", "gender", "smile")
    separate: bool = False
    distil: bool = False
    """The answers of the checkpoint `default` are what is learned, on every picture, labelled or not."""
    attributes: bool = False
    settings: tuple[tuple[str, Any], ...] = ()


ALONE = [Trial(f"{task} alone", (task,)) for task in ("age", "gender", "smile")]
TOGETHER = Trial("all together")
TABLES = {
    "multitask": [*ALONE, TOGETHER, Trial("independent branches, joint", separate=True)],
    "losses": [
        ALONE[0],
        *(
            Trial(f"age alone, {loss}", ("age",), settings=(("losses", f"age={loss}"),))
            for loss in ("years_cross_entropy", "mean_variance", "expected_error")
        ),
    ],
    "others": [
        TOGETHER,
        Trial("one task a step", settings=(("mode", "alternate"),)),
        Trial("task weights learned", settings=(("weighting", "learned"),)),
        Trial("rare labels drawn more often, 0.4", settings=(("balance", 0.4),)),
        Trial("no augmentation", settings=(("augmentation", 0.0),)),
        Trial("twice the augmentation", settings=(("augmentation", 2 * AUGMENTATION),)),
        Trial("16 more attributes of CelebA", attributes=True),
        Trial("distilled from default", distil=True),
        Trial("twice the passes", settings=(("epochs", 2),)),  # times --epochs
    ],
}


@functools.cache
def tenth(data: Path, seed: int, attributes: bool) -> Data:
    """A tenth of the training pictures and all of val."""
    sources = tuple(f"{kind}:{data / kind}" for kind in SOURCES)
    named = ATTRIBUTES if attributes else ""
    return prepare(TrainConfig("trial", sources, attributes=named, fraction=FRACTION, seed=seed))


def part(data: Labelled, tasks: Sequence[Task], seed: int, fraction: float = 1.0, steps: int = 1) -> Labelled:
    """A share of each source, and of it what carries a label of the tasks; the same share whatever the tasks. As many pictures as
    `steps` equal batches hold: the surplus is left out of the largest source, by chance."""
    names, parts = {task.name for task in tasks}, []
    for samples, crops, rows in data.parts:
        order = np.random.default_rng(seed).permutation(len(rows))[: round(len(rows) * fraction)].tolist()
        parts.append((samples, crops, rows, [one for one in order if names & set(samples[one].labels)]))
    most = max((mine for *_, mine in parts), key=len)
    del most[len(most) - sum(len(mine) for *_, mine in parts) % steps :]
    return Labelled(
        [
            ([samples[one] for one in sorted(mine)], crops, rows[sorted(mine)])
            for samples, crops, rows, mine in parts
            if mine
        ],
        tasks,
    )


def distilled(train: Labelled, seed: int, arguments: argparse.Namespace) -> Labelled:
    """The same pictures, taught by what `default` answers in place of their labels."""
    network, card = checkpoint.load(arguments.weights / "default")
    crops = cache.crops_of([one.path for one in train.samples], card.detection, card.crop)
    seen = Labelled([(train.samples, crops, np.arange(len(train)))], card.tasks)
    chances = predictions(network_outputs(network, seen, card), card, seen.quality)
    for task in train.tasks:
        train.answers[task.name] = torch.from_numpy(chances[task.name]).float()
        train.known[task.name][:] = False
    return train


def run(trial: Trial, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    data = tenth(arguments.data, seed, trial.attributes)
    wanted = [task for task in data.card.tasks if task.name in trial.tasks or trial.attributes]
    settings = dict(trial.settings)
    settings["epochs"] = arguments.epochs * settings.get("epochs", 1)
    losses = dict(one.split("=") for one in settings.get("losses", "").split(",") if one)
    tasks = tuple(dataclasses.replace(task, loss=losses.get(task.name, task.loss)) for task in wanted)
    steps = len(data.train) // BATCH
    train = part(data.train, tasks, seed, steps=steps)
    if trial.distil:
        train = distilled(train, seed, arguments)
    few, val = part(data.val, tasks, seed, 0.05), part(data.val, tasks, 0)
    card = dataclasses.replace(
        data.card,
        tasks=tasks,
        network_options={**data.card.network_options, "separate": trial.separate, "dropout": DROPOUT},
    )
    settings = {"augmentation": AUGMENTATION, "batch_size": len(train) // steps, **settings}
    config = TrainConfig("trial", seed=seed, precision="bf16", warmup_steps=100, **settings)
    with tempfile.TemporaryDirectory() as folder:
        one = Run(config, Path(folder), Data(train, few, card, []), accelerate.Accelerator(cpu=True), None)
        for event in one.events():
            if isinstance(event, Failed):
                raise SystemExit(wording.of(event))
    chances = predictions(network_outputs(one.evaluated, val, card), card, val.quality)
    found = {
        f"{task} {name}": value
        for task, figures in errors_on(tasks, chances, val).items()
        for name, value in figures.items()
        if task in ("age", "gender", "smile") and name != "error"
    }
    if "age" in chances:
        targets, years = val.targets["age"].numpy(), np.arange(chances["age"].shape[1])
        exact = val.known["age"].numpy() & (targets[:, 0] == targets[:, 1])
        truth, some = targets[exact, 0], chances["age"][exact]
        by_median, by_mean = (np.abs(one - truth) for one in (median_years(some), some @ years))
        found |= {"age mae_over_60": float(by_median[truth > 60].mean()), "age mae_of_mean": float(by_mean.mean())}
    return found | {"steps": one.step, "seconds": round(one.seconds), "precision": one.precision}


COLUMNS = {
    "age mae": ("age, years (UTKFace)", 1, "{:.2f}"),
    "age mae_of_mean": ("answered by the mean, not the median", 1, "{:.2f}"),
    "age mae_over_60": ("over 60", 1, "{:.1f}"),
    "age coverage80": ("the raw 80 % interval covers, %", 100, "{:.0f}"),
    "age accuracy_ranges": ("nine ranges (FairFace), %", 100, "{:.1f}"),
    "gender accuracy": ("gender, %", 100, "{:.1f}"),
    "smile accuracy": ("smile, %", 100, "{:.1f}"),
}


def table(trials: Sequence[Trial], done: Sequence[dict], epochs: int) -> str:
    """The mean over the seeds, with the least and the largest."""
    lines = [
        "| | seeds | " + " | ".join(title for title, _, _ in COLUMNS.values()) + " |",
        "|---" * (2 + len(COLUMNS)) + "|",
    ]
    for trial in trials:
        rows = [one for one in done if one["trial"] == trial.name and one["epochs"] == epochs]
        if not rows:
            continue
        cells = []
        for name, (_, times, form) in COLUMNS.items():
            values = [one[name] * times for one in rows if name in one]
            ends = " to ".join(form.format(end) for end in (min(values), max(values))) if len(values) > 1 else ""
            cells.append((form.format(np.mean(values)) if values else "-") + (f" ({ends})" if ends else ""))
        lines.append(f"| {trial.name} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", choices=TABLES, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--results", type=Path, default=Path("docs/trials.jsonl"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = Lines(arguments.results)
    for seed in () if arguments.table else map(int, arguments.seeds.split(",")):
        for trial in [one for name in arguments.tables for one in TABLES[name]]:
            key = {"trial": trial.name, "seed": seed, "epochs": arguments.epochs}
            if not lines.has(key):
                lines.add(key | run(trial, seed, arguments))
    for name in arguments.tables:
        print(f"\n{name}\n\n{table(TABLES[name], lines.runs, arguments.epochs)}")


if __name__ == "__main__":
    main()
