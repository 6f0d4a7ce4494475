"""Networks, each in a file of its own, found through `registry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from mtl_model.networks._parts import FINAL as FINAL
from mtl_model.networks._parts import TAPPED as TAPPED
from mtl_model.networks._parts import folded as folded

if TYPE_CHECKING:
    from torch import nn


class NetworkModule(Protocol):
    INPUT: Mapping[str, Any]
    """The crop it is made for, as keywords of card.CropSettings."""

    LATE: str
    """The stage from which a branch leaves that is added to a trained trunk: one that still knows of everything in a face."""
    LAST_BLOCK: int
    """Index in trunk.blocks from which its last block begins; what is before can be left as it is in fine-tuning."""

    def build(self, heads: Mapping[str, Callable[[int], nn.Module]], **options: Any) -> nn.Module:
        """Build a network from images float32 (B, C, S, S) to {task: logits (B, width)}, as a MultiTaskNet. heads: {task: number
        of features -> the last layer of its branch}, as `inference.heads` makes them.

        Its `taps` are {stage: width} of the stages worth taking features from, its `tap(images)` {stage: features (B, width)}. It
        is also built under torch.device("meta"), where tensors have a shape and no values. options: channels and size_px of the
        images; leaves, {task: stage}, for tasks that do not leave from the end; separate, a trunk per task."""
        ...
