"""Fitted on val, kept in the card, applied by outputs.py: temperatures, and from where an estimate is called sure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mtl_model.card import TaskCalibration
from mtl_model.outputs import year_interval
from mtl_model.tasks import Task

CLASS_THRESHOLD = 0.75  # a calibrated top probability below it is called unsure
UNSURE_SHARE = 1 / 6  # of the faces of val, by the width of their age interval
COVERED = 0.8  # of true ages, by the interval
LEAST = 100  # labels, below which a temperature or a margin would be noise
TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(4.0), 161))


def fit(
    tasks: tuple[Task, ...], outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], known: Mapping[str, Tensor]
) -> dict[str, TaskCalibration]:
    """{task: calibration} from logits, targets and masks of val; a task without labels there is left out. One with fewer
    than LEAST keeps temperature 1: five right answers would ask for the end of the grid, and a wrong one come with 99 %."""
    result = {}
    for task in tasks:
        mask = known[task.name]
        if not bool(mask.any()):
            continue
        logits, labels = outputs[task.name][mask].double(), targets[task.name][mask]
        temperature = fit_temperature(logits, labels) if len(labels) >= LEAST else 1.0
        threshold, margin = CLASS_THRESHOLD, 0.0
        if task.kind == "years":
            intervals = year_interval(torch.softmax(logits / temperature, 1).numpy())
            margin = round(conformal_margin(intervals, labels.numpy()), 2)
            widths = intervals[:, 1] - intervals[:, 0] + 2 * margin
            threshold = round(float(np.quantile(widths, 1 - UNSURE_SHARE)), 2)
        result[task.name] = TaskCalibration(round(temperature, 4), threshold, margin)
    return result


def conformal_margin(intervals: np.ndarray, labels: np.ndarray) -> float:
    """Years by which the intervals (N, 2) have to be widened (narrowed, if negative) so that they cover COVERED of ages like
    those known, labels (N, 2) with equal ends; 0 where fewer than LEAST are known.

    Source: Romano, Patterson and Candes, "Conformalized Quantile Regression", 2019, section 4 (split conformal)."""
    exact = labels[:, 0] == labels[:, 1]
    truth, some = labels[exact, 0], intervals[exact]
    if len(truth) < LEAST:
        return 0.0
    outside = np.maximum(some[:, 0] - truth, truth - some[:, 1])
    share = min(1.0, np.ceil((len(truth) + 1) * COVERED) / len(truth))
    return float(np.quantile(outside, share, method="inverted_cdf"))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature under which val's labels are likeliest; a range of years counts with its summed probability.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2. One number over a grid in steps
    of under 2 %: no optimiser that could fail."""
    losses = [_negative_log_likelihood(logits / float(one), labels) for one in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _negative_log_likelihood(logits: Tensor, labels: Tensor) -> float:
    log_probability = torch.log_softmax(logits, 1)
    if labels.ndim == 1:
        return float(-log_probability.gather(1, labels[:, None]).mean())
    years = torch.arange(logits.shape[1])
    ends = labels.clamp(0, logits.shape[1] - 1)
    inside = (years >= ends[:, :1].floor()) & (years <= ends[:, 1:].ceil())
    return float(-torch.logsumexp(log_probability.masked_fill(~inside, float("-inf")), 1).mean())
