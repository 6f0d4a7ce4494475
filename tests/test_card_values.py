"""A card with which nothing could be read or shown is refused, with the value seen and what is expected."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from mtl_model import card as cards
from mtl_model.errors import CheckpointError
from tests.test_card import CARD

NAN, INFINITE = float("nan"), float("inf")


def card_with(path: str, value: Any) -> str:
    """The text of a card whose value at "crop.size_px" is another one."""
    plain = json.loads(cards.to_text(CARD))
    *above, last = path.split(".")
    holder = plain
    for name in above:
        holder = holder[int(name)] if isinstance(holder, list) else holder[name]
    holder[int(last) if isinstance(holder, list) else last] = copy.deepcopy(value)
    return json.dumps(plain)


WRONG = [
    *(("detection.size_px", value) for value in ("a", 0, -1, 1e9, 640.5, None, True, [], 10**400, NAN)),
    *(("detection.smallest_face_px", value) for value in (0, -5, "20", None, INFINITE, 10**6)),
    *(("detection.detector", value) for value in ("", 5, None)),
    *(("crop.size_px", value) for value in (0, 7, 5000, "64", 64.5)),
    *(("crop.grey", value) for value in (1, "yes")),
    *(("crop.margin", value) for value in (-1, 100, "0", NAN)),
    *(("crop.std", value) for value in ([0, 1, 1], [1, -1, 1], [1, "a", 1], [1, 1], "abc", None)),
    *(("crop.mean", value) for value in ([NAN, 0, 0], [1e99, 0, 0], [None] * 3)),
    *(("calibration.age.temperature", value) for value in (-1, 0, NAN, INFINITE, "1", 1e9, None)),
    *(("calibration.age.threshold", value) for value in (-1, NAN, "a", None)),
    *(("calibration.age.margin", value) for value in (NAN, 1e9, "a")),
    *(("tasks.smile.classes", value) for value in ([], ["a"], ["a", "a"], ["a", 5], ["a", ""], "ab", None)),
    *(("tasks.smile.spellings", value) for value in ({"x": "laughing"}, [], None)),
    *(("tasks.age.classes", value) for value in (["young", "old"], ["1", "2", "3"])),
    *(("tasks.age.bands", value) for value in ([], [["a", 5, 3]], [["a", -1, 3]], [["a"]], [["", 1, 3]], "abc")),
    *(("tasks.smile.title", value) for value in (5, "", "  ", None)),
    *(("tasks.smile.groups", value) for value in ("yes", 1)),
    *(("parameters", value) for value in (-1, True, 10**400, 1.5)),
    *(("summary", value) for value in ("half a letter \ud800", 5)),
    *(("limits", value) for value in (["\ud800"], [5], "abc")),
    ("metrics.0.tasks.age.mae.value", 10**400),
    ("errors", {"age": [{"group": {}, "error": -1, "n": 3}]}),
    ("errors", {"age": [{"group": {}, "error": 1, "n": 3, "range": [1]}]}),
    ("training", {"deep": json.loads("[" * 30 + "]" * 30)}),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{path} {value!r:.20}" for path, value in WRONG])
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, path: str, value: Any) -> None:
    (tmp_path / "card.json").write_text(card_with(path, value), encoding="utf-8")
    with pytest.raises(CheckpointError, match=tmp_path.name) as caught:
        cards.read_card(tmp_path)
    assert "Expected" in str(caught.value) and str(caught.value).endswith(".")


def test_the_sentence_names_field_and_value(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card_with("detection.size_px", "a"), encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        cards.read_card(tmp_path)
    assert "detection.size_px is 'a'. Expected a whole number of pixels from 20 to 4,096; correct" in str(caught.value)


@pytest.mark.parametrize("name", ["default", "bknet", "attributes", "digits"])
def test_the_shipped_cards_pass(root: Path, name: str) -> None:
    assert cards.read_card(root / "weights" / name).tasks
