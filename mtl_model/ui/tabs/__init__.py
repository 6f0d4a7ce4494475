"""The tabs of the page, each in a file of its own, found through `registry` and shown in the order of ORDER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mtl_model.ui.shared import Shared


class Tab(Protocol):
    TITLE: str
    """The word on the tab."""
    ORDER: int
    """Tabs are sorted by it, smallest first."""
    PUBLIC: bool
    """Whether --read-only shows it; one that changes anything must not be public."""

    def build(self, shared: Shared) -> None:
        """Add the tab's components to the Blocks being built, and its routes to shared.routes."""
        ...
