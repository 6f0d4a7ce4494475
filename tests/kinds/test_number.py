"""A quantity with its unit: labels, scale, losses, intervals, words."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mtl_model import kinds
from mtl_model.errors import CheckpointError, DataError, UsageError
from mtl_model.kinds._metric import OWN
from mtl_model.kinds.number import KIND, NumberCalibration
from mtl_model.records import Sample
from mtl_model.tasks import Task, from_json, number_task, to_json

HEIGHT = number_task("height", "cm")
FITTED = KIND.fit(HEIGHT, [160.0, 170.0, 180.0])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("171", 171.0),
        ("171.5", 171.5),
        ("171,5", 171.5),
        ("-3", -3.0),
        ("0,125", 0.125),
        ("171 cm", 171.0),
        ("1e2", 100.0),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, label: float):
    assert KIND.parse(HEIGHT, text) == label


@pytest.mark.parametrize("text", ["tall", "1,234", "1.234,5", "nan", "inf", "1e13", "12-13", "5 kg", "1_0"])
def test_what_is_no_number_or_can_be_read_in_two_ways_is_refused(text: str):
    with pytest.raises(DataError, match="is not a label of height"):
        KIND.parse(HEIGHT, text)


@pytest.mark.parametrize("label", [171.0, 171.5, -0.1, 1e-7, 123456789.125])
def test_a_number_is_written_as_it_is_read(label: float):
    assert KIND.parse(HEIGHT, KIND.write(HEIGHT, label)) == label
    assert KIND.label_text(HEIGHT, 171.0) == "171 cm"


def test_targets_are_in_deviations_of_train():
    assert FITTED.scale == pytest.approx((170, 8.16496580927726))
    targets, known = KIND.encode(FITTED, [170.0, None, 178.16496580927726])
    assert targets.tolist() == pytest.approx([0, 0, 1]) and targets.dtype == np.float32
    assert known.tolist() == [True, False, True]
    with pytest.raises(DataError):
        KIND.encode(FITTED, ["tall"])


def test_a_parents_scale_stays_since_its_weights_speak_in_it():
    samples = [Sample("", {"height": label}) for label in (10.0, 20.0)]
    assert kinds.fit(HEIGHT, samples).scale == (15, 5)
    assert kinds.fit(HEIGHT, samples, [FITTED]).scale == FITTED.scale
    assert kinds.fit(HEIGHT, samples, [HEIGHT]).scale == (15, 5)
    with pytest.raises(UsageError, match="height on different scales"):
        kinds.fit(HEIGHT, samples, [FITTED, KIND.fit(HEIGHT, [1.0, 2.0])])
    assert KIND.fit(HEIGHT, [3.0, 3.0]).scale == (3, 1)  # nothing to divide by
    assert KIND.fit(HEIGHT, []).scale == ()


def test_a_card_holds_unit_and_scale_of_a_quantity_alone():
    assert from_json("height", to_json(FITTED)) == FITTED
    assert not {"unit", "scale"} & set(to_json(number_task("x")))


@pytest.mark.parametrize("scale", [(1.0,), (0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0)])
def test_a_scale_that_cannot_be_divided_by_is_refused(scale: tuple[float, ...]):
    with pytest.raises(CheckpointError, match="scale of height"):
        kinds.check_task(Task("height", "Height", "number", "mean_squared_error", (), unit="cm", scale=scale))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("mean_squared_error", (0.25 + 4) / 2), ("mean_absolute_error", 1.25), ("huber", (0.125 + 1.5) / 2)],
)
def test_the_losses_are_those_of_the_field(loss: str, expected: float):
    output, target = torch.tensor([[0.5], [-2.0], [9.0]]), torch.tensor([0.0, 0.0, 0.0])
    known = torch.tensor([True, True, False])
    assert KIND.losses[loss](output, target, known).item() == pytest.approx(expected)


def test_an_answer_comes_back_in_the_unit():
    row = KIND.predict(FITTED, np.array([[0.5]], np.float32), NumberCalibration())[0]
    estimate = KIND.estimate(FITTED, row, NumberCalibration(margin=6.0, threshold=20.0))
    assert (estimate.text, estimate.unit, estimate.shape, estimate.sure) == ("174.1 cm", "cm", "number", True)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((174.08, 168.08, 180.08), abs=0.01)
    assert KIND.cells(estimate) == (estimate.value, estimate.low, estimate.high)


@pytest.mark.parametrize(
    ("deviation", "text"), [(0.01, "0.500 m"), (0.2, "0.50 m"), (1.0, "0.5 m"), (30.0, "0 m"), (4000.0, "0 m")]
)
def test_an_answer_is_rounded_by_what_its_labels_differ_in(deviation: float, text: str):
    task = Task("depth", "Depth", "number", "huber", (), unit="m", scale=(0.5, deviation))
    assert KIND.estimate(task, np.array([0.0]), NumberCalibration()).text == text


@pytest.mark.parametrize(
    ("calibration", "sure", "reason"),
    [
        (NumberCalibration(5.0, 20.0), True, ""),
        (NumberCalibration(11.0, 20.0), False, "as wide as"),
        (NumberCalibration(0.0, 20.0), False, "is not known"),
    ],
)
def test_what_is_unsure_has_a_reason(calibration: NumberCalibration, sure: bool, reason: str):
    estimate = KIND.estimate(FITTED, np.array([0.0]), calibration)
    assert estimate.sure is sure
    assert (estimate.low is None) is (not calibration.margin)
    assert sure or reason in KIND.unsure(estimate, calibration)


def test_the_interval_covers_four_of_five_of_others():
    random = np.random.default_rng(0)
    targets = random.normal(size=2000).astype(np.float32)
    logits = (targets + random.normal(0, 0.5, 2000))[:, None].astype(np.float32)
    calibration = KIND.calibrate(FITTED, logits[:400], targets[:400])
    rows = KIND.rows(FITTED, logits[400:], targets[400:], calibration, targets)
    assert rows["covered"].mean() == pytest.approx(0.8, abs=0.04)
    assert 2 * calibration.margin < calibration.threshold
    assert KIND.calibrate(FITTED, logits[:9], targets[:9]).margin == 0


def test_metrics_are_in_the_unit_of_the_task():
    targets = np.array([-1.0, 0.0, 1.0], np.float32)
    rows = KIND.rows(FITTED, np.array([[-1.0], [0.5], [1.0]]), targets, NumberCalibration(3.0, 9.0), targets)
    off = 0.5 * FITTED.scale[1]
    assert rows["error"].tolist() == pytest.approx([0, off, 0]) and rows["truth"].mean() == pytest.approx(170)
    assert rows["covered"].tolist() == [1, 0, 1]
    metrics = KIND.metrics
    assert (metrics["mean_error"].unit, metrics["mean_error"].unit_for(FITTED)) == (OWN, "cm")
    of = metrics["r2"].of
    assert callable(of) and of(rows) == pytest.approx(1 - 0.25 / 2)


@pytest.mark.parametrize(("first", "second", "differ"), [(0.0, 0.5, False), (0.0, 2.0, True)])
def test_answers_differ_where_neither_lies_in_the_others_interval(first: float, second: float, differ: bool):
    calibration = NumberCalibration(6.0, 20.0)
    both = [KIND.estimate(FITTED, np.array([value]), calibration) for value in (first, second)]
    assert bool(KIND.difference(*both)) is differ
    assert not KIND.difference(both[0], both[0])


def angle(axis: str) -> Task:
    task = dataclasses.replace(number_task(axis, "°"), axis=axis)
    return KIND.fit(task, [-4.0, 2.0, 8.0])


MIRROR = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
TURN = math.radians(10)
TURNED = [[math.cos(TURN), math.sin(TURN), 0.0], [-math.sin(TURN), math.cos(TURN), 0.0]]
"""A place in the turned picture -> where it came from; what was level then rises to the left, which is 10 degrees clockwise."""


@pytest.mark.parametrize(
    ("axis", "move", "wanted"),
    [
        ("yaw", MIRROR, -5.0),
        ("pitch", MIRROR, 5.0),
        ("roll", MIRROR, -5.0),
        ("yaw", TURNED, 5.0),
        ("pitch", TURNED, 5.0),
        ("roll", TURNED, 15.0),
        ("", MIRROR, 5.0),
    ],
)
@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_an_angle_of_the_head_follows_the_picture(axis: str, move: list, wanted: float, shape: tuple[int, ...]):
    task = angle(axis) if axis else dataclasses.replace(angle("yaw"), axis="")
    mean, deviation = task.scale
    targets = torch.full(shape, (5.0 - mean) / deviation)
    moved = KIND.move(task, targets, torch.tensor([move]))
    assert moved.shape == shape and moved.item() * deviation + mean == pytest.approx(wanted, abs=1e-3)
    if move is MIRROR:
        assert torch.allclose(KIND.mirror(task, moved), targets, atol=1e-5)


def test_roll_is_refused_where_crops_are_turned_with_the_face():
    frames = np.array([[[0.01, 0.0, 0.0], [0.0, 0.01, 0.0]], [[0.01, 0.002, 0.0], [-0.002, 0.01, 0.0]]])
    targets = np.zeros(2, np.float32)
    assert KIND.place(angle("yaw"), targets, lambda: frames) is targets
    assert KIND.place(angle("roll"), targets[:1], lambda: frames[:1]) is not None
    with pytest.raises(DataError, match="--upright"):
        KIND.place(angle("roll"), targets, lambda: frames)


def test_an_axis_survives_the_card_and_an_unknown_one_is_refused():
    assert from_json("roll", to_json(angle("roll"))) == angle("roll")
    with pytest.raises(CheckpointError, match="axis of roll"):
        kinds.check_task(dataclasses.replace(angle("roll"), axis="spin"))
