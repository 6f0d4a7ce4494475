"""Run a network by torch, or exported to ONNX by ONNX Runtime or OpenVINO, which are quicker on a CPU.

An export is kept by the sum of the weights, so that it is made once; the packages are the extra `fast`.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from mtl_model.card import Card, to_text
from mtl_model.data.cache import default_root
from mtl_model.errors import RunError, UsageError, disk_text
from mtl_model.networks import folded

AUTO, TORCH = "auto", "torch"
RUNTIMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {TORCH: (), "onnx": ("onnxruntime",), "openvino": ("openvino",)}
)
"""Each with the packages that it needs."""
EXPORTING = ("onnx", "onnxscript")
NAMES = ", ".join((AUTO, *RUNTIMES))
INPUT = "images"
CARD = "mtl_model_card"
"""Key of the card's JSON in the properties of an ONNX file."""

Network = Callable[[Tensor], Mapping[str, Tensor]]


def installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


def chosen(runtime: str, card: Card, device: str) -> str:
    """Return the runtime that a name stands for: "auto" is ONNX Runtime where it is installed and the network was exported
    before, else torch.

    Raises UsageError for one that is not known, is not installed, or cannot be used on the device."""
    if runtime == AUTO:
        ready = device == "cpu" and installed(*RUNTIMES["onnx"]) and kept(card).is_file()
        return "onnx" if ready else TORCH
    if runtime not in RUNTIMES:
        raise UsageError(f"--runtime is '{runtime}'. Expected one of {NAMES}; choose one of these.")
    if runtime != TORCH and device != "cpu":
        raise UsageError(
            f"--runtime {runtime} is given with the device {device}. Expected --device cpu with it; leave one of them out."
        )
    require(runtime, RUNTIMES[runtime] if kept(card).is_file() else (*RUNTIMES[runtime], *EXPORTING))
    return runtime


def require(what: str, packages: tuple[str, ...] = EXPORTING) -> None:
    """Raise UsageError where one of the packages is not installed."""
    absent = [package for package in packages if not installed(package)]
    if absent:
        raise UsageError(
            f"{what} needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed. Run: pip install "
            f"{' '.join(absent)}, or: pip install '.[fast]'."
        )


def start(runtime: str, network: nn.Module, card: Card) -> Network:
    """Return what answers like the network: images float32 (N, C, S, S) -> {task: float32 (N, width)}. Exported where it has to
    be and was not before, which takes some seconds. It can be called from several threads. Raises RunError."""
    if runtime == TORCH:
        return folded(network)
    path = kept(card)
    if not path.is_file():
        content = to_onnx(network, card)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            raise RunError(disk_text("The exported network could not be kept", error)) from None
    return {"onnx": _by_onnxruntime, "openvino": _by_openvino}[runtime](path)


def kept(card: Card) -> Path:
    """Return where the export of a checkpoint's network is kept."""
    return default_root() / "onnx" / f"{card.weights_sha256}.onnx"


def to_onnx(network: nn.Module, card: Card) -> bytes:
    """Return an ONNX file: input `images`, float32 (N, C, S, S), standardised as card.crop says; an output per task, float32
    (N, width), not calibrated; the card as JSON among its properties.

    By the exporter that follows torch.export: the older one is wrong without a word where a pooling does not divide its map.
    Raises UsageError where the packages for it are not installed, RunError for a network that cannot be exported."""
    require("An export to ONNX")
    network = folded(network).cpu().eval()
    side, channels = card.crop.size_px, 1 if card.crop.grey else 3
    images = torch.rand(2, channels, side, side)  # two, as one would be taken for the only number there can be
    names = list(network(images))
    said = logging.getLogger("torch.onnx")
    level = said.level
    said.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (images,),
                input_names=[INPUT],
                output_names=names,
                dynamic_shapes=({0: torch.export.Dim("faces")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        program.model.metadata_props[CARD] = to_text(card)
        program.model.graph.name = card.network
        return program.model_proto.SerializeToString()
    except Exception as error:  # whatever the exporter raises
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"The network '{card.network}' could not be exported to ONNX ({first[0]:.200}). Expected one that torch.export "
            "can follow; run it by torch."
        ) from None
    finally:
        said.setLevel(level)


def _by_onnxruntime(path: Path) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the detector's threads want the cores
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(images: Tensor) -> Mapping[str, Tensor]:
        outputs = session.run(None, {INPUT: images.numpy()})
        return {name: torch.from_numpy(output) for name, output in zip(names, outputs, strict=True)}

    return answer


def _by_openvino(path: Path) -> Network:
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(str(path), "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"})

    def answer(images: Tensor) -> Mapping[str, Tensor]:
        outputs = compiled.create_infer_request().infer([images.numpy()])  # one of its own: threads share the network
        return {output.get_any_name(): torch.from_numpy(values.copy()) for output, values in outputs.items()}

    return answer
