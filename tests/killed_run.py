"""Train a small network, state saved after every step; started, killed and started again by test_training.py.

python killed_run.py SOURCES_FOLDER RUN_FOLDER: goes on where a state is there. Prints a line for each state saved.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mtl_model.config import TrainConfig
from mtl_model.data import cache
from mtl_model.events import Saved
from mtl_model.networks import bknet
from mtl_model.train import loop


def main(sources: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    bknet.INPUT["size_px"] = 16
    cache._look_at = lambda paths, settings, detector: dict.fromkeys(paths, ())
    loop.SAVE_SECONDS = 0
    config = TrainConfig(
        name="killed",
        source=(f"utkface:{sources / 'utkface'}", f"folders:{sources / 'smile'}"),
        epochs=3,
        batch_size=16,
        warmup_steps=2,
        keep_copies=True,
    )
    for event in loop.train(config, folder, resume=(folder / loop.STATE).exists()):
        if isinstance(event, Saved) and event.kind == "state":
            print(event.step, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
