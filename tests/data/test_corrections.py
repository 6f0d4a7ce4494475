"""Corrections: a data set that grows by one face at a time, by several people at once."""

from __future__ import annotations

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtl_model import card, layouts
from mtl_model.data import corrections
from mtl_model.errors import DataError, UsageError
from mtl_model.tasks import TASKS, class_task

FACE = np.arange(60 * 40 * 3, dtype=np.uint8).reshape(60, 40, 3)
GLASSES = class_task("glasses", ("with", "without"))


def rows(runs: Path) -> list[dict[str, str]]:
    with (runs / "corrections" / "labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_what_is_added_is_read_as_a_data_set(tmp_path: Path) -> None:
    corrections.add(tmp_path, FACE, {"age": "30-39", "gender": "male"})
    corrections.add(tmp_path, FACE, {"glasses": "with"})
    corrections.add(tmp_path, FACE, {"glasses": "without", "smile": "not smiling"})
    assert corrections.count(tmp_path) == 3
    source = layouts.read(str(corrections.folder(tmp_path)))
    assert source.kind == "csv" and not source.left_out
    expected = [
        {"age": (30.0, 39.0), "gender": "male"},
        {"glasses": "with"},
        {"glasses": "without", "smile": "not smiling"},
    ]
    assert [dict(sample.labels) for sample in source.samples] == expected
    with Image.open(source.samples[0].path) as image:
        assert image.size == (40, 60) and not image.getexif()


def test_one_is_taken_back_and_all_are_removed(tmp_path: Path) -> None:
    first, second = (corrections.add(tmp_path, FACE, {"age": age}) for age in ("30", "40"))
    corrections.remove(tmp_path, first)
    assert [row["age"] for row in rows(tmp_path)] == ["40"]
    assert [one.name for one in (tmp_path / "corrections" / "files").iterdir()] == [second]
    for stranger in ("", "other.jpg", "../labels.csv"):
        corrections.remove(tmp_path, stranger)
    assert corrections.count(tmp_path) == 1
    corrections.remove(tmp_path)
    assert corrections.count(tmp_path) == 0 and not corrections.folder(tmp_path).exists()
    corrections.remove(tmp_path, second)


def test_the_last_one_taken_back_leaves_nothing(tmp_path: Path) -> None:
    corrections.remove(tmp_path, corrections.add(tmp_path, FACE, {"age": "30"}))
    assert not corrections.folder(tmp_path).exists()


ADD = """
import sys, pathlib, numpy
from mtl_model.data import corrections
for age in range(10):
    corrections.add(pathlib.Path(sys.argv[1]), numpy.zeros((8, 8, 3), numpy.uint8), {"age": str(age)})
"""


def test_several_people_and_programs_at_once_lose_nothing(tmp_path: Path) -> None:
    others = [subprocess.Popen([sys.executable, "-c", ADD, str(tmp_path)]) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda number: corrections.add(tmp_path, FACE, {"age": str(number)}), range(30)))
    assert [other.wait(60) for other in others] == [0, 0]
    kept = rows(tmp_path)
    assert len(kept) == 50 and {f"files/{name}" for name in names} <= {row["file"] for row in kept}
    assert {one.name for one in corrections.folder(tmp_path).iterdir()} == {"files", "labels.csv"}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections.add(tmp_path, FACE, {"age": "30"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corrections, "write_text", full)
    with pytest.raises(DataError, match="No space left"):
        corrections.add(tmp_path, FACE, {"age": "40"})
    assert [row["age"] for row in rows(tmp_path)] == ["30"]
    assert len(list((corrections.folder(tmp_path) / "files").iterdir())) == 1


def test_rows_that_do_not_fit_are_said_and_kept(tmp_path: Path) -> None:
    corrections.add(tmp_path, FACE, {"age": "30"})
    labels = corrections.folder(tmp_path) / "labels.csv"
    labels.write_text(labels.read_text() + "files/x.jpg,1,2,3\n")
    with pytest.raises(DataError, match="does not fit its header"):
        corrections.add(tmp_path, FACE, {"age": "40"})
    assert labels.read_text().endswith("files/x.jpg,1,2,3\n")
    corrections.remove(tmp_path)
    assert corrections.count(tmp_path) == 0


def test_the_set_is_copied_for_a_run(tmp_path: Path) -> None:
    runs, data = tmp_path / "runs", tmp_path / "runs" / "new" / "data"
    with pytest.raises(UsageError, match="No correction is kept"):
        corrections.copy_to(runs, data)
    corrections.add(runs, FACE, {"age": "30"})
    (corrections.folder(runs) / "files" / "nobody.jpg").touch()
    assert corrections.copy_to(runs, data) == 1
    assert len(layouts.read(f"csv:{data}").samples) == len(list((data / "files").iterdir())) == 1
    corrections.add(runs, FACE, {"age": "40"})
    assert (
        corrections.copy_to(runs, data) == 2 and len(layouts.read(f"csv:{data}").samples) == 2
    )  # again, with the newest


def test_no_other_file_is_ever_named_copied_or_deleted(tmp_path: Path) -> None:
    """Not by a label that is called like the column of the picture, nor by rows that somebody has written by hand."""
    runs, outside = tmp_path / "runs", tmp_path / "outside.txt"
    outside.write_text("precious")
    kept = corrections.add(runs, FACE, {"file": "files/../../../outside.txt", "age": "30"})
    assert rows(runs) == [{"file": f"files/{kept}", "age": "30"}]
    labels = corrections.folder(runs) / "labels.csv"
    for path in ("files/../../../outside.txt", str(outside), f"files/../../../{kept}"):
        labels.write_text(labels.read_text() + f"{path},40\n")
    (tmp_path / kept).write_text("precious")
    corrections.copy_to(runs, runs / "new" / "data")
    assert sorted(one.name for one in (runs / "new").rglob("*.*")) == sorted([kept, "labels.csv"])
    assert sorted(one.name for one in runs.iterdir() if one.is_dir()) == ["corrections", "new"]
    for path in ("../../../outside.txt", f"../../../{kept}", str(outside)):
        corrections.remove(runs, path)
    assert outside.read_text() == "precious" == (tmp_path / kept).read_text() and corrections.count(runs) == 4


def test_answers_are_checked() -> None:
    tasks = [*TASKS.values(), GLASSES]
    given = {"age": " 34 ", "gender": "", "smile": "Smiling", "glasses": "with"}
    assert corrections.read_labels(tasks, given) == {"age": "34", "smile": "smiling", "glasses": "with"}
    with pytest.raises(DataError, match="'old' is not a label of age"):
        corrections.read_labels(tasks, {"age": "old"})
    with pytest.raises(UsageError, match="Unknown task 'file'"):
        corrections.read_labels(tasks, {"file": "/etc/passwd"})
    with pytest.raises(UsageError, match="Unknown task 'file'"):  # also where a checkpoint claims to have it
        corrections.read_labels([*tasks, class_task("file", ("/etc/passwd", "x"))], {"file": "/etc/passwd"})
    with pytest.raises(UsageError, match="No right answer is given"):
        corrections.read_labels(tasks, {"age": " ", "smile": ""})


def test_the_folder_is_no_checkpoint(tmp_path: Path) -> None:
    for name in ("corrections", "Corrections"):
        with pytest.raises(UsageError, match="kept for the corrections"):
            card.check_name(name)
    folder = tmp_path / "corrections"
    card.write_card(folder, card.Card("bknet", {}, tuple(TASKS.values())))
    assert card.list_checkpoints(tmp_path / "none", tmp_path) == {}
    assert card.is_taken("corrections", tmp_path / "none", tmp_path)


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8-sig", ","), ("utf-16", "\t"), ("cp1252", ";"), ("cp1252", "\t")]
)
def test_labels_saved_by_a_spreadsheet_are_read_and_grow(tmp_path: Path, encoding: str, delimiter: str) -> None:
    hair = class_task("hair", ("grün", "blau"))
    corrections.add(tmp_path, FACE, {"hair": "grün", "age": "30"})
    labels = corrections.folder(tmp_path) / "labels.csv"
    labels.write_bytes(labels.read_text(encoding="utf-8").replace(",", delimiter).encode(encoding))
    assert corrections.count(tmp_path) == 1
    corrections.add(tmp_path, FACE, corrections.read_labels([hair], {"hair": "blau"}))
    samples = layouts.read(str(corrections.folder(tmp_path))).samples
    assert [dict(sample.labels) for sample in samples] == [{"hair": "grün", "age": 30.0}, {"hair": "blau"}]


@pytest.mark.parametrize("text", ["name,age\na,1\n", "file,age\na,1,2\n", "file,age,Age\na,1,2\n", 'file\n"a\n', ""])
def test_a_damaged_list_is_a_sentence(tmp_path: Path, text: str) -> None:
    corrections.add(tmp_path, FACE, {"age": "30"})
    (corrections.folder(tmp_path) / "labels.csv").write_text(text)
    with pytest.raises(DataError):
        corrections.count(tmp_path)
