"""How far a checkpoint's age of a face depends on how the face stands in its picture.

python -m benchmarks.framing default [NAME ...] --data DATA [--faces 60] [--runs runs] [--threads 1]

Faces of val of the two sets that show head and shoulders (All-Age-Faces, GENKI-4K), each once as it came, then cut out of its
picture with margins of 0 to 1 times the box's longer edge around it (black beyond the picture), and tilted by up to 45 degrees;
each goes the whole way, from the search for faces on. What is shown: the mean distance in years from the answer for the picture
as it came, the share of answers at most 1.5 years from it, and the share of faces found again.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mtl_model import layouts
from mtl_model.card import shipped_weights
from mtl_model.crops import main_face, square
from mtl_model.pictures import read_picture
from mtl_model.predictor import Predictor
from mtl_model.records import Box

SETS = ("csv:aaf", "genki4k:genki4k")
MARGINS = (0.0, 0.25, 0.5, 0.75, 1.0)
DEGREES = (-45, -30, -15, 15, 30, 45)
NEAR_YEARS = 1.5


def variants(picture: np.ndarray, box: Box) -> Iterator[tuple[str, np.ndarray]]:
    """(name, picture) of the same face in other pictures. box: where it is."""
    image = Image.fromarray(picture)
    for margin in MARGINS:
        edges = [round(edge) for edge in square(box, margin)]
        yield f"margin {margin:g}", np.asarray(image.crop(edges))  # type: ignore[arg-type]
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    for degrees in DEGREES:
        turned = image.rotate(-degrees, Image.Resampling.BICUBIC, center=centre)
        yield f"tilted by {degrees} degrees", np.asarray(turned)


def age(predictor: Predictor, picture: np.ndarray) -> tuple[float | None, Box | None]:
    """Years and box of the main face; None where none is found."""
    height, width = picture.shape[:2]
    face = main_face(predictor.find(picture), width, height)
    if face is None:
        return None, None
    (name,) = (task.name for task in predictor.card.tasks if task.kind == "years")
    return float(predictor.read(picture, [face])[0].estimates[name].value), face.box


def distances(predictor: Predictor, pictures: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """{variant: float (N,)}: years from the answer for each picture as it came, NaN where no face was found again; pictures
    without a face as they came are left out."""
    found: dict[str, list[float]] = {}
    for picture in pictures:
        years, box = age(predictor, picture)
        if years is None or box is None:
            continue
        for name, other in variants(picture, box):
            again, _ = age(predictor, other)
            found.setdefault(name, []).append(np.nan if again is None else abs(again - years))
    return {name: np.array(values) for name, values in found.items()}


def table(columns: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[str]:
    """Markdown, a column a checkpoint; the last rows are the means over the margins and over the tilts."""
    yield "| | " + " | ".join(f"{name}: years, within {NEAR_YEARS:g}, found" for name in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name in next(iter(columns.values())):
        yield f"| {name} | " + " | ".join(_cell(column[name]) for column in columns.values()) + " |"
    for kind in ("margin", "tilted"):
        joined = [np.concatenate([v for name, v in one.items() if name.startswith(kind)]) for one in columns.values()]
        yield f"| all, {kind} | " + " | ".join(map(_cell, joined)) + " |"


def _cell(years: np.ndarray) -> str:
    seen = years[~np.isnan(years)]
    if not len(seen):
        return "none found"
    return f"{seen.mean():.2f}, {100 * (seen <= NEAR_YEARS).mean():.0f} %, {100 * len(seen) / len(years):.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=60, help="pictures of each set")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pictures = []
    for spec in SETS:
        kind, _, folder = spec.partition(":")
        samples = layouts.read(f"{kind}:{arguments.data / folder}").in_split("val")
        rows = np.random.default_rng(0).permutation(len(samples))[: arguments.faces]
        pictures += [read_picture(samples[row].path) for row in sorted(rows.tolist())]
    columns = {}
    for name in arguments.checkpoints:
        predictor = Predictor.load(name, weights=shipped_weights(), runs=arguments.runs, device="cpu")
        columns[name] = distances(predictor, pictures)
    print("\n".join(table(columns)))


if __name__ == "__main__":
    main()
