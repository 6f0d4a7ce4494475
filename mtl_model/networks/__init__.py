"""Networks, each in a file of its own, found through `registry`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn


class NetworkModule(Protocol):
    INPUT: Mapping[str, Any]
    """The crop it is made for, as keywords of card.CropSettings."""

    def build(self, widths: Mapping[str, int], **options: Any) -> nn.Module:
        """A network from images float32 (B, C, S, S) to {task: logits (B, widths[task])}, as a MultiTaskNet."""
        ...
