"""Who is answered live by a checkpoint that waits to be kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mtl_model import runs
from mtl_model.card import CARD, PENDING, WEIGHTS, shipped_weights
from mtl_model.errors import CheckpointError
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.tabs import webcam
from mtl_model.ui.teach.teaching import Record


@pytest.mark.parametrize(
    ("name", "learned", "read_only", "answers"),
    [
        ("bknet", True, True, True),
        ("hats", True, False, True),
        ("hats", True, True, False),
        ("hats", False, False, False),
        ("../hats", True, False, False),
        ("nobody", True, False, False),
    ],
)
def test_a_checkpoint_that_waits_answers_where_teach_is(
    tmp_path: Path, name: str, learned: bool, read_only: bool, answers: bool
) -> None:
    record = Record("hats", parent="bknet")
    folder = runs.begin(tmp_path / "runs", "hats", {PENDING: None, runs.TEACH: record.to_json()})
    if learned:
        for file in (CARD, WEIGHTS):
            shutil.copy(shipped_weights() / "bknet" / file, folder)
        (folder / runs.OUTCOME).write_text(json.dumps({"parent": "bknet", "how": "branch", "sentence": "Hat."}))
    options = UiOptions(weights=shipped_weights(), runs=tmp_path / "runs", checkpoint="bknet", read_only=read_only)
    shared = Shared(options, Models(options), Access(options))
    if answers:
        assert webcam.load(shared, name).name == name
        assert webcam.load(shared, name) is webcam.load(shared, name), "it is loaded once"
    else:
        with pytest.raises(CheckpointError):
            webcam.load(shared, name)
