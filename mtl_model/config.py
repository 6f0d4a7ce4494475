"""The settings of a training and of a fine-tuning, a record each. The command-line options are made from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mtl_model.errors import UsageError, unknown
from mtl_model.options import option

LAYOUT_OPTIONS = ("columns", "apart", "attributes")
"""Options of data layouts that are options of commands."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training's result, but the data themselves."""

    name: str = option("", "name of the new checkpoint, a folder in --runs")
    source: tuple[str, ...] = option((), "KIND:DIR, a data set to learn from; may be given several times")
    system: str = option("", "published system to train; every other option that is given replaces one of its own")
    variant: str = option("", "variant of the system, by name; the systems command lists them")
    columns: str = option(
        "",
        "columns of lists and CSVs with their classes, in order with <, such as kind=rose|daisy,quality=poor<fair<good; or the "
        "kind of a label, such as gender:binary,age:classes=0-17|18-64|65-99",
    )
    attributes: str = option(
        "",
        "further labels of a set to learn as tasks, such as CelebA's High_Cheekbones,Young, UTKFace's race or "
        "GENKI-4K's yaw,pitch,roll",
    )
    apart: str = option(
        "",
        "columns whose labels are also taken apart into tasks: number for its length and each of its digits, number:absent where "
        "a digit that is not there is a class of its own",
    )
    network: str = option("bknet", "network to train, a file in mtl_model/networks")
    network_options: str = option("", "options of the network, such as hidden=128,dropout=0.3")
    detector: str = option(
        "mtcnn", "detector that the crops are cut by, a file in mtl_model/detectors; whole reads pictures without faces"
    )
    start: str = option("", "checkpoint whose weights to start from, by name; fresh weights if not given")
    teacher: str = option(
        "", "checkpoints whose mean answers about the same crops are learned beside the labels, such as default,bknet"
    )
    teacher_weight: float = option(1.0, "weight of the teachers' answers; that of the labels is 1")
    leaves: str = option(
        "",
        "stage of the trunk from which a task's branch leaves, such as colour=block3,age=final; the end if not given",
    )
    separate: bool = option(False, "give each task a trunk of its own, so that nothing is shared")
    tasks: str = option("", "tasks to learn, such as age,smile; all that the sources label if not given")
    losses: str = option("", "loss of a task, where not its usual one, such as age=mean_variance")
    mix: str = option("", "share of each batch by source, such as utkface=0.7,genki4k=0.3; by size if not given")
    balance: float = option(
        0.0, "how far each source's rarer labels are drawn more often: 0 as they come, 1 until all are as often"
    )
    even: float = option(
        0.0,
        "how far the rarer ages of all sources together are drawn more often: 0 as they come, 1 until all are as often",
    )
    mode: str = option(
        "joint", "one step on all tasks' summed losses, or one task's batch at a time", ("joint", "alternate")
    )
    epochs: int = option(30, "passes over as many pictures as there are")
    batch_size: int = option(128, "pictures a step, over all processes together")
    optimiser: str = option("adamw", "optimiser", ("adamw", "adam", "sgd"))
    learning_rate: float = option(1e-3, "peak learning rate")
    weight_decay: float = option(0.02, "weight decay of matrices and filters")
    schedule: str = option(
        "cosine",
        "learning rate after the warm-up; inverse divides it by 1 + steps x learning rate / epochs, as Keras' decay does",
        ("cosine", "constant", "inverse"),
    )
    warmup_steps: int = option(300, "steps over which the learning rate rises from 0")
    clip: float = option(5.0, "largest norm of the gradient; 0 switches clipping off")
    ema: float = option(0.999, "decay of the moving average of the weights that is evaluated and kept; 0 is off")
    margin: float = option(0.0, "black or picture around the square of the face, a share of its side on each side")
    upright: bool = option(False, "turn the square that is cut with the face, by its landmarks")
    no_mirror: bool = option(False, "learn from no mirror images, where they show something else, as of digits")
    augmentation: float = option(1.0, "strength of the augmentation, 0 (off) to 1")
    scatter: float = option(1.0, "reach of the augmentation's turns, sizes and shifts, 0 (none) to 2")
    reach: str = option(
        "",
        "turns and shears in degrees, shifts and zooms as shares of the side, in place of all that the augmentation changes "
        "but the mirror image, such as turn=25,shear=5,shift=0.1,zoom=0.2",
    )
    sizes: str = option(
        "",
        "sides in px of the crops in equal parts of the run, such as 80,96,112; as the network takes them if not given",
    )
    task_weights: str = option("", "weight of each task's loss, such as age=1,smile=2; 1 if not named")
    weighting: str = option(
        "fixed", "task weights as given, or learned from each task's uncertainty", ("fixed", "learned")
    )
    join: float = option(
        0.0,
        "further training pictures, each of two set side by side, as a share of the training pictures; of texts such as numbers, "
        "read in whole pictures",
    )
    combine: str = option(
        "sum",
        "how the tasks' losses become one: their weighted sum, or that of their logarithms, in which a task counts the more the "
        "smaller its loss is",
        ("sum", "log"),
    )
    freeze: str = option("", "parts of the network that stay as they are, by name, such as trunk or branches.age")
    select: str = option(
        "",
        "task by which the best epoch is chosen, or loss for the least weighted loss on val; all tasks, each relative to its "
        "start, if not given",
    )
    save_steps: int = option(0, "save the state to go on from every so many steps; 0 saves it every five minutes")
    patience: int = option(0, "stop after so many epochs without a better one; 0 never stops early")
    keep_copies: bool = option(False, "keep training pictures that have a near copy in val or test")
    fraction: float = option(1.0, "share of the training pictures to use, for trials")
    precision: str = option(
        "float32",
        "arithmetic of the forward and backward pass; a processor without bf16 takes float32",
        ("float32", "bf16"),
    )
    seed: int = option(0, "seed of the weights, the order, the augmentation and the dropout")

    def size_px(self, epoch: int) -> int:
        """Side of the crops in an epoch; 0 leaves them as the network takes them.

        Source: small pictures first is Tan and Le, "EfficientNetV2" (2021), section 4.3."""
        sides = [int(one) for one in self.sizes.split(",") if one.strip()]
        return sides[min(len(sides) - 1, epoch * len(sides) // self.epochs)] if sides else 0

    @property
    def layout_options(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in LAYOUT_OPTIONS}

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            choices = one.metadata["choices"]
            if choices and getattr(self, one.name) not in choices:
                raise UsageError(unknown(one.name.replace("_", "-"), getattr(self, one.name), choices))
        checks = (
            (self.epochs >= 1, "epochs", self.epochs, "at least 1"),
            (self.batch_size >= 2, "batch-size", self.batch_size, "at least 2"),
            (self.seed >= 0, "seed", self.seed, "0 or more"),
            (self.patience >= 0, "patience", self.patience, "0 or more"),
            (self.save_steps >= 0, "save-steps", self.save_steps, "0 or more"),
            (self.warmup_steps >= 0, "warmup-steps", self.warmup_steps, "0 or more"),
            (self.weight_decay >= 0, "weight-decay", self.weight_decay, "0 or more"),
            (self.clip >= 0, "clip", self.clip, "0 or more"),
            (self.teacher_weight >= 0, "teacher-weight", self.teacher_weight, "0 or more"),
            (self.learning_rate > 0, "learning-rate", self.learning_rate, "a number above 0"),
            (0 <= self.ema < 1, "ema", self.ema, "0 or a number below 1"),
            (0 <= self.augmentation <= 1, "augmentation", self.augmentation, "a number from 0 to 1"),
            (0 <= self.scatter <= 2, "scatter", self.scatter, "a number from 0 to 2"),
            (-0.25 <= self.margin <= 1, "margin", self.margin, "a number from -0.25 to 1"),
            (0 <= self.even <= 1, "even", self.even, "a number from 0 to 1"),
            (0 <= self.balance <= 1, "balance", self.balance, "a number from 0 to 1"),
            (0 <= self.join <= 10, "join", self.join, "a number from 0 to 10"),
            (0 < self.fraction <= 1, "fraction", self.fraction, "a number above 0 and at most 1"),
        )
        sides = [one.strip() for one in self.sizes.split(",") if one.strip()]
        plain = all(one.isdigit() and 32 <= int(one) <= 512 for one in sides)
        checks += ((plain, "sizes", self.sizes, "whole numbers from 32 to 512 between commas, such as 80,96,112"),)
        for one in dataclasses.fields(self):
            if isinstance(seen := getattr(self, one.name), float):
                checks += ((math.isfinite(seen), one.name.replace("_", "-"), seen, "a finite number"),)
        for holds, name, seen, expected in checks:
            if not holds:
                raise UsageError(f"--{name} is {seen}. Expected {expected}; give another value.")
        if self.combine == "log" and self.weighting == "learned":
            raise UsageError(
                "--combine is log and --weighting learned, and each sets the weights of the tasks. Expected one of them; leave "
                "the other out."
            )
        if self.mode == "alternate" and self.mix:
            raise UsageError(
                f"--mix is {self.mix}, and --mode alternate draws each batch for a task, not by source. Leave one of them out."
            )


HOWS = ("branch", "last", "all")
"""How far a fine-tuning goes: see train/finetune.py."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything that decides a fine-tuning's result, but the parent and the pictures themselves."""

    name: str = option("", "name of the new checkpoint, a folder in --runs")
    start: str = option("", "checkpoint to start from; the default one if not given", flag="from")
    how: str = option(
        "branch",
        "what learns: the branch alone (the other tasks stay exactly as they are), also the last block, or all",
        HOWS,
    )
    task: str = option("", "name of the task whose classes bare folders are")
    layout: str = option("", "how the pictures are laid out, by name; recognised if not given")
    columns: str = option(
        "",
        "columns of lists and CSVs with their classes or kinds, as train takes them; of folders the one task and its classes",
    )
    tasks: str = option(
        "", "tasks to learn, such as smile,glasses; all that the pictures are labelled for if not given"
    )
    epochs: int = option(0, "passes over the pictures; 0 stands for what suits --how")
    learning_rate: float = option(0.0, "peak learning rate; 0 stands for what suits --how")
    no_mirror: bool = option(False, "learn from no mirror images, where they show something else, as of digits")
    changes: str = option("", "JSON with pictures left out and labels put right, as the page writes it")
    seed: int = option(0, "seed of the parts, the order, the augmentation and the dropout")
    data: str = ""
    """Folder of the pictures; no option of its own, and neither is the next: the name of the CSV file in it that counts."""
    labels: str = ""

    def __post_init__(self) -> None:
        if self.how not in HOWS:
            raise UsageError(unknown("how", self.how, HOWS))
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}. Expected 0 or more; give another value.")
        if self.epochs < 0 or not 0 <= self.learning_rate < 1:
            raise UsageError(
                f"--epochs is {self.epochs} and --learning-rate {self.learning_rate}. Expected 0 or more, and a number from 0 to "
                "below 1; give others."
            )


def listed(text: str) -> list[str]:
    """Read "a,b"; blanks around names and empty ones are left out."""
    return [name for name in map(str.strip, text.split(",")) if name]


def shares(text: str, what: str, known: Sequence[str]) -> dict[str, float]:
    """Read "a=0.7,b=0.3". Raises UsageError for an unknown name or a share that is not a number of 0 or more."""
    result: dict[str, float] = {}
    for name, number in pairs(text, what, known).items():
        try:
            result[name] = float(number)
        except ValueError:
            result[name] = -1.0
        if not (math.isfinite(result[name]) and result[name] >= 0):
            raise UsageError(
                f"'{name}={number}' gives no number. Expected {what}=number, such as {name}=0.5; correct it."
            )
    return result


def pairs(text: str, what: str, known: Sequence[str]) -> dict[str, str]:
    """Read "a=x,b=y". Raises UsageError for an unknown name."""
    result: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, value = part.partition("=")
        if name.strip() not in known:
            raise UsageError(unknown(what, name.strip(), known))
        result[name.strip()] = value.strip()
    return result
