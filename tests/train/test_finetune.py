"""A visitor's folder: parts without leaks, tasks that are not taught stay, what it brought is measured apart."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import card, checkpoint, cli, kinds, layouts, runs, wording
from mtl_model.card import Card, CropSettings, DetectionSettings, list_checkpoints
from mtl_model.config import FinetuneConfig
from mtl_model.crops import to_tensor
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.errors import DataError
from mtl_model.evaluate.metrics import evaluate
from mtl_model.events import Event, Failed, Finished, Noted, Stage, Stopped, silent
from mtl_model.inference import predictions
from mtl_model.networks import bknet
from mtl_model.records import Face, Sample
from mtl_model.tasks import TASKS
from mtl_model.train import compare, finetune, further, splits
from tests.codes import refused

SIDE = 24
REAL_LOOK = cache._look_at


@pytest.fixture(autouse=True)
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector sees one face in every picture, all of it; none in those called faceless, and cannot read broken ones."""
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "elsewhere"))

    def look(paths: list[str], settings: object, detector: object) -> dict[str, tuple[Face, ...] | None]:
        whole = (Face((0.0, 0.0, SIDE, SIDE), 0.99),)
        return {path: None if "broken" in path else () if "faceless" in path else whole for path in paths}

    monkeypatch.setattr(cache, "_look_at", look)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small parent that was never trained."""
    torch.manual_seed(1)
    options = {"size_px": 16, "channels": 1}
    parent = Card("bknet", options, tuple(TASKS.values()), crop=CropSettings(**{**bknet.INPUT, "size_px": 16}))
    checkpoint.save(tmp_path / "weights" / "bknet", checkpoint.build_network(parent), parent)
    return tmp_path / "weights"


def save(path: Path, bright: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 90, (SIDE, SIDE, 3))
    noise[SIDE // 2 :] += bright
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def glasses(tmp_path: Path) -> Path:
    """A task nobody knows: the lower half is bright where there are glasses."""
    for number in range(60):
        word = "with" if number % 2 else "without"
        save(tmp_path / "upload" / "glasses" / word / f"{number}.png", 150 * (number % 2), number)
    return tmp_path / "upload"


def run(config: FinetuneConfig, weights: Path, resume: bool = False) -> list[Event]:
    folder = weights.parent / "runs" / config.name
    return list(finetune.finetune(config, folder, weights / "bknet", resume=resume))


def config_for(data: Path, **more: object) -> FinetuneConfig:
    return FinetuneConfig(name="child", data=str(data), **{"epochs": 4, **more})  # type: ignore[arg-type]


def chances_of(folder: Path, images: torch.Tensor) -> dict[str, np.ndarray]:
    network, loaded = checkpoint.load(folder)
    with torch.inference_mode():
        return predictions(network(images), loaded)


@pytest.mark.parametrize("how", ["branch", "last", "all"])
def test_a_new_task_is_learned_and_the_others_are_kept(how: str, glasses: Path, weights: Path) -> None:
    events = run(config_for(glasses, how=how, epochs=12), weights)
    last = events[-1]
    assert isinstance(last, Finished) or (isinstance(last, Stopped) and last.code == "no_better_epoch")
    folder = weights.parent / "runs" / "child"
    outcome = json.loads((folder / "outcome.json").read_text())
    assert sum(outcome["counts"].values()) == 60
    measured = 60 if how == "branch" else outcome["counts"]["held"]
    assert outcome["tasks"]["glasses"]["before"] is None and outcome["tasks"]["glasses"]["n"] == measured
    assert outcome["tasks"]["glasses"]["folds"] == (splits.FOLDS if how == "branch" else 0)
    assert np.sum(outcome["tasks"]["glasses"]["confusion_after"]) == measured
    assert set(outcome["changed"]) == {"age", "gender", "smile"}
    images = torch.randn(9, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    before, after = chances_of(weights / "bknet", images), chances_of(folder, images)
    assert set(after) == {"age", "gender", "smile", "glasses"}
    moved = {task: float(np.abs(before[task] - after[task]).max()) for task in before}
    if how == "branch":
        assert outcome["tasks"]["glasses"]["after"] > 0.8
        assert set(moved.values()) == {0.0}, "to the last bit"
        assert set(outcome["changed"].values()) == {0.0}
        assert wording.outcome(**outcome).endswith("newly learned. Age, gender and smile unchanged.")
    else:
        assert 0 < max(moved.values()) < 0.2


def test_tasks_that_are_not_taught_are_guarded_by_the_parents_answers(weights: Path) -> None:
    """They stand beside labels, as any teacher's do: uncalibrated, for every picture, in place of labels that nobody gave."""
    network, parent = checkpoint.load(weights / "bknet")
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    samples = [Sample(str(row), {"smile": "smiling"}) for row in range(12)]
    crops = cache.Crops(images, np.ones(12, np.int16), np.zeros((12, 4)))
    data = Labelled([(samples, crops, np.arange(12))], parent.tasks)
    hot = {"gender": dataclasses.replace(parent.calibration_of("gender"), temperature=3.0)}
    further._distil(network, data, dataclasses.replace(parent, calibration=hot), {"smile"}, "cpu")
    assert set(data.answers) == {"age", "gender"} and not data.known["gender"].any()
    with torch.inference_mode():
        plain = predictions(network(to_tensor(images, parent.crop)), dataclasses.replace(parent, calibration={}))
    assert np.allclose(data.answers["gender"].numpy(), plain["gender"], atol=1e-5)


@pytest.mark.parametrize("how", ["branch", "last"])
@pytest.mark.parametrize(
    ("more", "kept"),
    [({"separate": True}, 2**30), ({"leaves": {"smile": "block6"}}, 2**30), ({"leaves": {"smile": "block6"}}, 0)],
)
def test_a_trunk_per_task_or_an_early_map_is_fine_tuned_too(
    how: str, more: dict[str, Any], kept: int, glasses: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the features of a frozen trunk are too many to be kept."""
    options = {"size_px": 16, "channels": 1, **more}
    parent = Card("bknet", options, tuple(TASKS.values()), crop=CropSettings(**{**bknet.INPUT, "size_px": 16}))
    checkpoint.save(weights / "bknet", checkpoint.build_network(parent), parent)
    monkeypatch.setattr(further, "FEATURES_BYTES", kept)
    assert not any(isinstance(event, Failed) for event in run(config_for(glasses, how=how, epochs=8), weights))
    outcome = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())
    images = torch.randn(9, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    before, after = chances_of(weights / "bknet", images), chances_of(weights.parent / "runs" / "child", images)
    moved = {task: float(np.abs(before[task] - after[task]).max()) for task in before}
    way = card.read_card(weights.parent / "runs" / "child").training.get("way", 1)  # 0: the learning was taken back
    assert (set(moved.values()) == {0.0}) is (how == "branch" or way == 0)
    assert outcome["tasks"]["glasses"]["after"] > 0.8
    old, new = (
        checkpoint.load(folder)[0].state_dict() for folder in (weights / "bknet", weights.parent / "runs" / "child")
    )
    early = [name for name in old if ".blocks.0.weight" in name]
    assert len(early) == (3 if "separate" in more else 1) and all(torch.equal(old[name], new[name]) for name in early)


def pictures_start(weights: Path, **more: Any) -> None:
    """A parent without a task, which reads whole pictures."""
    options = {"size_px": 16, "channels": 1}
    crop = CropSettings(**{**bknet.INPUT, "size_px": 16})
    parent = Card("bknet", options, (), DetectionSettings("whole"), crop, subject="picture", flip_averaging=True)
    checkpoint.save(weights / "bknet", checkpoint.build_network(parent), parent)


@pytest.mark.parametrize("how", ["branch", "last", "all"])
def test_whole_pictures_are_taught_from_a_start_without_a_task(
    how: str, glasses: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_look_at", REAL_LOOK)
    pictures_start(weights)
    events = run(config_for(glasses, how=how, epochs=12), weights)
    assert not [event for event in events if isinstance(event, Noted) and "face" in wording.of(event).lower()]
    outcome = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())
    assert outcome["tasks"]["glasses"]["after"] > 0.8 and outcome["changed"] == {}
    child = card.read_card(weights.parent / "runs" / "child")
    assert child.subject == "picture" and child.detection.detector == "whole" and child.flip_averaging
    assert not [limit for limit in child.limits if "face" in limit.lower()]


def test_pictures_that_forbid_their_mirror_image_are_never_mirrored(
    glasses: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_look_at", REAL_LOOK)
    pictures_start(weights)
    monkeypatch.setattr(torch.Tensor, "flip", lambda *_: pytest.fail("a mirror image"))
    run(config_for(glasses, no_mirror=True), weights)
    child = card.read_card(weights.parent / "runs" / "child")
    assert child.crop.mirror is False and child.flip_averaging is False


def test_labels_that_were_exchanged_are_the_first_suspects(glasses: Path, weights: Path) -> None:
    wrong = {f"glasses/without/{number}.png" for number in (11, 31, 51)}
    for file in wrong:
        (glasses / file.replace("without", "with")).rename(glasses / file)
    run(config_for(glasses), weights)
    suspects = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())["suspects"]
    assert {one["file"] for one in suspects[:3]} == wrong
    assert all((one["label"], one["likelier"]) == ("without", "with") for one in suspects[:3])
    runs.accept(weights.parent / "runs" / "child")
    assert ".png" not in (weights.parent / "runs" / "child" / "outcome.json").read_text()


def test_labels_at_random_are_said_to_be_no_better_than_guessing(tmp_path: Path, weights: Path) -> None:
    words = np.random.default_rng(4).permutation(["yes", "no"] * 25)
    for number, word in enumerate(words):
        save(tmp_path / "data" / "luck" / str(word) / f"{number}.png", 0, number)
    run(config_for(tmp_path / "data"), weights)
    outcome = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())
    assert outcome["tasks"]["luck"]["guess"] == 0.5 and outcome["tasks"]["luck"]["beats_guess"] is False
    assert "no better than guessing, which gives 50 %." in wording.outcome(**outcome)


def test_a_declared_test_is_what_a_fit_is_measured_on_and_is_not_learned_from(tmp_path: Path, weights: Path) -> None:
    for number in range(60):
        part, word = ("train", "valid", "test")[number // 2 % 3], "rose" if number % 2 else "daisy"
        save(tmp_path / "data" / part / word / f"{number}.png", 0, number)
    run(config_for(tmp_path / "data", task="flower", layout="folders"), weights)
    child = weights.parent / "runs" / "child"
    outcome = json.loads((child / "outcome.json").read_text())
    assert outcome["counts"] == {"train": 40, "val": 0, "held": 20}
    assert outcome["tasks"]["flower"]["n"] == 20 and outcome["tasks"]["flower"]["folds"] == 0
    held = {cache.short_digest(path) for path in (tmp_path / "data" / "test").rglob("*.png")}
    assert len(held) == 20 and not held & set(card.read_card(child).taught)


@pytest.mark.parametrize("how", ["branch", "last"])
def test_a_run_that_is_asked_to_stop_while_it_fits_leaves_nothing(how: str, glasses: Path, weights: Path) -> None:
    folder = weights.parent / "runs" / "child"

    def ask(stage: Stage, done: int, total: int) -> None:
        if stage == Stage.FEATURES:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / runs.STOP).touch()

    events = list(finetune.finetune(config_for(glasses, how=how), folder, weights / "bknet", progress=ask))
    assert isinstance(events[-1], Stopped) and not (folder / card.CARD).exists()


def test_a_learning_that_spoils_what_was_there_is_taken_back(glasses: Path, weights: Path) -> None:
    """The weights between start and end are kept whose error on val is least: here those of the start."""
    events = run(config_for(glasses, how="all", learning_rate=0.03), weights)
    assert Noted("kept_on_the_way", {"percent": 0}) in events
    child, loaded = checkpoint.load(weights.parent / "runs" / "child")
    parent, _ = checkpoint.load(weights / "bknet")
    assert loaded.training["way"] == 0
    assert all(torch.equal(child.state_dict()[name], tensor) for name, tensor in parent.state_dict().items())
    outcome = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())
    assert outcome["tasks"]["glasses"]["after"] > 0.8 and set(outcome["changed"].values()) == {0.0}


def test_further_learning_starts_from_the_fitted_branch(glasses: Path, weights: Path) -> None:
    """A learning that hardly moves anything is as good as the fit."""
    run(config_for(glasses, how="last", epochs=1, learning_rate=1e-9), weights)
    outcome = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())
    assert outcome["tasks"]["glasses"]["after"] > 0.8


def test_a_known_task_is_compared_with_the_parent_on_pictures_used_for_nothing_else(
    tmp_path: Path, weights: Path
) -> None:
    for number in range(60):
        save(
            tmp_path / "data" / "smile" / ("yes" if number % 2 else "no") / f"{number}.png", 150 * (number % 2), number
        )
    run(config_for(tmp_path / "data", epochs=20), weights)
    outcome = json.loads((weights.parent / "runs" / "child" / "outcome.json").read_text())
    smile = outcome["tasks"]["smile"]
    assert smile["new"] is False and 0 <= smile["before"] <= 1
    low, high = smile["difference"]
    assert low <= smile["after"] - smile["before"] <= high
    assert 0 <= smile["interval"][0] < smile["after"] <= smile["interval"][1] <= 1
    shown = outcome["pictures"]["better"] + outcome["pictures"]["worse"]
    assert all(one["before"] != one["after"] for one in shown)
    assert all(one["truth"] == one["after"] for one in outcome["pictures"]["better"])
    flipped = round((smile["after"] - smile["before"]) * smile["n"])
    assert len(outcome["pictures"]["better"]) - len(outcome["pictures"]["worse"]) == min(flipped, compare.SHOWN)


def test_ages_that_no_picture_shows_are_named_as_a_risk(tmp_path: Path, weights: Path) -> None:
    """Who is shown old faces alone learns that people are old; the held-out ones are old as well."""
    for number in range(30):
        save(tmp_path / "data" / "age" / f"{58 + number % 3}" / f"{number}.png", 70 * (number % 3), number)
    events = run(config_for(tmp_path / "data"), weights)
    (risk,) = (event for event in events if isinstance(event, Noted) and event.code == "unshown")
    assert risk.values == {"title": "Age", "groups": ["1-13", "14-23", "24-39", "40-55"], "subject": "face"}
    child = weights.parent / "runs" / "child"
    assert json.loads((child / "outcome.json").read_text())["unshown"] == [risk.values]
    assert wording.of(risk) in card.read_card(child).limits


def test_a_killed_run_resumes_to_the_same_weights(glasses: Path, weights: Path, tmp_path: Path) -> None:
    run(config_for(glasses, how="last"), weights)
    whole = (tmp_path / "runs" / "child" / "model.safetensors").read_bytes()
    other = dataclasses.replace(config_for(glasses, how="last"), name="killed")
    stream = finetune.finetune(other, tmp_path / "runs" / "killed", weights / "bknet")
    for event in stream:
        if getattr(event, "epoch", 0) == 2:
            break
    stream.close()  # type: ignore[attr-defined]
    run(other, weights, resume=True)
    assert (tmp_path / "runs" / "killed" / "model.safetensors").read_bytes() == whole


def test_copies_of_one_picture_stay_in_one_part_and_each_label_is_in_all(glasses: Path) -> None:
    for number in range(0, 60, 3):
        word = "with" if number % 2 else "without"
        original = glasses / "glasses" / word / f"{number}.png"
        (original.parent / f"copy{number}.png").write_bytes(original.read_bytes())
    source = layouts.read(str(glasses))
    parts = splits.part_of(source.samples, source.tasks, 0, silent)
    where = {Path(one.path).stem: part for one, part in zip(source.samples, parts.tolist(), strict=True)}
    assert all(where[f"copy{number}"] == where[str(number)] for number in range(0, 60, 3))
    for part in ("train", "val", "test"):
        words = {one.labels["glasses"] for one, mine in zip(source.samples, parts, strict=True) if mine == part}
        assert words == {"with", "without"}, part
    again = splits.part_of(source.samples, source.tasks, 0, silent)
    assert (parts == again).all()


def test_pictures_of_one_person_stay_in_one_part(tmp_path: Path) -> None:
    lines = ["file,smile,person"]
    for number in range(40):
        save(tmp_path / f"{number}.png", 0, number)
        lines.append(f"{number}.png,{'yes' if number % 2 else 'no'},{number // 4}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    source = layouts.read(str(tmp_path))
    parts = splits.part_of(source.samples, source.tasks, 0, silent)
    people: dict[str, set] = {}
    for one, part in zip(source.samples, parts.tolist(), strict=True):
        people.setdefault(one.person, set()).add(part)
    assert all(len(found) == 1 for found in people.values())


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "val", "test"), {"train": 20, "val": 20, "test": 20}),
        (("train", "valid", "Testing"), {"train": 20, "val": 20, "test": 20}),
        (("train", "test"), {"train": 26, "val": 4, "test": 30}),
        (("train",), {"train": 39, "val": 9, "test": 12}),
        (("red", "test"), {"train": 26, "val": 4, "test": 30}),
    ],
)
def test_parts_that_the_visitor_made_are_kept(tmp_path: Path, folders: tuple[str, ...], parts: dict[str, int]) -> None:
    for number in range(60):
        word = "rose" if number % 4 < 2 else "daisy"
        save(tmp_path / folders[number % len(folders)] / word / f"{number}.png", 0, number)
    source = layouts.read(f"folders:{tmp_path}", {"task": "flower"})
    found = splits.part_of(source.samples, source.tasks, 0, silent)
    assert all(abs(int((found == one).sum()) - count) <= 1 for one, count in parts.items())
    named = [one.split if one.declared else "" for one in source.samples]
    assert all(mine == given for given, mine in zip(named, found.tolist(), strict=True) if given in ("val", "test"))


def test_the_split_that_a_list_declares_is_kept_and_its_copies_are_not_learned_from(
    tmp_path: Path, weights: Path
) -> None:
    """Else the figure of the held-out pictures would be one of pictures learned from."""
    lines = ["file,smile,split,person"]
    for number in range(60):
        save(tmp_path / "data" / f"{number}.png", 0, 7 if number in (10, 50) else 100 + number)
        split, person = "test" if number >= 45 else "train", "anna" if number in (20, 55) else ""
        lines.append(f"{number}.png,{'yes' if number % 2 else 'no'},{split},{person}")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(lines))
    source = layouts.read(str(tmp_path / "data"))
    chosen = splits.part_of(source.samples, source.tasks, 0, silent).tolist()
    parts = dict(zip((sample.file for sample in source.samples), chosen, strict=True))
    assert {file for file, part in parts.items() if part == "test"} == {f"{number}.png" for number in range(45, 60)}
    assert {file for file, part in parts.items() if part == splits.LEFT_OUT} == {"10.png", "20.png"}
    assert "val" in parts.values()
    events = run(config_for(tmp_path / "data"), weights)
    assert Noted("splits_kept") in events and Noted("leaks_left_out", {"count": 2}) in events


def test_pictures_of_many_labels_are_parted_so_that_each_can_be_learned(tmp_path: Path) -> None:
    """As corrections are: each with one label or two, of three tasks."""
    random = np.random.default_rng(0)
    words = {"age": [str(age) for age in range(5, 80, 5)], "gender": ["female", "male"], "smile": ["no", "yes"]}
    for trial in range(20):
        lines = ["file,age,gender,smile"]
        for number in range(36):
            tasks = random.choice([*words], size=random.integers(1, 3), replace=False)
            lines.append(
                ",".join([f"{number}.png", *(str(random.choice(words[one])) if one in tasks else "" for one in words)])
            )
            if not trial:
                save(tmp_path / f"{number}.png", 0, number)
        (tmp_path / "labels.csv").write_text("\n".join(lines))
        source = layouts.read(str(tmp_path))
        samples, alone = source.samples, [[row] for row in range(len(source.samples))]
        rows = splits._allot(samples, source.tasks, alone, splits.SHARES, trial)
        crops, none = cache.Crops(np.zeros((0, 1, 1, 3)), np.zeros(0), np.zeros((0, 4))), np.zeros(0, int)
        parts = {part: ([samples[one] for one in some], crops, none) for part, some in rows.items()}
        splits.check_parts(parts, set(words))  # raises DataError where one cannot
        assert sorted(one for some in rows.values() for one in some) == list(range(len(samples)))


def test_pictures_without_a_face_are_left_out_and_said(glasses: Path, weights: Path) -> None:
    save(glasses / "glasses" / "with" / "faceless.png", 150, 99)
    (glasses / "glasses" / "with" / "broken.png").write_bytes(b"no picture")
    events = run(config_for(glasses), weights)
    for code in ("faceless_left_out", "unreadable_left_out"):
        assert Noted(code, {"count": 1, "total": 62}) in events


@pytest.mark.parametrize(
    ("files", "more", "code"),
    [
        (["glasses/with/faceless%d.png", "glasses/without/faceless%d.png"], {}, "no_face"),
        (["smile/yes/%d.png"], {}, "one_class"),
        (["smile/yes/%d.png", "smile/no/%d.png"], {"tasks": "smiel"}, "usage"),
    ],
)
def test_what_cannot_be_learned_gets_a_sentence(
    files: list[str], more: dict, code: str, tmp_path: Path, weights: Path
) -> None:
    for place, file in enumerate(files):
        for number in range(10):
            save(tmp_path / "data" / (file % number), 50 * place, number + 100 * place)
    with refused(code):
        run(config_for(tmp_path / "data", **more), weights)


def test_too_few_pictures_get_a_sentence(tmp_path: Path, weights: Path) -> None:
    for number in range(4):
        save(tmp_path / "data" / "smile" / ("yes" if number % 2 else "no") / f"{number}.png", 0, number)
    with refused("too_few_taught", DataError):
        run(config_for(tmp_path / "data"), weights)


def test_classes_that_the_parent_does_not_know_are_refused(tmp_path: Path, glasses: Path, weights: Path) -> None:
    run(config_for(glasses), weights)
    for number in range(20):
        save(tmp_path / "more" / "glasses" / ("round" if number % 2 else "square") / f"{number}.png", 0, number)
    child = FinetuneConfig(name="grandchild", data=str(tmp_path / "more"))
    with refused("other_classes", DataError):
        list(finetune.finetune(child, tmp_path / "runs" / "grandchild", tmp_path / "runs" / "child"))


def test_a_child_can_be_taught_further(glasses: Path, weights: Path, tmp_path: Path) -> None:
    run(config_for(glasses), weights)
    for number in range(40):
        save(
            tmp_path / "hats" / "hat" / ("yes" if number % 2 else "no") / f"{number}.png",
            150 * (number % 2),
            number + 99,
        )
    child = FinetuneConfig(name="grandchild", data=str(tmp_path / "hats"), epochs=3)
    list(finetune.finetune(child, tmp_path / "runs" / "grandchild", tmp_path / "runs" / "child"))
    _, loaded = checkpoint.load(tmp_path / "runs" / "grandchild")
    assert [task.name for task in loaded.tasks] == ["age", "gender", "smile", "glasses", "hat"]
    assert loaded.parent == "child"
    assert set(checkpoint.load(tmp_path / "runs" / "child")[1].taught) < set(loaded.taught)


def test_evaluating_leaves_out_what_was_taught_and_stopped_by(glasses: Path, weights: Path, tmp_path: Path) -> None:
    """Fine-tuning parts a folder for itself; a layout's own draw of train, val and test knows nothing of that."""
    run(config_for(glasses, how="last"), weights)
    network, loaded = checkpoint.load(tmp_path / "runs" / "child")
    counts = json.loads((tmp_path / "runs" / "child" / "outcome.json").read_text())["counts"]
    assert len(loaded.taught) == counts["train"] + counts["val"] == 48 and {len(one) for one in loaded.taught} == {16}
    notes: list[Noted] = []
    measured = 0
    for split in ("train", "val", "test"):
        with contextlib.suppress(DataError):
            measured += evaluate(network, loaded, f"folders:{glasses}", split, note=notes.append)["n"]
    assert measured == counts["held"] and {note.code for note in notes} == {"taught_left_out"}
    for path in glasses.rglob("*.png"):
        if cache.short_digest(path) not in loaded.taught:
            path.unlink()
    with refused("all_taught", DataError):
        evaluate(network, loaded, f"folders:{glasses}", "train")


def test_a_loss_that_overflows_ends_with_its_task_and_leaves_no_checkpoint(
    glasses: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = kinds.named("classes").losses
    monkeypatch.setitem(
        losses, "cross_entropy", lambda output, target, known: output.sum() * (math.nan if known.any() else 0)
    )
    events = run(config_for(glasses, how="last"), weights)
    assert isinstance(events[-1], Failed) and events[-1].values["task"] == "glasses"
    assert not (weights.parent / "runs" / "child" / "card.json").exists()


# The command -------------------------------------------------------------------------------------------------------


def command(weights: Path, *words: str) -> int:
    places = ("--weights", str(weights), "--runs", str(weights.parent / "runs"), "--device", "cpu")
    return cli.main(["finetune", *words, "--epochs", "3", *places])


def test_the_command_accepts_by_itself_and_says_what_it_brought(glasses: Path, weights: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in weights.rglob("*") if path.is_file()}
    file = tmp_path / "found.json"
    assert command(weights, str(glasses), "--name", "new", "--from", "bknet", "--json", str(file)) == 0
    found = json.loads(file.read_text())
    assert set(found) == {"checkpoint", "seconds", "tasks", "changed", "cv", "suspects", "curve"}
    assert found["cv"]["glasses"]["folds"] == splits.FOLDS and found["cv"]["glasses"]["n"] == 60
    low, high = found["cv"]["glasses"]["interval"]
    assert low <= found["tasks"]["glasses"]["after"] <= high
    counts, figures = zip(*found["curve"]["glasses"]["curve"], strict=True)
    assert counts == (15, 30, 60) and figures[-1] <= found["curve"]["glasses"]["twice"] <= 1
    assert set(found["tasks"]["glasses"]) == {"metric", "before", "after", "difference"}
    assert list(list_checkpoints(weights, tmp_path / "runs")) == ["bknet", "new"]
    left = {path.name for path in (tmp_path / "runs" / "new").iterdir()}
    assert left == {"card.json", "model.safetensors", "events.jsonl", "outcome.json", "run.json"}
    assert {path: path.read_bytes() for path in weights.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "elsewhere").exists(), "a visitor's faces are kept beside the run alone, and go with it"
    assert glasses.is_dir() and ".png" not in (tmp_path / "runs" / "new" / "outcome.json").read_text()


def test_a_pending_checkpoint_is_listed_after_it_was_accepted(glasses: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "new").mkdir(parents=True)  # as the page does
    assert command(weights, str(glasses), "--name", "new", "--pending") == 0
    assert command(weights, str(glasses), "--name", "new", "--pending", "--resume") == 0
    assert list(list_checkpoints(weights, tmp_path / "runs")) == ["bknet"]
    runs.accept(tmp_path / "runs" / "new")
    assert list(list_checkpoints(weights, tmp_path / "runs")) == ["bknet", "new"]


def test_a_taken_name_is_exit_2_and_touches_nothing(
    glasses: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("bknet", "mine"):
        (tmp_path / "runs" / "mine").mkdir(parents=True, exist_ok=True)
        assert command(weights, str(glasses), "--name", name) == 2
        assert "taken" in capsys.readouterr().err
    assert not list((tmp_path / "runs" / "mine").iterdir())


def test_a_run_that_is_at_work_or_unfinished_is_named(
    glasses: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    words, look, codes = (str(glasses), "--name", "new"), cache._look_at, []

    def second(*given: Any) -> Any:
        """Started while the first one looks for faces."""
        codes.extend([command(weights, *words, *more) for more in ((), ("--resume",), ("--pending",))])
        return look(*given)

    monkeypatch.setattr(cache, "_look_at", second)
    assert command(weights, *words, "--pending") == 0 and codes == [2, 2, 2]
    said = capsys.readouterr().err
    assert said.count("Another program is at work on 'new'") == 2
    assert said.count("is taken. Choose another with --name, or go on with that run by --resume") == 1


def test_an_answer_that_cannot_be_written_is_told_before_and_costs_no_checkpoint(
    glasses: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert command(weights, str(glasses), "--name", "new", "--json", str(tmp_path)) == 2
    assert command(weights, str(glasses), "--name", "new", "--json", str(tmp_path / "file" / "a.json")) == 2
    assert not (tmp_path / "runs" / "new").exists()
    place, look = tmp_path / "place", cache._look_at
    place.mkdir()

    def spoil(*given: Any) -> Any:
        place.rmdir()
        place.touch()
        return look(*given)

    monkeypatch.setattr(cache, "_look_at", spoil)
    assert command(weights, str(glasses), "--name", "new", "--json", str(place / "a.json")) == 1
    assert list(list_checkpoints(weights, tmp_path / "runs")) == ["bknet", "new"]


def test_a_run_that_could_not_begin_leaves_the_name_free(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save(tmp_path / "data" / "smile" / "yes" / "a.png", 0, 0)
    save(tmp_path / "data" / "smile" / "no" / "b.png", 0, 1)
    assert command(weights, str(tmp_path / "data"), "--name", "new") == 2
    assert "too few" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "new").exists()


def test_a_zip_and_a_csv_are_taken_too(glasses: Path, weights: Path, tmp_path: Path) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "upload"), "zip", glasses)
    assert command(weights, archive, "--name", "zipped") == 0
    assert not (tmp_path / "runs" / "zipped" / "data").exists()
    rows = [f"{path.relative_to(glasses)},{path.parent.name}" for path in sorted(glasses.rglob("*.png"))]
    (glasses / "labels.csv").write_text("file,glasses\n" + "\n".join(rows), encoding="utf-8")
    assert command(weights, str(glasses / "labels.csv"), "--name", "listed") == 0
    assert list(list_checkpoints(weights, tmp_path / "runs")) == ["bknet", "listed", "zipped"]


@pytest.mark.parametrize("how", further.RECIPES)
def test_the_time_is_estimated_and_grows_with_the_pictures(how: str, weights: Path) -> None:
    loaded = card.read_card(weights / "bknet")
    few, many = (finetune.estimate_seconds(loaded, how, count) for count in (50, 5000))
    assert 0 < few < many
