"""The mean of several places of one path of weights: python -m benchmarks.average NEW FROM FROM [FROM ...]

NEW: folder of the checkpoint to write. FROM: folder of a checkpoint, a file of its weights alone (.safetensors), or a run's
state.pt, whose last moving average is taken; the first is a folder, and its card is kept. One given twice weighs twice. The mean
of places that a rate keeps moving between often lies lower than each of them (Izmailov et al., "Averaging Weights Leads to Wider
Optima", 2018, section 3), and so does that of several runs that began at the same place (Wortsman et al., "Model soups", 2022).
Measure each on val, `python -m benchmarks.generation`, before one is shipped, and calibrate that one anew.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file

from mtl_model import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("sources", type=Path, nargs="+", metavar="FROM")
    arguments = parser.parse_args()
    network, card = checkpoint.load(arguments.sources[0])
    training = {name: value for name, value in card.training.items() if name != "val_errors"}  # those of one place
    places, names = [], [str(arguments.new)]
    for source in arguments.sources:
        if source.is_dir():
            places.append(checkpoint.load(source)[0].state_dict())
        elif source.suffix == ".safetensors":
            places.append(load_file(source))
        else:
            state = torch.load(source, map_location="cpu", weights_only=True)
            places.append({name.removeprefix("module."): value for name, value in state["average"].items()})
            training |= {"step": state["step"], "seconds": round(state["seconds"]), "epoch": training["epochs"]}
        names.append(str(source))
    for name, value in network.state_dict().items():  # the network's own tensors
        if value.is_floating_point():
            value.copy_(torch.stack([place[name].float() for place in places]).mean(0))
    training["command"] += f" && python -m benchmarks.average {' '.join(names)}"
    checkpoint.save(arguments.new, network, dataclasses.replace(card, training=training))


if __name__ == "__main__":
    main()
