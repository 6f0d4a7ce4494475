"""Whole pictures: one box per picture, whatever its size, on the one road from a picture to an answer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import checkpoint, registry
from mtl_model.card import Card, CropSettings, DetectionSettings, read_card, write_card
from mtl_model.cli import main
from mtl_model.crops import cut, find, find_all
from mtl_model.data import cache
from mtl_model.errors import CheckpointError
from mtl_model.events import Stage
from mtl_model.inference import logits
from mtl_model.predictor import Predictor
from mtl_model.records import PICTURE, Face
from mtl_model.tasks import class_task

WHOLE = DetectionSettings("whole")
KIND = class_task("kind", ("daisy", "rose"))
CARD = Card("bknet", {"size_px": 16, "hidden": 8}, (KIND,), WHOLE, CropSettings(size_px=16), subject=PICTURE)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint of whole pictures, and a start without a task."""
    torch.manual_seed(0)
    for name, card in (("bknet", CARD), ("start", dataclasses.replace(CARD, tasks=()))):
        checkpoint.save(tmp_path / "weights" / name, checkpoint.build_network(card), card)
    return tmp_path / "weights"


@pytest.mark.parametrize("size", [(1, 1), (20, 60), (40, 3000)])
def test_the_picture_is_the_box_in_one_pass(size: tuple[int, int]) -> None:
    detector = registry.load("detectors", "whole").build()
    picture = np.full((*size, 3), 255, np.uint8)
    whole = [Face((0.0, 0.0, float(size[1]), float(size[0])), 1.0)]
    assert find_all([picture, picture], detector, WHOLE, smallest_face_px=500) == [whole, whole]


def test_a_picture_is_made_square_by_black_and_nothing_is_cut_off() -> None:
    picture = np.full((20, 60, 3), 255, np.uint8)
    (crop,) = cut(picture, find(picture, registry.load("detectors", "whole").build(), WHOLE), CARD.crop)
    assert crop.shape == (16, 16, 3) and crop[7:9].min() > 200  # from the left edge to the right
    assert crop[:4].max() == crop[-4:].max() == 0


def test_every_picture_is_read_and_cached(tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate([(30, 20), (20, 30), (20, 30)]):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.new("RGB", size, "olive").save(paths[-1])
    (tmp_path / "broken.png").write_text("text")
    stages: list[Stage] = []
    crops = cache.crops_of(
        [*paths, str(tmp_path / "broken.png")],
        WHOLE,
        CARD.crop,
        tmp_path / "cache",
        lambda stage, *_: stages.append(stage),
    )
    assert crops.faces.tolist() == [1, 1, 1, cache.UNREADABLE]
    assert Stage.READING in stages and Stage.DETECTING not in stages


def test_a_picture_has_one_answer_in_words_of_its_own(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Image.new("RGB", (50, 10), "olive").save(tmp_path / "a.png")
    photo = Predictor.load(weights=weights, device="cpu").photo(tmp_path / "a.png", "a.png")
    assert photo.subject == PICTURE and [reading.face.box for reading in photo.readings] == [(0.0, 0.0, 50.0, 10.0)]
    assert main(["predict", str(tmp_path / "a.png"), "--weights", str(weights)]) == 0
    assert ": picture 1: Kind: " in capsys.readouterr().out
    assert (
        main(["predict", str(tmp_path / "a.png"), "--weights", str(weights), "--json", str(tmp_path / "a.json")]) == 0
    )
    (answer,) = json.loads((tmp_path / "a.json").read_text())
    assert answer["faces"][0]["box"] == [0, 0, 50, 10] and answer["faces"][0]["landmarks"] == []
    assert main(["predict", str(tmp_path / "a.png"), "--weights", str(weights), "--smallest-face", "40"]) == 2


def test_a_start_is_listed_and_answers_nothing(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    Image.new("RGB", (50, 10)).save(tmp_path / "a.png")
    where = ["--weights", str(weights), "--runs", str(tmp_path / "runs")]
    assert main(["models", *where, "--json", str(tmp_path / "models.json")]) == 0
    assert "start: a start for pictures, without a task" in capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads((tmp_path / "models.json").read_text())}
    assert rows["start"]["tasks"] == [] and rows["start"]["subject"] == PICTURE
    (tmp_path / "data" / "daisy").mkdir(parents=True)
    for words in (
        ["predict", str(tmp_path / "a.png"), "--checkpoint", "start"],
        ["evaluate", "start", "--source", f"folders:{tmp_path / 'data'}"],
        ["calibrate", "start", "--source", f"folders:{tmp_path / 'data'}"],
    ):
        assert main([*words, *where]) == 2
        assert "has no task" in capsys.readouterr().err, words


@pytest.mark.parametrize(
    ("change", "said"), [({"subject": "face"}, "reads faces"), ({"detection": DetectionSettings()}, "finds faces")]
)
def test_a_card_that_contradicts_its_detector_is_refused(weights: Path, change: dict, said: str) -> None:
    write_card(weights / "bknet", dataclasses.replace(read_card(weights / "bknet"), **change))
    with pytest.raises(CheckpointError, match=said):
        Predictor.load(weights=weights, device="cpu")


def test_what_forbids_its_mirror_image_is_not_asked_for_it(weights: Path) -> None:
    digits = dataclasses.replace(CARD, crop=dataclasses.replace(CARD.crop, mirror=False))
    write_card(weights / "bknet", dataclasses.replace(read_card(weights / "bknet"), crop=digits.crop))
    assert read_card(weights / "bknet").crop.mirror is False
    network, images = checkpoint.load(weights / "bknet")[0], torch.randn(2, 1, 16, 16)
    assert torch.equal(logits(network, images, digits)["kind"], network(images)["kind"])
    write_card(weights / "bknet", dataclasses.replace(read_card(weights / "bknet"), flip_averaging=True))
    with pytest.raises(CheckpointError, match="flip_averaging"):
        read_card(weights / "bknet")
