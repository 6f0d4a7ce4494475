"""A network on disk: model.safetensors (float16) and the card that says what it is; read whole, or refused."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import nn

from mtl_model import kinds, registry
from mtl_model.card import CARD, WEIGHTS, Card, read_card, to_text
from mtl_model.errors import CheckpointError, MtlError, disk_text
from mtl_model.inference import heads, widths

LARGEST_HEADER = 4 * 2**20  # bytes of the list of tensors: tens of thousands of them
ADVICE = "Copy the whole folder again, or choose another checkpoint."


def build_network(card: Card, device: str = "cpu") -> nn.Module:
    """An untrained network of the card's shape; on the device "meta" one of shapes alone, which takes no memory.

    Raises CheckpointError for one that cannot be built here."""
    try:
        for task in card.tasks:
            kinds.check_task(task)
        build = registry.load("networks", card.network).build
        with torch.device(device):
            return build(heads(card.tasks), **card.network_options)
    except MtlError as error:
        raise CheckpointError(str(error)) from None
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError) as error:
        raise CheckpointError(
            f"Network {card.network:.60} cannot be built from the card ({error!s:.200}). {ADVICE}"
        ) from None


def _half(tensor: torch.Tensor) -> torch.Tensor:
    """float16, unless a value is too large for it."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.to(torch.float16)
    return half if bool(half.isfinite().all()) or not bool(tensor.isfinite().all()) else tensor.float()


def save(folder: Path, network: nn.Module, card: Card) -> Card:
    """Write weights and card. Returns the card as written, with sum and size of the weights.

    Both are written to temporary names before either takes its place, so a full disk leaves an older checkpoint whole.
    Raises CheckpointError where the folder cannot be written."""
    tensors = {name: _half(tensor.detach().cpu()).contiguous() for name, tensor in network.state_dict().items()}
    content = dump_tensors(tensors)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    card = dataclasses.replace(card, weights_sha256=hashlib.sha256(content).hexdigest(), parameters=parameters)
    parts = {folder / WEIGHTS: content, folder / CARD: to_text(card).encode()}
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in parts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, part in parts.items():
            temporary[path].write_bytes(part)
        (folder / CARD).unlink(missing_ok=True)  # while the two do not belong together, there is no checkpoint here
        for path in parts:  # the card last: its presence says that the checkpoint is whole
            os.replace(temporary[path], path)
    except OSError as error:
        raise CheckpointError(disk_text(f"The checkpoint '{folder.name}' could not be written", error)) from None
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    return card


def check_shapes(folder: Path, card: Card) -> None:
    """Hold what the card asks for against the list of tensors in the file of weights, before there is made room for either: the
    options of a network can ask for any amount. Raises CheckpointError."""
    path = folder / WEIGHTS
    try:
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > LARGEST_HEADER:
                raise SafetensorError("its list of tensors is too long")
        with safe_open(path, "pt") as tensors:
            held = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The {WEIGHTS} of '{folder.name}' is cut off or no such file ({error!s:.200}). {ADVICE}"
        ) from None
    asked = {name: tuple(one.shape) for name, one in build_network(card, "meta").state_dict().items()}
    for name in asked | held:
        if asked.get(name) != held.get(name):
            raise CheckpointError(
                f"The {WEIGHTS} of '{folder.name}' do not fit its card ({name} has the shape {held.get(name)}, the card asks for "
                f"{asked.get(name)}). {ADVICE}"
            )


def load(folder: Path, device: str = "cpu") -> tuple[nn.Module, Card]:
    """The network, ready to predict, and its card. Raises CheckpointError; an untrained network is never returned."""
    card = read_card(folder)
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError:
        raise CheckpointError(f"'{folder.name}' is no checkpoint: {WEIGHTS} is missing. {ADVICE}") from None
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise CheckpointError(
            f"The {WEIGHTS} of '{folder.name}' is cut off or is not the one its card was written for "
            f"(their sums differ). {ADVICE}"
        )
    network = build_network(card)
    try:
        tensors = load_tensors(content)
        _check_finite(folder, tensors)
        network.load_state_dict(
            {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        )
    except (SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"The {WEIGHTS} of '{folder.name}' do not fit its card ({first}). {ADVICE}") from None
    network = network.to(device).eval()
    _try(network, card, device, folder.name)
    return network, card


def _check_finite(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"The {WEIGHTS} of '{folder.name}' holds values in {name} that are not numbers (NaN or infinite), as a training "
                f"that went wrong leaves them. Expected numbers alone. {ADVICE}"
            )


@torch.inference_mode()
def _try(network: nn.Module, card: Card, device: str, name: str) -> None:
    """One black crop of the card's shape must give an answer a task of the task's width."""
    side, channels = card.crop.size_px, 1 if card.crop.grey else 3
    try:
        answers = network(torch.zeros(1, channels, side, side, device=device))
        found = {task: tuple(answer.shape) for task, answer in answers.items()}
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The network of '{name}' cannot take the crops of its card ({error!s:.200}). {ADVICE}"
        ) from None
    if found != {task: (1, width) for task, width in widths(card.tasks).items()}:
        raise CheckpointError(
            f"The network of '{name}' gives {found}, which does not fit the tasks of its card. {ADVICE}"
        )
