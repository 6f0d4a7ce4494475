"""What a visitor's folder needs around the one training loop: what is frozen or guarded, and what it brought.

The branch alone: the trunk sees each picture once, the loop learns from its features, and the other tasks stay as they are
to the last bit. Further: the other tasks are taught the parent's own answers.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model import checkpoint, kinds, layouts, registry, wording
from mtl_model.card import CARD, Card, CropSettings, write_card, write_plain
from mtl_model.config import FinetuneConfig, TrainConfig
from mtl_model.crops import to_tensor
from mtl_model.data import cache, dataset_edits
from mtl_model.data.augmentation import augment, moves, uniform
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.events import Event, Failed, Finished, Noted, Progress, Stage, Stopped, silent
from mtl_model.inference import predictions
from mtl_model.options import options_of
from mtl_model.runs import CACHE, OUTCOME
from mtl_model.tasks import Task
from mtl_model.train.compare import outcome_of
from mtl_model.train.loop import Run, accelerator_on, read_state
from mtl_model.train.optimisation import take_weights
from mtl_model.train.prepare import Data
from mtl_model.train.splits import SHARES, Part, choose_tasks, parts_of, read_source, unshown

BATCH = 32
PASSES = 4000  # pictures through a frozen trunk, at most, over all views
FEATURES_BYTES = (
    2**30
)  # of features that are kept; where a trunk gives more, as an early map, each epoch passes it anew
VIEWS = 8  # of a picture: as it is, mirrored, and augmented ones
BESIDE = (
    "pictures",
    "checkpoint",
    "parent",
    "titles",
    "unshown",
    "weights_sha256",
)  # of the outcome; the card has its own


@dataclass(frozen=True)
class Recipe:
    """Settings that are sensible for some hundred to some thousand pictures."""

    epochs: int
    learning_rate: float
    augmentation: float
    patience: int


RECIPES = {
    "branch": Recipe(epochs=60, learning_rate=2e-3, augmentation=0.5, patience=15),
    "last": Recipe(epochs=20, learning_rate=5e-4, augmentation=0.7, patience=6),
    "all": Recipe(epochs=12, learning_rate=2e-4, augmentation=0.7, patience=4),
}


def recipe_of(config: FinetuneConfig) -> Recipe:
    recipe = RECIPES[config.how]
    return dataclasses.replace(
        recipe, epochs=config.epochs or recipe.epochs, learning_rate=config.learning_rate or recipe.learning_rate
    )


class Featured(Labelled):
    """Labelled pictures with what a frozen trunk makes of them: features, float32 (V, N, F), V views a picture: as it is,
    mirrored, then augmented. places: float32 (V, N, 2, 3), as `Labelled.moves` says of each view."""

    features: Tensor
    places: Tensor

    def augmented(
        self,
        rows: np.ndarray,
        crop: CropSettings,
        draws: np.ndarray,
        strength: float,
        scatter: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        return self.features[self._views(draws), torch.from_numpy(rows)]

    def moves(
        self, rows: np.ndarray, crop: CropSettings, draws: np.ndarray, strength: float, scatter: float = 1.0
    ) -> Tensor:
        return self.places[self._views(draws), torch.from_numpy(rows)]

    def _views(self, draws: np.ndarray) -> Tensor:
        return torch.from_numpy((draws[:, 0] * len(self.features)).astype(int))

    @torch.inference_mode()
    def logits(self, network: nn.Module, rows: np.ndarray, card: Card, device: str = "cpu") -> dict[str, Tensor]:
        views = self.features[: 2 if card.flip_averaging else 1, torch.from_numpy(rows)].to(device)
        answers = [{name: output.float().cpu() for name, output in network(view).items()} for view in views]
        for mirrored in answers[1:]:
            mirrored |= {task.name: kinds.of(task).mirror(task, mirrored[task.name]) for task in card.tasks}
        return {name: torch.stack([one[name] for one in answers]).mean(0) for name in answers[0]}


def finetune(
    config: FinetuneConfig,
    folder: Path,
    parent: Path,
    *,
    device: str = "cpu",
    resume: bool = False,
    progress: Progress = silent,
) -> Iterator[Event]:
    """Teach the checkpoint in `parent` from the pictures of config.data; card, weights and outcome.json go into `folder`.

    Raises UsageError or DataError for settings and pictures that cannot be used."""
    began = time.monotonic()
    network, card = checkpoint.load(parent, device)
    source = layouts.read_as(read_source(config), card.tasks)
    taught = choose_tasks(config, source, card)
    names = {task.name for task in taught}
    new = [one for one in taught if one.name not in {task.name for task in card.tasks}]
    card_of_both = _with_branches(card, new, not config.no_mirror)

    parts, notes = parts_of(source, names, card_of_both, folder / CACHE, config, progress)
    new = [kinds.fit(task, parts["train"][0]) for task in new]
    card_of_both = dataclasses.replace(card_of_both, tasks=(*card.tasks, *new))
    used = {cache.short_digest(one.path) for split in ("train", "val") for one in parts[split][0]}
    card_of_both = dataclasses.replace(card_of_both, taught=tuple(sorted({*card.taught, *used} - {""})))
    known = [task for task in taught if task in card.tasks]
    risks = unshown(known, [sample for samples, _, _ in parts.values() for sample in samples], card.subject)
    yield from (*notes, *risks)
    frozen = config.how == "branch"
    torch.manual_seed(config.seed)
    child: Any = checkpoint.build_network(card_of_both)
    take_weights(child, card_of_both, parent)
    size = 4 * child.width * sum(len(parts[split][0]) for split in ("train", "val"))  # bytes of the features of a view
    kind = Featured if frozen and 2 * size <= FEATURES_BYTES else Labelled
    train, val = (_labelled(parts[split], card_of_both, names, kind) for split in ("train", "val"))
    held = _labelled(parts["test"], card_of_both, names)
    watch = functools.partial(
        _watch, child.to(device), card=card_of_both, seed=config.seed, device=device, progress=progress
    )
    recipe = recipe_of(config)
    if isinstance(train, Featured) and isinstance(val, Featured):
        views = min(VIEWS, PASSES // max(1, len(train)), FEATURES_BYTES // max(1, size))
        train.features, train.places = watch(train, max(2, views), recipe.augmentation)
        val.features, val.places = watch(val, 2)
        _standardise(child, new, train.features[0])
    else:
        if not frozen:
            _distil(network, train, card, names, device)
        if new:
            _standardise(child, new, watch(train, 1)[0][0])

    command = (
        f"python -m mtl_model finetune DATA {options_of(dataclasses.replace(config, start=parent.name, changes=''))}"
    )
    data = Data(train, val, _card_of_child(card_of_both, names, risks), [], command)
    run = Run(
        _settings(config, recipe, card_of_both, child, names, len(train)),
        folder,
        data,
        accelerator_on(device),
        parent,
        child,
    )
    if resume:
        run.restore(read_state(run.config, folder))
    told = False  # a run that stops improving says so, and then that it is finished
    for event in run.events():
        if isinstance(event, (Finished, Stopped)) and (folder / CARD).is_file() and not told:
            told = True
            files = [dataset_edits.name_of(source, one.path) for one in held.samples]
            taken = checkpoint.load(folder)
            found = outcome_of((network.to("cpu"), card), taken, held, files, names)
            found["unshown"] = [risk.values for risk in risks]
            sizes = {"train": len(train), "val": len(val), "held": len(held)}
            outcome = _whole(config, parent.name, round(time.monotonic() - began, 1), sizes, found)
            outcome["weights_sha256"] = taken[1].weights_sha256
            _keep(folder, taken[1], outcome)
            yield Noted("outcome", {name: outcome[name] for name in ("tasks", "changed", "titles", "unshown")})
        yield event
        if isinstance(event, Failed):
            return


def _labelled(part: Part, card: Card, names: set[str], kind: type[Labelled] = Labelled) -> Labelled:
    result = kind([part], card.tasks)
    for task in card.tasks:
        if task.name not in names:
            result.known[task.name][:] = False
    return result


@torch.no_grad()
def _watch(
    network: nn.Module,
    data: Labelled,
    views: int,
    strength: float = 0.0,
    *,
    card: Card,
    seed: int,
    device: str,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """What the trunk makes of every view of every picture, once: float32 (views, N, F), and how each view was moved: float32
    (views, N, 2, 3), as `Labelled.moves` says."""
    network.eval()
    found: list[list[Tensor]] = [[] for _ in range(views)]
    moved: list[list[Tensor]] = [[] for _ in range(views)]
    for start in range(0, len(data), BATCH):
        progress(Stage.FEATURES, start, len(data))
        rows = np.arange(start, min(start + BATCH, len(data)))
        images = to_tensor(data.images(rows), card.crop)
        for view in range(views):
            draws = uniform(seed, view, rows)
            seen, places = images, moves(draws, 0.0)
            if view == 1 and card.crop.mirror:
                seen, places = images.flip(-1), places * torch.tensor([[-1.0], [1.0]])
            elif view:
                seen = augment(images, card.crop, draws, strength)
                places = moves(draws, strength, mirror=card.crop.mirror)
            found[view].append(network.features(seen.to(device)).float().cpu())  # type: ignore[operator]
            moved[view].append(places)
    progress(Stage.FEATURES, len(data), len(data))
    return torch.stack([torch.cat(some) for some in found]), torch.stack([torch.cat(some) for some in moved])


def _with_branches(card: Card, tasks: Sequence[Task], mirror: bool = True) -> Card:
    """The card with new tasks, whose branches leave from where a trunk still knows of everything in a face."""
    late = registry.load("networks", card.network).LATE
    leaves = {**card.network_options.get("leaves", {}), **{task.name: late for task in tasks}}
    options = {**card.network_options, "leaves": leaves} if leaves else card.network_options
    mirror = card.crop.mirror and mirror and kinds.may_mirror(tasks)
    return dataclasses.replace(
        card,
        tasks=(*card.tasks, *tasks),
        network_options=options,
        crop=dataclasses.replace(card.crop, mirror=mirror),
        flip_averaging=card.flip_averaging and mirror,
    )


def _standardise(network: nn.Module, tasks: Sequence[Task], features: Tensor) -> None:
    """Give new branches the mean and deviation of their features, (N, F)."""
    owner: Any = network
    stages = owner.stages(features)
    for task in tasks:
        norm, seen = owner.branches[task.name][0], stages[owner.leaves[task.name]]
        norm.running_mean.copy_(seen.mean(0))
        norm.running_var.copy_(seen.var(0) + 1e-3)


def _distil(network: nn.Module, data: Labelled, card: Card, names: set[str], device: str) -> None:
    """Where the trunk moves, the parent's answers to the tasks that are not taught stand in place of labels."""
    tasks = tuple(task for task in card.tasks if task.name not in names)
    asked = dataclasses.replace(card, flip_averaging=False, calibration={}, tasks=tasks)
    for name, answers in predictions(network_outputs(network, data, asked, device), asked).items():
        data.answers[name] = torch.from_numpy(answers).float()


def _settings(
    config: FinetuneConfig, recipe: Recipe, card: Card, child: Any, names: set[str], count: int
) -> TrainConfig:
    """What the one training loop is told."""
    untouched = [f"branches.{task.name}" for task in card.tasks if task.name not in names]
    last = registry.load("networks", card.network).LAST_BLOCK
    frozen = {"branch": ["trunk", *untouched], "last": child.blocks_before(last), "all": []}
    return TrainConfig(
        name=config.name,
        network=card.network,
        epochs=recipe.epochs,
        batch_size=BATCH,
        learning_rate=recipe.learning_rate,
        warmup_steps=min(20, max(1, recipe.epochs * count // BATCH // 10)),
        ema=0.98,
        augmentation=recipe.augmentation,
        balance=1.0,
        patience=recipe.patience,
        freeze=",".join([*frozen[config.how], "norms"]),
        seed=config.seed,
    )


def _card_of_child(card: Card, names: set[str], risks: Sequence[Noted]) -> Card:
    """What of the parent's card still holds."""
    kept = {name: one for name, one in card.calibration.items() if name not in names}
    errors = {name: rows for name, rows in card.errors.items() if name not in names}
    limits = (
        *card.limits,
        *map(wording.of, risks),
        "Fine-tuned with pictures that somebody brought; how it does on others was not measured.",
    )
    return dataclasses.replace(
        card, calibration=kept, errors=errors, metrics=(), summary="", training={}, limits=tuple(dict.fromkeys(limits))
    )


def _whole(
    config: FinetuneConfig, parent: str, seconds: float, counts: dict[str, int], found: dict[str, Any]
) -> dict[str, Any]:
    edits = dataset_edits.read_changes(Path(config.changes)) if config.changes else dataset_edits.Changes()
    relabelled = {file: dict(labels) for file, labels in edits.labels.items()}
    head = {"checkpoint": config.name, "parent": parent, "how": config.how, "seconds": seconds, "counts": counts}
    return {**head, "left_out": list(edits.left_out), "relabelled": relabelled, **found}


def _keep(folder: Path, card: Card, outcome: dict[str, Any]) -> None:
    """The figures go into the card too; pictures are named by outcome.json alone, until it is accepted."""
    told = {name: one for name, one in outcome.items() if name not in BESIDE}
    told |= {"left_out": len(outcome["left_out"]), "relabelled": len(outcome["relabelled"])}
    summary = f"Fine-tuned from {outcome['parent']}. {wording.outcome(**outcome)}"
    write_card(folder, dataclasses.replace(card, summary=summary, training={**card.training, "outcome": told}))
    write_plain(folder / OUTCOME, outcome)


@torch.inference_mode()
def estimate_seconds(card: Card, how: str, pictures: int, epochs: int = 0) -> float:
    """About how long `finetune` will take here: finding the faces, then what `how` means, by timing a few passes."""
    network = checkpoint.build_network(card).eval()
    images = torch.zeros(16, 1 if card.crop.grey else 3, card.crop.size_px, card.crop.size_px)
    network(images)
    began = time.perf_counter()
    network(images)
    one = (time.perf_counter() - began) / len(images)
    taught = (1 - sum(SHARES.values())) * pictures
    recipe = RECIPES[how]
    views = max(2, min(VIEWS, PASSES // max(1, int(taught))))
    work = {
        "branch": taught * views * one + (epochs or recipe.epochs) * (0.1 + taught * 2e-4),
        "last": (epochs or recipe.epochs) * taught * 1.6 * one,
        "all": (epochs or recipe.epochs) * taught * 3.5 * one,
    }
    return 8 + pictures * (0.05 + 4 * one) + work[how]
