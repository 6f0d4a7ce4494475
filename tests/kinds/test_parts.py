"""What all kinds share: the masked mean, distillation, metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_model import kinds
from mtl_model.errors import CheckpointError
from mtl_model.kinds._arithmetic import log_softmax, masked_mean, softmax
from mtl_model.kinds._metric import Metric
from mtl_model.tasks import TASKS, Task, class_task


def test_the_mean_is_over_the_labelled_samples_alone() -> None:
    values, known = torch.tensor([1.0, 100.0, 3.0]), torch.tensor([True, False, True])
    assert masked_mean(values, known).item() == 2.0
    assert masked_mean(values, torch.zeros(3, dtype=torch.bool)).item() == 0.0


def test_probabilities_are_those_of_torch() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (8, 5)).astype(np.float32)
    expected = torch.log_softmax(torch.from_numpy(logits).double(), 1).numpy()
    assert np.allclose(log_softmax(logits), expected, rtol=1e-12)
    assert softmax(logits).sum(1).tolist() == pytest.approx([1.0] * 8)


@pytest.mark.parametrize("task", [TASKS["age"], TASKS["smile"]], ids=lambda task: task.name)
def test_distillation_is_nothing_for_the_parents_own_answers_and_pulls_towards_them(task) -> None:
    kind = kinds.of(task)
    output = torch.randn(4, kind.width(task), generator=torch.Generator().manual_seed(0), requires_grad=True)
    known = torch.tensor([True, True, False, True])
    own = torch.from_numpy(kind.predict(task, output.detach().numpy(), kind.Calibration())).float()
    assert kind.distil(output, own, known).item() == pytest.approx(0, abs=1e-6)
    kind.distil(output, own.flip(1), known).backward()
    assert output.grad is not None and bool((output.grad[2] == 0).all()) and bool((output.grad[0] != 0).any())


def test_a_metric_is_measured_on_the_rows_that_say_something() -> None:
    rows = {"error": np.array([1.0, np.nan, 5.0]), "truth": np.array([10.0, 20.0, 70.0])}
    assert Metric("", "years", "error").rows(rows)["error"].tolist() == [1, 5]
    assert Metric("", "years", "error", part=lambda rows: rows["truth"] > 60).rows(rows)["error"].tolist() == [5]


@pytest.mark.parametrize(("kind", "loss"), [("yaers", "soft_years"), ("years", "cross_entropy")])
def test_a_task_of_an_unknown_kind_or_loss_is_refused(kind: str, loss: str) -> None:
    import dataclasses

    with pytest.raises(CheckpointError, match="Unknown"):
        kinds.check_task(dataclasses.replace(TASKS["age"], kind=kind, loss=loss))


@pytest.mark.parametrize("text", ["", "  "])
def test_a_blank_is_no_label(text: str) -> None:
    assert kinds.parse_label(class_task("colour", ("red", "white")), text) is None


def test_kinds_with_named_classes_answer_alike() -> None:
    glasses = Task("glasses", "Glasses", "binary", "binary_cross_entropy", ("without", "with"))
    folders = class_task("glasses", ("with", "without"))
    assert kinds.covers(glasses, folders) and kinds.covers(folders, glasses)
    assert not kinds.covers(TASKS["age"], folders) and not kinds.answers_alike(TASKS["age"], glasses)


def test_metrics_of_one_name_are_one_metric() -> None:
    metrics = kinds.all_metrics()
    for name in kinds.names():
        for metric, value in kinds.named(name).metrics.items():
            assert metrics[metric] == value, metric


@pytest.mark.parametrize(
    ("measured", "name"),
    [({"accuracy", "ece"}, "accuracy"), ({"mae", "cs5"}, "mae"), ({"accuracy_ranges"}, "accuracy_ranges"), ({"x"}, "")],
)
def test_one_metric_stands_for_a_task(measured: set[str], name: str) -> None:
    assert kinds.headline(measured) == name
