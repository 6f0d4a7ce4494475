"""Charts are written as PNG files that show something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model.errors import UsageError
from mtl_model.evaluate import charts
from mtl_model.tasks import TASKS

pytest.importorskip("matplotlib")

RECORD = {
    "source": "made",
    "split": "test",
    "curves": {
        "smile": {
            "classes": ["not smiling", "smiling"],
            "confusion": [[40, 10], [0, 0]],
            "calibration": [[0.6, 0.5, 25], [0.9, 1.0, 25]],
        },
        "age": {"errors": [["0-9", 3.0, 4.0, 10], ["10-19", -2.0, 5.0, 20]]},
    },
}


def test_each_task_gets_its_charts(tmp_path: Path) -> None:
    files = charts.evaluation_charts(RECORD, TASKS.values(), tmp_path)
    assert [file.name for file in files] == [
        "made-test-smile-confusion.png",
        "made-test-smile-calibration.png",
        "made-test-age-errors.png",
    ]
    files.append(charts.count_chart({"female": 3, "male": 5}, "gender", tmp_path / "deep" / "counts.png"))
    for file in files:
        picture = np.asarray(Image.open(file).convert("RGB"))
        assert picture.std() > 5 and min(picture.shape[:2]) > 100


def test_without_matplotlib_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install matplotlib"):
        charts.count_chart({"one": 1}, "title", tmp_path / "counts.png")


@pytest.mark.parametrize("task", ["../../up", "a/b", "a\0b", "x" * 300, "日" * 300, "\x1b[2J"])
def test_no_name_of_a_task_leads_elsewhere(tmp_path: Path, task: str) -> None:
    file = charts.count_chart({"a": 3, "b": 5}, "counts", charts.chart_file(tmp_path, "csv", task))
    assert [path.name for path in tmp_path.iterdir()] == [file.name] and file.name.startswith("csv-")


def test_a_training_is_drawn_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curves = {"age": {"loss": [3.0, 2.0], "error": [9.0, 8.0]}, "smile": {"loss": [0.7, 0.5], "error": [0.4, 0.2]}}
    files = [
        charts.training_chart(curves, {"age": "age, years", "smile": "smile, wrong"}, tmp_path / str(n) / "x.svg")
        for n in (1, 2)
    ]
    first, second = (file.read_text(encoding="utf-8") for file in files)
    assert first == second and first.count("<svg") == 1
