"""How a network is asked: the mirror image, temperatures, folding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from mtl_model import kinds, registry
from mtl_model.card import Card
from mtl_model.errors import CheckpointError
from mtl_model.inference import heads, logits, predictions, widths
from mtl_model.kinds import Calibration
from mtl_model.networks import folded
from mtl_model.tasks import TASKS

SMILE = TASKS["smile"]


def test_widths() -> None:
    assert widths(list(TASKS.values())) == {"age": 101, "gender": 2, "smile": 2}


def test_a_temperature_flattens_and_rows_sum_to_one() -> None:
    outputs = {"smile": torch.tensor([[0.0, 4.0]])}
    card = Card("bknet", {}, (SMILE,), calibration={"smile": Calibration(temperature=2.0)})
    sharp, flat = (predictions(outputs, some)["smile"] for some in (Card("bknet", {}, (SMILE,)), card))
    assert sharp[0, 1] > flat[0, 1] > 0.5
    assert flat.sum(1).tolist() == pytest.approx([1.0])


class Lopsided(torch.nn.Module):
    """Answers with the brightness of the left half."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"smile": images[..., : images.shape[-1] // 2].mean((1, 2, 3))[:, None].repeat(1, 2)}


@pytest.mark.parametrize(("averaging", "answer"), [(False, [[1, 1]]), (True, [[0.5, 0.5]])])
def test_flip_averaging_is_the_mean_over_both_mirror_images(averaging: bool, answer: list[list[float]]) -> None:
    images = torch.zeros(1, 1, 4, 4)
    images[..., :2] = 1
    card = Card("bknet", {}, (SMILE,), flip_averaging=averaging)
    assert logits(Lopsided(), images, card)["smile"].tolist() == answer


@pytest.mark.parametrize("name", registry.names("networks"))
def test_folding_changes_no_answer(name: str) -> None:
    module = registry.load("networks", name)
    torch.manual_seed(0)
    side, channels = module.INPUT["size_px"], 1 if module.INPUT["grey"] else 3
    tasks = (TASKS["age"], SMILE)
    network = module.build(heads(tasks), channels=channels, size_px=side, leaves={"smile": module.LATE})
    images = torch.randn(4, channels, side, side)
    network.train()(images)  # running figures other than 0 and 1
    network.eval()
    quick = folded(network)
    rows = [[*part, torch.nn.Identity()] for part in quick.modules() if isinstance(part, torch.nn.Sequential)]
    pairs = [(first, second) for row in rows for first, second in itertools.pairwise(row)]
    convolutions = [(first, second) for first, second in pairs if isinstance(first, torch.nn.Conv2d)]
    assert not any(isinstance(second, torch.nn.BatchNorm2d) for _, second in convolutions)
    assert not any(first.kernel_size == (1, 1) for first, _ in convolutions)
    with torch.inference_mode():
        before, after = network(images), quick(images)
    assert all(torch.allclose(before[task], after[task], atol=1e-4) for task in before)


def test_what_is_known_of_the_faces_reaches_the_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, seen = kinds.of(SMILE), []
    answer = kind.predict
    monkeypatch.setattr(kind, "predict", lambda *given: seen.append(given[3]) or answer(*given), raising=False)
    card, outputs = Card("bknet", {}, (SMILE,)), {"smile": torch.zeros(2, 2)}
    quality = np.array([[90, 0.1, 0.4, 3], [40, 0.2, 0.5, np.nan]])
    for given in (quality, None):
        predictions(outputs, card, given)
    assert seen[0] is quality and seen[1] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_not_numbers_are_a_sentence(value: float) -> None:
    card = Card("bknet", {}, (TASKS["smile"],))
    with pytest.raises(CheckpointError, match="answers for smile are not numbers"):
        predictions({"smile": torch.tensor([[0.0, 1.0], [value, 0.0]])}, card)
