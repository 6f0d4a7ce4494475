"""What tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_model import card, runs
from tests.cli import write_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes time is a failure of the test."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("the command worked before it looked at where it would write")

    monkeypatch.setattr("mtl_model.predictor.Predictor.load", work)
    monkeypatch.setattr("mtl_model.checkpoint.load", work)
    monkeypatch.setattr("mtl_model.layouts.read", work)
    monkeypatch.setattr(runs, "claimed", work)
    monkeypatch.setattr(card, "list_checkpoints", lambda *_: {"bknet": Path("bknet")})
