"""The mean of a run's best epoch and its last moving average, written over the best: python -m benchmarks.average RUN

RUN: folder of a run that ended, with state.pt. Two places of one path often lie on either side of a better one (Wortsman et al.,
"Model soups", 2022, section 2); try on val which is better before it is shipped, and calibrate it anew.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from mtl_model import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    folder = parser.parse_args().run
    network, card = checkpoint.load(folder)
    last = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)["average"]
    with torch.no_grad():
        for name, value in network.state_dict().items():  # the network's own tensors
            if value.is_floating_point():
                value.copy_((value.float() + last[f"module.{name}"].float()) / 2)
    training = {**card.training, "averaged": "the mean of the best epoch's weights and the last ones"}
    checkpoint.save(folder, network, dataclasses.replace(card, training=training))


if __name__ == "__main__":
    main()
