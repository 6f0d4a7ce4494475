"""What is fitted on val: each task by its kind, where there are labels."""

from __future__ import annotations

import torch

from mtl_model.evaluate.calibration import fit
from mtl_model.kinds import Calibration
from mtl_model.tasks import TASKS


def test_a_task_without_labels_is_left_out() -> None:
    fitted = fit(
        (TASKS["gender"], TASKS["smile"]),
        {"gender": torch.zeros(6, 2), "smile": torch.zeros(6, 2)},
        {"gender": torch.zeros(6, dtype=torch.int64), "smile": torch.zeros(6, dtype=torch.int64)},
        {"gender": torch.ones(6, dtype=torch.bool), "smile": torch.zeros(6, dtype=torch.bool)},
    )
    assert list(fitted) == ["gender"] and fitted["gender"] == Calibration()  # six labels are too few to fit by
