"""What `calibrate` refuses before it works."""

from __future__ import annotations

import pytest

from mtl_model.cli import main


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("text", ["fold", "fold=faces", "=utkface:faces"])
def test_a_set_left_out_comes_with_a_checkpoint(text: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["calibrate", "bknet", "--source", "utkface:.", "--left-out", text]) == 2
    assert f"--left-out '{text}' cannot be read" in capsys.readouterr().err
