"""How quick it is, as ratios over baselines of the same run.

python -m benchmarks.speed [--quick] [--json FILE]

Prints one table: name, value, unit, baseline, ratio. Each figure and its baseline are measured in turn, several times, and the
medians are told: on a busy machine a figure alone says little. Rows:

    folder_over_serial   pictures per second of `predict FOLDER`, over one picture after another with all threads in each
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image, ImageEnhance

from mtl_model import Predictor, pipeline
from mtl_model.card import shipped_weights
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


def folder_over_serial(quick: bool) -> Row:
    predictor = Predictor.load(weights=shipped_weights(), device="cpu")
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


ROWS: dict[str, Callable[[bool], Row]] = {"folder_over_serial": folder_over_serial}


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
