"""A run's crops in one file of WebP pictures, to be carried to another machine, and the run from it there.

python -m benchmarks.pack write FILE [--side 128] [--quality 25] [--most-mb 38] [--val 300] TRAIN-OPTIONS
python -m benchmarks.pack train FILE --name NAME [--device cuda] [--runs runs] [--resume] [--minutes M] TRAIN-OPTIONS

TRAIN-OPTIONS are those of `python -m mtl_model train`. What decides which crops there are (--source, --network, --tasks, --mix,
--margin, --upright, --fraction ...) counts when a file is written; what decides how is learned from them (--mix, --epochs,
--start, --precision, --balance ...) when a run is started. Copies of val and test are left out as always; of val at most so many
pictures of each source come along, to choose the epoch by: calibrate and measure where the data sets are. With WebP of quality 25
a crop of 128 px takes 0.8 KB (error 5.6 of 255), of 112 px and quality 15 0.6 KB (6.9). No picture of a file may be passed on:
it is made of data sets that are for research alone.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import dataclasses
import io
import json
import math
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mtl_model import card as cards
from mtl_model.data.batches import Labelled
from mtl_model.data.cache import Crops
from mtl_model.config import TrainConfig
from mtl_model.options import add_options, from_options
from mtl_model.errors import DataError
from mtl_model.events import Event, Evaluated, Failed, Finished, Noted, Started, Step, Stopped
from mtl_model.predictor import choose_device
from mtl_model.train.prepare import Data, mix_of, prepare
from mtl_model.processes import cores
from mtl_model.records import Sample
from mtl_model.train.loop import STOP, Run, accelerator_on, command_of, read_state

PARTS = ("train", "val")


def encode(images: Iterable[np.ndarray], side: int, quality: int) -> list[bytes]:
    """WebP files of crops, uint8 RGB (S, S, 3), sampled down to so many px a side, never up."""

    def file_of(image: np.ndarray) -> bytes:
        picture, stream = Image.fromarray(image), io.BytesIO()
        if side < picture.width:
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        picture.save(stream, "WEBP", quality=quality, method=4)
        return stream.getvalue()

    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(file_of, images))


def decode(files: Iterable[bytes], side: int) -> np.ndarray:
    """uint8 RGB (N, S, S, 3) in memory."""

    def picture_of(file: bytes) -> np.ndarray:
        picture = Image.open(io.BytesIO(file)).convert("RGB")
        return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC) if picture.width != side else picture)

    with ThreadPoolExecutor(cores()) as pool:
        return np.stack(list(pool.map(picture_of, files)))


def write(path: Path, data: Data, *, side: int, quality: int, val: int, most_mb: float) -> int:
    """Returns the bytes written. Raises DataError where they would be more than most_mb million."""
    files: list[bytes] = []
    told: dict[str, Any] = {
        "card": cards.to_json(data.card),
        "notes": [dataclasses.asdict(note) for note in data.notes],
    }
    qualities, faces = [], []
    for part in PARTS:
        labelled: Labelled = getattr(data, part)
        rows = np.arange(len(labelled)) if part == "train" else _some_of_each(labelled, val)
        told[part] = [_plain(labelled.samples[row]) for row in rows.tolist()]
        qualities.append(labelled.quality[rows])
        faces.append(labelled.faces[rows])
        for start in range(0, len(rows), 1024):
            files += encode(labelled.images(rows[start : start + 1024]), side, quality)
    stream = io.BytesIO()
    np.savez(
        stream,
        told=np.frombuffer(zlib.compress(json.dumps(told).encode(), 9), np.uint8),
        files=np.frombuffer(b"".join(files), np.uint8),
        ends=np.cumsum([len(file) for file in files]),
        quality=np.concatenate(qualities).astype(np.float16),
        faces=np.concatenate(faces).astype(np.int8),
    )
    content = stream.getvalue()
    if len(content) > most_mb * 1e6:
        share = most_mb * 1e6 / len(content)
        raise DataError(
            f"The pack would take {len(content) / 1e6:.1f} MB for {len(files):,} crops. Expected at most {most_mb:g}; give "
            f"--fraction {share:.2f} of what it is now, or a smaller --side or --quality."
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(content)


def read(path: Path) -> Data:
    """What `write` packed, all crops in memory. Raises DataError for a file that is none of its own."""
    try:
        with np.load(path) as stored:
            told = json.loads(zlib.decompress(stored["told"].tobytes()))
            ends, content = stored["ends"], stored["files"].tobytes()
            quality, faces = stored["quality"].astype(np.float32), stored["faces"].astype(np.int16)
    except (OSError, ValueError, KeyError, zlib.error) as error:
        raise DataError(f"'{path}' is no pack ({error}). Expected a file that `write` made; write it again.") from None
    loaded = cards.from_json(told["card"])
    starts = np.concatenate([[0], ends[:-1]]).tolist()
    files = [content[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]
    images = decode(files, loaded.crop.size_px)
    parts, first = {}, 0
    for part in PARTS:
        samples = [_sample(one) for one in told[part]]
        rows = slice(first, first + len(samples))
        crops = Crops(images[rows], faces[rows], quality[rows])
        parts[part] = Labelled([(samples, crops, np.arange(len(samples)))], loaded.tasks)
        first += len(samples)
    notes = [
        Noted(**note) if isinstance(note, dict) else Noted(note) for note in told["notes"]
    ]  # older packs: sentences
    return Data(parts["train"], parts["val"], loaded, notes)


def train(
    data: Data,
    config: TrainConfig,
    folder: Path,
    *,
    device: str,
    resume: bool = False,
    start: Path | None = None,
    minutes: float = math.inf,
) -> Iterator[Event]:
    """As `training.train`, from a pack; after so many minutes it stops as if it was asked to, its state saved."""
    data.command = f"{command_of(config)} (from a pack of the crops)"
    data.mix = mix_of(config.mix, sorted(set(data.train.sources.tolist())))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STOP).unlink(missing_ok=True)
    run, began = Run(config, folder, data, accelerator_on(device), start), time.monotonic()
    if resume:
        run.restore(read_state(config, folder))
    for event in run.events():
        yield event
        if time.monotonic() - began >= 60 * minutes:
            (folder / STOP).touch()


def _some_of_each(data: Labelled, count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    rows = [random.permutation(np.flatnonzero(data.sources == name))[:count] for name in np.unique(data.sources)]
    return np.sort(np.concatenate(rows))


def _plain(sample: Sample) -> dict[str, Any]:
    return dataclasses.asdict(sample) | {"path": ""}  # whose folders are nobody's business


def _sample(plain: Mapping[str, Any]) -> Sample:
    labels = {task: tuple(label) if isinstance(label, list) else label for task, label in plain["labels"].items()}
    return Sample(**{**plain, "labels": labels})


def _show(event: Event) -> None:
    if isinstance(event, (Started, Evaluated, Noted, Stopped, Finished, Failed)):
        print(event, flush=True)
    elif isinstance(event, Step) and event.step % 100 < 5:
        print(f"step {event.step}: {event.losses}; {event.pictures_per_second} pictures/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing, training = (commands.add_parser(name) for name in ("write", "train"))
    for one in (writing, training):
        one.add_argument("file", type=Path)
        add_options(one, TrainConfig)
    writing.add_argument("--side", type=int, default=128)
    writing.add_argument("--quality", type=int, default=25)
    writing.add_argument("--most-mb", type=float, default=38.0)
    writing.add_argument("--val", type=int, default=300, help="pictures of val that come along, of each source")
    training.add_argument("--device", default="auto")
    training.add_argument("--runs", type=Path, default=Path("runs"))
    training.add_argument("--weights", type=Path, default=cards.shipped_weights())
    training.add_argument("--resume", action="store_true")
    training.add_argument("--minutes", type=float, default=math.inf, help="stop after so long, its state saved")
    arguments = parser.parse_args()
    config = from_options(TrainConfig, arguments)
    if arguments.command == "write":
        data = prepare(config)
        size = write(
            arguments.file,
            data,
            side=arguments.side,
            quality=arguments.quality,
            val=arguments.val,
            most_mb=arguments.most_mb,
        )
        return print(f"wrote {arguments.file}: {size / 1e6:.1f} MB, {len(data.train):,} pictures to learn from")
    start = cards.find_checkpoint(config.start, arguments.weights, arguments.runs) if config.start else None
    data, folder = read(arguments.file), arguments.runs / config.name
    device = choose_device(arguments.device)
    resume, minutes = arguments.resume, arguments.minutes
    for event in train(data, config, folder, device=device, resume=resume, start=start, minutes=minutes):
        _show(event)


if __name__ == "__main__":
    main()
