"""How much of the training loop is arithmetic: pictures a second of the loop over those of the bare passes, in one run.

python -m benchmarks.training [--network bknet] [--precision bf16] [--threads 1] [--batch-size 128] [--steps 20]

"bare" is forward and backward on one batch that lies ready. "loop" is what a run does a step: gather
crops from the memory-mapped cache, scale, augment, mask, forward, backward, clip, step, moving average. Both take
turns, so that a busy machine slows both. Then the loop's time and memory with ten times the data.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import accelerate
import numpy as np
import torch

from mtl_model import registry
from mtl_model.data.batches import Batch, Labelled
from mtl_model.data.cache import Crops
from mtl_model.card import Card, CropSettings
from mtl_model.config import TrainConfig
from mtl_model import kinds
from mtl_model.records import Sample
from mtl_model.tasks import TASKS
from mtl_model.train.prepare import Data
from mtl_model.train.loop import Run


def made_up(count: int, side: int, folder: Path) -> Labelled:
    """Noise in a memory-mapped file; two of three faces carry an age and a gender, one a smile."""
    random = np.random.default_rng(0)
    images = np.lib.format.open_memmap(folder / f"{count}.npy", "w+", np.uint8, (count, side, side, 3))
    for start in range(0, count, 1000):
        part = images[start : start + 1000]
        part[:] = random.integers(0, 255, part.shape, dtype=np.uint8)
    images.flush()
    samples = [
        Sample(
            str(row),
            {"smile": "smiling"} if row % 3 == 0 else {"age": float(row % 90), "gender": "male"},
            source="made",
        )
        for row in range(count)
    ]
    mapped = np.load(folder / f"{count}.npy", mmap_mode="r")
    return Labelled(
        [(samples, Crops(mapped, np.ones(count, np.int16), np.zeros((count, 4))), np.arange(count))],
        tuple(TASKS.values()),
    )


def make_run(arguments: argparse.Namespace, count: int, folder: Path) -> Run:
    crop = CropSettings(**registry.load("networks", arguments.network).INPUT)
    options = {"size_px": crop.size_px, "channels": 1 if crop.grey else 3}
    config = TrainConfig(
        name="speed", network=arguments.network, precision=arguments.precision, batch_size=arguments.batch_size
    )
    data = made_up(count, crop.size_px, folder)
    card = Card(arguments.network, options, tuple(TASKS.values()), crop=crop)
    return Run(config, folder, Data(data, data, card, []), accelerate.Accelerator(cpu=True), None)


def bare_step(run: Run, images: torch.Tensor, batch: Batch) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=run.precision == "bf16"):
        outputs = run.network(images)
    losses = [
        kinds.of(task).losses[task.loss](outputs[task.name], batch.targets[task.name], batch.known[task.name])
        for task in TASKS.values()
    ]
    torch.stack(losses).sum().backward()
    run.optimiser.zero_grad(set_to_none=True)


def seconds_of(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="bknet")
    parser.add_argument("--precision", default="bf16", choices=("bf16", "float32"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=3000)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(arguments, arguments.pictures, Path(folder))
        plans = [plan for epoch in range(99) for plan in run.batches.plans(epoch)][: arguments.steps + 2]
        ready = run.batches.load(plans[0], 0)
        images = ready.images.to(memory_format=torch.channels_last)
        loop, bare = [], []
        for plan in plans:
            bare.append(seconds_of(lambda: bare_step(run, images, ready)))
            loop.append(seconds_of(lambda plan=plan: run._take_step(run.batches.load(plan, 0))))
            run.step += 1
        loop, bare = loop[2:], bare[2:]
        size = arguments.batch_size
        print(
            f"bare: {size / statistics.median(bare):.0f} pictures/s; loop: {size / statistics.median(loop):.0f} pictures/s"
        )
        print(
            f"loop over bare: {statistics.median(b / a for a, b in zip(loop, bare, strict=True)):.3f} (median of pairs)"
        )
        rows = []
        for count in (arguments.pictures, 10 * arguments.pictures):
            batches = make_run(arguments, count, Path(folder)).batches
            took = [seconds_of(lambda plan=plan, one=batches: one.load(plan, 0)) for plan in batches.plans(0)[:20]]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append((count, statistics.median(took) / size, peak))
        (small, fast, low), (large, slow, high) = rows
        print(
            f"loading a picture: {large:,} over {small:,} pictures, time {slow / fast:.2f}, peak memory {high / low:.2f}"
        )


if __name__ == "__main__":
    main()
