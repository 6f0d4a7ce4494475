"""What a photo costs: seconds and memory for a 12-megapixel photo, as the page and the command line read it.

python -m benchmarks.photo [--threads 2] [--runs 5]

The photo is the sample picture, tiled and enlarged to 4032 x 3024 px: 48 faces, which is more work than most photos are.
Also one face alone, and the network's own share. Memory is the growth of the process's peak over what it was with the
checkpoint loaded.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import io
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mtl_model import Predictor, checkpoint
from mtl_model.card import shipped_weights
from mtl_model.crops import to_tensor
from mtl_model.inference import logits

SAMPLE = Path(__file__).parent.parent / "samples" / "astronaut.jpg"


def jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def seconds(predictor: Predictor, content: bytes, runs: int) -> tuple[float, int]:
    took = []
    faces = 0
    for _ in range(runs):
        began = time.perf_counter()
        faces = len(predictor.predict(content))
        took.append(time.perf_counter() - began)
    return statistics.median(took), faces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    predictor = Predictor.load(weights=shipped_weights(), device="cpu")
    sample = Image.open(SAMPLE).convert("RGB")
    one = jpeg(sample.resize((4032, 3024)))
    crowd = jpeg(Image.fromarray(np.tile(np.asarray(sample), (6, 8, 1))).resize((4032, 3024)))
    predictor.predict(np.asarray(sample))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in (("one face", one), ("a crowd", crowd)):
        median, faces = seconds(predictor, content, arguments.runs)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"12 megapixels, {name} ({faces} found): {median:.2f} s, {grown:.0f} MB more at the peak")
    side = predictor.card.crop.size_px
    image = to_tensor(np.zeros((1, side, side, 3), np.uint8), predictor.card.crop)
    bare, _ = checkpoint.load(shipped_weights() / predictor.name)
    for what, network in (("the network alone", predictor.network), ("as it was trained, nothing folded", bare.eval())):
        took = []
        for _ in range(50):
            began = time.perf_counter()
            logits(network, image, predictor.card)
            took.append(time.perf_counter() - began)
        print(f"{what}, one face: {1000 * statistics.median(took):.1f} ms")


if __name__ == "__main__":
    main()
