from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path

import pytest

from mtl_model.card import write_text
from mtl_model.destinations import check_file, check_folder, temporary_name
from mtl_model.errors import UsageError


@pytest.mark.parametrize("place", ["a.json", "new/deep/a.json", "there.json", "link.json", "é" * 120, "/dev/null"])
def test_what_can_be_written_is_left_as_it_was(tmp_path: Path, place: str) -> None:
    (tmp_path / "there.json").write_text("before")
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")
    before = sorted(tmp_path.rglob("*"))
    check_file(tmp_path / place, "--json")
    check_file(None, "--json")
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "there.json").read_text() == "before"
    write_text(tmp_path / place, "after")


def test_a_pipe_can_be_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    check_file(tmp_path / "pipe", "--json")


@pytest.mark.parametrize("place", [".", "file/a.json", "file/new/a.json", "new/" + "x" * 256, "picture.PNG"])
def test_what_cannot_be_written_is_wrong_usage(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "picture.PNG").touch()
    with pytest.raises(UsageError, match=r"^--json names '.*', which cannot be written: "):
        check_file(tmp_path / place, "--json")


@pytest.mark.parametrize("place", [".", "new", "new/deep"])
def test_a_folder_may_be_missing(tmp_path: Path, place: str) -> None:
    check_folder(tmp_path / place, "--annotate")
    check_folder(None, "--annotate")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file", "file/new", "x" * 256])
def test_no_folder_can_be_there(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^--annotate names '.*', where nothing can be written: "):
        check_folder(tmp_path / place, "--annotate")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for check in (check_file, check_folder):
        with pytest.raises(UsageError, match=os.strerror(number)):
            check(tmp_path / "new", "--runs")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_wrong_usage(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        check_file(tmp_path / "a.json", "--json")


def test_the_temporary_name_is_never_too_long(tmp_path: Path) -> None:
    assert len(os.fsencode(temporary_name(tmp_path / ("日" * 85)).name)) < 255
