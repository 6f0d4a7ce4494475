"""What each detector and way of searching finds, and what it takes: python -m benchmarks.detection --data DATA [--made 300]

Photos with boxes drawn by hand (DATA/photos), as they are and turned by a quarter; and made pictures: faces of val sets
pasted onto pictures of flowers and dogs, which show none, by size, turn, light, blur and crowding. A face is found
where a box overlaps it with an intersection over union of 0.4 or, in made pictures, where the middle of a box lies on
it and its size is within a factor of two; other boxes are false. One row per detector and way of searching: recall,
false faces a picture, milliseconds a picture (median), beside those of `find`, the road of training, in the same run.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import csv
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter

from mtl_model import crops, registry, search
from mtl_model.card import DetectionSettings
from mtl_model.pictures import read_picture, turn
from mtl_model.records import Box, Face

GROUNDS_PX = 900
FIELD = 0.6  # of a pasted picture's side that its face takes; CelebA's test shows head and shoulders
Search = Callable[[np.ndarray], list[Face]]


class Scene(NamedTuple):
    """A picture, and where its faces are."""

    group: str
    picture: np.ndarray
    faces: list[Box]
    made: bool


def photos(data: Path, degrees: int = 0) -> Iterator[Scene]:
    boxes: dict[str, list[Box]] = {"dogs.jpg": []}
    with (data / "photos" / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            left, top, width, height = (float(row[name]) for name in ("left", "top", "width", "height"))
            boxes.setdefault(row["file"], []).append((left, top, left + width, top + height))
    for name, faces in boxes.items():
        picture = read_picture(data / "photos" / name)
        height, width = picture.shape[:2]
        placed = search.turn_faces([Face(box, 1.0) for box in faces], width, height, degrees)
        yield Scene(f"photos, turned by {degrees}°", turn(picture, degrees), [face.box for face in placed], False)


GROUPS: dict[str, tuple[tuple[int, int], float, Callable[[Image.Image], Image.Image] | None, int]] = {
    # longer edge of the face in px, largest turn in degrees, what is done to the picture, faces in it
    "20 to 40 px": ((20, 40), 10, None, 4),
    "40 to 120 px": ((40, 120), 10, None, 4),
    "turned by up to 60°": ((60, 120), 60, None, 3),
    "dark": ((60, 120), 10, lambda image: Image.fromarray(np.asarray(image) // 6), 3),
    "bright": (
        (60, 120),
        10,
        lambda image: Image.fromarray(np.minimum(255, 3 * np.asarray(image, np.int32)).astype(np.uint8)),
        3,
    ),
    "blurred": ((60, 120), 10, lambda image: image.filter(ImageFilter.GaussianBlur(3)), 3),
    "crowded": ((40, 60), 10, None, 30),
}


def made(data: Path, count: int) -> Iterator[Scene]:
    """`count` pictures of each group; nothing is kept of them."""
    draw = np.random.default_rng(0)
    faces = [path for path in sorted((data / "celeba").rglob("*.webp")) if path.stem in _test_names(data)]
    grounds = [data / "photos" / "dogs.jpg", *sorted((data / "flowers").rglob("*.webp"))]
    for group, (sizes, most_degrees, spoil, crowd) in GROUPS.items():
        for _ in range(count):
            ground = Image.fromarray(read_picture(grounds[draw.integers(len(grounds))]))
            scene, boxes = ground.resize((GROUNDS_PX, GROUNDS_PX)), []
            for _ in range(crowd):
                pasted = Image.fromarray(read_picture(faces[draw.integers(len(faces))]))
                if (box := _paste(scene, pasted, draw, sizes, most_degrees, boxes)) is not None:
                    boxes.append(box)
            yield Scene(group, np.asarray(spoil(scene) if spoil else scene), boxes, True)


def _test_names(data: Path) -> set[str]:
    with (data / "celeba" / "splits.csv").open(newline="") as file:
        return {Path(row["file"]).stem for row in csv.DictReader(file) if row["split"] == "test"}


def _paste(
    scene: Image.Image,
    face: Image.Image,
    draw: np.random.Generator,
    sizes: tuple[int, int],
    most_degrees: float,
    taken: Sequence[Box],
) -> Box | None:
    """Paste a picture of a face where none is yet. Returns the box of the face, None where there was no room."""
    edge = draw.uniform(*sizes)
    side = round(edge / FIELD)
    angle = draw.uniform(-most_degrees, most_degrees)
    small = face.resize((side, side * face.height // face.width), Image.Resampling.LANCZOS)
    mask = Image.new("L", small.size, 255).rotate(angle, expand=True)
    small = small.rotate(angle, expand=True)
    for _ in range(20):
        left, top = (int(draw.integers(0, max(1, scene.width - side_px))) for side_px in small.size)
        area = (left, top, left + small.width, top + small.height)
        if all(area[2] < box[0] or area[0] > box[2] or area[3] < box[1] or area[1] > box[3] for box in taken):
            scene.paste(small, (left, top), mask)
            x, y = left + small.width / 2, top + small.height / 2
            return (x - edge / 2, y - edge / 2, x + edge / 2, y + edge / 2)
    return None


def is_found(face: Box, box: Box, made_up: bool) -> bool:
    width, height = face[2] - face[0], face[3] - face[1]
    if made_up:
        x, y, edge = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, max(box[2] - box[0], box[3] - box[1])
        return face[0] <= x <= face[2] and face[1] <= y <= face[3] and 0.5 < edge / max(width, height) < 2
    across = max(0.0, min(face[2], box[2]) - max(face[0], box[0]))
    shared = across * max(0.0, min(face[3], box[3]) - max(face[1], box[1]))
    return shared >= 0.4 * (width * height + (box[2] - box[0]) * (box[3] - box[1]) - shared)


def ways() -> Iterator[tuple[str, Search]]:
    for name in registry.names("detectors"):
        module = registry.load("detectors", name)
        if module.SUBJECT == "face":
            detector, settings = module.build(), DetectionSettings(detector=name)
            yield f"{name}, find", partial(crops.find, detector=detector, settings=settings)
            yield f"{name}, every_face", partial(search.every_face, detector=detector, settings=settings)
            smallest = partial(search.every_face, detector=detector, settings=settings, smallest_face_px=16)
            yield f"{name}, every_face, from 16 px", smallest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--made", type=int, default=10, help="made pictures of each group")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scenes = [scene for degrees in (0, 90) for scene in photos(arguments.data, degrees)]
    scenes += made(arguments.data, arguments.made)
    print("| faces | detector and search | faces | recall, % | false, a picture | ms, median | over find |")
    print("|---|---|---|---|---|---|---|")
    base: dict[str, float] = {}
    for way, look in ways():
        for group in dict.fromkeys(scene.group for scene in scenes):
            took, hits, faces, false = [], 0, 0, 0
            chosen = [scene for scene in scenes if scene.group == group]
            for scene in chosen:
                began = time.perf_counter()
                boxes = [face.box for face in look(scene.picture)]
                took.append(time.perf_counter() - began)
                hits += sum(any(is_found(face, box, scene.made) for box in boxes) for face in scene.faces)
                false += sum(not any(is_found(face, box, scene.made) for face in scene.faces) for box in boxes)
                faces += len(scene.faces)
            middle = 1000 * statistics.median(took)
            ratio = middle / base.setdefault(group, middle)
            row = f"| {group} | {way} | {faces} | {100 * hits / max(1, faces):.1f} | {false / len(chosen):.2f}"
            print(f"{row} | {middle:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
