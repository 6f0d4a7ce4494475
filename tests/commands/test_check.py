"""The check of a data set: report and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model.cli import main


def test_a_list_with_named_columns_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    random = np.random.default_rng(0)
    for number in range(24):
        Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    for name, numbers in (("train", range(20)), ("val", (20, 21)), ("test", (22, 23))):
        lines = [f"{number}.png, {number % 2}, {number % 3 if number % 4 else ''}" for number in numbers]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
    main(["check", f"list:{tmp_path}", "--no-faces", "--columns", "kind=rose|daisy,colour=red|pink|white"])
    shown = capsys.readouterr().out
    assert "kind: rose 12, daisy 12" in shown and "not labelled 6" in shown


def test_check_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    random, picture = np.random.default_rng(0), Image.new("RGB", (1, 1))
    for number in range(40):
        picture = Image.fromarray(random.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        picture.save(tmp_path / f"{number + 10}_{number % 2}_0_{number}.png")
    picture.save(tmp_path / "70_1_0_copy1.png")
    picture.save(tmp_path / "71_1_0_99.png")
    words = ["check", str(tmp_path), "--no-faces", "--json", str(tmp_path / "report" / "r.json")]
    assert main(words) == 1
    report = json.loads((tmp_path / "report" / "r.json").read_text())
    assert (
        report["kind"] == "utkface"
        and report["verdict"] == "usable with warnings"
        and len(report["exact"]["groups"]) == 1
    )
    assert "usable with warnings" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main(["check", f"utkface:{tmp_path / 'empty'}", "--no-faces"]) == 2
