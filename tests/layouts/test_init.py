from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl_model import layouts
from mtl_model.data.check import check
from mtl_model.errors import DataError, UsageError
from tests.codes import reasons


@pytest.mark.parametrize("kind", layouts.kinds())
def test_every_layout_offers_what_the_protocol_says(kind, tmp_path):
    one = layouts.layout(kind)
    assert isinstance(one.ORDER, int)
    assert one.EXPECTS and all(one.OPTIONS.values()) and all(one.WORDS.values())
    with pytest.raises(UsageError, match=f"option of the layout {kind}"):
        layouts.read(f"{kind}:{tmp_path}", {"nonsense": "1"})
    with pytest.raises(DataError, match="is not a folder"):
        layouts.read(f"{kind}:{tmp_path / 'gone'}")


def test_a_spec_is_a_kind_and_a_folder(tmp_path):
    assert layouts.parse_spec(f"utkface:{tmp_path}") == ("utkface", tmp_path)
    assert layouts.parse_spec("csv:C:\\faces")[0] == "csv"


def test_an_unknown_kind_gets_the_near_match(tmp_path):
    with pytest.raises(UsageError, match=r"Unknown data layout 'utkfase'. Did you mean 'utkface'"):
        layouts.parse_spec(f"utkfase:{tmp_path}")


@pytest.mark.parametrize("spec", ["nowhere", "C:\\nowhere"])
def test_a_folder_that_is_not_there(spec):
    with pytest.raises(DataError, match="is not a folder"):
        layouts.parse_spec(spec)


def test_a_folder_that_nobody_recognises_says_what_is_known(tmp_path):
    with pytest.raises(DataError, match=r"laid out in no way known here.*utkface: .*folders: "):
        layouts.read(str(tmp_path))


def test_the_first_that_matches_wins(draw):
    folder = draw(["25_0_0_2017.jpg", "smile/yes/a.jpg"])
    (folder / "labels.csv").write_text("file,smile\n25_0_0_2017.jpg,yes\n")
    assert layouts.recognise(folder) == "utkface"
    (folder / "25_0_0_2017.jpg").rename(folder / "portrait.jpg")
    assert layouts.recognise(folder) == "csv"
    (folder / "labels.csv").unlink()
    assert layouts.recognise(folder) == "folders"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("utkface", "utkface"),
        ("genki4k", "genki4k"),
        ("fairface", "fairface"),
        ("celeba", "celeba"),
        ("flowers", "list"),
        ("housenumbers", "csv"),
    ],
)
def test_the_sets_as_unpacked_are_recognised(data, name, kind):
    assert layouts.recognise(data / name) == kind


def shut(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a folder unreadable, also for root."""
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.parametrize("kind", ["", *layouts.kinds()])
def test_a_folder_that_cannot_be_read_is_refused(kind, draw, monkeypatch):
    folder = draw(["shut/rose/a.jpg", "shut/daisy/b.jpg"]) / "shut"
    shut(monkeypatch, "shut")
    with pytest.raises(DataError, match=r"shut' cannot be read \(Permission denied\)"):
        layouts.read(f"{kind}:{folder}" if kind else str(folder))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read any folder")
def test_a_folder_without_permission_is_refused(draw):
    folder = draw(["shut/rose/a.jpg"]) / "shut"
    folder.chmod(0)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            layouts.read(str(folder))
    finally:
        folder.chmod(0o700)


def test_a_folder_inside_that_cannot_be_read_is_counted(draw, monkeypatch):
    folder = draw([f"kind/{name}/{number}.jpg" for name in ("rose", "daisy", "lily") for number in range(3)])
    shut(monkeypatch, "lily")
    source = layouts.read(str(folder))
    assert reasons(source) == {"folder_closed": 1}
    assert source.left_out[0].examples == ("kind/lily",)
    assert check(source, look=None).exit_code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_pictures_whose_names_are_not_utf8_are_read(draw):
    """Of the file, not of its class: no card and no JSON has to hold that."""
    folder = draw(["kind/rose/a.jpg", "kind/rose/b.jpg", "kind/daisy/c.jpg"])
    strange = os.fsdecode(os.fsencode(folder / "kind" / "rose") + b"/caf\xe9.jpg")
    (folder / "kind" / "rose" / "a.jpg").rename(strange)
    source = layouts.read(str(folder))
    assert [sample.path for sample in source.samples if not sample.path.endswith(("b.jpg", "c.jpg"))] == [strange]
    json.dumps(check(source, look=None).to_json(), allow_nan=False)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
@pytest.mark.parametrize("outer", [b"kind/", b""])
def test_a_class_whose_name_is_not_utf8_is_refused(draw, tmp_path, outer):
    folder = (
        draw([f"set/{os.fsdecode(outer)}{name}/{number}.jpg" for name in ("rose", "lily") for number in range(2)])
        / "set"
    )
    inner = os.fsencode(folder) + b"/" + outer
    os.rename(inner + b"lily", inner + b"caf\xe9")
    for spec in (str(folder), f"folders:{folder}"):
        with pytest.raises(DataError, match=r"'caf\\udce9' has a name that is not UTF-8"):
            layouts.read(spec, {"task": "flower"} if not outer else None)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_a_task_whose_name_is_not_utf8_is_refused(draw):
    folder = draw(["old/rose/a.jpg", "old/lily/b.jpg"]) / "old"
    strange = os.fsdecode(os.fsencode(folder) + b"\xe9")
    folder.rename(strange)
    with pytest.raises(DataError, match=r"The task 'old\\udce9' has a name that is not UTF-8"):
        layouts.read(strange)
    assert set(layouts.read(strange, {"task": "flower"}).tasks) == {"flower"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one encoding")
@pytest.mark.parametrize("listed", [False, True])
def test_names_are_read_in_a_locale_of_another_encoding(draw, listed):
    folder = draw(["größe/klein/ä.png", "größe/groß/é.png", "größe/groß/i.png"])
    if listed:
        text = "file,größe\ngröße/klein/ä.jpg,klein\ngröße/groß/é.jpg,groß\ngröße/groß/i.jpg,groß\n"
        (folder / "labels.csv").write_text(text, encoding="utf-8")
    code = """
import json, sys
from mtl_model import layouts
from tests.codes import reasons
from tests.codes import reasons
source = layouts.read(sys.argv[1])
print(json.dumps([[sample.file, dict(sample.labels)] for sample in source.samples]), sys.getfilesystemencoding())
"""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    answers, encoding = found.stdout.rsplit(maxsplit=1)
    assert encoding == "ascii"
    stems = {Path(file).stem: labels for file, labels in json.loads(answers)}
    assert stems == {"ä": {"grösse": "klein"}, "é": {"grösse": "groß"}, "i": {"grösse": "groß"}}
