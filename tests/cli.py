"""The command line in a test, with a small checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from mtl_model import checkpoint
from mtl_model.card import Card, CropSettings
from mtl_model.cli import main
from mtl_model.tasks import TASKS


def write_weights(folder: Path, name: str = "bknet", seed: int = 0) -> Path:
    """Write a checkpoint that was never trained into a folder of checkpoints."""
    torch.manual_seed(seed)
    card = Card("bknet", {"size_px": 16, "hidden": 8}, tuple(TASKS.values()), crop=CropSettings(size_px=16))
    checkpoint.save(folder / name, checkpoint.build_network(card), card)
    return folder


def run(weights: Path, *words: object) -> int:
    return main([str(word) for word in (*words, "--weights", weights)])
