"""Ask a page many things at once, as programs do: how many are answered or refused, and what time and memory it takes.

python -m benchmarks.serving [--parallel 1,8,40] [--each 2] [--picture FILE]

It starts a page of its own on this machine, read-only with --api, and asks it alone. Times are of this run; compare its rows with
each other.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtl_model.registry import shipped_weights

SAMPLE = shipped_weights().parent / "samples" / "astronaut.jpg"
PATIENCE_SECONDS = 300


def ask(address: str, body: bytes) -> tuple[int, float, bool]:
    """Returns status, seconds, and whether it was an answer, or a refusal with a sentence."""
    began = time.perf_counter()
    request = urllib.request.Request(f"{address}/v1/predict", data=body, headers={"content-type": "image/jpeg"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    answer = json.loads(text)
    whole = isinstance(answer, list) and "faces" in answer[0] if status == 200 else answer["error"].endswith(".")
    return status, time.perf_counter() - began, whole


def memory_mb(pid: int) -> tuple[float, float]:
    """Return what a process holds now and has held at most, on Linux."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[index,return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parallel", default="1,8,40")
    parser.add_argument("--each", type=int, default=2, help="requests per thread")
    parser.add_argument("--picture", type=Path, default=SAMPLE)
    arguments = parser.parse_args()
    body = arguments.picture.read_bytes()
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "mtl_model", "ui", "--port", "0", "--runs", runs, "--read-only", "--api"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
            try:
                assert page.stdout is not None
                address = re.search(r"https?://\S+", page.stdout.readline())
                assert address, "the page did not come up"
                ask(address[0], body)
                print(
                    "| at once | answered | refused with a sentence | median s | p95 s | a second | MB | MB at most |"
                )
                print("|---" * 8 + "|")
                for parallel in map(int, arguments.parallel.split(",")):
                    began = time.perf_counter()
                    with ThreadPoolExecutor(parallel) as threads:
                        answers = [*threads.map(lambda _: ask(address[0], body), range(parallel * arguments.each))]
                    took, counts = time.perf_counter() - began, Counter(status for status, _, _ in answers)
                    assert all(whole for _, _, whole in answers), "an answer was neither whole nor a sentence"
                    seconds = sorted(second for status, second, _ in answers if status == 200)
                    late = seconds[min(len(seconds) - 1, round(0.95 * len(seconds)))]
                    now, most = memory_mb(page.pid)
                    numbers = (
                        f"{counts[200]} | {len(answers) - counts[200]} | {statistics.median(seconds):.2f} | {late:.2f}"
                    )
                    print(f"| {parallel} | {numbers} | {counts[200] / took:.1f} | {now:.0f} | {most:.0f} |")
            finally:
                page.terminate()


if __name__ == "__main__":
    main()
