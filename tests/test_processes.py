"""Two processes end with the weights of one, though neither holds all the labels of a batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = Path(__file__).parent / "two_processes.py"


def test_two_processes_give_the_one_process_result(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    found = []
    for start in ([], ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]):
        file = tmp_path / f"{len(start)}.pt"
        command = [sys.executable, *start, str(SCRIPT), str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(torch.load(file, weights_only=True))
    one, two = found
    assert (one["processes"], two["processes"]) == (1, 2)
    moved = 0
    for name, value in one["weights"].items():
        assert torch.allclose(value, two["weights"][name], atol=2e-5), name
        moved += int(value.abs().sum() > 0)
    assert moved
