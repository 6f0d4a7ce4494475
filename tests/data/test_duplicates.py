from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mtl_model import layouts
from mtl_model.data import duplicates
from mtl_model.data.duplicates import ACROSS, WITHIN, Rule, Thumbnails
from mtl_model.events import Stage


def scene(seed: int, side: int = 160) -> Image.Image:
    """Soft blobs: as smooth as photographs are, and as different from each other."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))


@pytest.fixture
def album(tmp_path: Path) -> dict[str, str]:
    """Ten pictures, and copies of the first: the same pixels in another file, encoded, scaled, coloured, cropped."""
    pictures = {f"other {seed}": scene(seed) for seed in range(1, 10)}
    first = scene(0)
    pictures |= {"first": first, "same": first, "small": first.resize((90, 90))}
    pictures["coloured"] = first.convert("L").point(lambda level: 0.7 * level + 40).convert("RGB")
    pictures["cropped"] = first.crop((40, 40, 160, 160))
    pictures["flat"] = pictures["flat too"] = Image.new("RGB", (160, 160), "grey")
    paths = {}
    for name, picture in pictures.items():
        paths[name] = str(tmp_path / f"{name}.png")
        picture.save(paths[name])
    paths["encoded"] = str(tmp_path / "encoded.jpg")
    first.save(paths["encoded"], quality=40)
    paths["torn"] = str(tmp_path / "torn.png")
    Path(paths["torn"]).write_bytes(Path(paths["first"]).read_bytes()[:500])
    return paths


def named(groups: list[list[int]], album: dict[str, str]) -> list[set[str]]:
    return [{list(album)[row] for row in group} for group in groups]


def test_equal_pixels_are_exact_copies_and_nothing_else_is(album):
    seen = duplicates.thumbnails(list(album.values()))
    assert named(duplicates.exact_groups(seen), album) == [{"first", "same"}, {"flat", "flat too"}]


def test_the_shape_belongs_to_the_pixels(tmp_path):
    for name, size in (("wide", (20, 10)), ("high", (10, 20))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
    seen = duplicates.thumbnails([str(tmp_path / "wide.png"), str(tmp_path / "high.png")])
    assert duplicates.exact_groups(seen) == []


def test_near_copies_are_found_and_others_are_not(album):
    seen = duplicates.thumbnails(list(album.values()))
    for rule in (WITHIN, ACROSS):
        assert named(duplicates.near_groups(seen, rule), album) == [{"first", "same", "small", "coloured", "encoded"}]


def test_an_unreadable_picture_is_marked(album):
    seen = duplicates.thumbnails(list(album.values()))
    assert [name for name, readable in zip(album, seen.readable, strict=True) if not readable] == ["torn"]


def test_a_leak_names_the_training_pictures(album):
    train = ["other 1", "first", "other 2", "coloured", "flat"]
    held = ["small", "other 3", "cropped", "flat too"]
    taught, kept = (duplicates.thumbnails([album[name] for name in names]) for names in (train, held))
    assert duplicates.leak(taught, kept).tolist() == [1, 3]
    assert duplicates.leak(taught, kept.take([1, 2])).tolist() == []


def random_thumbnails(count: int, seed: int = 0) -> Thumbnails:
    """Pictures around a common one, as aligned faces are, so that many pairs come close to the threshold."""
    random = np.random.default_rng(seed)
    smooth = np.kron(random.normal(size=(count, 8, 8)), np.ones((4, 4)))
    common = np.kron(random.normal(size=(8, 8)), np.ones((4, 4)))
    near = random.random((count, 1, 1)) * 1.2
    grey = np.clip(128 + 30 * (common + near * smooth), 0, 255).astype(np.uint8)
    grey16 = grey.reshape(count, 16, 2, 16, 2).mean((2, 4)).astype(np.uint8)
    return Thumbnails(grey, grey16, np.zeros((count, 16), np.uint8), np.ones(count, bool))


@pytest.mark.parametrize("rule", [WITHIN, ACROSS, Rule(32, 0.9)])
@pytest.mark.parametrize("block", [100, 4096])
def test_the_bound_loses_no_pair(rule, block, monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    seen = random_thumbnails(700)
    grey = seen.grey32 if rule.side_px == 32 else seen.grey16
    correlation = np.corrcoef(grey.reshape(len(grey), -1).astype(float))
    wanted = {(i, j) for i, j in zip(*np.nonzero(correlation >= rule.least), strict=True) if i < j}
    pairs = duplicates.near_pairs(seen, rule=rule)
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(wanted) > 20
    assert found == wanted
    rest = duplicates.near_pairs(seen.take(range(300)), seen.take(range(300, 700)), rule)
    across = set(zip(rest.first.tolist(), (rest.second + 300).tolist(), strict=True))
    assert across == {(i, j) for i, j in wanted if i < 300 <= j}


@pytest.mark.parametrize("rows", [[], [0]])
def test_nothing_has_no_copies(rows):
    seen = random_thumbnails(1).take(rows)
    assert duplicates.near_groups(seen) == [] and duplicates.exact_groups(seen) == []
    assert duplicates.leak(seen, random_thumbnails(3, seed=5)).tolist() == []
    assert duplicates.thumbnails([]).readable.tolist() == []


def test_pairs_become_groups():
    assert duplicates.group([(5, 6), (1, 3), (3, 9), (6, 7)]) == [[1, 3, 9], [5, 6, 7]]
    assert duplicates.group([(3, 4), (1, 2), (2, 4)]) == [[1, 2, 3, 4]]


def test_progress_ends_at_the_whole(album):
    told: list[tuple[Stage, int, int]] = []
    seen = duplicates.thumbnails(list(album.values()), lambda *one: told.append(one))
    duplicates.near_groups(seen, progress=lambda *one: told.append(one))
    last = {what: (done, total) for what, done, total in told}
    assert set(last) == {Stage.READING, Stage.COMPARING}
    assert all(done == total for done, total in last.values())


@pytest.mark.data
@pytest.mark.long
def test_copies_that_cross_the_splits_of_utkface(data):
    source = layouts.read(str(data / "utkface"))
    train, *held = (source.in_split(split) for split in ("train", "val", "test"))
    kept = [sample for samples in held for sample in samples]
    taught, other = (duplicates.thumbnails([sample.path for sample in samples]) for samples in (train, kept))
    pairs = duplicates.near_pairs(taught, other, ACROSS)
    assert len(np.unique(pairs.second)) >= 25
    assert len(duplicates.near_groups(taught)) == pytest.approx(842, abs=10)
    assert len(duplicates.exact_groups(taught)) == 375
