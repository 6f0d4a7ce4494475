"""Metrics on made-up answers whose figures can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from mtl_model import checkpoint, kinds, layouts
from mtl_model.card import Card, CropSettings
from mtl_model.data.batches import Labelled
from mtl_model.data.cache import Crops
from mtl_model.errors import DataError
from mtl_model.evaluate import metrics
from mtl_model.evaluate.metrics import (
    evaluate,
    groups_of,
    interval_of,
    measure,
    record,
)
from mtl_model.networks import folded
from mtl_model.predictor import Predictor
from mtl_model.records import Sample
from mtl_model.tasks import TASKS, Label

AGE, GENDER, SMILE = TASKS["age"], TASKS["gender"], TASKS["smile"]


def years(*ages: int) -> np.ndarray:
    return np.eye(101)[list(ages)]


def data_of(
    labels: list[dict[str, Label]],
    faces: list[int] | None = None,
    races: list[str] | None = None,
    quality: np.ndarray | None = None,
) -> Labelled:
    quality = np.full((len(labels), 4), np.nan) if quality is None else quality
    samples = [
        Sample(str(row), one, source="made", attributes={"race": races[row]} if races else {})
        for row, one in enumerate(labels)
    ]
    crops = Crops(np.zeros((len(labels), 8, 8, 3), np.uint8), np.array(faces or [1] * len(labels), np.int16), quality)
    return Labelled([(samples, crops, np.arange(len(labels)))], (AGE, GENDER, SMILE))


CARD = Card("bknet", {}, (AGE, GENDER, SMILE))


def test_figures_of_ages() -> None:
    data = data_of([{"age": float(age)} for age in (10, 30, 50, 70)])
    found = measure((AGE,), {"age": years(12, 30, 56, 60)}, data, CARD)["age"]
    values = {name: one["value"] for name, one in found.items()}
    assert values == {
        "mae": 4.5, "cs5": 0.5, "coverage80": 0.25, "accuracy_five_groups": 0.75,
        "mae_0_12": 2.0, "mae_21_60": 3.0, "mae_over_60": 10.0,
    }  # fmt: skip
    assert all(one["low"] <= one["value"] <= one["high"] for one in found.values())
    assert found["mae"]["n"] == 4 and found["mae_21_60"]["n"] == 2


def test_someone_older_than_the_last_year_is_scored_as_they_are() -> None:
    data = data_of([{"age": 116.0}])
    assert measure((AGE,), {"age": years(100)}, data, CARD)["age"]["mae"]["value"] == 16.0


def test_ranges_take_the_one_with_the_largest_summed_probability() -> None:
    targets = np.array([[0.0, 2], [3, 9], [3, 9], [70, 100]])
    chances = years(1, 3, 50, 90)
    chances[2] = 0.4 * years(1)[0] + 0.3 * years(4)[0] + 0.3 * years(8)[0]
    compare = kinds.of(AGE).compare
    assert compare(AGE, chances, targets)[1].tolist() == [0, 0, 0, 0]
    chances[2] = years(1)[0]
    assert compare(AGE, chances, targets)[1].tolist() == [0, 0, 1, 0]
    data = data_of([{"age": (0.0, 2.0)}, {"age": (3.0, 9.0)}])
    assert set(measure((AGE,), {"age": years(1, 60)}, data, CARD)["age"]) == {"accuracy_ranges"}


def test_figures_of_classes() -> None:
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
    labels = ["female", "male", "male", "male", "female"]
    ages = [8.0, 20, 30, 40, 50]
    data = data_of([{"gender": one, "age": age} for one, age in zip(labels, ages, strict=True)])
    found = measure((GENDER,), {"gender": chances}, data, CARD)["gender"]
    assert found["accuracy"]["value"] == 0.6
    assert found["accuracy_13_plus"]["value"] == 0.5 and found["accuracy_13_plus"]["n"] == 4
    truth, top = np.array([0, 1, 1, 1, 0]), chances.argmax(1)
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, top), abs=1e-4)
    assert found["auc"]["value"] == 0.5


def test_the_gap_is_from_the_worst_level_to_the_mean_of_the_levels() -> None:
    """Two levels of 40 and of 80 faces with 30 of 40 and 80 of 80 right; a level of 3 faces says nothing."""
    races = ["one"] * 40 + ["two"] * 80 + ["few"] * 3
    right = np.array([1] * 30 + [0] * 10 + [1] * 80 + [0] * 3)
    data = data_of([{"gender": "male"}] * len(races), races=races)
    chances = np.stack([1 - right, right], 1).astype(float)
    found = measure((GENDER,), {"gender": chances}, data, CARD)["gender"]["gap_race"]
    assert found["value"] == 0.125 and found["n"] == 120
    assert 0.04 < found["low"] < 0.125 < found["high"] < 0.2
    assert (
        "gap_race"
        not in measure((GENDER,), {"gender": chances[:40]}, data_of([{"gender": "male"}] * 40), CARD)["gender"]
    )


def test_calibration_error_of_bins_of_equal_mass() -> None:
    confidence = np.repeat([0.6, 0.9], 150)
    right = np.concatenate([np.repeat([1.0, 0.0], [90, 60]), np.repeat([1.0, 0.0], [120, 30])])
    random = np.random.default_rng(0)
    order = np.concatenate([random.permutation(150), 150 + random.permutation(150)])
    rows = {"confidence": confidence[order], "right": right[order]}
    error = kinds.all_metrics()["ece"]
    assert interval_of(rows, error)["value"] == pytest.approx(
        0.08, abs=0.05
    )  # half of the faces by nothing, half by a tenth
    certain = {"confidence": np.ones(30), "right": np.zeros(30)}
    assert interval_of(certain, error)["value"] == 1.0


def test_the_interval_of_the_calibration_error_is_mirrored_since_resampling_adds_to_it() -> None:
    """Overconfident by 0.01 on 4,000 faces: percentiles hold that in none of these draws. The figure itself is always inside."""
    random, held = np.random.default_rng(0), 0
    for _ in range(10):
        confidence = 0.5 + random.beta(6, 1, 4000) / 2
        right = (random.random(4000) < confidence - 0.01).astype(float)
        found = interval_of({"confidence": confidence, "right": right}, kinds.all_metrics()["ece"])
        assert 0 <= found["low"] <= found["value"] <= found["high"]
        held += found["low"] <= 0.01 <= found["high"]
    assert held >= 7


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    right = np.repeat([1.0, 0.0], [90, 10])
    found = interval_of({"right": right}, "right")
    assert (
        found["value"] == 0.9
        and found["low"] == pytest.approx(0.84, abs=0.02)
        and found["high"] == pytest.approx(0.95, abs=0.02)
    )


def test_groups_are_measured_apart() -> None:
    count = 60
    labels: list[dict[str, Label]] = [
        {"gender": "male" if row % 2 else "female", "age": 30.0 if row < 30 else 8.0} for row in range(count)
    ]
    data = data_of(
        labels,
        faces=[0 if row < 20 else 1 for row in range(count)],
        races=["Asian" if row < 30 else "White" for row in range(count)],
        quality=np.array([[30 if row < 25 else 90, 0.1, 0.5, 30 if row % 2 else np.nan] for row in range(count)]),
    )
    groups = groups_of(data)
    assert {name: sorted(levels) for name, levels in groups.items()} == {
        "race": ["Asian", "White"], "age": ["1-13", "24-39"], "gender": ["female", "male"], "face": ["found"],
        "quality": ["small", "turned"],
        "age x gender": ["1-13, female", "1-13, male", "24-39, female", "24-39, male"],
    }  # fmt: skip
    assert groups["age x gender"]["1-13, male"].tolist() == list(range(31, 60, 2))
    logits = {
        "age": torch.from_numpy(np.log(years(*[30] * count) + 1e-9)),
        "gender": torch.tensor([[5.0, 0.0]] * count),
        "smile": torch.zeros(count, 2),
    }
    found = record(CARD, logits, data)
    assert found["tasks"]["gender"]["accuracy"]["value"] == 0.5 and "smile" not in found["tasks"]
    by = found["groups"]
    assert (
        by["gender"]["female"]["gender"]["accuracy"]["value"] == 1
        and by["gender"]["male"]["gender"]["accuracy"]["value"] == 0
    )
    assert by["race"]["Asian"]["age"]["mae"]["value"] < 0.1 and by["race"]["White"]["age"]["mae"]["value"] > 21
    assert by["face"]["found"]["gender"]["accuracy"]["n"] == 40
    assert by["quality"]["turned"]["gender"]["accuracy"] == by["gender"]["male"]["gender"]["accuracy"]


def test_a_figure_that_has_no_value_is_left_out() -> None:
    """AUC of one class alone is no number, and a number that is none is no JSON."""
    data = data_of([{"smile": "smiling"}] * 5)
    found = measure((SMILE,), {"smile": np.array([[0.2, 0.8]] * 5)}, data, CARD)["smile"]
    assert "auc" not in found and found["accuracy"]["value"] == 1
    json.dumps(found, allow_nan=False)


def test_a_split_without_labels_gets_a_sentence(tmp_path: Path) -> None:
    for name in ("25_0_1_2017.png", "30_1_1_2018.png"):
        Image.new("RGB", (30, 30)).save(tmp_path / name)
    (tmp_path / "splits.csv").write_text("file,split\n25_0_1_2017.png,train\n30_1_1_2018.png,train\n")
    with pytest.raises(DataError, match="Split 'test'.*Splits there: train"):
        evaluate(checkpoint.build_network(CARD), CARD, f"utkface:{tmp_path}", "test")


@pytest.mark.data
def test_predict_gives_what_evaluate_used(data: Path, tmp_path: Path) -> None:
    """For 200 data-set pictures with exactly one face the estimates are those that evaluation scores."""
    torch.manual_seed(0)
    crop = CropSettings(size_px=48)
    card = Card("bknet", {}, (AGE, GENDER), crop=crop)
    folder = tmp_path / "fresh"
    checkpoint.save(folder, checkpoint.build_network(card), card)
    predictor = Predictor.load("fresh", weights=tmp_path, device="cpu")
    source = layouts.read(f"utkface:{data / 'utkface'}")
    samples = source.in_split("val")[:210]
    labelled = metrics.read_labelled(source, samples, predictor.card)
    outputs = metrics.network_outputs(folded(checkpoint.load(folder)[0]), labelled, predictor.card)
    chances = metrics.predictions(outputs, predictor.card)
    compared = 0
    for row in np.flatnonzero(labelled.faces == 1)[:200]:
        (reading,) = predictor.predict(labelled.samples[row].path)
        for task in card.tasks:
            seen = np.array(list(reading.estimates[task.name].scores.values()))
            assert np.abs(seen - chances[task.name][row]).max() < 2e-3
        compared += 1
    assert compared == 200


def test_in_a_group_by_age_the_ranges_of_the_whole_set_are_to_choose_from() -> None:
    """Everybody is answered as 30: right for 30-39 alone, also among the children, whose group holds one range."""
    data = data_of([{"age": (30.0, 39.0) if row < 30 else (3.0, 9.0)} for row in range(60)])
    logits = {
        "age": torch.from_numpy(np.log(years(*[30] * 60) + 1e-9)),
        "gender": torch.zeros(60, 2),
        "smile": torch.zeros(60, 2),
    }
    found = record(CARD, logits, data)
    assert found["tasks"]["age"]["accuracy_ranges"]["value"] == 0.5
    by = found["groups"]["age"]
    assert by["30-39"]["age"]["accuracy_ranges"]["value"] == 1 and by["3-9"]["age"]["accuracy_ranges"]["value"] == 0


def test_ages_known_as_ranges_are_grouped_by_them_in_order_of_age() -> None:
    """10-19 reaches over two bands, and says of nobody that they are 13 already."""
    ranges = [(70.0, 100.0), (10.0, 19.0), (3.0, 9.0), (20.0, 29.0), (0.0, 2.0)]
    data = data_of([{"age": one, "gender": "male"} for one in ranges])
    groups = groups_of(data)
    assert list(groups["age"]) == ["0-2", "3-9", "10-19", "20-29", "70+"]
    assert list(groups["age x gender"]) == [f"{one}, male" for one in groups["age"]]
    assert groups["age"]["10-19"].tolist() == [1] and groups["age x gender"]["70+, male"].tolist() == [0]
    assert measure((GENDER,), {"gender": np.eye(2)[[1] * 5]}, data, CARD)["gender"]["accuracy_13_plus"]["n"] == 2
