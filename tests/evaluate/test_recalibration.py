"""The error for faces like one: by the answers, on val, enough of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import checkpoint, kinds
from mtl_model.card import Card, CropSettings, read_card
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.data.cache import Crops
from mtl_model.errors import DataError
from mtl_model.evaluate.recalibration import LEAST_LIKE, errors_like, recalibrate
from mtl_model.events import Noted
from mtl_model.kinds import LEAST_FITTED
from mtl_model.kinds.years import YearsCalibration
from mtl_model.records import Sample
from mtl_model.tasks import TASKS
from tests.codes import refused


def test_what_val_has_too_few_labels_of_keeps_its_calibration_and_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))
    lines = ["file,gender,smile,split"]
    for number in range(LEAST_FITTED + 10):
        Image.fromarray(np.full((24, 24, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'female' if number % 2 else 'male'},{'yes' if number < 20 else ''},val")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    rows = ({"group": {"age": "56+"}, "error": 3.0, "n": 30},)
    errors = {"age": rows, "smile": rows}
    old = {name: kinds.of(task).Calibration(2.0, 0.6) for name, task in TASKS.items()}
    options = {"size_px": 16, "hidden": 8}
    crop = CropSettings(size_px=16)
    card = Card("bknet", options, tuple(TASKS.values()), crop=crop, calibration=old, errors=errors, metrics=({},))
    torch.manual_seed(0)
    fitted = recalibrate(checkpoint.build_network(card), card, [f"csv:{tmp_path}"])
    assert {task for task in TASKS if fitted.calibration[task] != old[task]} == {"gender"}
    assert fitted.errors["age"] == fitted.errors["smile"] == rows and "gender" in fitted.errors
    same = recalibrate(checkpoint.build_network(card), card, [f"csv:{tmp_path}"], only_errors=True)
    assert same.calibration == old and same.metrics == card.metrics and "gender" in same.errors
    known = tuple(cache.short_digest(tmp_path / f"{number}.png") for number in range(10))
    notes: list[Noted] = []
    taught = dataclasses.replace(card, taught=known)
    recalibrate(checkpoint.build_network(card), taught, [f"csv:{tmp_path}"], note=notes.append)
    assert notes == [Noted("taught_left_out", {"count": 10, "total": 110, "split": "val", "source": f"csv:{tmp_path}"})]
    (tmp_path / "labels.csv").write_text("\n".join(lines[:11]))
    with refused("all_taught", DataError):
        recalibrate(checkpoint.build_network(card), taught, [f"csv:{tmp_path}"])
    (tmp_path / "labels.csv").write_text("\n".join(lines[:50]))
    with pytest.raises(DataError, match="fewer than 100 labels of every task"):
        recalibrate(checkpoint.build_network(card), card, [f"csv:{tmp_path}"])


def test_a_set_never_seen_widens_what_the_kind_widens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint that never saw it reads every face as 50; there they are 50 or 80."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))
    for folder, old in (("home", 50), ("away", 80)):
        lines = ["file,age,split"]
        for number in range(LEAST_FITTED):
            picture = Image.fromarray(np.full((24, 24, 3), number, np.uint8))
            (tmp_path / folder).mkdir(exist_ok=True)
            picture.save(tmp_path / folder / f"{number}.png")
            lines.append(f"{number}.png,{old if number % 2 else 50},val")
        (tmp_path / folder / "labels.csv").write_text("\n".join(lines))
    card = Card("bknet", {"size_px": 16, "hidden": 8}, (TASKS["age"],), crop=CropSettings(size_px=16))
    network = Fifty()
    home, away = f"csv:{tmp_path}/home", f"csv:{tmp_path}/away"
    notes: list[Noted] = []
    as_before = recalibrate(network, card, [home])
    wider = recalibrate(network, card, [home], left_out=[(network, as_before, away)], note=notes.append)
    narrow, wide = as_before.calibration["age"], wider.calibration["age"]
    assert isinstance(narrow, YearsCalibration) and isinstance(wide, YearsCalibration)
    assert narrow.widening == 0 < wide.widening
    assert wider.metrics == () and notes == [Noted("unseen_sets", {"title": "Age", "sets": 1})]
    kept = recalibrate(network, wider, [home], only_errors=True, left_out=[(network, as_before, away)])
    assert kept.calibration == wider.calibration


class Fifty(torch.nn.Module):
    """Answers 50 years, give or take 3."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = -((torch.arange(101) - 50) ** 2) / 18
        return {"age": logits[None].repeat(len(images), 1)}


def answered(task: str, labels: list, chances: np.ndarray) -> tuple[dict, ...]:
    """The rows of a task whose val has these labels and answers."""
    samples = [Sample(str(row), {task: label}) for row, label in enumerate(labels)]
    crops = Crops(
        np.zeros((len(labels), 16, 16, 3), np.uint8), np.ones(len(labels), np.int16), np.zeros((len(labels), 4))
    )
    card = Card("bknet", {}, (TASKS[task],))
    data = Labelled([(samples, crops, np.arange(len(labels)))], card.tasks)
    return dict(errors_like(card, {task: chances}, data)).get(task, ())


def two_classes(*parts: tuple[int, float, float]) -> tuple[dict, ...]:
    """Rows of faces answered female. parts: how many, with which probability, and the share of them that are men."""
    chances = np.array([[chance, 1 - chance] for count, chance, _ in parts for _ in range(count)])
    men = [number < round(count * share) for count, _, share in parts for number in range(count)]
    return answered("gender", ["male" if man else "female" for man in men], chances)


def test_ages_known_as_ranges_alone_give_no_error_in_years() -> None:
    """A share of wrong ranges would be shown as years."""
    assert answered("age", [(20.0, 29.0)] * 100, np.tile(np.eye(101)[34], (100, 1))) == ()


def test_unsure_answers_have_an_error_of_their_own() -> None:
    rows = two_classes((100, 0.57, 0.4), (1000, 0.99, 0.01))
    assert rows == (
        {"group": {"gender": "female"}, "range": [0.55, 0.6], "error": 0.4, "n": 100},
        {"group": {"gender": "female"}, "range": [0.98, 1.01], "error": 0.01, "n": 1000},
    )
    card = Card("bknet", {}, (TASKS["gender"],), errors={"gender": rows})
    for chance, error in ((0.57, 0.4), (0.99, 0.01), (1.0, 0.01), (0.7, None), (0.6, None)):
        row = card.error_like("gender", "female", chance)
        assert (row and row["error"]) == error
    assert card.error_like("gender", "male", 0.99) is None


def test_few_faces_are_counted_with_their_neighbours_or_not_at_all() -> None:
    (row,) = two_classes((LEAST_LIKE // 2, 0.62, 0.4), (LEAST_LIKE // 2, 0.71, 0.4))
    assert row["range"] == [0.6, 0.75] and row["n"] == LEAST_LIKE
    assert two_classes((LEAST_LIKE // 2, 0.52, 0.4), (LEAST_LIKE // 2, 0.71, 0.4)) == ()  # too far apart
    assert two_classes((LEAST_LIKE - 1, 0.62, 0.4)) == ()


def test_a_share_that_contradicts_the_probability_is_left_out() -> None:
    assert two_classes((1000, 0.57, 0.02)) == ()
    assert two_classes((1000, 0.99, 0.3)) == ()


def test_years_go_by_the_width_of_the_interval() -> None:
    years = np.zeros((240, 101))
    years[:120, 30] = 1  # an interval of under a year
    years[120:, 25:36] = 1 / 11
    (narrow, wide) = answered("age", [31.0] * 120 + [36.0] * 60 + [(20.0, 60.0)] * 60, years)
    assert narrow == {"group": {"age": "24-39"}, "range": [0.0, 2.0], "error": 1.0, "n": 120}
    assert wide["range"] == [8.0, 10.0] and wide["error"] == 6.0 and wide["n"] == 60  # a range of ages has no error


@pytest.mark.parametrize("name", ["default", "bknet"])
def test_the_shipped_cards_tell_errors_that_fit_the_probability_beside_them(name: str, root: Path) -> None:
    card = read_card(root / "weights" / name)
    assert set(card.errors) == {task.name for task in card.tasks} and card.metrics
    for task in card.tasks:
        for row in card.errors[task.name]:
            assert set(row["group"]) == {task.name} and row["n"] >= LEAST_LIKE
            low, high = row["range"]
            if task.kind == "classes":
                tolerance = 3 * np.sqrt(0.25 / row["n"])
                assert 1 - high - tolerance < row["error"] < 1 - low + tolerance
            else:
                assert row["error"] < high
