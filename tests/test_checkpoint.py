"""A checkpoint is whole or refused: never an untrained network, never another one's weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mtl_model import checkpoint
from mtl_model.card import CARD, WEIGHTS, Card, CropSettings
from mtl_model.errors import CheckpointError
from mtl_model.kinds import Calibration
from mtl_model.tasks import TASKS

OPTIONS = {"hidden": 8, "size_px": 16}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    card = Card(
        "bknet",
        OPTIONS,
        tuple(TASKS.values()),
        crop=CropSettings(size_px=16),
        calibration={"smile": Calibration(1.5, 0.8)},
    )
    checkpoint.save(tmp_path / "one", checkpoint.build_network(card), card)
    return tmp_path / "one"


def test_what_is_saved_comes_back_to_the_precision_of_the_file(folder: Path) -> None:
    network, card = checkpoint.load(folder)
    assert all(one.dtype in (torch.float16, torch.int64) for one in load_file(folder / WEIGHTS).values())
    assert card.parameters == sum(one.numel() for one in network.parameters())
    assert card.calibration_of("smile") == Calibration(1.5, 0.8)
    again = checkpoint.save(folder.parent / "two", network, card)
    assert again.weights_sha256 == card.weights_sha256  # nothing more is lost
    assert not network.training
    assert {task: one.shape[1] for task, one in network(torch.zeros(2, 1, 16, 16)).items()} == {
        "age": 101,
        "gender": 2,
        "smile": 2,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_numbers_are_refused(folder: Path, value: float) -> None:
    network, card = checkpoint.load(folder)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = value
    checkpoint.save(folder, network, card)
    with pytest.raises(CheckpointError, match="not numbers .* Expected numbers alone"):
        checkpoint.load(folder)


def cut_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def other_weights(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1
    save_file(tensors, folder / WEIGHTS)


def edit_card(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        plain = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**plain, **changes}))

    return edit


def edit_task(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        plain = json.loads((folder / CARD).read_text())
        plain["tasks"]["smile"] |= changes
        (folder / CARD).write_text(json.dumps(plain))

    return edit


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut_weights, "cut off"),
        (other_weights, "not the one its card was written for"),
        (lambda folder: (folder / WEIGHTS).unlink(), f"{WEIGHTS} is missing"),
        (lambda folder: (folder / CARD).unlink(), f"{CARD} is missing"),
        (lambda folder: (folder / CARD).write_text("{"), "not JSON"),
        (edit_card(format=99), "format 99"),
        (edit_card(network="bknt"), "Did you mean 'bknet'"),
        (edit_card(network_options={**OPTIONS, "depth": 3}), "cannot be built"),
        (edit_card(network_options={**OPTIONS, "hidden": 9}), "do not fit"),
        (edit_card(network_options={**OPTIONS, "hidden": -1}), "cannot be built"),
        (
            edit_card(crop={"size_px": 32, "grey": True, "margin": 0, "mean": [0.5], "std": [0.25]}),
            "cannot take the crops",
        ),
        (
            edit_card(crop={"size_px": 16, "grey": False, "margin": 0, "mean": [0.5], "std": [0.25]}),
            "one number a channel",
        ),
        (edit_task(kind="colours"), "Unknown kind of task smile 'colours'"),
        (edit_task(loss="cross_entrpy"), "Did you mean 'cross_entropy'"),
    ],
)
def test_a_spoilt_checkpoint_is_refused_with_a_sentence(
    folder: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(folder)
    with pytest.raises(CheckpointError, match=says):
        checkpoint.load(folder)


@pytest.mark.parametrize("full_after", [0, 1])
def test_a_full_disk_leaves_the_older_checkpoint_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, full_after: int
) -> None:
    network, card = checkpoint.load(folder)
    write, written = Path.write_bytes, []

    def fill(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) > full_after:
            write(path, content[:10])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    with pytest.raises(CheckpointError, match="No space left.*make room"):
        checkpoint.save(folder, network, card)
    assert checkpoint.load(folder)[1].weights_sha256 == card.weights_sha256
    assert sorted(path.name for path in folder.iterdir()) == [CARD, WEIGHTS]


def test_a_card_cannot_name_a_module(folder: Path) -> None:
    edit_card(network="../../os")(folder)
    with pytest.raises(CheckpointError, match="Unknown network"):
        checkpoint.load(folder)


def test_a_number_too_large_for_half_precision_is_kept(folder: Path) -> None:
    network, card = checkpoint.load(folder)
    name = next(name for name, _ in network.named_buffers() if name.endswith("running_var"))
    network.get_buffer(name).fill_(1e6)
    checkpoint.save(folder, network, dataclasses.replace(card))
    assert checkpoint.load(folder)[0].get_buffer(name).max() == 1e6
