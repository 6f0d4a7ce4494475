"""Train a small network on made-up faces for some steps and write its weights; started by test_processes.py.

python two_processes.py FILE, alone or under torchrun with several processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import accelerate
import numpy as np
import torch
from torch import nn

from mtl_model import checkpoint
from mtl_model.card import Card, CropSettings
from mtl_model.config import TrainConfig
from mtl_model.data.batches import Labelled
from mtl_model.data.cache import Crops
from mtl_model.events import Step
from mtl_model.inference import heads
from mtl_model.networks._parts import MultiTaskNet, Trunk, assemble
from mtl_model.records import Sample
from mtl_model.tasks import TASKS
from mtl_model.train.loop import Run
from mtl_model.train.prepare import Data


def trunk() -> Trunk:
    """Group norm looks at one picture at a time; batch norm would see another batch on each process."""
    return Trunk([nn.Conv2d(1, 8, 3, stride=2), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2)], end="flat")


def build(card: Card) -> MultiTaskNet:
    return assemble(trunk, heads(card.tasks), 1, 16, lambda features, head: head(features), 0.0)


def made_up(count: int) -> Labelled:
    """One face in eight carries a smile, so that a process often holds none; the others an age, some a gender too."""
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    samples = []
    for row in range(count):
        labels: dict = {"smile": "smiling" if row % 16 else "not smiling"} if row % 8 == 0 else {"age": float(row % 90)}
        if row % 3 == 1:
            labels["gender"] = "male" if row % 2 else "female"
        samples.append(Sample(str(row), labels, source="made"))
    crops = Crops(images, np.ones(count, np.int16), np.zeros((count, 4)))
    return Labelled([(samples, crops, np.arange(count))], tuple(TASKS.values()))


def main(file: Path) -> None:
    checkpoint.build_network = build
    torch.set_num_threads(1)
    config = TrainConfig(name="two", epochs=2, batch_size=8, warmup_steps=2, learning_rate=1e-2, clip=1.0)
    card = Card("bknet", {}, tuple(TASKS.values()), crop=CropSettings(size_px=16))
    accelerator = accelerate.Accelerator(cpu=True)
    run = Run(
        config,
        file.parent / f"run{accelerator.num_processes}",
        Data(made_up(64), made_up(32), card, []),
        accelerator,
        None,
    )
    losses = [event.losses for event in run.events() if isinstance(event, Step)]
    if accelerator.is_main_process:
        torch.save({"processes": accelerator.num_processes, "weights": run.bare.state_dict(), "losses": losses}, file)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # a process that goes first would let the other abort


if __name__ == "__main__":
    main(Path(sys.argv[1]))
