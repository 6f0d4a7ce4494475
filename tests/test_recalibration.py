"""The error for faces like one: by the answers, on val, enough of them."""

from __future__ import annotations

import numpy as np

from mtl_model.batches import Labelled
from mtl_model.cache import Crops
from mtl_model.card import Card
from mtl_model.recalibration import errors_like
from mtl_model.records import Sample
from mtl_model.tasks import TASKS


def test_rows_go_by_the_answers_and_the_card_finds_them_again() -> None:
    """Thirty faces answered as 30 and female, ten years older in truth; thirty as 70 and male, right, too few of them known."""
    samples = [Sample(str(row), {"age": 40.0, "gender": "male"}) for row in range(30)]
    samples += [Sample(str(row), {"age": 70.0 if row < 10 else (60.0, 79.0), "smile": "smiling"}) for row in range(30)]
    crops = Crops(np.zeros((60, 16, 16, 3), np.uint8), np.ones(60, np.int16))
    card = Card("bknet", {}, tuple(TASKS.values()))
    data = Labelled([(samples, crops, np.arange(60))], card.tasks)
    years = np.zeros((60, 101))
    years[np.arange(60), [30] * 30 + [70] * 30] = 1
    gender = np.eye(2)[[0] * 30 + [1] * 30]
    smile = np.eye(2)[[1] * 60]
    errors = dict(errors_like(card, {"age": years, "gender": gender, "smile": smile}, data))
    first = {"age": "24-39", "gender": "female"}
    assert errors["age"] == (
        {"group": first, "error": 10.0, "n": 30},
        {"group": {"age": "24-39"}, "error": 10.0, "n": 30},
    )
    assert [row["error"] for row in errors["gender"]] == [1.0, 1.0]
    assert errors["smile"][0] == {"group": {"age": "56+", "gender": "male"}, "error": 0.0, "n": 30}
    card = Card("bknet", {}, tuple(TASKS.values()), errors=errors)
    assert (found := card.error_like("age", first)) and found["error"] == 10.0
    assert (found := card.error_like("age", {**first, "gender": "male"})) and found["group"] == {"age": "24-39"}
    assert card.error_like("age", {"age": "1-13", "gender": "male"}) is None
