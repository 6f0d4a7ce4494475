"""What every entry of every registry keeps, for ever: a new file or key is tested without a line here.

Two small tables below are the exception: a new kind of task needs labels to be tried with, a new data layout a tiny
folder. The tests say so when they lack one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mtl_model import checkpoint, cli, commands, crops, kinds, layouts, registry, systems, tasks
from mtl_model.card import Card, CropSettings
from mtl_model.card import from_json as card_of
from mtl_model.card import to_text as card_text
from mtl_model.data import cache
from mtl_model.detectors import mtcnn
from mtl_model.errors import CheckpointError, MtlError, UsageError
from mtl_model.evaluate import metrics
from mtl_model.events import Finished
from mtl_model.inference import heads, logits, predictions, widths
from mtl_model.kinds._parts import SHAPES, LeftOut
from mtl_model.networks import _parts, folded
from mtl_model.records import FACE, Estimate, Face, Quality, Sample
from mtl_model.tasks import TASKS, Label, Task, class_task, number_task
from mtl_model.train import loop
from mtl_model.train.prepare import card_for, prepare

BATCH = 6
THREE = class_task("colour", ("red", "pink", "white"))  # a task that the program has never heard of
GLASSES = Task("glasses", "Glasses", "binary", "binary_cross_entropy", ("without", "with"))
WEIGHT = kinds.fit(number_task("weight", "kg"), [Sample("", {"weight": label}) for label in (40.0, 60.0, 80.0)])
QUALITY = Task("quality", "Quality", "ordinal", "coral", ("poor", "fair", "good", "best"))
MARKS = Task("marks", "Marks", "points", "wing", ("left_eye", "right_eye", "nose"))
HOUSE = Task("house", "House", "sequence", "length_and_symbols", tuple("0123456789"), length=3)
PEOPLE = ["Ada", "Bo", "Ada", "Bo", "Cy", "Bo"]
WHO = kinds.fit(
    Task("who", "Who", "identity", "softmax_contrastive", ()), [Sample("", {"who": name}) for name in PEOPLE]
)
EVERY_TASK = (*TASKS.values(), THREE, GLASSES, WEIGHT, QUALITY, MARKS, HOUSE, WHO)
SHOWN = kinds.shown(EVERY_TASK)

EXAMPLES: dict[str, Callable[[Task], list[Label]]] = {
    "binary": lambda task: [task.classes[number % 2] for number in range(BATCH)],
    "classes": lambda task: [task.classes[number % len(task.classes)] for number in range(BATCH)],
    "identity": lambda _: [*PEOPLE],
    "number": lambda _: [62.5, 71.0, 80.25, 55.0, 90.5, 48.0],
    "ordinal": lambda task: [task.classes[number % len(task.classes)] for number in range(BATCH)],
    "points": lambda _: [
        (round(0.3 + 0.01 * row, 2), 0.4, 0.7, 0.35, 0.5, round(0.6 - 0.02 * row, 2)) for row in range(BATCH)
    ],
    "sequence": lambda _: ["007", "1", "42", "390", "5", "12"],
    "years": lambda _: [34.0, (20.0, 29.0), 0.0, (70.0, 100.0), 116.0, 7.5],
}
"""BATCH labels of each kind of task."""


def labels_of(task: Task) -> list[Label]:
    assert task.kind in EXAMPLES, f"give EXAMPLES some labels of the kind {task.kind}"
    return EXAMPLES[task.kind](task)


def encode(task: Task, labels: list[Label | None]) -> tuple[Tensor, Tensor]:
    targets, known = kinds.of(task).encode(task, labels)
    return torch.from_numpy(targets), torch.from_numpy(known)


# Tasks, kinds of tasks, losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_task_names_a_kind_and_a_loss_that_exist(task: Task):
    kinds.check_task(task)
    assert tasks.from_json(task.name, json.loads(json.dumps(tasks.to_json(task)))) == task


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_labels_are_encoded_a_row_a_sample(task: Task):
    labels: list[Label | None] = [*labels_of(task)]
    labels[1] = labels[4] = None
    targets, known = kinds.of(task).encode(task, labels)
    assert len(targets) == BATCH
    assert np.isfinite(targets).all()
    assert known.dtype == bool and known.tolist() == [True, False, True, True, False, True]
    assert kinds.of(task).encode(task, [])[0].shape == (0, *targets.shape[1:])


def logits_of(task: Task, seed: int = 0) -> np.ndarray:
    """Logits (BATCH, width) that say something different of each sample."""
    return np.random.default_rng(seed).normal(0, 3, (BATCH, kinds.of(task).width(task))).astype(np.float32)


@pytest.mark.parametrize("task", SHOWN, ids=lambda task: task.name)
def test_an_estimate_can_be_shown_by_its_shape(task: Task):
    kind = kinds.of(task)
    calibration = kind.Calibration()
    for row in kind.predict(task, logits_of(task), calibration):
        estimate = kind.estimate(task, row, calibration)
        assert estimate.shape == kind.shape in SHAPES
        assert estimate.text and isinstance(estimate.sure, bool)
        assert len(kind.columns(task)) == len(kind.cells(estimate)) and kind.columns(task)[0] == task.name
        assert estimate.sure or kind.unsure(estimate, calibration).endswith(".")
        json.dumps(estimate.value, allow_nan=False)
        if estimate.scores:
            assert list(estimate.scores) == list(task.classes)
            assert sum(estimate.scores.values()) == pytest.approx(1, abs=1e-4)
        if estimate.low is not None and estimate.high is not None:
            assert estimate.low <= float(estimate.value) <= estimate.high
        if estimate.group is not None:
            assert estimate.group in kind.groups(task)
        if kind.choices(task):
            assert estimate.value in kind.choices(task)


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_what_is_not_known_of_a_face_changes_no_answer(task: Task):
    kind = kinds.of(task)
    unknown = np.full((BATCH, len(dataclasses.fields(Quality))), np.nan)
    targets, _ = kind.encode(task, [*labels_of(task)])
    calibration = kind.calibrate(task, logits_of(task), targets)
    assert kind.calibrate(task, logits_of(task), targets, unknown) == calibration
    without, answers = (kind.predict(task, logits_of(task), calibration, of) for of in (None, unknown))
    assert np.array_equal(without, answers)


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_sets_that_are_answered_right_change_no_calibration(task: Task):
    kind = kinds.of(task)
    targets, _ = kind.encode(task, [*labels_of(task)])
    calibration = kind.calibrate(task, learned(task).numpy(), targets)
    prediction = kind.predict(task, learned(task).numpy(), calibration)
    assert kind.for_strangers(task, calibration, [LeftOut(prediction, targets, calibration)]) == calibration


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_label_is_written_as_it_is_read(task: Task):
    kind = kinds.of(task)
    for label in labels_of(task):
        written = kind.write(task, label)
        assert kind.parse(task, written) == label
        assert not kind.contradict(task, label, label)
        assert kind.label_text(task, label) and kind.stratum(task, label) and kind.group_of(task, label)
    assert kind.choices(task) or kind.parse(task, kind.hint(task).split(",")[0]) is not None
    assert kinds.covers(task, task)


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_family_is_the_loss_of_which_it_names_the_derivative(task: Task):
    kind = kinds.of(task)
    targets, _ = kind.encode(task, [*labels_of(task)])
    if (family := kind.family(task, targets)) is None:
        return
    logits, small = logits_of(task).astype(float), 1e-4
    assert family.targets.shape == logits.shape
    slope = family.expected(logits) - family.targets
    for output in range(0, logits.shape[1], 7):
        step = small * np.eye(logits.shape[1])[output]
        numeric = (family.cost(logits + step) - family.cost(logits - step)) / (2 * small)
        assert numeric == pytest.approx(slope[:, output], abs=1e-3)
    other = logits_of(task, 1)
    bent = np.linalg.norm(family.expected(logits) - family.expected(other), axis=1)
    assert (bent <= family.curvature * np.linalg.norm(logits - other, axis=1) + 1e-6).all()
    right = learned(task).numpy()
    assert family.cost(right.astype(float)).mean() < family.cost(logits).mean()


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_kind_measures_what_it_answers(task: Task):
    """Right answers are measured as better than answers by chance, by every figure that has a direction."""
    kind = kinds.of(task)
    targets, _ = kind.encode(task, [*labels_of(task)])
    calibration = kind.calibrate(task, logits_of(task), targets)
    taught = learned(task).numpy()
    by_chance, right = (kind.predict(task, some, calibration) for some in (logits_of(task), taught))
    bad, good = (kind.epoch_figures(task, some, targets) for some in (by_chance, right))
    assert good["error"] < bad["error"]
    assert set(good) - {"error"} <= set(kind.metrics)
    for predicted in (by_chance, right):
        rows = kind.rows(task, predicted, targets, calibration, targets)
        assert {len(row) for row in rows.values()} == {BATCH}
        measured = 0
        for metric in kind.metrics.values():
            part = metric.rows(rows)
            if len(next(iter(part.values()))):
                measured += bool(np.isfinite(metrics.interval_of(part, metric)["value"]))
        assert measured or not kind.shown
    name, errors = kind.compare(task, right, targets)
    assert name in kind.metrics and errors.shape == (BATCH,)
    assert np.nanmean(errors) <= np.nanmean(kind.compare(task, by_chance, targets)[1])
    assert kind.rarity_bins(task, targets).shape == (BATCH,)
    json.dumps(kind.curves(task, right, targets), allow_nan=False)
    assert set(kind.headlines) <= set(kind.metrics)


def test_no_kind_has_a_headline_of_another():
    """Else the order of the kinds would decide which figure stands for a task."""
    for name in kinds.names():
        others = [kinds.named(other) for other in kinds.names() if other != name]
        for other in others:
            shared = set(kinds.named(name).headlines) & set(other.metrics)
            assert not shared or set(kinds.named(name).headlines) == set(other.headlines), name


@pytest.mark.parametrize("task", SHOWN, ids=lambda task: task.name)
def test_what_several_pictures_of_a_face_say_is_one_answer(task: Task):
    """Of one picture, or of the same twice, it is that picture's own."""
    kind = kinds.of(task)
    calibration = kind.Calibration()
    estimates = [kind.estimate(task, row, calibration) for row in kind.predict(task, logits_of(task), calibration)]
    for estimate in estimates:
        for count in (1, 2):
            pooled = kind.pool(task, [estimate] * count, np.full(count, 0.7), calibration)
            assert close(pooled.value, estimate.value), (pooled.value, estimate.value)  # type: ignore[arg-type]
            assert pooled.shape == estimate.shape and set(pooled.scores) == set(estimate.scores)
        for share in (0.0, 0.3, 1.0):
            assert close(kind.between(task, estimate, estimate, share, calibration).value, estimate.value)  # type: ignore[arg-type]
    pooled = kind.pool(task, estimates, np.linspace(0.1, 1, len(estimates)), calibration)
    assert pooled.text and len(kind.cells(pooled)) == len(kind.columns(task))


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_mirrored_picture_is_answered_for_the_picture_itself(task: Task):
    """Mirrored twice nothing has changed, and the mirrored answer is one of the same shape that can be averaged with it."""
    kind, output = kinds.of(task), torch.from_numpy(logits_of(task))
    once = kind.mirror(task, output)
    assert once.shape == output.shape
    assert torch.equal(kind.mirror(task, once), output)
    predicted = kind.predict(task, once.numpy(), kind.Calibration())
    assert not kind.shown or all(kind.estimate(task, row, kind.Calibration()).text for row in predicted)


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_flip_moves_logits_and_targets_alike(task: Task):
    """Of a mirrored picture with its moved targets the mirrored answer is as right as the answer was of the picture."""
    kind, output = kinds.of(task), torch.from_numpy(logits_of(task))
    if not kind.mirrors:
        return
    targets, known = encode(task, [*labels_of(task)])
    flip = torch.tensor([[-1.0, 0, 0], [0, 1, 0]]).expand(BATCH, 2, 3)
    moved = kind.move(task, targets, flip)
    assert torch.allclose(kind.move(task, moved, flip).double(), targets.double(), atol=1e-6)
    loss = kind.losses[task.loss]
    mirrored = loss(kind.mirror(task, output), moved, known).item()
    assert mirrored == pytest.approx(loss(output, targets, known).item(), rel=1e-5)


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_what_is_fitted_survives_the_card(task: Task):
    """What `fit` takes from train stands in the task, and what `calibrate` takes from val in the kind's own record."""
    kind = kinds.of(task)
    fitted = kind.fit(task, labels_of(task))
    kinds.check_task(fitted)
    assert kind.fit(fitted, labels_of(task)) == fitted
    targets, _ = kind.encode(fitted, [*labels_of(task)])
    calibration = kind.calibrate(fitted, np.tile(logits_of(fitted), (20, 1)), np.concatenate([targets] * 20))
    assert isinstance(calibration, kind.Calibration)
    card = Card("bknet", {}, (fitted,), calibration={task.name: calibration})
    read = card_of(json.loads(card_text(card)))
    assert read.task(task.name) == fitted and read.calibration_of(task.name) == calibration
    for field, (low, high, _) in calibration.RANGES.items():
        assert low <= getattr(calibration, field) <= high


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_the_layer_of_a_kind_gives_its_width(task: Task):
    layer = kinds.of(task).layer(task, 7)
    assert layer(torch.randn(3, 7)).shape == (3, kinds.of(task).width(task))


@pytest.mark.parametrize("task", EVERY_TASK, ids=lambda task: task.name)
def test_a_teachers_answer_can_be_learned_from(task: Task):
    kind = kinds.of(task)
    teacher = torch.from_numpy(kind.predict(task, logits_of(task), kind.Calibration())).float()
    output, known = random_output(task, 1), torch.ones(BATCH, dtype=torch.bool)
    start = kind.distil(output, teacher, known).item()
    descend(output, lambda: kind.distil(output, teacher, known))
    assert kind.distil(output, teacher, known).item() < start / 3
    output.grad = None
    kind.distil(output, teacher, torch.zeros(BATCH, dtype=torch.bool)).backward()
    assert output.grad is not None and torch.count_nonzero(output.grad) == 0


@pytest.mark.parametrize("kind", kinds.names())
def test_a_kind_is_tried(kind: str):
    assert kind in EXAMPLES, f"give EXAMPLES some labels of the kind {kind}"
    assert kind in {task.kind for task in EVERY_TASK}
    assert next(iter(kinds.named(kind).losses)) in {task.loss for task in EVERY_TASK if task.kind == kind}


OVER_PAIRS = {"contrastive", "softmax_contrastive", "triplet", "softmax_triplet"}
"""Losses that a sample alone does not have."""
MISLEADING = {"decomposed_age", "decomposed_log_age"}
"""Losses, kept as their author printed them, that are nearly 0 where the answer is wrong; see tests/kinds/test_years.py."""
LOSSES = [(kind, loss) for kind in kinds.names() for loss in kinds.named(kind).losses]


def with_loss(kind: str, name: str) -> Task:
    """A task taught by that loss."""
    return dataclasses.replace(next(task for task in EVERY_TASK if task.kind == kind), loss=name)


def descend(output: Tensor, loss: Callable[[], Tensor], steps: int = 120) -> None:
    optimiser = torch.optim.Adam([output], 0.5)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.5 * (1 - step / steps)
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()


def learned(task: Task) -> Tensor:
    """Logits (BATCH, width) that the task's loss has taught the right answers."""
    output = random_output(task)
    targets, known = encode(task, [*labels_of(task)])
    descend(output, lambda: kinds.of(task).losses[task.loss](output, targets, known))
    return output.detach()


def random_output(task: Task, seed: int = 0) -> Tensor:
    output = torch.randn(BATCH, kinds.of(task).width(task), generator=torch.Generator().manual_seed(seed))
    return output.requires_grad_()


@pytest.mark.parametrize(("kind", "name"), LOSSES)
def test_a_loss_is_the_mean_over_what_is_labelled(kind: str, name: str):
    task, loss = with_loss(kind, name), kinds.named(kind).losses[name]
    output = random_output(task)
    targets, known = encode(task, [*labels_of(task)])
    some = torch.tensor([True, False, True, False, False, True])
    whole, part = loss(output, targets, known), loss(output, targets, some)
    assert whole.shape == part.shape == ()
    assert torch.isfinite(whole) and whole.item() > 0
    assert part.item() == pytest.approx(loss(output[some], targets[some], known[some]).item(), rel=1e-5)
    if name in OVER_PAIRS:
        return
    alone = [loss(output[n : n + 1], targets[n : n + 1], known[n : n + 1]).item() for n in range(BATCH)]
    assert whole.item() == pytest.approx(np.mean(alone), rel=1e-5)


@pytest.mark.parametrize(("kind", "name"), LOSSES)
def test_a_loss_leaves_the_unlabelled_alone(kind: str, name: str):
    task, loss = with_loss(kind, name), kinds.named(kind).losses[name]
    output = random_output(task)
    targets, known = encode(task, [*labels_of(task)])
    some = torch.tensor([True, False, True, False, False, True])
    loss(output, targets, some).backward()
    assert output.grad is not None
    assert torch.count_nonzero(output.grad[~some]) == 0
    assert (output.grad[some].abs().sum(1) > 0).all()
    other = targets.clone()
    other[~some] = targets[0]
    assert loss(output, other, some).item() == loss(output, targets, some).item()
    output.grad = None
    nothing = loss(output, targets, torch.zeros_like(known))
    nothing.backward()
    assert nothing.item() == 0
    assert output.grad is not None and torch.count_nonzero(output.grad) == 0


@pytest.mark.parametrize(("kind", "name"), LOSSES)
def test_a_loss_can_be_learned_from(kind: str, name: str):
    task, loss = with_loss(kind, name), kinds.named(kind).losses[name]
    output = random_output(task)
    targets, known = encode(task, [*labels_of(task)])
    start = loss(output, targets, known).item()
    descend(output, lambda: loss(output, targets, known))
    assert loss(output, targets, known).item() < start / 3
    if name in MISLEADING:
        return
    predicted = kinds.of(task).predict(task, output.detach().numpy(), kinds.of(task).Calibration())
    for number, (row, label) in enumerate(zip(predicted, labels_of(task), strict=True) if kinds.of(task).shown else ()):
        estimate = kinds.of(task).estimate(task, row, kinds.of(task).Calibration())
        assert close(estimate.value, label) or close_points(estimate, label), number


def close(value: object, label: Label) -> bool:
    """Whether what was learned is its label, or near it; ages past the last year are learned as the last."""
    if isinstance(label, str) or not isinstance(value, float):
        return value == label
    low, high = label if isinstance(label, tuple) else (min(label, 100), min(label, 100))
    return low - 3 <= value <= high + 3


def close_points(estimate: Estimate, label: Label) -> bool:
    return bool(estimate.points) and np.allclose([*estimate.points.values()], np.reshape(label, (-1, 2)), atol=0.03)


# Networks --------------------------------------------------------------------------------------------------------


def crop_of(name: str) -> CropSettings:
    return CropSettings(**registry.load("networks", name).INPUT)


def build(name: str, some: tuple[Task, ...] = EVERY_TASK) -> Any:
    torch.manual_seed(0)
    return registry.load("networks", name).build(heads(some))


def images_of(name: str, seed: int = 0) -> Tensor:
    settings = crop_of(name)
    random = np.random.default_rng(seed)
    return crops.to_tensor(random.integers(0, 256, (BATCH, settings.size_px, settings.size_px, 3), np.uint8), settings)


def total_loss(outputs: Mapping[str, Tensor], some: tuple[Task, ...], labelled: set[str]) -> Tensor:
    """The sum of the tasks' losses of a batch in which only `labelled` tasks have labels."""
    parts = []
    for task in some:
        targets, known = encode(task, [*labels_of(task)])
        known &= task.name in labelled
        parts.append(kinds.of(task).losses[task.loss](outputs[task.name], targets, known))
    return torch.stack(parts).sum()


def branch_gradients(network: Any, task: Task) -> list[Tensor]:
    gradients = [parameter.grad for parameter in network.branches[task.name].parameters()]
    assert gradients and all(gradient is not None for gradient in gradients)
    return [gradient for gradient in gradients if gradient is not None]


@pytest.fixture(params=registry.names("networks"))
def network_name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_network_answers_every_task(network_name: str):
    for some in (EVERY_TASK, EVERY_TASK[:1], (THREE,)):
        network = build(network_name, some).eval()
        assert isinstance(network, nn.Module)
        with torch.no_grad():
            outputs = network(images_of(network_name))
            alone = network(images_of(network_name)[:1])
        assert {task: tuple(output.shape) for task, output in outputs.items()} == {
            task.name: (BATCH, kinds.of(task).width(task)) for task in some
        }
        for task, output in outputs.items():
            assert torch.isfinite(output).all()
            assert torch.allclose(alone[task], output[:1], atol=1e-4)  # no face changes its neighbour's answer


def test_every_part_of_a_network_learns(network_name: str):
    network = build(network_name).train()
    total_loss(network(images_of(network_name)), EVERY_TASK, set(widths(EVERY_TASK))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    for task in EVERY_TASK:
        assert any(torch.count_nonzero(gradient) for gradient in branch_gradients(network, task))


@pytest.mark.parametrize("absent", EVERY_TASK, ids=lambda task: task.name)
def test_a_branch_without_labels_rests(network_name: str, absent: Task):
    network = build(network_name).train()
    present = {task.name for task in EVERY_TASK} - {absent.name}
    total_loss(network(images_of(network_name)), EVERY_TASK, present).backward()
    for task in EVERY_TASK:
        moving = sum(int(torch.count_nonzero(gradient)) for gradient in branch_gradients(network, task))
        assert (moving == 0) is (task is absent), task.name
    assert any(torch.count_nonzero(parameter.grad) for parameter in network.trunk.parameters())


def test_the_mask_test_can_fail(network_name: str):
    """A loss that forgets its mask moves the branch; the check above would see it."""
    network = build(network_name).train()
    outputs = network(images_of(network_name))
    (total_loss(outputs, EVERY_TASK, set()) + outputs[THREE.name].square().mean()).backward()
    assert any(torch.count_nonzero(gradient) for gradient in branch_gradients(network, THREE))
    assert not any(torch.count_nonzero(gradient) for gradient in branch_gradients(network, TASKS["age"]))


def test_a_network_learns_a_tiny_set(network_name: str):
    network, images = build(network_name).train(), images_of(network_name)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    everything = set(widths(EVERY_TASK))
    seen = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = total_loss(network(images), EVERY_TASK, everything)
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert np.mean(seen[-3:]) < np.mean(seen[:3]) * 0.9


def test_a_network_names_the_stages_worth_taking_features_from(network_name: str):
    for separate in (False, True):
        network = registry.load("networks", network_name).build(heads(EVERY_TASK[:2]), separate=separate).eval()
        images = images_of(network_name)
        with torch.no_grad():
            taps = network.tap(images)
            together = network.trunk(images, (_parts.TAPPED,))[_parts.TAPPED]
        assert {name: features.shape for name, features in taps.items()} == {
            name: (BATCH, width) for name, width in network.taps.items()
        }
        assert torch.equal(torch.cat([*taps.values()], 1), together)
        columns = len({name.split("/")[0] for name in taps}) if separate else 1
        assert len(taps) / columns > 1 and columns == 1 + separate


def linear(sides: dict[str, int]) -> dict[str, Any]:
    """{task: number of features -> a linear layer}."""
    return {task: partial(nn.Linear, out_features=side) for task, side in sides.items()}


@pytest.mark.parametrize("separate", [False, True])
def test_a_branch_leaves_from_any_stage(network_name: str, separate: bool):
    """From a map or a vector, early or late: it answers, learns, and works from cached features as from images."""
    module, images = registry.load("networks", network_name), images_of(network_name)
    sides = {"age": 101, "hat": 3}
    maps = [name for name in build(network_name).trunk.shapes(images.shape[1], images.shape[2]) if "block" in name]
    for stage in (_parts.FINAL, _parts.PLACED, _parts.TAPPED, maps[0], maps[len(maps) // 2], maps[-1]):
        torch.manual_seed(0)
        network = module.build(linear(sides), leaves={"hat": stage}, separate=separate)
        answers = network(images)
        assert {task: answer.shape[1] for task, answer in answers.items()} == sides, stage
        answers["hat"].square().mean().backward()
        assert all(parameter.grad is not None for parameter in network.branches["hat"].parameters()), stage
        if separate and stage not in (_parts.PLACED, _parts.TAPPED):  # these see the trunks of all tasks
            assert all(parameter.grad is None for parameter in network.trunk.columns["age"].parameters())
        network.eval()
        with torch.no_grad():
            cached, direct, quick = network(network.features(images)), network(images), folded(network)(images)
        assert all(torch.allclose(cached[task], direct[task], atol=1e-5) for task in sides), stage
        assert all(torch.allclose(quick[task], direct[task], atol=1e-3) for task in sides), stage


@pytest.mark.parametrize("separate", [False, True])
def test_a_branch_leaves_from_some_taps(network_name: str, separate: bool):
    module, images = registry.load("networks", network_name), images_of(network_name)
    some = linear({"age": 101, "hat": 3})
    widths_of_taps = module.build(some, leaves={"hat": _parts.TAPPED}, separate=separate).taps
    chosen = [name for number, name in enumerate(widths_of_taps) if number != 1]
    network = module.build(some, leaves={"hat": f"{_parts.TAPPED}:{','.join(chosen)}"}, separate=separate).eval()
    layer = network.branches["hat"][-1]
    assert layer.weight.shape == (3, sum(widths_of_taps[name] for name in chosen))
    with torch.no_grad():
        taps = network.tap(images)
        expected = layer(torch.cat([taps[name] for name in chosen], 1))
        assert torch.allclose(network(images)["hat"], expected, atol=1e-5)


@pytest.mark.parametrize("leaves", [{"hat": "block999"}, {"cap": "final"}, {"hat": "taps:block999"}])
def test_a_stage_or_task_that_is_not_there_is_a_sentence(network_name: str, leaves: dict[str, str]):
    with pytest.raises(UsageError, match="block999|cap"):
        registry.load("networks", network_name).build(linear({"hat": 2}), leaves=leaves)


def saved(folder: Path, name: str) -> tuple[Any, Card]:
    network = build(name).eval()
    with torch.no_grad():  # batch norm that has seen something
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.uniform_(-0.5, 0.5)
    crop = dataclasses.replace(crop_of(name), mirror=kinds.may_mirror(EVERY_TASK))
    card = Card(name, {}, EVERY_TASK, crop=crop, flip_averaging=crop.mirror)
    return network, checkpoint.save(folder, network, card)


def test_a_network_is_held_against_its_file_by_shapes_alone(network_name: str, tmp_path: Path):
    _, card = saved(tmp_path / "made", network_name)
    checkpoint.check_shapes(tmp_path / "made", card)
    assert all(one.is_meta for one in checkpoint.build_network(card, "meta").state_dict().values())


def test_a_network_survives_its_file(network_name: str, tmp_path: Path):
    network, card = saved(tmp_path / "made", network_name)
    loaded, read = checkpoint.load(tmp_path / "made")
    assert read == card
    assert read.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert not loaded.training
    network.half().float()  # what is stored: float16
    images = images_of(network_name)
    before, after = (logits(one, images, card) for one in (network, loaded))
    for task in card.tasks:
        assert torch.equal(before[task.name], after[task.name])
    for name, answers in predictions(after, card).items():
        assert answers.shape[0] == BATCH
        assert kinds.of(card.task(name)).shape not in ("bars", "curve") or np.allclose(answers.sum(1), 1)
    size = (tmp_path / "made" / "model.safetensors").stat().st_size
    assert size < 2.1 * read.parameters + 200_000
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["card.json", "model.safetensors"]


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_one_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def change_card(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "card.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}), encoding="utf-8")

    return change


def only_task(name: str, **fields: object) -> Callable[[Path], None]:
    return change_card(tasks={name: {**tasks.to_json(TASKS[name]), **fields}})


HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    "no card": (lambda folder: (folder / "card.json").unlink(), "card.json is missing"),
    "cut weights": (cut_weights, "cut off or is not the one"),
    "one bit": (change_one_byte, "cut off or is not the one"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cut off or is not the one"),
    "no such network": (change_card(network="nothing"), "Unknown network 'nothing'"),
    "a module as network": (change_card(network="os.path"), "Unknown network"),
    "no such option": (change_card(network_options={"colour": 1}), "cannot be built"),
    "no such kind": (only_task("age", kind="weeks"), "Unknown kind of task age 'weeks'"),
    "no such loss": (only_task("age", loss="guess"), "Unknown loss of task age 'guess'"),
    "another task": (only_task("age"), "do not fit its card"),
    "another width": (only_task("smile", classes=["a", "b", "c"], spellings={}), "do not fit its card"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_harmed_checkpoint_is_refused(network_name: str, tmp_path: Path, harm: str):
    saved(tmp_path / "made", network_name)
    do, sentence = HARM[harm]
    do(tmp_path / "made")
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(tmp_path / "made")


def test_foreign_weights_are_refused_even_with_the_right_sum(network_name: str, tmp_path: Path):
    import hashlib

    saved(tmp_path / "made", network_name)
    content = b"no tensors at all"
    (tmp_path / "made" / "model.safetensors").write_bytes(content)
    change_card(weights_sha256=hashlib.sha256(content).hexdigest())(tmp_path / "made")
    with pytest.raises(CheckpointError, match="do not fit its card"):
        checkpoint.load(tmp_path / "made")


# Detectors -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=registry.names("detectors"))
def detector(request: pytest.FixtureRequest) -> Any:
    return registry.load("detectors", request.param).build("cpu")


@pytest.fixture
def finds_faces(detector: Any) -> bool:
    return registry.load("detectors", type(detector).__module__.rsplit(".", 1)[1]).SUBJECT == FACE


def test_a_detector_answers_each_picture(detector: Any, finds_faces: bool, sample_picture: np.ndarray):
    black = np.zeros_like(sample_picture)
    found = detector.detect([black, sample_picture, black], 20)
    assert [type(faces) for faces in found] == [list] * 3
    assert len(found[0]) == len(found[2]) == (0 if finds_faces else 1)
    for face in found[1]:
        assert isinstance(face, Face)
        assert face.width > 0 and face.height > 0 and 0 < face.confidence <= 1
        assert all(type(edge) is float for edge in face.box)
        assert len(face.landmarks) == 5 * finds_faces


def test_a_detector_takes_the_smallest_picture(detector: Any):
    grey = np.full((20, 20, 3), 128, np.uint8)
    assert [type(faces) for faces in detector.detect([grey], 20)] == [list]


def test_a_detector_finds_the_sample_s_face(detector: Any, finds_faces: bool, root: Path, sample_picture: np.ndarray):
    if not finds_faces:
        pytest.skip("it finds no faces")
    if not (root / "samples" / "astronaut.jpg").is_file():
        pytest.skip("the sample picture is not there")
    (alone,) = detector.detect([sample_picture], 20)
    assert len(alone) >= 1
    _, together = detector.detect([np.zeros_like(sample_picture), sample_picture], 20)
    assert np.allclose([face.box for face in alone], [face.box for face in together], atol=0.01)
    largest = max(alone, key=lambda face: face.area)
    assert detector.detect([sample_picture], max(sample_picture.shape)) == [[]]
    left, top = np.transpose(largest.landmarks)
    assert left[0] < left[1] and top[:2].max() < top[3:].min()  # eyes left to right, above the mouth


def test_threads_do_not_mix_their_smallest_faces(detector: Any, sample_picture: np.ndarray):
    sizes = (20.0, float(max(sample_picture.shape)))
    wanted = {size: len(detector.detect([sample_picture], size)[0]) for size in sizes}
    wrong: list[float] = []

    def look(size: float) -> None:
        found = [len(detector.detect([sample_picture], size)[0]) for _ in range(4)]
        wrong.extend(size for count in found if count != wanted[size])

    threads = [threading.Thread(target=look, args=(size,)) for size in sizes * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Data layouts ----------------------------------------------------------------------------------------------------

COUNT = 8


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(str(path.name)))
    Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(path, quality=90)


def utkface(folder: Path) -> None:
    for number in range(COUNT):
        draw(folder / f"{20 + number}_{number % 2}_{number % 5}_2017010{number}.jpg")


def genki4k(folder: Path) -> None:
    for number in range(1, COUNT + 1):
        draw(folder / "files" / f"file{number:04d}.jpg")
    (folder / "labels.txt").write_text("".join(f"{number % 2} 0.1 -0.2 0.0\n" for number in range(COUNT)))


def fairface(folder: Path) -> None:
    rows = ["file,age,gender,race,service_test"]
    for number in range(COUNT):
        draw(folder / "train" / f"{number}.jpg")
        rows.append(f"train/{number}.jpg,{('20-29', 'more than 70')[number % 2]},Male,Indian,True")
    (folder / "fairface_label.csv").write_text("\n".join(rows))


def celeba(folder: Path, count: int = COUNT, person: Callable[[int], int] = lambda number: number // 2) -> None:
    further = "High_Cheekbones Mouth_Slightly_Open Blond_Hair Black_Hair Wearing_Lipstick"
    rows, persons = [str(count), f"Male Smiling Young {further}"], []
    for number in range(1, count + 1):
        draw(folder / "img_celeba" / f"{number:06d}.jpg")
        rows.append(f"{number:06d}.jpg  1 {(-1, 1)[number % 2]:2d} -1 {'1 ' * len(further.split())}")
        persons.append(f"{number:06d}.jpg {person(number)}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(rows))
    (folder / "identity_CelebA.txt").write_text("\n".join(persons))


def imdbwiki(folder: Path) -> None:
    from scipy.io import savemat

    paths = [f"0{number}/{number}.jpg" for number in range(COUNT)]
    for path in paths:
        draw(folder / path)
    record = {
        "dob": np.full(COUNT, 721000.0),
        "photo_taken": np.arange(2000, 2000 + COUNT),
        "full_path": np.array(paths, dtype=object),
        "gender": np.arange(COUNT, dtype=float) % 2,
        "face_score": np.ones(COUNT),
        "second_face_score": np.full(COUNT, np.nan),
    }
    savemat(folder / "wiki.mat", {"wiki": record})


def csv(folder: Path) -> None:
    rows = ["file,smile,flower"]
    for number in range(COUNT):
        draw(folder / f"{number}.png")
        rows.append(f"{number}.png,{('yes', '')[number % 2]},{('rose', 'daisy')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows))


def lists(folder: Path) -> None:
    for name, split in (("train.txt", "train"), ("test.txt", "test")):
        for number in range(COUNT):
            draw(folder / split / f"{number}.jpg")
        rows = [f"{split}/{number}.jpg, {('rose', 'daisy')[number % 2]}, " for number in range(COUNT)]
        (folder / name).write_text("path, kind, colour\n" + "\n".join(rows))


def folders(folder: Path) -> None:
    for number in range(COUNT):
        draw(folder / "smile" / ("yes", "no")[number % 2] / f"{number}.jpg")


TINY: dict[str, Callable[[Path], None]] = {
    "utkface": utkface,
    "genki4k": genki4k,
    "fairface": fairface,
    "celeba": celeba,
    "imdbwiki": imdbwiki,
    "csv": csv,
    "list": lists,
    "folders": folders,
}
"""How a tiny folder of each layout is made."""


@pytest.fixture(params=registry.names("layouts"))
def layout_name(request: pytest.FixtureRequest) -> str:
    assert request.param in TINY, f"give TINY a folder of the layout {request.param}"
    return request.param


def test_a_tiny_folder_is_recognised_and_read(layout_name: str, tmp_path: Path):
    TINY[layout_name](tmp_path)
    assert layouts.recognise(tmp_path) == layout_name
    for spec in (str(tmp_path), f"{layout_name}:{tmp_path}"):
        source = layouts.read(spec)
        assert source.kind == layout_name
        assert len(source.samples) >= COUNT
        assert source.tasks
        assert set(source.tasks) == {name for sample in source.samples for name in sample.labels}
    for sample in source.samples:
        assert Path(sample.path).is_file() and tmp_path in Path(sample.path).parents
        assert sample.split in layouts.SPLITS
        assert sample.labels and sample.source == layout_name and sample.file
    assert len({sample.path for sample in source.samples}) == len(source.samples)
    for task in source.tasks.values():
        _, known = kinds.of(task).encode(task, [sample.labels.get(task.name) for sample in source.samples])
        assert known.any()


def test_a_tiny_folder_becomes_a_batch(layout_name: str, tmp_path: Path):
    TINY[layout_name](tmp_path)
    source = layouts.read(str(tmp_path))
    some = tuple(source.tasks.values())
    settings = crop_of("bknet")
    rows = []
    for sample in source.samples[:BATCH]:
        picture = np.asarray(Image.open(sample.path).convert("RGB"))
        rows.append(crops.cut(picture, [Face(crops.centre_box(picture.shape[1], picture.shape[0]), 1.0)], settings))
    network = build("bknet", some).train()
    outputs = network(crops.to_tensor(np.concatenate(rows), settings))
    parts = []
    for task in some:
        targets, known = encode(task, [sample.labels.get(task.name) for sample in source.samples[:BATCH]])
        parts.append(kinds.of(task).losses[task.loss](outputs[task.name], targets, known))
    loss = torch.stack(parts).sum()
    loss.backward()
    assert torch.isfinite(loss) and loss.item() > 0


def test_splits_csv_decides_in_every_layout(layout_name: str, tmp_path: Path):
    TINY[layout_name](tmp_path)
    before = layouts.read(str(tmp_path)).samples
    rows = [f"{sample.file},{('val', 'test')[number % 2]}" for number, sample in enumerate(before)]
    (tmp_path / "splits.csv").write_text("file,split\n" + "\n".join(rows))
    assert layouts.recognise(tmp_path) == layout_name
    after = {sample.file: sample.split for sample in layouts.read(str(tmp_path)).samples}
    assert after == {sample.file: ("val", "test")[number % 2] for number, sample in enumerate(before)}


def make_nothing(folder: Path) -> None:
    folder.mkdir()


def make_noise(folder: Path) -> None:
    """Files with the names that layouts look for, and nothing sensible in them."""
    folder.mkdir()
    for name in ("labels.txt", "train.txt", "list_attr_celeba.txt", "fairface_label.csv", "labels.csv", "wiki.mat"):
        (folder / name).write_bytes(b"\xff\xfe\x00\x01,,\n;;\n" * 5)
    (folder / "files").mkdir()
    (folder / "1_2.jpg").write_bytes(b"no picture")


@pytest.mark.parametrize("make", [make_nothing, make_noise])
def test_a_folder_of_nothing_gets_a_sentence(layout_name: str, tmp_path: Path, make: Callable[[Path], None]):
    make(tmp_path / "odd")
    assert isinstance(layouts.layout(layout_name).matches(tmp_path / "odd"), bool)
    assert layouts.layout(layout_name).matches(tmp_path / "gone") is False
    sentence, samples = "", ()
    try:
        samples = layouts.read(f"{layout_name}:{tmp_path / 'odd'}").samples
    except MtlError as error:
        sentence = str(error)
    assert samples == ()
    assert sentence == "" or (len(sentence) > 20 and sentence.endswith("."))


def test_layouts_are_asked_in_one_order():
    assert layouts.kinds() == ["utkface", "genki4k", "fairface", "celeba", "imdbwiki", "csv", "list", "folders"]
    orders = [layouts.layout(kind).ORDER for kind in layouts.kinds()]
    assert len(set(orders)) == len(orders)


# Systems ---------------------------------------------------------------------------------------------------------


def flowers(folder: Path) -> None:
    """Codes without a line of titles; every third picture lacks the second label."""
    for part in ("train", "val", "test"):
        for number in range(COUNT):
            draw(folder / part / f"{number}.jpg")
        rows = [f"{part}/{n}.jpg, {n % 2}, {n % 3 if n % 3 else ''}" for n in range(COUNT)]
        (folder / f"{part}.txt").write_text("\n".join(rows))


def people(folder: Path) -> None:
    """Two people with 12 pictures each in train, others in val and test."""
    celeba(folder, 48, lambda number: number // 2 % 2 if number % 2 else 2 + number % 3)


def housenumbers(folder: Path) -> None:
    rows = ["file,label"]
    for number, label in enumerate(("1", "7", "23456", "7", "2", "98", "1", "12")):
        draw(folder / f"{number}.png")
        rows.append(f"{number}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(rows))


SETS: dict[str, Callable[[Path], None]] = {
    "utkface": utkface,
    "genki4k": genki4k,
    "celeba": people,
    "flowers": flowers,
    "housenumbers": housenumbers,
}
"""How a tiny folder of each data set that systems learn from is made."""


@pytest.fixture(params=systems.names())
def system_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def tiny_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all data sets; every other picture is in train, the rest in val and test."""
    folder = tmp_path_factory.mktemp("sets")
    for name, make in SETS.items():
        make(folder / name)
        files = [sample.file for sample in layouts.read(str(folder / name)).samples]
        parts = [("train", "val", "train", "test")[number % 4] for number in range(len(files))]
        rows = "".join(f"{file},{part}\n" for file, part in zip(files, parts, strict=True))
        (folder / name / "splits.csv").write_text(f"file,split\n{rows}")
    return folder


def test_a_system_says_what_it_is(system_name: str):
    system = systems.named(system_name)
    texts = (system.title, system.letter, system.text, system.source, system.lesson)
    assert all(text and text == text.strip() for text in texts)
    assert all(text.endswith((".", "?")) for text in (system.text, system.lesson, *system.differences))
    assert all(variant.text.endswith((".", "?")) for variant in system.variants.values())
    assert set(system.folders) <= set(SETS), f"give SETS the data sets of {system_name}"
    assert not (system.config.name or system.config.system or system.config.variant)
    assert system.headlines
    for headline in system.headlines:
        metric = kinds.all_metrics()[headline.metric]
        assert headline.source in system.folders
        assert headline.author is None or metric.unit != kinds.SHARE or 0 <= headline.author <= 1
    for variant in ("", *system.variants):
        config = systems.recipe(system_name, variant, "DATA")
        assert (config.system, config.variant) == (system_name, variant)
        assert all(source.partition(":")[2].startswith("DATA/") for source in config.source)
        assert loop.command_of(config).endswith(
            f"--system {system_name}{variant and f' --variant {variant}'} --data DATA"
        )


def test_a_system_trains_and_its_parts_can_be_counted(
    system_name: str, tiny_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A step on tiny pictures: every branch learns, and the card names the system. A face is seen in each of them."""
    face = Face((4.0, 4.0, 44.0, 44.0), 1.0, ((16.0, 20.0), (32.0, 20.0), (24.0, 28.0), (18.0, 36.0), (30.0, 36.0)))
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, (face,)))
    system = systems.named(system_name)
    for variant in ("", *system.variants):
        recipe = systems.recipe(system_name, variant, tiny_sets)
        config = dataclasses.replace(
            recipe, name="tiny", epochs=1, batch_size=4, start="", keep_copies=True, fraction=1.0
        )
        data = prepare(config)
        network: Any = checkpoint.build_network(data.card)
        parts = network.parts()
        assert sum(parts.values()) == sum(parameter.numel() for parameter in network.parameters())
        assert {f"branches.{task.name}" for task in data.card.tasks} <= set(parts)
        if variant:
            continue
        assert {headline.task for headline in system.headlines} <= {task.name for task in data.card.tasks}
        said: dict[str, Any] = {task.name: task for task in system.tasks}  # its network is drawn without its data
        assert {name: task.kind for name, task in said.items()} == {task.name: task.kind for task in data.card.tasks}
        drawn: Any = checkpoint.build_network(card_for(recipe, system.tasks), "meta")
        counted = {f"branches.{task.name}" for task in data.card.tasks if task.classes != said[task.name].classes}
        assert {name for name, count in drawn.parts().items() if count != parts[name]} <= counted
        for headline in system.headlines:
            assert headline.metric in kinds.of(data.card.task(headline.task)).metrics
        run = loop.Run(config, tmp_path / "tiny", data, loop.accelerator_on("cpu"), None)
        before = {name: value.clone() for name, value in run.bare.state_dict().items()}
        assert Finished in {type(event) for event in run.events()}
        for task in data.card.tasks:
            own = [name for name in before if name.startswith(f"branches.{task.name}.")]
            assert any(not torch.equal(before[name], run.bare.state_dict()[name]) for name in own)
        assert checkpoint.load(tmp_path / "tiny")[1].training["system"] == system_name


# Commands --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=commands.names())
def command(request: pytest.FixtureRequest) -> str:
    return request.param


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    commands.named(command).add(parser)
    return parser


def test_a_command_says_what_it_does(command: str, capsys: pytest.CaptureFixture):
    text = commands.named(command).HELP
    assert text and not text.endswith(".") and text[0].islower()
    assert callable(commands.named(command).run)
    assert all(action.help for action in parser_of(command)._actions)
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    assert left.value.code == 0 and f"{text[1:]}." in " ".join(capsys.readouterr().out.split())


def test_commands_have_an_order_of_their_own():
    assert len({commands.named(name).ORDER for name in commands.names()}) == len(commands.names())


def test_a_command_refuses_an_empty_path(command: str, capsys: pytest.CaptureFixture):
    """It would be the current folder."""
    for action in parser_of(command)._actions:
        if action.metavar not in ("DIR", "FILE", "PATH", "DATA") or action.dest == "root_path":
            continue
        with pytest.raises(SystemExit) as left:
            cli.main([command, *action.option_strings[:1], ""])
        assert left.value.code == 2 and "the path is empty" in capsys.readouterr().err, action.dest


# Tabs ------------------------------------------------------------------------------------------------------------


def test_tabs_have_a_title_and_an_order_of_their_own():
    tabs = [registry.load("ui/tabs", name) for name in registry.names("ui/tabs")]
    for tab in tabs:
        assert isinstance(tab.TITLE, str) and tab.TITLE[0].isupper()
        assert isinstance(tab.ORDER, int)
        assert callable(tab.build)
    assert len({tab.TITLE for tab in tabs}) == len({tab.ORDER for tab in tabs}) == len(tabs)


@pytest.mark.parametrize(
    ("error", "raised"), [("DefaultCPUAllocator: can't allocate memory", True), ("size mismatch", False)]
)
def test_what_the_machine_lacks_is_not_a_picture_without_a_face(
    error: str, raised: bool, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(mtcnn, "detect_face", fail)
    some = mtcnn.build()
    with pytest.raises(RuntimeError, match=error) if raised else contextlib.nullcontext():
        assert some.detect([np.zeros((40, 40, 3), np.uint8)] * 2, 20) == [[], []]


def test_the_network_of_the_docs_is_one(root: Path):
    text = (root / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
    code = text.split("`_parts.py` has the frame:\n\n```python\n")[1].split("```")[0]

    made: dict[str, Any] = {
        "nn": nn,
        **{name: getattr(_parts, name) for name in ("Trunk", "assemble", "linear_branch")},
    }
    exec(code, made)
    size, channels = made["INPUT"]["size_px"], 1 if made["INPUT"]["grey"] else 3
    images = torch.zeros(2, channels, size, size)
    of_both = heads((TASKS["age"], GLASSES))
    crops_of_it = CropSettings(**made["INPUT"])
    assert (crops_of_it.size_px, crops_of_it.grey) == (64, False)
    for leaves in (None, {"glasses": made["LATE"]}):
        network = made["build"](of_both, size_px=size, channels=channels, leaves=leaves)
        answers = network(images)
        assert {name: tuple(one.shape) for name, one in answers.items()} == {"age": (2, 101), "glasses": (2, 1)}
        assert made["LAST_BLOCK"] < len(network.trunk.blocks)
        assert network.taps == {"block1": 64 * 36, "block3": 256 * 4}
