"""Batches: each picture with its own labels, sources in the asked shares, the same plan on every process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mtl_model.card import CropSettings
from mtl_model.data.batches import Batches, Labelled
from mtl_model.data.cache import Crops
from mtl_model.errors import DataError
from mtl_model.records import Sample
from mtl_model.tasks import TASKS

CROP = CropSettings(size_px=16)


def labelled(ages: int = 60, smiles: int = 20) -> Labelled:
    """Two sources; a picture's shade is its number, an age its shade, a smile whether the shade is odd."""
    parts = []
    for source, count in (("years", ages), ("smiles", smiles)):
        images = np.zeros((count, 16, 16, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
        samples = []
        for row in range(count):
            smile = "smiling" if row % 2 else "not smiling"
            samples.append(
                Sample(f"{source}{row}", {"age": float(row)} if source == "years" else {"smile": smile}, source=source)
            )
        parts.append((samples, Crops(images, np.ones(count, np.int16), np.zeros((count, 4))), np.arange(count)))
    return Labelled(parts, (TASKS["age"], TASKS["smile"]))


def shades(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] * 0.25 + 0.5) * 255).round().int().tolist()


def test_every_picture_keeps_its_own_labels() -> None:
    data = labelled()
    batches = Batches(data, CROP, size=16, seed=0)
    seen = 0
    for plan in batches.plans(0):
        batch = batches.load(plan, 0)
        for row, shade in enumerate(shades(batch.images)):
            if batch.known["age"][row]:
                assert batch.targets["age"][row].tolist() == [shade, shade] and not batch.known["smile"][row]
            else:
                assert batch.known["smile"][row] and batch.targets["smile"][row] == shade % 2
            seen += 1
        assert batch.labelled == {task: int(known.sum()) for task, known in batch.known.items()}
    assert seen == 80


def test_samples_keep_the_quality_of_their_own_crops() -> None:
    samples = [Sample(str(row), {"age": 30.0}) for row in range(4)]
    quality = np.arange(16, dtype=np.float32).reshape(4, 4)
    crops = Crops(np.zeros((4, 16, 16, 3), np.uint8), np.ones(4, np.int16), quality)
    data = Labelled([(samples[:1], crops, np.array([2])), (samples[1:], crops, np.array([3, 0, 1]))], (TASKS["age"],))
    assert (data.quality == quality[[2, 3, 0, 1]]).all()
    assert Labelled([], (TASKS["age"],)).quality.shape == (0, 4)


def test_by_size_an_epoch_shows_each_picture_once_in_a_new_order() -> None:
    batches = Batches(labelled(), CROP, size=16, seed=0)
    first, second = (np.concatenate([plan.rows for plan in batches.plans(epoch)]) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(80))
    assert first.tolist() != second.tolist()
    assert (
        first.tolist()
        == np.concatenate([plan.rows for plan in Batches(labelled(), CROP, size=16, seed=0).plans(0)]).tolist()
    )


def test_the_mix_gives_each_source_its_share_of_every_batch() -> None:
    data = labelled()
    batches = Batches(data, CROP, size=16, seed=0, mix={"years": 0.5, "smiles": 0.5})
    for plan in batches.plans(3):
        assert (data.sources[plan.rows] == "smiles").sum() == 8
    uneven = Batches(data, CROP, size=16, seed=0, mix={"years": 0.9, "smiles": 0.1})
    counts = [int((data.sources[plan.rows] == "smiles").sum()) for plan in uneven.plans(0)]
    assert set(counts) <= {1, 2} and sum(counts) == 8  # what rounding kept back is given later


def test_alternate_batches_teach_one_task_each() -> None:
    data = labelled()
    batches = Batches(data, CROP, size=16, seed=0, alternate=True)
    plans = batches.plans(0)
    assert [plan.task for plan in plans[:4]] == ["age", "smile", "age", "smile"]
    for plan in plans:
        batch = batches.load(plan, 0)
        assert [task for task, count in batch.labelled.items() if count] == [plan.task]
        assert bool(batch.known[str(plan.task)].all())


def test_processes_share_a_batch_between_them() -> None:
    data = labelled()
    whole = Batches(data, CROP, size=16, seed=0, augmentation=1.0)
    halves = [Batches(data, CROP, size=16, seed=0, augmentation=1.0, rank=rank, processes=2) for rank in (0, 1)]
    plan = whole.plans(1)[0]
    one, parts = whole.load(plan, 1), [half.load(half.plans(1)[0], 1) for half in halves]
    assert torch.allclose(
        torch.cat([part.images for part in parts]), one.images[[*range(0, 16, 2), *range(1, 16, 2)]], atol=1e-6
    )
    assert all(part.labelled == one.labelled for part in parts)  # of the whole batch, not of the part


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 15, "processes": 2}, "cannot be shared by 2"),
        ({"size": 16, "mix": {"years": 1, "nobody": 1}}, "nobody has no training"),
    ],
)
def test_what_cannot_be_batched_gets_a_sentence(arguments: dict, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Batches(labelled(), CROP, seed=0, **arguments).plans(0)


def test_fewer_pictures_than_a_batch_make_one_smaller_batch() -> None:
    batches = Batches(labelled(5, 2), CROP, size=16, seed=0)
    assert [len(plan.rows) for plan in batches.plans(0)] == [7]


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.1), (1.0, 0.5)])
@pytest.mark.parametrize("mix", [{}, {"smiles": 1.0}])
def test_rare_labels_are_drawn_as_often_as_balance_says(balance: float, share: float, mix: dict) -> None:
    labels = ["smiling" if row < 20 else "not smiling" for row in range(200)]
    samples = [Sample(str(row), {"smile": label}, source="smiles") for row, label in enumerate(labels)]
    crops = Crops(np.zeros((200, 16, 16, 3), np.uint8), np.ones(200, np.int16), np.zeros((200, 4)))
    data = Labelled([(samples, crops, np.arange(200))], (TASKS["smile"],))
    batches = Batches(data, CROP, size=20, seed=0, balance=balance, mix=mix)
    rows = np.concatenate([plan.rows for epoch in range(10) for plan in batches.plans(epoch)])
    assert (rows < 20).mean() == pytest.approx(share, abs=0.03)
    assert set(rows.tolist()) == set(range(200))
    assert [plan.rows.tolist() for plan in batches.plans(3)] == [plan.rows.tolist() for plan in batches.plans(3)]


def test_batches_shrink_to_the_size_asked_for() -> None:
    batches = Batches(labelled(), CROP, size=16, seed=0, augmentation=1.0)
    plan = batches.plans(0)[0]
    assert batches.load(plan, 0, 8).images.shape == (16, 1, 8, 8)
    small, whole = batches.load(plan, 0, 8).images, batches.load(plan, 0).images
    assert torch.allclose(small.mean((1, 2, 3)), whole.mean((1, 2, 3)), atol=0.05)


def test_rare_ages_of_all_sources_together_are_drawn_more_often() -> None:
    """Children alone in one source, 30 to 39 alone in another: within each nothing is rare, but together children are."""
    parts = []
    for source, ages in (("first", [30.0] * 90 + [5.0] * 10), ("second", [35.0] * 100)):
        samples = [Sample(f"{source}{row}", {"age": age}, source=source) for row, age in enumerate(ages)]
        crops = Crops(np.zeros((100, 16, 16, 3), np.uint8), np.ones(100, np.int16), np.zeros((100, 4)))
        parts.append((samples, crops, np.arange(100)))
    unlabelled = [Sample("none", {"smile": "smiling"}, source="third")] * 100
    parts.append((unlabelled, parts[0][1], np.arange(100)))
    data = Labelled(parts, (TASKS["age"], TASKS["smile"]))
    mix = {"first": 0.5, "second": 0.25, "third": 0.25}

    def children(even: float, mix: dict[str, float] | None) -> float:
        batches = Batches(data, CROP, size=20, seed=0, mix=mix, even=even)
        rows = np.concatenate([plan.rows for epoch in range(40) for plan in batches.plans(epoch)])
        if mix:
            assert (data.sources[rows] == "third").mean() == pytest.approx(0.25)
        return float((data.targets["age"][rows, 0] == 5).sum() / (data.sources[rows] == "first").sum())

    assert children(0, mix) == pytest.approx(0.1, abs=0.02)
    # of what is drawn with an age 6.7 % are children, 7.5 times as rare as even: 10 x 7.5 against 90 x 0.536
    assert children(1, mix) == pytest.approx(75 / (75 + 90 * 0.536), abs=0.05)
    assert children(0, mix) < children(0.5, mix) < children(1, mix)
    assert children(1, None) > 0.4


def test_a_teachers_answer_stands_beside_the_label() -> None:
    """Answers kept for the pictures as they are, and a teacher's about the crops that are learned from."""
    data = labelled()
    kept = torch.full((80, 2), float("nan"))
    kept[:70] = torch.tensor([0.25, 0.75])  # of the smiles ten have both, ten a label alone
    data.answers["smile"] = kept
    asked: list[tuple[int, ...]] = []

    def teacher(images: torch.Tensor) -> dict[str, torch.Tensor]:
        asked.append(tuple(images.shape))
        return {"age": images.mean((1, 2, 3))[:, None].expand(-1, 101), "nothing asked": images}

    halves = [Batches(data, CROP, size=16, seed=0, rank=rank, processes=2, teacher=teacher) for rank in (0, 1)]
    plan = halves[0].plans(0)[0]
    parts = [half.load(plan, 0, 8) for half in halves]
    assert asked == [(8, 1, 16, 16)] * 2, "before the crops are shrunk for the student"
    for part, rank in zip(parts, (0, 1), strict=True):
        rows = plan.rows[rank::2]
        assert set(part.answers) == {"age", "smile"}
        assert part.answers["smile"].given.tolist() == (rows < 70).tolist()
        assert part.answers["smile"].count == (plan.rows < 70).sum()
        assert bool(part.answers["smile"].values.isfinite().all())
        assert part.answers["age"].count == 16 and bool(part.answers["age"].given.all())
        assert torch.allclose(part.answers["age"].values[:, 0], part.images.mean((1, 2, 3)), atol=1e-5)
        assert part.teaches("smile") and part.teaches("age")
    alternate = Batches(data, CROP, size=16, seed=0, alternate=True, teacher=teacher)
    for plan in alternate.plans(0)[:2]:
        assert list(alternate.load(plan, 0).answers) == [plan.task]
