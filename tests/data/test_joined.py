"""Two pictures side by side: what they look like, which are taken, and that only what can be joined is."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model.card import CropSettings
from mtl_model.config import TrainConfig
from mtl_model.data.joined import beside, joined
from mtl_model.errors import UsageError
from mtl_model.events import Noted
from mtl_model.networks import bknet
from mtl_model.records import Sample
from mtl_model.tasks import TASKS, Task
from mtl_model.train.prepare import prepare

HOUSE = Task("house", "House", "sequence", "length_and_symbols", tuple("0123456789"), length=3)
CROP = CropSettings(size_px=16, grey=True, mean=(0.5,), std=(0.25,))


def flat(width: int, height: int, low: int, high: int) -> np.ndarray:
    """A picture whose left half is dark and whose right half is bright."""
    picture = np.full((height, width, 3), low, np.uint8)
    picture[:, width // 2 :] = high
    return picture


def test_the_second_is_as_high_as_the_first_and_in_its_shades() -> None:
    picture = beside(flat(10, 20, 0, 100), flat(10, 10, 200, 250))
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8
    assert (picture[:, :10] == flat(10, 20, 0, 100)).all(), "the first stays as it is"
    assert picture[:, 10:].mean() == pytest.approx(50, abs=3) and picture[:, 10:].std() == pytest.approx(50, abs=6)


def draw(folder: Path, labels: list[str]) -> list[Sample]:
    samples = []
    for number, label in enumerate(labels):
        path = folder / f"{number}.png"
        Image.fromarray(flat(12, 16, 10 * number, 255)).save(path)
        samples.append(Sample(str(path), {"house": label}, file=path.name, source="csv"))
    return samples


def test_short_numbers_make_longer_ones_half_of_them_of_the_shortest(tmp_path: Path) -> None:
    samples = draw(tmp_path, ["1", "2", "34", "567"])
    made, crops, rows = joined(samples, (HOUSE,), CROP, 40, seed=3)
    assert Counter(len(str(sample.labels["house"])) for sample in made) == {2: 20, 3: 10}
    assert {sample.labels["house"] for sample in made} <= {"11", "12", "21", "22", "134", "234", "341", "342"}
    assert crops.images.shape == (30, 16, 16, 3) and rows.tolist() == list(range(30)) and crops.readable.all()
    for sample in made:
        first, second = sample.file.split("+")
        assert sample.labels["house"] == "".join(str(samples[int(name[0])].labels["house"]) for name in (first, second))
    again, same, _ = joined(samples, (HOUSE,), CROP, 40, seed=3)
    assert again == made and (same.images == crops.images).all()
    assert joined(samples, (HOUSE,), CROP, 40, seed=4)[0] != made


@pytest.mark.parametrize(("labels", "task"), [(["123", "456"], HOUSE), (["smiling"], TASKS["smile"]), ([], HOUSE)])
def test_what_cannot_be_joined_makes_nothing(tmp_path: Path, labels: list[str], task: Task) -> None:
    made, crops, rows = joined(draw(tmp_path, labels), (task,), CROP, 10, seed=0)
    assert not made and not len(crops.images) and not len(rows)


def table(folder: Path) -> str:
    rows = ["file,split,house,kind"]
    for sample, split in zip(draw(folder, ["1", "2", "3", "45", "6"]), ("train",) * 3 + ("val", "test"), strict=True):
        rows.append(f"{sample.file},{split},{sample.labels['house']},{'rose' if split == 'train' else 'daisy'}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return f"csv:{folder}"


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))


def test_only_training_pictures_are_joined(tmp_path: Path) -> None:
    config = TrainConfig(
        name="numbers", source=(table(tmp_path),), columns="house:sequence", detector="whole", keep_copies=True, join=2
    )
    data = prepare(config)
    assert Noted("pictures_joined", {"count": 3}) in data.notes
    assert len(data.train) == 3 + 3 and len(data.val) == 1  # three numbers of two digits; none fits beside a longer one
    assert {symbol for sample in data.train.samples for symbol in str(sample.labels["house"])} == {"1", "2", "3"}


@pytest.mark.parametrize(
    "changes", [{"columns": "kind=rose|daisy", "detector": "whole"}, {"columns": "house:sequence", "detector": "mtcnn"}]
)
def test_other_pictures_and_labels_are_refused(
    tmp_path: Path, changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl_model.data import cache

    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))
    config = TrainConfig(name="numbers", source=(table(tmp_path),), keep_copies=True, join=2)
    config = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--join"):
        prepare(config)
