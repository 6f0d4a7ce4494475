"""Measure speed as ratios to baselines of the same run.

python -m benchmarks.speed [--quick] [--json FILE]

Prints one table: name, value, unit, baseline, ratio. Each figure and its baseline are measured in turn, several times, and the
medians are told: on a busy machine a figure alone says little. Rows:

    photo_10_faces_over_bare     a photo of 1280 x 720 px with ten faces, decoded to answered, over the bare P-, R- and O-net with
                                 the same settings and one pass of the network
    detect_over_mtcnn_default    the search for the faces in it, over facenet-pytorch's MTCNN as it comes
    network_over_torch_eager     one face through the network as --runtime auto runs it, over torch with nothing folded
    one_face_ms                  one face from its crop to its estimates, over one forward pass of the network
    start_to_first_answer        a process from its start to the answer to a photo, over a process that imports torch
    folder_over_serial           pictures per second of `predict FOLDER`, over one picture after another with all threads in each
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image, ImageEnhance

from benchmarks import face
from mtl_model import Predictor, checkpoint, crops, pipeline, runtimes
from mtl_model.card import shipped_weights
from mtl_model.crops import to_tensor
from mtl_model.detectors import mtcnn
from mtl_model.inference import logits
from mtl_model.processes import cores

SAMPLE = Path(__file__).parent.parent / "samples" / "astronaut.jpg"


@dataclass(frozen=True)
class Row:
    """baseline: in the unit of the value. ratio: median of the ratios of each turn."""

    name: str
    value: float
    unit: str
    baseline: float
    ratio: float


def in_turn(name: str, unit: str, figure: Callable[[], float], baseline: Callable[[], float], turns: int) -> Row:
    """Measure a figure and its baseline in turn."""
    pairs = [(figure(), baseline()) for _ in range(turns)]
    values, baselines = zip(*pairs, strict=True)
    ratio = statistics.median(value / other for value, other in pairs)
    return Row(name, round(statistics.median(values), 2), unit, round(statistics.median(baselines), 2), round(ratio, 2))


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write the sample picture as JPEG of 512 px, each a little turned and in another light, so that none is like another."""
    sample = Image.open(SAMPLE).convert("RGB")
    files = []
    for number in range(count):
        files.append(folder / f"{number:03d}.jpg")
        ImageEnhance.Brightness(sample.rotate(number % 12 - 6)).enhance(0.8 + 0.4 * number / count).save(files[-1])
    return files


def crowd() -> np.ndarray:
    """Return a picture of 1280 x 720 px with ten faces of 80 to 170 px, in two rows."""
    sample = Image.open(SAMPLE).convert("RGB")
    sheet = Image.new("RGB", (1280, 720), (60, 70, 80))
    for number in range(10):
        side = 180 + 20 * (number % 5)
        face = sample.crop((150, 0, 390, 240)).resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(face, (10 + 254 * (number % 5), 20 + 360 * (number // 5)))
    return np.asarray(sheet)


def loaded() -> Predictor:
    return Predictor.load(weights=shipped_weights(), device="cpu")


def photo_10_faces_over_bare(quick: bool) -> Row:
    predictor, rgb, stream = loaded(), crowd(), io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=92)
    faces = predictor.find(rgb)
    assert len(faces) == 10, f"{len(faces)} faces are found, not ten"
    images = to_tensor(crops.cut(rgb, faces, predictor.card.crop), predictor.card.crop)
    detector, settings = mtcnn.build(), predictor.card.detection

    def bare() -> float:
        return milliseconds(
            lambda: (
                detector.detect([rgb], settings.smallest_face_px),
                logits(predictor.network, images, predictor.card),
            )
        )

    body = stream.getvalue()
    return in_turn(
        "photo_10_faces_over_bare",
        "ms",
        lambda: milliseconds(lambda: predictor.photo(body, "")),
        bare,
        3 if quick else 15,
    )


def detect_over_mtcnn_default(quick: bool) -> Row:
    predictor, rgb = loaded(), crowd()
    default = MTCNN(keep_all=True).eval()

    def theirs() -> float:
        with torch.inference_mode():
            return milliseconds(lambda: default.detect(rgb))

    def ours() -> float:
        return milliseconds(lambda: predictor.find(rgb))

    return in_turn("detect_over_mtcnn_default", "ms", ours, theirs, 3 if quick else 15)


def network_over_torch_eager(quick: bool) -> Row:
    predictor = loaded()
    network, card = checkpoint.load(shipped_weights() / predictor.name)
    images = torch.rand(1, 3, card.crop.size_px, card.crop.size_px)

    def through(run: runtimes.Network) -> Callable[[], float]:
        def work() -> float:
            with torch.inference_mode():
                return statistics.median(milliseconds(lambda: run(images)) for _ in range(20))

        return work

    return in_turn("network_over_torch_eager", "ms", through(predictor.network), through(network), 3 if quick else 15)


def one_face_ms(quick: bool) -> Row:
    predictor, passes = loaded(), 10 if quick else 50
    images = torch.rand(1, 3, predictor.card.crop.size_px, predictor.card.crop.size_px)

    def once() -> float:
        with torch.inference_mode():
            return statistics.median(milliseconds(lambda: predictor.network(images)) for _ in range(passes))

    return in_turn("one_face_ms", "ms", lambda: face.one_face_ms(predictor, passes), once, 3 if quick else 11)


def start_to_first_answer(quick: bool) -> Row:
    def process(*words: str) -> Callable[[], float]:
        def work() -> float:
            return (
                milliseconds(lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)) / 1000
            )

        return work

    answer = process("-m", "mtl_model", "predict", str(SAMPLE))
    return in_turn("start_to_first_answer", "s", answer, process("-c", "import torch"), 1 if quick else 5)


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def folder_over_serial(quick: bool) -> Row:
    predictor = loaded()
    with tempfile.TemporaryDirectory() as place:
        files = write_photos(Path(place), 8 if quick else 24)
        predictor.photo(files[0], "")

        def folder() -> float:
            return rate(lambda: sum(1 for _ in pipeline.photos(predictor, files)))

        def serial() -> float:
            return rate(lambda: sum(1 for file in files if predictor.photo(file, file.name)))

        return in_turn("folder_over_serial", "pictures/s", folder, serial, 2 if quick else 7)


def rate(work: Callable[[], int]) -> float:
    """Return how much of it is done in a second; work returns how much it was."""
    began = time.perf_counter()
    return work() / (time.perf_counter() - began)


ROWS: dict[str, Callable[[bool], Row]] = {
    row.__name__: row
    for row in (
        photo_10_faces_over_bare,
        detect_over_mtcnn_default,
        network_over_torch_eager,
        one_face_ms,
        start_to_first_answer,
        folder_over_serial,
    )
}


def measure(names: list[str], quick: bool) -> Iterator[Row]:
    for name in names:
        yield ROWS[name](quick)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few pictures, few turns")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--rows", nargs="+", choices=sorted(ROWS), default=list(ROWS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    print(f"{'name':30} {'value':>9} {'unit':12} {'baseline':>9} {'ratio':>6}")
    for row in measure(arguments.rows, arguments.quick):
        rows.append(asdict(row))
        print(f"{row.name:30} {row.value:9.2f} {row.unit:12} {row.baseline:9.2f} {row.ratio:6.2f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
