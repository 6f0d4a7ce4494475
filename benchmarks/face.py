"""`one_face_ms`: what one face costs a checkpoint, from its crop to its estimates.

python -m benchmarks.face [NAME ...] [--threads 2] [--passes 50] [--repeats 11] [--runs runs]

A batch of one, with everything that the card says to average (the mirror image); no search for the face and no cutting. Each
repeat is the median of a number of passes; printed are the least, the median and the largest of the repeats, in ms, with the
machine's load: a figure counts where that is below the cores.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from mtl_model.card import shipped_weights
from mtl_model.crops import to_tensor
from mtl_model.inference import logits, predictions
from mtl_model.predictor import Predictor


def one_face_ms(predictor: Predictor, passes: int) -> float:
    """Median of so many passes, in ms; a few before them warm up."""
    card = predictor.card
    crop = np.random.default_rng(0).integers(0, 256, (1, card.crop.size_px, card.crop.size_px, 3)).astype(np.uint8)
    took = []
    for _ in range(passes + 5):
        began = time.perf_counter()
        predictions(logits(predictor.network, to_tensor(crop, card.crop), card), card)
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="*", default=["default"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.checkpoints:
        predictor = Predictor.load(name, weights=shipped_weights(), runs=arguments.runs, device="cpu")
        repeats = sorted(one_face_ms(predictor, arguments.passes) for _ in range(arguments.repeats))
        figures = [round(one, 2) for one in (repeats[0], statistics.median(repeats), repeats[-1])]
        said = {"checkpoint": name, "one_face_ms": figures[1], "least": figures[0], "largest": figures[2]}
        load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
        said |= {"threads": arguments.threads, "load": load, "parameters": predictor.card.parameters}
        print(json.dumps(said))


if __name__ == "__main__":
    main()
