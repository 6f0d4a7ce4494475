"""How quick a photo is answered while a run learns beside it: python -m benchmarks.beside [--photos 15]

The run is a job as the page starts one, on pictures made here from the sample; both medians are of the same process.
"""

from __future__ import annotations

import mtl_model  # before torch: it decides how threads wait

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageEnhance

from mtl_model import jobs
from mtl_model.predictor import Predictor
from mtl_model.ui.checkpoints.trial import sample_path

WARM_UP = 3


def seconds_of(predictor: Predictor, photo: bytes) -> float:
    began = time.perf_counter()
    predictor.predict(photo)
    return time.perf_counter() - began


def lay_out(folder: Path, count: int) -> None:
    """Variants of the sample picture in two classes: enough to learn from, whatever it is."""
    sample = Image.open(sample_path()).convert("RGB").resize((320, 320))
    for number in range(count):
        target = folder / "light" / ("bright" if number % 2 else "dark") / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        turned = sample.rotate((number * 7) % 40 - 20)
        ImageEnhance.Brightness(turned).enhance(1.3 if number % 2 else 0.7).save(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=15)
    arguments = parser.parse_args()
    predictor, photo = Predictor.load(), sample_path().read_bytes()
    for _ in range(WARM_UP):
        seconds_of(predictor, photo)
    idle = statistics.median(seconds_of(predictor, photo) for _ in range(arguments.photos))
    with tempfile.TemporaryDirectory() as place:
        runs, data = Path(place) / "runs", Path(place) / "data"
        lay_out(data, 120)
        (runs / "beside").mkdir(parents=True)
        words = (
            "finetune",
            str(data),
            "--name",
            "beside",
            "--pending",
            "--how",
            "all",
            "--epochs",
            "200",
            "--runs",
            str(runs),
        )
        jobs.submit(runs, "beside", "finetune", words)
        events = runs / "beside" / "events.jsonl"
        while not (events.is_file() and '"event": "step"' in events.read_text(encoding="utf-8")):
            if (job := jobs.look(runs, "beside")) is None or job.state != "running":
                raise SystemExit(job.log if job else "The run went away.")
            time.sleep(0.5)
        busy = statistics.median(seconds_of(predictor, photo) for _ in range(arguments.photos))
        jobs.kill(runs, "beside")
    print(
        f"median of {arguments.photos} photos: idle {idle:.3f} s, beside a run that learns {busy:.3f} s, ratio {busy / idle:.2f}"
    )


if __name__ == "__main__":
    main()
