"""The list of checkpoints, and a card brought to the newest format."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mtl_model import card, kinds
from tests.cli import run, write_weights


@pytest.mark.parametrize(("version", "said"), [(1, "written in format 2"), (2, "already of format 2")])
def test_a_card_is_brought_to_the_newest_format(tmp_path: Path, capsys, version: int, said: str):
    folder = write_weights(tmp_path / "weights") / "bknet"
    plain = json.loads((folder / card.CARD).read_text(encoding="utf-8"))
    numbers = dataclasses.asdict(kinds.named("years").Calibration(1.5, 0.8, 0.5))
    plain = {
        **plain,
        "format": version,
        "calibration": {"age": numbers, "smile": dataclasses.asdict(kinds.named("classes").Calibration(2.0, 0.7))},
    }
    (folder / card.CARD).write_text(json.dumps(plain), encoding="utf-8")
    assert run(tmp_path / "weights", "models", "--rewrite", "bknet", "--runs", tmp_path) == 0
    assert said in capsys.readouterr().err
    assert json.loads((folder / card.CARD).read_text(encoding="utf-8")) == {**plain, "format": 2}


def test_a_checkpoint_that_is_not_there_is_a_sentence(tmp_path: Path, capsys):
    assert run(write_weights(tmp_path / "weights"), "models", "--rewrite", "bknit", "--runs", tmp_path) != 0
    assert "bknet" in capsys.readouterr().err
