"""Answers as JSON lines: each whole or not there."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from mtl_model.errors import UsageError
from mtl_model.journal import Journal, Settings, Stamp, stamp_of
from mtl_model.records import Photo, to_json

SETTINGS = Settings("bknet", "abc", None, "1")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for path in paths:
        path.write_text(path.name)
    return {path.name: path for path in paths}


@pytest.fixture
def written(tmp_path: Path, files: dict[str, Path]) -> Path:
    journal = Journal.begin(tmp_path / "deep" / "a.jsonl", SETTINGS)
    for name, file in files.items():
        journal.add(Photo(name), stamp_of(file))
    journal.close()
    return tmp_path / "deep" / "a.jsonl"


def test_answers_come_back_in_any_order() -> None:
    journal = Journal.temporary(SETTINGS)
    photos = {name: Photo(name, fault=name) for name in ("a", "caf\udce9", "b")}
    for photo in photos.values():
        journal.add(photo)
    names = ["b", "caf\udce9", "missing", "a", "b"]
    assert list(journal.plain(names)) == to_json([photos[name] for name in names if name in photos])
    assert list(journal.photos(["a"], {})) == [photos["a"]]
    journal.add(Photo("c"))  # behind the last, wherever was read
    assert [one["photo"] for one in journal.plain(["a", "c"])] == ["a", "c"]


class Full(io.FileIO):
    """A disk that takes so many bytes more."""

    left = 1000

    def write(self, content) -> int:  # type: ignore[override]
        if not Full.left:
            raise OSError(28, "No space left on device")
        taken = super().write(content[: Full.left])
        Full.left -= taken
        return taken


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Full, "left", 1000)
    journal = Journal(Full(tmp_path / "a", "w+"), SETTINGS)
    with pytest.raises(OSError, match="No space"):  # noqa: PT012
        for number in range(100):
            journal.add(Photo(str(number)))
    lines = (tmp_path / "a").read_text().splitlines(keepends=True)
    assert len(lines) > 2 and [json.loads(line)["photo"] for line in lines] == [str(n) for n in range(len(lines))]
    assert lines[-1].endswith("\n") and str(len(lines)) not in journal
    assert len(list(journal.plain(map(str, range(100))))) == len(lines)


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_that_was_cut_off_is_dropped(written: Path, files: dict[str, Path], cut: int) -> None:
    written.write_bytes(written.read_bytes()[:-cut])
    journal, taken = Journal.resume(written, SETTINGS, files)
    assert taken.torn and taken.answered == 2 and "2.jpg" not in journal and "1.jpg" in journal
    journal.add(Photo("2.jpg"), stamp_of(files["2.jpg"]))
    journal.close()
    journal, taken = Journal.resume(written, SETTINGS, files)
    assert not taken.torn and taken.answered == 3 and taken.anew == {}


def test_changed_pictures_are_told_by_size_and_time(written: Path, files: dict[str, Path]) -> None:
    files["0.jpg"].write_text("longer than it was")
    now = files["2.jpg"].stat()
    os.utime(files["2.jpg"], ns=(now.st_atime_ns, now.st_mtime_ns + 1))
    before = written.read_text().splitlines()
    journal, taken = Journal.resume(written, SETTINGS, files)
    assert list(taken.anew) == ["0.jpg", "2.jpg"] and "18 bytes" in taken.anew["0.jpg"]
    assert taken.answered == 1 and "1.jpg" in journal and written.read_text().splitlines() == [before[1]]
    assert not [path for path in written.parent.iterdir() if path != written]


def test_lines_of_pictures_that_nobody_asks_for_stay(written: Path) -> None:
    journal, taken = Journal.resume(written, SETTINGS, {})
    assert taken.answered == 3 and "0.jpg" in journal


def test_the_last_answer_to_a_picture_counts(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path / "a", SETTINGS)
    journal.add(Photo("a", "It is cut off."))
    journal.add(Photo("a"), Stamp(1, 2))
    journal.close()
    journal, taken = Journal.resume(tmp_path / "a", SETTINGS, {})
    assert taken.answered == 1 and [one["error"] for one in journal.plain(["a"])] == [None]


@pytest.mark.parametrize(
    "other",
    [Settings("x", "abc", None, "1"), Settings("bknet", "x", None, "1"), Settings("bknet", "abc", 20.0, "1"),
     Settings("bknet", "abc", None, "2")],
)  # fmt: skip
def test_answers_of_other_settings_are_not_mixed(written: Path, other: Settings) -> None:
    before = written.read_bytes()
    with pytest.raises(UsageError, match="other settings"):
        Journal.resume(written, other, {})
    assert written.read_bytes() == before


@pytest.mark.parametrize("content", ["{}", "[]", "text", "1", '{"photo": 1, "error": null, "source": 3}', "[" * 5000])
def test_another_file_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(f"{content}\n")
    with pytest.raises(UsageError, match="Line 1 of "):
        Journal.resume(tmp_path / "a", SETTINGS, {})
    with pytest.raises(UsageError, match="holds answers already"):
        Journal.begin(tmp_path / "a", SETTINGS)
    assert (tmp_path / "a").read_text() == f"{content}\n"
