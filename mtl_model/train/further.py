"""Learn by the one training loop: where the trunk moves, from the fitted branches; for kinds that cannot be fitted, from nothing.

What the parent knew is guarded: its answers to the tasks that are not taught are a second target, and of the weights between
start and end those are kept whose error on val is least.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model import checkpoint, kinds, registry
from mtl_model.card import CARD, Card, CropSettings
from mtl_model.config import FinetuneConfig, TrainConfig
from mtl_model.crops import to_tensor
from mtl_model.data.augmentation import Reach, augment, moves, uniform
from mtl_model.data.batches import Labelled
from mtl_model.evaluate import calibration
from mtl_model.evaluate.metrics import network_outputs
from mtl_model.events import Event, Failed, Finished, Noted, Progress, Stage, Stopped
from mtl_model.inference import predictions
from mtl_model.tasks import Task
from mtl_model.train.compare import outcome_of
from mtl_model.train.features import BATCH
from mtl_model.train.lesson import AskedToStop, Lesson
from mtl_model.train.loop import Run, accelerator_on, read_state
from mtl_model.train.prepare import Data
from mtl_model.train.selection import errors_on, score_of

PASSES = 4000  # pictures through a frozen trunk, at most, over all views
FEATURES_BYTES = (
    2**30
)  # of features that are kept; of a trunk that gives more, as an early map, each epoch passes it anew
VIEWS = 8  # of a picture: as it is, mirrored, and augmented ones
WAY = (0.0, 0.25, 0.5, 0.75, 1.0)  # from the weights at the start to those at the end


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
        reach: Reach | None = None,
    ) -> Tensor:
        return self.features[self._views(draws), torch.from_numpy(rows)]

    def moves(
        self,
        rows: np.ndarray,
        crop: CropSettings,
        draws: np.ndarray,
        strength: float,
        scatter: float = 1.0,
        reach: Reach | None = None,
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
        return {name: torch.stack([answer[name] for answer in answers]).mean(0) for name in answers[0]}


def learn(lesson: Lesson, resume: bool) -> Iterator[Event]:
    """By the one training loop: from the fitted branches where the trunk moves, from nothing for kinds that cannot be fitted."""
    config, card, network, device = lesson.config, lesson.card, lesson.network, lesson.device
    frozen = config.how == "branch"
    held = lesson.labelled("test")
    try:
        fits = lesson.fit(lesson.labelled("train"), lesson.new)[1] if lesson.convex and lesson.new else {}
    except AskedToStop:
        yield Stopped(0, "stopped_before")
        return
    child, card_of_child = lesson.child(fits)
    # Bytes of the features of a view.
    size = 4 * child.width * sum(len(lesson.parts[split][0]) for split in ("train", "val"))
    kind = Featured if frozen and 2 * size <= FEATURES_BYTES else Labelled
    train, val = (lesson.labelled(split, kind) for split in ("train", "val"))
    watch = functools.partial(
        _watch, child.to(device), card=card_of_child, seed=config.seed, device=device, progress=lesson.progress
    )
    recipe = recipe_of(config)
    unfitted = [task for task in lesson.new if task.name not in fits]
    if isinstance(train, Featured) and isinstance(val, Featured):
        views = min(VIEWS, PASSES // max(1, len(train)), FEATURES_BYTES // max(1, size))
        train.features, train.places = watch(train, max(2, views), recipe.augmentation)
        val.features, val.places = watch(val, 2)
        _standardise(child, unfitted, train.features[0])
    else:
        if not frozen:
            _distil(network, train, card, lesson.names, device)
        if unfitted:
            _standardise(child, unfitted, watch(train, 1)[0][0])
    run = Run(
        _settings(config, recipe, card_of_child, child, lesson.names, set(fits), len(train)),
        lesson.folder,
        Data(train, val, card_of_child, [], lesson.command()),
        accelerator_on(device),
        lesson.parent,
        child,
    )
    start = {name: tensor.cpu().clone() for name, tensor in child.state_dict().items()}
    if resume:
        run.restore(read_state(run.config, lesson.folder))
    told = False  # a run that stops improving says so, and then that it is finished
    for event in run.events():
        if isinstance(event, (Finished, Stopped)) and (lesson.folder / CARD).is_file() and not told:
            told = True
            way = 1.0 if frozen else _step_back(lesson, start, val)
            if way < 1:
                yield Noted("kept_on_the_way", {"percent": round(100 * way)})
            taken, card_of_taken = checkpoint.load(lesson.folder)
            card_of_taken = dataclasses.replace(card_of_taken, calibration=lesson.cautious(card_of_taken.calibration))
            answers = lesson.answers(held, taken, card_of_taken)
            found = outcome_of(*answers, held, lesson.files(held), lesson.names)
            sizes = {"train": len(train), "val": len(val), "held": len(held)}
            yield lesson.keep(found, sizes, card_of_taken)
        yield event
        if isinstance(event, Failed):
            return


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


def _step_back(lesson: Lesson, start: Mapping[str, Tensor], val: Labelled) -> float:
    """Keep the weights between start and end with the least error on val, the nearest to the start of those alike.

    start: the weights that the learning began with. Returns how far along they lie, from 0 to 1.
    Source: Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), 2022, section 3."""
    network, card = checkpoint.load(lesson.folder)
    end = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = dataclasses.replace(card, calibration={})
    outputs, errors = {}, {}
    for way in WAY:
        network.load_state_dict(_between(start, end, way))
        outputs[way] = network_outputs(network, val, card)
        errors[way] = errors_on(lesson.taught, predictions(outputs[way], plain, val.quality), val)
    reference = {name: found["error"] for name, found in errors[0.0].items()}
    best = max(WAY, key=lambda way: (round(score_of(errors[way], reference, ""), 4), -way))
    if best < 1:
        network.load_state_dict(_between(start, end, best))
        fitted = calibration.fit(card.tasks, outputs[best], val.targets, val.known, val.quality)
        training = {**card.training, "way": best}
        checkpoint.save(
            lesson.folder,
            network,
            dataclasses.replace(card, calibration={**card.calibration, **fitted}, training=training),
        )
    return best


def _between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], way: float) -> dict[str, Tensor]:
    """Weights on the way from start, 0, to end, 1; counters are those of the end."""
    return {
        name: torch.lerp(start[name].float(), tensor, way) if tensor.is_floating_point() else tensor
        for name, tensor in end.items()
    }


def _settings(
    config: FinetuneConfig, recipe: Recipe, card: Card, child: Any, names: set[str], fitted: set[str], count: int
) -> TrainConfig:
    """What the one training loop is told. Fitted branches stay as they are while the trunk moves: a step that suits its filters
    would undo a layer of tens of thousands of weights."""
    untouched = [f"branches.{task.name}" for task in card.tasks if task.name not in names]
    held = [f"branches.{name}" for name in sorted(fitted)]
    last = registry.load("networks", card.network).LAST_BLOCK
    frozen = {
        "branch": ["trunk", *untouched],
        "last": [*child.blocks_before(last), *held],
        "all": held,
    }
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
