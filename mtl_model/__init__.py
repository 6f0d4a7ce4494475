"""Multi-task learning on faces: apparent age, gender as perceived, and smile from one network.

The floors, lowest first; a file imports only from a lower floor, or from its own floor further up in this list:

    0 errors, registry, names
    1 tasks, typed, records, kinds/, answers, events, wording, terminal, options, config, tables
    2 pictures, destinations, layouts/, data/duplicates, data/dataset_edits, archives, card, data/corrections, processes
    2 decoding, run_records, runs, jobs, drawing
    - the torch line: nothing above it loads torch -
    3 networks/, detectors/
    4 crops, inference, checkpoint
    5 data/cache, predictor, checkpoint_zip
    6 data/augmentation, data/batches
    7 evaluate/calibration, evaluate/metrics, evaluate/recalibration, evaluate/results, data/check
    7 train/optimisation, train/prepare, train/selection
    8 train/loop, train/splits, train/compare, train/finetune, evaluate/charts
    9 ui/
   10 commands/, cli, __main__

The public names below are loaded when first used, so that `import mtl_model` alone imports no torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mtl_model.errors import MtlError as MtlError
    from mtl_model.pictures import read_picture as read_picture
    from mtl_model.predictor import Predictor as Predictor

# Threads of OpenMP wait for each other by spinning: with other busy programs on the machine a photo takes ten times as
# long (5.96 s against 0.61 s with sleeping threads, python -m benchmarks.photo). Threads that sleep at once cost an idle
# machine as much as they save, so they spin shortly first. It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

_HOMES = {"Predictor": "predictor", "MtlError": "errors", "read_picture": "pictures"}

__all__ = ["MtlError", "Predictor", "__version__", "read_picture"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
