"""The loop: it learns, it touches only what a batch teaches, it can be stopped, killed and resumed."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import accelerate
import numpy as np
import pytest
import torch
from PIL import Image

from mtl_model import checkpoint, kinds
from mtl_model.card import Card, list_checkpoints
from mtl_model.config import TrainConfig
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.errors import DataError, MtlError, RunError, UsageError
from mtl_model.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Noted,
    Saved,
    Started,
    Step,
    Stopped,
    from_line,
    to_line,
)
from mtl_model.kinds import _named
from mtl_model.networks import bknet
from mtl_model.records import Sample
from mtl_model.tasks import TASKS
from mtl_model.train import loop, optimisation
from mtl_model.train.loop import Run, train
from mtl_model.train.optimisation import learning_rate
from mtl_model.train.prepare import prepare
from mtl_model.train.selection import errors_on, score_of

REAL_LOOK = cache._look_at


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of 16 px, crops in a cache of the test's own; the detector sees nothing, so crops are whole pictures."""
    monkeypatch.setitem(bknet.INPUT, "size_px", 16)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_look_at", lambda paths, settings, detector: dict.fromkeys(paths, ()))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Pictures whose brightness is the age and whose left half tells the gender; smiles whose top row tells them."""
    noise = np.random.default_rng(0)
    faces, smiles = tmp_path / "utkface", tmp_path / "smile"
    faces.mkdir()
    for number in range(60):
        age, gender = (number * 37) % 90 + 5, number % 2
        picture = noise.integers(0, 30, (24, 24, 3)) + age * 2
        picture[:, :12] += 40 * gender
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(faces / f"{age}_{gender}_0_{number}.png")
    for number in range(30):
        folder = smiles / "smile" / ("yes" if number % 2 else "no")
        folder.mkdir(parents=True, exist_ok=True)
        picture = noise.integers(0, 60, (24, 24, 3))
        picture[:8] += 150 * (number % 2)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return TrainConfig(
        name="small", source=(f"utkface:{faces}", f"folders:{smiles}"), epochs=3, batch_size=16, warmup_steps=2,
        learning_rate=2e-3, augmentation=0.5, ema=0.9, keep_copies=True,
    )  # fmt: skip


def run_all(config: TrainConfig, folder: Path, resume: bool = False) -> list[Event]:
    return list(train(config, folder, resume=resume))


def test_a_run_says_what_it_does_and_leaves_a_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    events = run_all(config, tmp_path / "runs" / "small")
    (started,) = [one for one in events if isinstance(one, Started)]
    assert sum(one["pictures"] for one in started.counts.values()) == sum(
        sum(v for k, v in one.items() if k in ("age", "smile")) for one in started.counts.values()
    )
    assert len([one for one in events if isinstance(one, Evaluated)]) == 3
    assert isinstance(events[-1], Finished) and events[-1].step == started.steps
    assert any(isinstance(one, Step) for one in events)
    assert {one.kind for one in events if isinstance(one, Saved)} == {"state", "checkpoint"}
    assert list(list_checkpoints(tmp_path / "none", tmp_path / "runs")) == ["small"]
    _, card = checkpoint.load(tmp_path / "runs" / "small")
    assert [task.name for task in card.tasks] == ["age", "gender", "smile"]
    assert card.training["command"].startswith("python -m mtl_model train --name small --source utkface:DATA/utkface")
    assert str(tmp_path) not in str(card.training)
    assert set(card.calibration) == {"age", "gender", "smile"}


def test_a_run_cuts_as_it_is_told_and_its_card_says_so(config: TrainConfig, tmp_path: Path) -> None:
    run_all(dataclasses.replace(config, epochs=1, upright=True, margin=0.2), tmp_path / "run")
    _, card = checkpoint.load(tmp_path / "run")
    assert card.crop.upright and card.crop.margin == 0.2
    assert " --margin 0.2 --upright " in card.training["command"]


def test_it_learns(config: TrainConfig, tmp_path: Path) -> None:
    events = run_all(dataclasses.replace(config, epochs=30, augmentation=0.0), tmp_path / "run")
    last = [one for one in events if isinstance(one, Evaluated)][-1].metrics
    assert last["smile"]["accuracy"] == 1.0
    assert last["age"]["mae"] < 15


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / loop.STATE, weights_only=True)
    return {**state["network"], **{f"average.{name}": one for name, one in state["average"].items()}}


def test_a_killed_run_resumed_ends_with_the_weights_of_one_that_was_not(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left in the middle of an epoch at random steps, with augmentation and dropout on; state after every step."""
    run_all(config, tmp_path / "whole")
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    for number in range(3):
        stream = train(config, tmp_path / "parts", resume=number > 0)
        saved, wanted = 0, random.Random(number).randint(1, 4)
        for event in stream:
            saved += isinstance(event, Saved) and event.kind == "state"
            if saved == wanted:
                break
        del stream
        torch.manual_seed(number)  # what else the process draws must not matter
    events = run_all(config, tmp_path / "parts", resume=True)
    assert isinstance(events[-1], Finished)
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name


def test_a_teacher_teaches_beside_the_labels_and_the_run_resumes_exactly(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher is asked about each augmented crop, so that nothing of it has to be kept; another one is refused."""
    config = dataclasses.replace(config, epochs=2, teacher="teacher", teacher_weight=2.0)
    plain = dataclasses.replace(config, teacher="", teacher_weight=1.0)
    for name, seed in (("teacher", 5), ("other", 6)):
        run_all(dataclasses.replace(plain, epochs=1, seed=seed), tmp_path / name)

    def taught(name: str, by: str = "teacher", resume: bool = False) -> Iterator[Event]:
        return train(config, tmp_path / name, teachers=[tmp_path / by], resume=resume)

    events = list(taught("whole"))
    (note,) = (one for one in events if isinstance(one, Noted) and one.code == "teacher")
    assert (note.values["teacher"], note.values["tasks"]) == ("teacher", ["age", "gender", "smile"])
    steps = [one.losses for one in events if isinstance(one, Step)]
    assert steps and set(steps[-1]) == {"age", "gender", "smile"}
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    for event in (stream := taught("parts")):
        if isinstance(event, Saved) and event.step == 3:
            break
    del stream
    with pytest.raises(UsageError, match="or other teachers"):
        list(taught("parts", by="other", resume=True))
    list(taught("parts", resume=True))
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    run_all(plain, tmp_path / "alone")
    assert not torch.equal(weights_of(tmp_path / "alone")["trunk.blocks.0.weight"], whole["trunk.blocks.0.weight"])


def test_what_nobody_labelled_is_learned_from_a_teacher_alone(config: TrainConfig, tmp_path: Path) -> None:
    """Smiles are labelled in one source; in batches of the other a teacher's answers move their branch all the same."""
    run_all(dataclasses.replace(config, epochs=1), tmp_path / "teacher")
    config = dataclasses.replace(config, mix="utkface=1,folders=0", teacher="teacher")
    tasks = prepare(dataclasses.replace(config, mix="")).card.tasks
    data = prepare(dataclasses.replace(config, mix=""), teachers=[tmp_path / "teacher"])
    run = Run(dataclasses.replace(config, mix=""), tmp_path / "run", data, accelerate.Accelerator(cpu=True), None)
    run.batches.mix = {"utkface": 1.0}
    before = {name: one.clone() for name, one in run.bare.named_parameters()}
    batch = run.batches.load(run.batches.plans(0)[0], 0)
    assert batch.labelled["smile"] == 0 and batch.teaches("smile") and len(tasks) == 3
    fault, losses = run._take_step(batch)
    assert fault is None and losses["smile"] > 0
    moved = {name for name, one in run.bare.named_parameters() if not torch.equal(one, before[name])}
    assert any(name.startswith("branches.smile.") for name in moved)


def test_sigkill_at_three_random_steps_changes_nothing(config: TrainConfig, tmp_path: Path, root: Path) -> None:
    """Processes of their own, killed without warning: twice inside an epoch, with augmentation and dropout on."""
    environment = {**os.environ, "PYTHONPATH": str(root), "MTL_CACHE": str(tmp_path / "cache")}

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(root / "tests" / "killed_run.py"), str(tmp_path), str(tmp_path / name)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    whole = start("whole")
    steps = [int(line) for line in whole.communicate(timeout=300)[0].split()]
    assert whole.returncode == 0 and steps[-1] >= 12
    last = 0
    for lives in sorted(random.sample(range(1, steps[-1]), 3)):
        process = start("parts")
        assert process.stdout is not None
        for line in process.stdout:
            last = int(line)
            if last >= lives:
                break
        process.kill()
        process.communicate()
    parts = start("parts")
    resumed = [int(line) for line in parts.communicate(timeout=300)[0].split()]
    assert parts.returncode == 0 and last <= resumed[0] <= last + 2 and resumed[-1] == steps[-1]
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_seed_gives_other_weights(config: TrainConfig, tmp_path: Path) -> None:
    run_all(dataclasses.replace(config, epochs=1), tmp_path / "one")
    run_all(dataclasses.replace(config, epochs=1, seed=1), tmp_path / "other")
    one, other = weights_of(tmp_path / "one"), weights_of(tmp_path / "other")
    assert not torch.equal(one["trunk.blocks.0.weight"], other["trunk.blocks.0.weight"])


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_a_branch_rests_while_its_task_is_not_in_the_batch(config: TrainConfig, tmp_path: Path, optimiser: str) -> None:
    """Not even decay or momentum move it, though it has moved before."""
    config = dataclasses.replace(config, mode="alternate", optimiser=optimiser, weight_decay=0.1, learning_rate=1e-2)
    run = Run(config, tmp_path / "run", prepare(config), accelerate.Accelerator(cpu=True), None)
    for plan in run.batches.plans(0)[:6] * 2:
        before = {name: one.clone() for name, one in run.bare.named_parameters()}
        fault, losses = run._take_step(run.batches.load(plan, 0))
        assert fault is None and list(losses) == [plan.task]
        run.step += 1
        for name, one in run.bare.named_parameters():
            if name.startswith("branches."):
                rests = not name.startswith(f"branches.{plan.task}.")
                assert torch.equal(one, before[name]) == rests, name


def test_what_is_frozen_stays_with_its_batch_norm(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, freeze="trunk,branches.age", optimiser="sgd")
    run = Run(config, tmp_path / "run", prepare(config), accelerate.Accelerator(cpu=True), None)
    before = {name: one.clone() for name, one in run.bare.state_dict().items()}
    for plan in run.batches.plans(0)[:3]:
        run._take_step(run.batches.load(plan, 0))
        run.step += 1
    for name, one in run.bare.state_dict().items():
        rests = name.startswith(("trunk.", "branches.age."))
        assert torch.equal(one, before[name]) == rests, name
    with pytest.raises(UsageError, match="Did you mean 'trunk'"):
        Run(
            dataclasses.replace(config, freeze="trnk"),
            tmp_path,
            prepare(config),
            accelerate.Accelerator(cpu=True),
            None,
        )


def test_learned_weights_fall_for_the_larger_loss_and_survive_a_resume(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, weighting="learned", learning_rate=2e-2)
    run_all(config, tmp_path / "run")
    state = torch.load(tmp_path / "run" / loop.STATE, weights_only=True)
    age, gender, smile = state["log_variances"].tolist()
    assert age > gender and age > smile  # years cost more than classes: their weight exp(-s) falls
    (tmp_path / "other").mkdir()
    run = Run(config, tmp_path / "run", prepare(config), accelerate.Accelerator(cpu=True), None)
    run.restore(loop.read_state(config, tmp_path / "run"))
    assert [one.item() for one in run.log_variances] == [age, gender, smile]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_learned_weight_rests_while_its_task_is_not_in_the_batch(
    config: TrainConfig, tmp_path: Path, optimiser: str
) -> None:
    """Not even momentum moves it, though it has moved before."""
    config = dataclasses.replace(config, mode="alternate", weighting="learned", optimiser=optimiser, learning_rate=1e-2)
    run = Run(config, tmp_path / "run", prepare(config), accelerate.Accelerator(cpu=True), None)
    for plan in run.batches.plans(0)[:3] * 2:
        before = [one.item() for one in run.log_variances]
        run._take_step(run.batches.load(plan, 0))
        run.step += 1
        for task, was, one in zip(run.data.card.tasks, before, run.log_variances, strict=True):
            assert (one.item() == was) == (task.name != plan.task), task.name


def test_a_sum_of_logarithms_divides_the_gradient_of_each_task_by_its_loss(config: TrainConfig, tmp_path: Path) -> None:
    def step(**changes: str) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        chosen = dataclasses.replace(config, clip=0.0, optimiser="sgd", warmup_steps=0, **changes)  # type: ignore[arg-type]
        run = Run(chosen, tmp_path / "run", prepare(chosen), accelerate.Accelerator(cpu=True), None)
        _, losses = run._take_step(run.batches.load(run.batches.plans(0)[0], 0))
        return losses, run.bare.state_dict()

    losses, by_log = step(combine="log")
    weights = ",".join(f"{name}={1 / loss!r}" for name, loss in losses.items())
    _, by_weight = step(task_weights=weights)
    _, by_sum = step()
    assert len(losses) == 3
    assert all(torch.allclose(value, by_weight[name], atol=1e-6) for name, value in by_log.items())
    assert not all(torch.allclose(value, by_sum[name], atol=1e-6) for name, value in by_log.items())


def test_a_gradient_that_drowns_the_others_is_said(config: TrainConfig, tmp_path: Path) -> None:
    def told(weights: str) -> list[str]:
        events = run_all(dataclasses.replace(config, epochs=1, task_weights=weights), tmp_path / weights)
        return [one.values["task"] for one in events if isinstance(one, Noted) and one.code == "gradient_dominates"]

    assert told("age=0.1") == []
    assert told("age=1000") == ["age"]


def test_a_task_can_be_taught_by_another_loss(config: TrainConfig, tmp_path: Path) -> None:
    run_all(dataclasses.replace(config, losses="age=expected_error", epochs=1), tmp_path / "run")
    _, card = checkpoint.load(tmp_path / "run")
    assert [task.loss for task in card.tasks] == ["expected_error", "cross_entropy", "cross_entropy"]


@pytest.mark.parametrize(
    ("asked", "has", "used"), [("bf16", True, "bf16"), ("bf16", False, "float32"), ("float32", False, "float32")]
)
def test_a_processor_without_bf16_takes_float32_and_says_so(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, has: bool, used: str
) -> None:
    monkeypatch.setattr(optimisation, "_has_bf16", lambda: has)
    seen: set[torch.dtype] = set()
    convolution = torch.nn.Conv2d.forward

    def watched(module: torch.nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        answer = convolution(module, images)
        seen.update({answer.dtype} if module.training else ())
        return answer

    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    events = run_all(dataclasses.replace(config, precision=asked, epochs=1), tmp_path / "run")
    assert seen == {torch.bfloat16 if used == "bf16" else torch.float32}
    said = [one.values for one in events if isinstance(one, Noted) and one.code == "precision_replaced"]
    assert said == ([] if asked == used else [{"asked": asked, "used": used}])


def test_separate_trunks_share_nothing(config: TrainConfig, tmp_path: Path) -> None:
    """A step on one task leaves the trunks of the others as they are, and no gradient is said to drown those it never meets."""
    data = prepare(dataclasses.replace(config, mode="alternate"))
    card = dataclasses.replace(data.card, network_options={**data.card.network_options, "separate": True})
    config = dataclasses.replace(config, mode="alternate", task_weights="age=1000")
    run = Run(config, tmp_path / "run", dataclasses.replace(data, card=card), accelerate.Accelerator(cpu=True), None)
    for plan in run.batches.plans(0)[:3]:
        before = {name: one.clone() for name, one in run.bare.named_parameters()}
        run._take_step(run.batches.load(plan, 0))
        moved = {
            name.split(".")[2]
            for name, one in run.bare.named_parameters()
            if "columns" in name and not one.equal(before[name])
        }
        assert moved == {plan.task}
    assert not list(run._report_gradients())


def test_gradients_meet_at_the_last_layer_that_all_tasks_share(config: TrainConfig, tmp_path: Path) -> None:
    """Smile leaves after the second block: what it shares with the others ends there."""
    config = dataclasses.replace(config, leaves="smile=block13", task_weights="smile=1000")
    run = Run(config, tmp_path / "run", prepare(config), accelerate.Accelerator(cpu=True), None)
    weights = {
        number: layer.weight for number, layer in run.bare.trunk.blocks.named_children() if hasattr(layer, "weight")
    }
    asked: list[object] = []
    norm = torch.Tensor.norm
    shapes = {str(number): weight.shape for number, weight in weights.items() if weight.ndim > 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "norm", lambda gradient: asked.append(gradient.shape) or norm(gradient))
        run._take_step(run.batches.load(run.batches.plans(0)[0], 0))
    assert set(run._ratios) == {"age", "gender", "smile"} and all(run._ratios.values())
    assert asked == [shapes["10"]] * 3  # the last convolution before block 13
    (said,) = run._report_gradients()
    assert isinstance(said, Noted) and said.values["task"] == "smile"


def test_branches_leave_where_they_are_told_and_a_start_passes_it_on(config: TrainConfig, tmp_path: Path) -> None:
    run_all(dataclasses.replace(config, leaves="smile=block6", separate=True, epochs=1), tmp_path / "run")
    network, card = checkpoint.load(tmp_path / "run")
    assert card.network_options["leaves"] == {"smile": "block6"} and card.network_options["separate"]
    assert set(network.trunk.columns) == {"age", "gender", "smile"}  # type: ignore[union-attr]
    again = prepare(dataclasses.replace(config, tasks="smile,age", leaves="age=places"), start=tmp_path / "run").card
    assert again.network_options["leaves"] == {"smile": "block6", "age": "places"}
    assert prepare(dataclasses.replace(config, tasks="age"), start=tmp_path / "run").card.network_options["separate"]
    assert set(prepare(config).card.network_options) == {"size_px", "channels"}
    for leaves, said in (("smile=block999", "block999"), ("hat=final", "hat")):
        with pytest.raises(MtlError, match=said):
            prepare(dataclasses.replace(config, leaves=leaves))


def test_whole_pictures_are_trained_from_a_start_without_a_task(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_look_at", REAL_LOOK)
    start = Card("bknet", {"size_px": 16, "channels": 1}, (), terms="Apache-2.0", subject="picture")
    checkpoint.save(tmp_path / "start", checkpoint.build_network(start), start)
    config = dataclasses.replace(config, detector="whole", no_mirror=True)
    data = prepare(config, start=tmp_path / "start")
    assert data.card.subject == "picture" and not data.card.crop.mirror and data.card.terms == "Apache-2.0"
    assert data.train.faces.tolist() == [1] * len(data.train) and not [
        note for note in data.notes if note.code == "faces_found"
    ]
    assert prepare(dataclasses.replace(config, detector="mtcnn")).card.subject == "face"


def test_a_stop_file_stops_it_and_it_can_go_on(config: TrainConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / loop.STOP).touch()
    events = run_all(config, folder)
    assert isinstance(events[-1], Stopped) and events[-1].step == 1
    (folder / loop.STOP).unlink()
    assert isinstance(run_all(config, folder, resume=True)[-1], Finished)


def test_a_loss_that_overflows_names_its_task_and_keeps_the_best(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    epochs, last = 0, None
    for event in train(config, folder):
        epochs += isinstance(event, Evaluated)
        if epochs == 1 and isinstance(event, Saved) and event.kind == "state":
            monkeypatch.setitem(
                kinds.named("years").losses, "soft_years", lambda output, target, known: output.sum() * float("nan")
            )
        last = event
    assert isinstance(last, Failed) and (last.code, last.values["task"]) == ("loss_overflowed", "age")
    assert from_line(to_line(last)) == last, "JSON holds no number that is not finite"
    checkpoint.load(folder)  # the best so far is whole


def test_a_score_that_is_no_number_ends_a_run_and_keeps_the_best(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, float("nan")])
    monkeypatch.setattr(loop, "score_of", lambda *_: next(scores))
    events = list(train(config, str(tmp_path / "run")))  # a folder may be text
    assert isinstance(events[-1], Failed) and events[-1].code == "score_not_finite"
    assert (events[-1].values["score"], events[-1].values["epoch"]) == ("nan", 2)
    assert checkpoint.load(tmp_path / "run")[1].training["epoch"] == 1
    assert torch.load(tmp_path / "run" / loop.STATE, weights_only=True)["best"] == 0.5


def test_a_full_disk_ends_a_run_with_a_sentence_and_what_was_saved(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    write, count = Path.write_bytes, []

    def fill(path: Path, content: bytes) -> int:
        count.append(path)
        if len(count) > 2:  # the first best epoch's weights and card
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(RunError, match="No space left.*can be resumed"):
        run_all(dataclasses.replace(config, epochs=9), folder)
    monkeypatch.undo()
    assert checkpoint.load(folder)[1].training["epoch"] == 1
    assert torch.load(folder / loop.STATE, weights_only=True)["step"] > 0


def test_patience_ends_a_run_that_no_longer_improves(config: TrainConfig, tmp_path: Path) -> None:
    events = run_all(dataclasses.replace(config, epochs=12, learning_rate=1e-9, ema=0.0, patience=2), tmp_path / "run")
    assert any(
        isinstance(one, Stopped) and one.code == "no_better_epoch" and one.values["epochs"] == 2 for one in events
    )
    assert isinstance(events[-1], Finished)
    again = run_all(
        dataclasses.replace(config, epochs=12, learning_rate=1e-9, ema=0.0, patience=2), tmp_path / "run", True
    )
    assert again[-1] == events[-1] and not any(
        isinstance(one, Evaluated) for one in again
    )  # to resume it changes nothing


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mix": "utkface=1"}, "gives no share of folders"),
        ({"mix": "utkface=0,folders=0"}, "every source the share 0"),
        ({"select": "hair"}, "Unknown task to select by 'hair'"),
        ({"tasks": "smle"}, "Did you mean 'smile'"),
        ({"network": "bknett"}, "Did you mean 'bknet'"),
        ({"mix": "utkface=1,nobody=1"}, "Unknown source 'nobody'"),
        ({"task_weights": "age=many"}, "gives no number"),
        ({"mix": "folders=inf,utkface=1"}, "'folders=inf' gives no number"),
        ({"losses": "age=mean_varience"}, "Did you mean 'mean_variance'"),
        ({"losses": "smile=soft_years"}, "Unknown loss of smile 'soft_years'. Known: cross_entropy"),
        ({"losses": "hair=cross_entropy"}, "Unknown task 'hair'"),
        ({"source": ()}, "No --source"),
        ({"detector": "mtccn"}, "Did you mean 'mtcnn'"),
        ({"sizes": "32,48"}, "bknet takes crops of 16 px alone"),
        ({"reach": "trun=5"}, "Did you mean 'turn'"),
        ({"network_options": "dropuot=0.1"}, "Did you mean 'dropout'"),
    ],
)
def test_wrong_settings_get_a_sentence(config: TrainConfig, tmp_path: Path, changes: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run_all(dataclasses.replace(config, **changes), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task_weights": "agee=1"}, "Unknown task 'agee'. Did you mean 'age'"),
        ({"select": "agee"}, "Did you mean 'age'"),
        ({"freeze": "trnk"}, "Did you mean 'trunk'"),
        ({"mix": "csvv=1"}, "Unknown source 'csvv'"),
        ({"network": "lite0"}, "another network"),
    ],
)
def test_a_wrong_name_is_told_before_faces_are_looked_for(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, says: str
) -> None:
    run_all(dataclasses.replace(config, epochs=1), tmp_path / "parent")
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr(cache, "_look_at", lambda *_: pytest.fail("looked for faces"))
    with pytest.raises(UsageError, match=says):
        list(train(dataclasses.replace(config, **changes), tmp_path / "run", start=tmp_path / "parent"))
    with pytest.raises(RunError, match="no state.pt"):
        run_all(config, tmp_path / "run", resume=True)


def listed(folder: Path, header: str, row: Callable[[int, str], str]) -> str:
    """A source of 30 pictures; row: its labels, by the number and the split of a picture."""
    folder.mkdir()
    lines = [f"file,split,{header}"]
    for number in range(30):
        split = "train" if number < 18 else "val" if number < 24 else "test"
        Image.new("RGB", (24, 24), (number, 9, 9)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{split},{row(number, split)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return f"csv:{folder}"


def test_a_task_without_a_label_to_learn_from_gets_no_branch(config: TrainConfig, tmp_path: Path) -> None:
    def row(number: int, split: str) -> str:
        hat, scarf = f"hat{number % 2}" if split == "test" else "", f"scarf{number % 2}" if split == "train" else ""
        return f"{number},{hat},{scarf}"

    config = dataclasses.replace(config, source=(listed(tmp_path / "set", "age,hat,scarf", row),), epochs=1)
    said = run_all(config, tmp_path / "run")
    assert Noted("task_not_learned", {"task": "hat"}) in said
    assert Noted("task_without_val", {"task": "scarf"}) in said
    _, card = checkpoint.load(tmp_path / "run")
    assert [task.name for task in card.tasks] == ["age", "scarf"] and set(card.calibration) == {"age"}
    assert any("scarf" in one for one in card.training["notes"])
    with pytest.raises(UsageError, match="--tasks names hat, and no training picture"):
        prepare(dataclasses.replace(config, tasks="age,hat"))


def test_a_source_without_a_share_teaches_nothing_and_counts_nowhere(config: TrainConfig) -> None:
    config = dataclasses.replace(config, mix="utkface=1,folders=0")
    data = prepare(config)
    assert [task.name for task in data.card.tasks] == ["age", "gender"]
    assert set(data.train.counts()) == {"utkface"} == set(data.val.counts())
    assert Noted("task_not_learned", {"task": "smile"}) in data.notes
    with pytest.raises(UsageError, match="--tasks names smile"):
        prepare(dataclasses.replace(config, tasks="age,smile"))


def test_a_state_of_other_settings_or_none_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no state.pt to go on from"):
        run_all(config, tmp_path / "run", resume=True)
    run_all(dataclasses.replace(config, epochs=1), tmp_path / "run")
    state = torch.load(tmp_path / "run" / loop.STATE, weights_only=True)
    del state["config"]["detector"]  # as a version wrote it that had no such setting
    torch.save(state, tmp_path / "run" / loop.STATE)
    run_all(dataclasses.replace(config, epochs=1), tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="other settings of: seed"):
        run_all(dataclasses.replace(config, epochs=1, seed=4), tmp_path / "run", resume=True)
    (tmp_path / "run" / loop.STATE).write_bytes(b"cut off")
    with pytest.raises(RunError, match="cannot be read"):
        run_all(dataclasses.replace(config, epochs=1), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("words", "count", "says"),
    [
        (("rose", "tulip", "daisy"), 30, "other classes of kind"),
        (("rose", "daisy"), 30, "other classes of kind"),
        (("rose", "tulip"), 28, "other pictures, labels or splits"),
        (("tulip", "rose"), 30, "other pictures, labels or splits"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(
    config: TrainConfig, tmp_path: Path, words: tuple[str, ...], count: int, says: str
) -> None:
    source = listed(tmp_path / "set", "kind", lambda number, _: ("rose", "tulip")[number % 2])
    config = dataclasses.replace(config, source=(source,), epochs=1)
    run_all(config, tmp_path / "run")
    run_all(config, tmp_path / "run", resume=True)
    file = tmp_path / "set" / "labels.csv"
    rows = [line.rsplit(",", 1)[0] for line in file.read_text().splitlines()]
    file.write_text(
        "\n".join(
            ["file,split,kind", *(f"{one},{words[n % len(words)]}" for n, one in enumerate(rows[30 - count + 1 :]))]
        )
    )
    with pytest.raises(UsageError, match=says):
        run_all(config, tmp_path / "run", resume=True)


def test_a_run_can_start_from_another_ones_weights(config: TrainConfig, tmp_path: Path) -> None:
    run_all(dataclasses.replace(config, epochs=1), tmp_path / "parent")
    config = dataclasses.replace(config, epochs=1, learning_rate=1e-9, ema=0.0)
    list(train(config, tmp_path / "child", start=tmp_path / "parent"))
    parent, child = (checkpoint.load(tmp_path / name) for name in ("parent", "child"))
    assert child[1].parent == "parent"
    for name, one in parent[0].named_parameters():
        assert torch.allclose(one, child[0].get_parameter(name), atol=1e-3), name


def test_a_branch_of_other_classes_starts_anew_and_that_is_said(config: TrainConfig, tmp_path: Path) -> None:
    """As many classes, so that the shapes agree."""

    def kinds(*words: str) -> TrainConfig:
        source = listed(tmp_path / words[0], "age,kind", lambda number, _: f"{number},{words[number % 2]}")
        return dataclasses.replace(config, source=(source,), epochs=1, learning_rate=1e-9, ema=0.0, seed=len(words[0]))

    run_all(kinds("rose", "tulip"), tmp_path / "parent")
    said = list(train(kinds("daisy", "tulip"), tmp_path / "child", start=tmp_path / "parent"))
    assert Noted("branch_anew", {"task": "kind", "start": "parent"}) in said
    parent, child = (checkpoint.load(tmp_path / name)[0].state_dict() for name in ("parent", "child"))
    matrices = [name for name, one in parent.items() if name.startswith("branches.") and one.ndim > 1]
    for name in matrices:
        assert torch.allclose(parent[name], child[name], atol=1e-3) == name.startswith("branches.age."), name


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = TrainConfig(warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0) and max(rates) == pytest.approx(1.0)
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[-1] < 0.02
    assert learning_rate(dataclasses.replace(config, schedule="constant"), 99, 100) == 1.0
    keras = dataclasses.replace(config, schedule="inverse", learning_rate=0.005, epochs=50, warmup_steps=0)
    assert learning_rate(keras, 0, 10**6) == 0.005
    assert learning_rate(keras, 10_000, 10**6) == pytest.approx(0.005 / 2)  # 1 + 10,000 x 0.005 / 50


def test_the_best_epoch_is_judged_by_each_tasks_own_start() -> None:
    reference = {"age": 20.0, "smile": 0.5}
    found = {"age": {"error": 10.0}, "smile": {"error": 0.1}}
    assert score_of(found, reference, "") == pytest.approx((0.5 + 0.8) / 2)
    assert score_of(found, reference, "smile") == pytest.approx(0.8)
    losses = {"age": {"error": 10.0, "loss": 3.0}, "smile": {"error": 0.1, "loss": 0.5}}
    assert score_of(losses, reference, "loss", {"age": 0.1, "smile": 2.0}) == pytest.approx(-1.3)
    assert score_of({"loss": {"error": 5.0}}, {"loss": 20.0}, "loss") == pytest.approx(0.75)  # a task of that name


def test_the_best_epoch_can_be_that_of_the_least_loss(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, select="loss", task_weights="age=0.1")
    events = [one for one in run_all(config, tmp_path / "run") if isinstance(one, Evaluated)]
    for event in events:
        total = sum({"age": 0.1}.get(task, 1.0) * figures["loss"] for task, figures in event.metrics.items())
        assert event.score == pytest.approx(-total, abs=1e-3)
    assert events[-1].best


def test_the_state_is_saved_every_so_many_steps(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, save_steps=2, epochs=1)
    saved = [one.step for one in run_all(config, tmp_path / "run") if isinstance(one, Saved) and one.kind == "state"]
    assert {2, 4} <= set(saved)


def test_a_copy_of_a_held_picture_is_left_out_of_training_across_sources(config: TrainConfig, tmp_path: Path) -> None:
    held, taught = tmp_path / "held", tmp_path / "taught"
    noise = np.random.default_rng(3)
    for folder, split in ((held, "test"), (taught, "train")):
        folder.mkdir()
        rows = ["file,split"]
        for number in range(6):
            name = f"{20 + number}_{number % 2}_0_{number}.png"
            pixels = noise.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            if split == "train" and number == 2:
                pixels = np.asarray(Image.open(held / "23_1_0_3.png"))  # under another name, in another set
            Image.fromarray(pixels).save(folder / name)
            rows.append(f"{name},{split}")
        (folder / "splits.csv").write_text("\n".join(rows))
    both = (f"utkface:{held}", f"utkface:{taught}")
    data = prepare(dataclasses.replace(config, source=both, keep_copies=False))
    assert sorted(Path(one.path).name[:2] for one in data.train.samples) == ["20", "21", "23", "24", "25"]
    assert Noted("copies_left_out", {"count": 1}) in data.notes
    counts = next(note.values["counts"] for note in data.notes if note.code == "faces_found")
    assert not any(counts.values()), "nor looked for in test"
    assert len(prepare(dataclasses.replace(config, source=both)).train) == 6


def test_faces_are_looked_for_only_in_the_share_that_is_used(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(cache, "_look_at", lambda paths, *_: looked.extend(paths) or dict.fromkeys(paths, ()))
    part = prepare(dataclasses.replace(config, fraction=0.25, seed=5))
    assert sorted(looked) == sorted(one.path for one in (*part.train.samples, *part.val.samples))
    whole = prepare(config)
    assert len(part.val) == len(whole.val) and 0 < len(part.train) <= len(whole.train) * 0.25 + 2
    again, other = (prepare(dataclasses.replace(config, fraction=0.25, seed=seed)) for seed in (5, 6))
    assert part.train.samples == again.train.samples != other.train.samples


def test_errors_of_an_epoch(config: TrainConfig) -> None:
    data = prepare(config).val
    chances = {task.name: np.full((len(data), len(task.classes)), 1 / len(task.classes)) for task in data.tasks}
    found = errors_on(data.tasks, chances, data)
    assert set(found) == {"age", "gender", "smile"}
    assert found["age"]["error"] == found["age"]["mae"] and found["smile"]["error"] == pytest.approx(np.log(2))


def test_of_many_pictures_the_share_of_wrong_answers_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_named, "FEW_CHOSEN", 3)
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])
    samples = [Sample(str(row), {"smile": "not smiling"}) for row in range(3)]
    data = Labelled(
        [
            (
                samples,
                cache.Crops(np.zeros((3, 16, 16, 3), np.uint8), np.ones(3, np.int16), np.zeros((3, 4))),
                np.arange(3),
            )
        ],
        (TASKS["smile"],),
    )
    assert errors_on(data.tasks, {"smile": chances}, data)["smile"]["error"] == pytest.approx(1 / 3)


def test_two_sources_have_to_mean_the_same_by_a_task(config: TrainConfig, tmp_path: Path) -> None:
    def folder(name: str, *words: str) -> str:
        for number, word in enumerate(words * 20):
            place = tmp_path / name / "glasses" / word
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 24), (number, 9, 9)).save(place / f"{number}.png")
        return f"folders:{tmp_path / name}"

    wide, narrow, other = (
        folder("wide", "no", "sun", "yes"),
        folder("narrow", "no", "yes"),
        folder("other", "with", "without"),
    )
    for both in ((wide, narrow), (narrow, wide)):
        assert prepare(dataclasses.replace(config, source=both)).train.tasks[0].classes == ("no", "sun", "yes")
    with pytest.raises(DataError, match="One source knows glasses as no, yes, another as with, without"):
        prepare(dataclasses.replace(config, source=(narrow, other)))


@pytest.mark.parametrize(("device", "chosen"), [("cpu", []), ("cuda", []), ("cuda:1", ["cuda:1"])])
def test_the_graphics_card_asked_for_is_used(monkeypatch: pytest.MonkeyPatch, device: str, chosen: list[str]) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", seen.append)
    loop.accelerator_on(device)
    assert seen == chosen
