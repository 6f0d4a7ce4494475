"""Points, texts and people from a table to a checkpoint and its evaluation, and back to a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import answers, checkpoint, crops, kinds, layouts
from mtl_model.card import Card, CropSettings, read_card
from mtl_model.config import FinetuneConfig, TrainConfig
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.evaluate.metrics import evaluate
from mtl_model.events import Evaluated, Event, Failed, Finished, Noted
from mtl_model.networks import bknet
from mtl_model.predictor import Predictor
from mtl_model.records import Face, Photo, Sample
from mtl_model.tasks import Task
from mtl_model.train.finetune import finetune
from mtl_model.train.further import _watch
from mtl_model.train.loop import train
from mtl_model.ui.faces import correcting

SIDE = 48
FACE = Face((8.0, 4.0, 40.0, 44.0), 0.99)
COUNT = 80


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of 16 px; the detector sees one face in every picture."""
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, (FACE,)))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A spot of light for a nose; how many bars there are is the text; the shade of the lower edge is the person."""
    random = np.random.default_rng(0)
    rows = ["file,split,marks,house,who"]
    for number in range(COUNT):
        x, y = random.uniform(14, 34, 2)
        picture = random.integers(0, 40, (SIDE, SIDE, 3))
        columns, lines = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
        picture += (200 * np.exp(-((columns - x) ** 2 + (lines - y) ** 2) / 18)).astype(int)[..., None]
        person = number % 8
        picture[36:] += 25 * person
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
        split = "train" if person < 5 else ("val", "test")[number // 8 % 2]
        rows.append(f"{number}.png,{split},{x:.2f} {y:.2f},0{number % 3},p{person}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path


COLUMNS = "marks:points=nose,house:sequence,who:identity"


def run(table: Path, **settings: object) -> tuple[list[Event], Path]:
    base = TrainConfig(
        name="small", source=(f"csv:{table}",), columns=COLUMNS, epochs=20, batch_size=16, warmup_steps=2,
        learning_rate=2e-3, augmentation=0.3, ema=0.9, keep_copies=True,
    )  # fmt: skip
    folder = table / "runs" / "small"
    return list(train(dataclasses.replace(base, **settings), folder)), folder  # type: ignore[arg-type]


def test_they_are_learned_measured_and_answered_where_they_may_be(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, folder = run(table)
    assert isinstance(events[-1], Finished)
    assert not [event for event in events if isinstance(event, Noted) and event.code == "task_not_learned"]
    first, *_, last = [event.metrics for event in events if isinstance(event, Evaluated)]
    assert last["marks"]["nme"] < 0.8 * first["marks"]["nme"]
    _, card = checkpoint.load(folder)
    marks, house, who = card.tasks
    assert (marks.classes, house.classes, house.length) == (("nose",), tuple("0123456789"), 2)
    assert not card.crop.mirror, "a mirrored text is another one"
    assert len(who.classes) == 5 and "p0" not in str(card)
    network, _ = checkpoint.load(folder)
    record = evaluate(network, card, f"csv:{table}", "test", options={"columns": COLUMNS})
    assert set(record["tasks"]["who"]) == {"verification_accuracy", "verification_auc"}
    assert {"sequence_accuracy", "position_accuracy", "length_accuracy", "sequence_accuracy_2"} <= set(
        record["tasks"]["house"]
    )
    assert record["tasks"]["marks"]["nme"]["value"] < 0.25, "of the crop's side, which has no eyes"

    monkeypatch.setattr(Predictor, "find", lambda *_, **__: [FACE])
    predictor = Predictor("small", network, card)
    picture = np.asarray(Image.open(table / "3.png"))
    readings = predictor.predict(picture)
    assert list(readings[0].estimates) == ["marks", "house"], "no embedding leaves the program"
    (place,) = readings[0].estimates["marks"].points.values()
    x, y = (float(part) for part in (table / "labels.csv").read_text().splitlines()[4].split(",")[2].split())
    assert abs(place[0] - x) < 12 and abs(place[1] - y) < 12, "in px of the picture"
    text = answers.to_csv([Photo("3.png", None, tuple(readings), SIDE, SIDE)], card.tasks)
    header = text.splitlines()[0]
    assert "marks_nose_x,marks_nose_y,house,house_confidence" in header and "who" not in header
    form = correcting.form(card.tasks)
    assert 'name="house"' in form and 'name="marks"' not in form and 'name="who"' not in form


def test_people_stay_in_one_split_where_the_label_alone_says_who_they_are(table: Path) -> None:
    lines = (table / "labels.csv").read_text().splitlines()
    fields = [line.split(",") for line in lines]
    (table / "labels.csv").write_text("\n".join(",".join([row[0], *row[2:]]) for row in fields))
    source = layouts.read(f"csv:{table}", {"columns": COLUMNS})
    assert {sample.person for sample in source.samples} == {f"p{number}" for number in range(8)}
    splits = {(sample.person, sample.split) for sample in source.samples}
    assert len(splits) == 8


def test_the_frames_of_crops_are_worked_out_once_and_kept(table: Path) -> None:
    paths = [str(table / f"{number}.png") for number in range(3)]
    settings = Card("bknet", {}, ()).crop
    found = cache.crops_of(paths, Card("bknet", {}, ()).detection, settings)
    frames = found.frames()
    assert frames.shape == (3, 2, 3) and np.allclose(frames[1], crops.frame(FACE, settings))
    assert len(list((table / "cache").rglob("*.frames.npy"))) == 1
    for path in paths:
        Path(path).write_bytes(b"")  # nothing is read again
    assert np.allclose(found.frames(), frames)


class Looker(torch.nn.Module):
    """Features that say where the light of an image lies, in shares of its side."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        light = images[:, 0].clamp(min=0) ** 4
        line = (torch.arange(SIDE) + 0.5) / SIDE
        middle = torch.stack([(light * line).sum((1, 2)), (light * line[:, None]).sum((1, 2))], 1)
        return middle / light.sum((1, 2))[:, None]


def test_the_views_of_a_frozen_trunk_are_where_their_points_are() -> None:
    """As it is, mirrored, and augmented: points moved as a view says lie where its features see them."""
    x, y = 0.3, 0.6
    columns, lines = np.meshgrid((np.arange(SIDE) + 0.5) / SIDE, (np.arange(SIDE) + 0.5) / SIDE)
    spot = (255 * np.exp(-((columns - x) ** 2 + (lines - y) ** 2) / 0.01)).astype(np.uint8)
    images = np.repeat(spot[None, ..., None], 24, 0).repeat(3, 3)
    task = Task("marks", "Marks", "points", "wing", ("nose",))
    samples = [Sample(str(row), {"marks": (x, y)}) for row in range(24)]
    frames = np.tile(np.eye(2, 3), (24, 1, 1))
    crops_of = cache.Crops(images, np.ones(24, np.int16), np.zeros((24, 4)), lambda: frames)
    data = Labelled([(samples, crops_of, np.arange(24))], (task,))
    card = Card("bknet", {}, (task,), crop=CropSettings(SIDE, True, 0.0, (0.0,), (1.0,)))
    features, places = _watch(Looker(), data, 4, 0.3, card=card, seed=0, device="cpu", progress=lambda *_: None)
    for view in range(4):
        moved = kinds.of(task).move(task, data.targets["marks"], places[view])
        apart = (features[view] - moved).abs().amax(1)
        assert (apart.max() if view < 2 else apart.median()) < 0.02, view
    assert features[1][:, 0].mean() == pytest.approx(1 - x, abs=0.01)


@pytest.mark.parametrize("how", ["branch", "all"])
@pytest.mark.parametrize("taught", ["marks", "house"])
def test_fine_tuning_teaches_them_and_guards_the_others(table: Path, how: str, taught: str) -> None:
    """Of the branch alone the points lie where each view of the trunk's features has them; guarded points move with the crop."""
    _, parent = run(table, epochs=3)
    config = FinetuneConfig(
        name="child", data=str(table), layout="csv", columns=COLUMNS, tasks=taught, how=how, epochs=3
    )
    events = list(finetune(config, table / "runs" / "child", parent))
    assert not any(isinstance(event, Failed) for event in events)
    outcome = json.loads((table / "runs" / "child" / "outcome.json").read_text())
    assert set(outcome["tasks"]) == {taught} and outcome["tasks"][taught]["n"] == outcome["counts"]["held"]
    assert "who" not in outcome["changed"], "an embedding is never shown"
    before, after = (checkpoint.load(folder)[0].state_dict() for folder in (parent, table / "runs" / "child"))
    other = {"marks": "house", "house": "marks"}[taught]
    same = all(torch.equal(before[name], after[name]) for name in before if name.startswith(f"branches.{other}."))
    stepped_back = read_card(table / "runs" / "child").training.get("way") == 0
    assert same == (how == "branch" or stepped_back)
