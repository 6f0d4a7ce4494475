"""Work that nobody waits for any more is told to stop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from mtl_model.errors import PictureError
from mtl_model.ui.faces.requests import Asked, answered


class Visitor:
    """A request whose sender goes after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def is_disconnected(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def work(asked: Asked) -> str:
    """Take ten seconds, unless told to stop."""
    if asked.stop.wait(10):
        raise PictureError("It was stopped.")
    return "done"


def test_what_nobody_waits_for_is_stopped() -> None:
    request: Any = Visitor(looks=1)
    started = time.monotonic()
    with pytest.raises(PictureError, match="stopped"):
        asyncio.run(answered(request, Asked(b"", "a.jpg", "", "", None), work))
    assert time.monotonic() - started < 9


def test_what_somebody_waits_for_is_answered() -> None:
    request: Any = Visitor(looks=1000)
    asked = Asked(b"", "a.jpg", "", "", None)
    assert asyncio.run(answered(request, asked, lambda asked: asked.name)) == "a.jpg"
    assert not asked.stop.is_set()
