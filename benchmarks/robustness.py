"""What a checkpoint loses on worse pictures: val with each crop spoiled in one way.

python -m benchmarks.robustness default [bknet ...] --data DATA [--threads 2]

Each way is applied to every crop before the network sees it, at a strength a webcam or a bad photo has. UTKFace val for age
and gender, CelebA val for smile; the answers are calibrated as the card says. No test split is read.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from mtl_model import card, checkpoint, layouts
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import network_outputs, read_labelled
from mtl_model.inference import predictions
from mtl_model.train.selection import errors_on

Spoil = Callable[[Image.Image, np.random.Generator], Image.Image]


def smaller(share: float) -> Spoil:
    def spoil(face: Image.Image, _: np.random.Generator) -> Image.Image:
        side = max(8, round(face.width * share))
        return face.resize((side, side), Image.Resampling.BOX).resize(face.size, Image.Resampling.BILINEAR)

    return spoil


def framed(scale: float, shift: float = 0.0) -> Spoil:
    """scale: size of the face in the crop, below 1 with more around it, which is black; shift: of the side, to a random side."""

    def spoil(face: Image.Image, random: np.random.Generator) -> Image.Image:
        side, angle = face.width, random.uniform(0, 2 * np.pi)
        left, top = ((side - side / scale) / 2 + side * shift * one for one in (np.cos(angle), np.sin(angle)))
        coefficients = (1 / scale, 0.0, left, 0.0, 1 / scale, top)
        return face.transform(face.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)

    return spoil


def turned(face: Image.Image, random: np.random.Generator) -> Image.Image:
    return face.rotate(random.choice((-20, 20)), Image.Resampling.BILINEAR)


def jpeg(face: Image.Image, _: np.random.Generator) -> Image.Image:
    stream = io.BytesIO()
    face.save(stream, "JPEG", quality=15)
    return Image.open(stream).convert("RGB")


def noisy(face: Image.Image, random: np.random.Generator) -> Image.Image:
    values = np.asarray(face, np.float32) + random.normal(0, 0.08 * 255, (face.height, face.width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def hidden(face: Image.Image, _: np.random.Generator) -> Image.Image:
    """The lower third grey, as a mask or a hand hides it."""
    face = face.copy()
    face.paste((128, 128, 128), (0, 2 * face.height // 3, face.width, face.height))
    return face


WAYS: Mapping[str, Spoil] = {
    "as they are": lambda face, _: face,
    "a third of the pixels a side": smaller(1 / 3),
    "a fifth of the pixels a side": smaller(1 / 5),
    "out of focus (Gaussian blur, 2 % of the side)": lambda face, _: face.filter(
        ImageFilter.GaussianBlur(face.width * 0.02)
    ),
    "dark (light x 0.35)": lambda face, _: face.point(lambda value: value * 0.35),
    "bright (light x 1.8, clipped)": lambda face, _: face.point(lambda value: value * 1.8),
    "noise (8 % of the range)": noisy,
    "JPEG of quality 15": jpeg,
    "grey": lambda face, _: face.convert("L").convert("RGB"),
    "warm light (red x 1.2, blue x 0.7)": lambda face, _: Image.fromarray(
        (np.asarray(face) * np.array([1.2, 1.0, 0.7])).clip(0, 255).astype(np.uint8)
    ),
    "face a quarter smaller in the crop": framed(0.75),
    "face a quarter larger in the crop": framed(1.25),
    "shifted by 12 % of the side": framed(1.0, 0.12),
    "turned by 20 degrees": turned,
    "lower third hidden": hidden,
}


class Spoiled(Labelled):
    spoil: Spoil

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Each crop by a generator of its own row: the same whatever the batch."""
        faces = [Image.fromarray(one) for one in super().images(indices)]
        rows = zip(faces, indices.tolist(), strict=True)
        return np.stack([np.asarray(self.spoil(face, np.random.default_rng(row))) for face, row in rows])


def measured(folder: Path, data: Path) -> dict[str, list[float]]:
    """{way: age error in years, shares of right answers of gender and smile}"""
    network, loaded = checkpoint.load(folder)
    result: dict[str, list[float]] = {way: [] for way in WAYS}
    for kind, metrics in (("utkface", ("mae", "accuracy")), ("celeba", ("accuracy",))):
        names = ("age", "gender") if kind == "utkface" else ("smile",)
        source = layouts.read(f"{kind}:{data / kind}")
        samples = source.in_split("val")
        spoiled = Spoiled(read_labelled(source, samples, loaded).parts, loaded.tasks)
        for way, spoil in WAYS.items():
            spoiled.spoil = spoil
            chances = predictions(network_outputs(network, spoiled, loaded), loaded, spoiled.quality)
            found = errors_on(loaded.tasks, chances, spoiled)
            result[way] += [found[name][metric] for name, metric in zip(names, metrics, strict=True)]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.checkpoints:
        folder = card.find_checkpoint(name, card.shipped_weights(), arguments.runs)
        print(
            f"\n`{name}`\n\n| crops | age, mean error in years | gender, % right | smile, % right |\n|---|---|---|---|"
        )
        for way, (age, gender, smile) in measured(folder, arguments.data).items():
            print(f"| {way} | {age:.2f} | {100 * gender:.1f} | {100 * smile:.1f} |", flush=True)


if __name__ == "__main__":
    main()
