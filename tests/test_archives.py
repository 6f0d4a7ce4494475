from __future__ import annotations

import errno
import io
import os
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from mtl_model import archives
from mtl_model.archives import Limits, judge, safe_path, unpack
from mtl_model.errors import DataError

MB = 2**20
ARABIC, EMOJI, FAMILY = "ابتسامة/نعم/صورة.jpg", "smile/yes/😀.png", "👨‍👩‍👧/a.jpg"


def packed(entries: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream


def special(name: str, content: bytes = b"x", **attributes: Any) -> io.BytesIO:
    """A good picture and one special entry."""
    stream = packed({"smile/yes/good.jpg": b"good"})
    with zipfile.ZipFile(stream, "a") as archive:
        entry = zipfile.ZipInfo(name)
        for attribute, value in attributes.items():
            setattr(entry, attribute, value)
        archive.writestr(entry, content)
    return stream


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def nothing_left(folder: Path) -> bool:
    return not folder.exists() and not list(folder.parent.glob("*"))


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.jpg", "a.jpg"),
        ("smile/yes/a.jpg", "smile/yes/a.jpg"),
        ("smile\\yes\\a.jpg", "smile/yes/a.jpg"),
        ("./smile//yes/./a.jpg", "smile/yes/a.jpg"),
        (ARABIC, ARABIC),
        (EMOJI, EMOJI),
        (FAMILY, FAMILY),
        ("lächeln/ja/Müller (2).JPG", "lächeln/ja/Müller (2).JPG"),
        (unicodedata.normalize("NFD", "Ångström.jpg"), "Ångström.jpg"),
        ("a..b/c...jpg", "a..b/c...jpg"),
        ("console/com.jpg", "console/com.jpg"),
        ("ü" * 125 + ".jpg", "ü" * 125 + ".jpg"),
    ],
)
def test_good_names_are_kept(name: str, kept: str) -> None:
    assert safe_path(name) == PurePosixPath(kept)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "/", "./.", "..", "../a.jpg", "a/../b.jpg", "a/..", "..\\a.jpg", "a\\..\\..\\b.jpg"),
        *("/etc/passwd", "\\\\server\\share\\a.jpg", "//a.jpg", "C:\\a.jpg", "C:a.jpg", "c:/a.jpg"),
        *("a\x00.jpg", "a\n.jpg", "a\x7f.jpg", "a\x85.jpg", "a\u2028.jpg", "a\ud800.jpg"),
        *("con.jpg", "smile/NUL", "aux/a.jpg", "Com1.tar.gz", "lpt9 .jpg"),
        *(
            "ü" * 126 + ".jpg",
            "a" * 256,
            "d/" * 40 + "a.jpg",
            "abcdefghi/" * 31 + "b" * 251 + "/" + "c" * 251 + "/" + "e" * 251,
        ),
    ],
)
def test_names_that_lead_elsewhere_or_cannot_be_kept(name: str) -> None:
    assert safe_path(name) is None and judge(name) == (None, archives.UNSAFE)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".hidden.jpg", archives.HIDDEN),
        ("smile/.git/a.jpg", archives.HIDDEN),
        ("__MACOSX/smile/._a.jpg", archives.HIDDEN),
        ("smile/Thumbs.db", archives.HIDDEN),
        ("smile/.DS_Store", archives.HIDDEN),
        ("desktop.ini", archives.HIDDEN),
        ("run.exe", archives.OTHER),
        ("read me.html", archives.OTHER),
        ("jpg", archives.OTHER),
        ("picture.svg", archives.OTHER),
        ("more.zip", archives.NESTED),
        ("more.tar.gz", archives.NESTED),
    ],
)
def test_what_is_passed_over_has_a_reason(name: str, reason: str) -> None:
    assert judge(name) == (None, reason)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.heic", "labels.csv", "list.TXT", "deep/down/a.webp"])
def test_pictures_and_labels_are_kept(name: str) -> None:
    assert judge(name) == (PurePosixPath(name), "")


# -- what a zip may hold ---------------------------------------------------------------------------------------------


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    names = ["labels.csv", "smile/yes/a.jpg", ARABIC, EMOJI, "lächeln/Müller.jpg"]
    stream = packed({"smile/": "", **{name: name.encode() for name in names}, "__MACOSX/._a.jpg": "x", "a.exe": "x"})
    found = unpack(stream, tmp_path / "data")
    assert sorted(found.files) == below(tmp_path / "data") == sorted(names)
    assert (tmp_path / "data" / ARABIC).read_text() == ARABIC
    assert found.skipped == {archives.HIDDEN: 1, archives.OTHER: 1}
    assert found.examples == {archives.HIDDEN: ["__MACOSX/._a.jpg"], archives.OTHER: ["a.exe"]}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_from_a_path(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").write_bytes(packed({"a.jpg": b"x"}).getvalue())
    assert unpack(tmp_path / "faces.zip", tmp_path / "new" / "data").files == ("a.jpg",)


def unmarked(name: bytes) -> io.BytesIO:
    """A zip of an old program, which does not say how its names are written."""
    placeholder = "x" * len(name)
    return io.BytesIO(packed({placeholder: b"x"}).getvalue().replace(placeholder.encode(), name))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Müller/Größe.jpg".encode("cp437"), "Müller/Größe.jpg"),
        ("Müller/Größe.jpg".encode(), "Müller/Größe.jpg"),
        (unicodedata.normalize("NFD", "Müller.jpg").encode(), "Müller.jpg"),
        (ARABIC.encode(), ARABIC),
        (EMOJI.encode(), EMOJI),
        (b"smile\\yes\\a.jpg", "smile/yes/a.jpg"),
    ],
)
def test_names_of_old_programs_survive(tmp_path: Path, written: bytes, name: str) -> None:
    assert unpack(unmarked(written), tmp_path / "data").files == (name,)
    assert below(tmp_path / "data") == [name]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (special("../../evil.jpg"), archives.UNSAFE),
        (special("/tmp/evil.jpg"), archives.UNSAFE),
        (special("C:/evil.jpg"), archives.UNSAFE),
        (special("..\\evil.jpg"), archives.UNSAFE),
        (special("a\x01.jpg"), archives.UNSAFE),
        (special("smile/yes/link.jpg", b"/etc/passwd", external_attr=(stat.S_IFLNK | 0o777) << 16), archives.LINK),
        (special("smile/yes/pipe.jpg", external_attr=(stat.S_IFIFO | 0o777) << 16), archives.LINK),
        (special("smile/yes/GOOD.jpg"), archives.TWICE),
        (special("smile/yes"), archives.OTHER),
        (special("smile/yes/good.jpg/a.jpg"), archives.TWICE),
        (special("b.jpg", b"x" * 100, compress_type=zipfile.ZIP_LZMA), archives.PACKED),
        (special("b.zip", packed({"a.jpg": b"x"}).getvalue()), archives.NESTED),
    ],
)
def test_what_does_not_belong_there_is_passed_over(tmp_path: Path, stream: io.BytesIO, reason: str) -> None:
    found = unpack(stream, tmp_path / "in" / "data")
    assert found.files == ("smile/yes/good.jpg",) and found.skipped == {reason: 1}
    assert below(tmp_path) == ["in/data/smile/yes/good.jpg"]
    assert (tmp_path / "in/data/smile/yes/good.jpg").read_bytes() == b"good"


def test_a_file_where_a_folder_is(tmp_path: Path) -> None:
    found = unpack(packed({"a.jpg/b.jpg": b"1", "A.JPG": b"2", "a.jpg": b"3", "c.jpg": b"4"}), tmp_path / "data")
    assert found.files == ("a.jpg/b.jpg", "c.jpg") and found.skipped == {archives.TWICE: 2}


def test_what_is_locked_is_passed_over(tmp_path: Path) -> None:
    stream = packed({"good.jpg": b"x", "locked.jpg": b"y"})
    raw = bytearray(stream.getvalue())
    at = raw.rindex(b"PK\x01\x02")  # its line in the table of contents
    raw[at + 8] |= 1
    found = unpack(io.BytesIO(raw), tmp_path / "data")
    assert found.files == ("good.jpg",) and found.skipped == {archives.ENCRYPTED: 1}


def test_what_is_damaged_is_passed_over(tmp_path: Path) -> None:
    stream = packed({"good.jpg": b"good", "bad.jpg": b"BADBADBAD"}, zipfile.ZIP_STORED)
    found = unpack(io.BytesIO(stream.getvalue().replace(b"BADBADBAD", b"BADWORBAD")), tmp_path / "data")
    assert found.files == ("good.jpg",) and found.skipped == {archives.DAMAGED: 1}
    assert below(tmp_path) == ["data/good.jpg"]


def test_twenty_thousand_files(tmp_path: Path) -> None:
    names = {f"age/{number % 80}/{number}.jpg": b"x" for number in range(20_000)}
    found = unpack(packed({**names, **{f"__MACOSX/._{number}.jpg": b"" for number in range(2_000)}}), tmp_path / "data")
    assert len(found.files) == 20_000 and found.skipped == {archives.HIDDEN: 2_000}
    assert len(found.examples[archives.HIDDEN]) == archives.EXAMPLES


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_large_file_is_passed_over(tmp_path: Path) -> None:
    found = unpack(packed({"a.jpg": b"x" * 11, "b.jpg": b"x" * 10}), tmp_path / "data", Limits(file_bytes=10))
    assert found.files == ("b.jpg",) and found.skipped == {archives.LARGE: 1}


def bomb(files: int, size: int) -> io.BytesIO:
    return packed({f"{number}.bmp": bytes(size) for number in range(files)})


def lying(size: int) -> io.BytesIO:
    """A zip that says of its 70 MB that they are few."""
    raw = bytearray(bomb(1, 70 * MB).getvalue())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = raw.index(mark) + offset
        raw[at : at + 4] = struct.pack("<I", size)
    return io.BytesIO(raw)


@pytest.mark.parametrize(
    ("stream", "limits", "sentence"),
    [
        (packed({f"{number}.jpg": b"x" for number in range(11)}), Limits(files=10), "holds 11 pictures.*at most 10"),
        (bomb(3, 2 * MB), Limits(total_bytes=5 * MB), "unpacks to more than 5 MB"),
        (bomb(2, 40 * MB), Limits(), "more than 100 times its own size"),
        (lying(10), Limits(), r"holds no picture \(1 damaged files"),
        (packed({}), Limits(), "it is empty"),
        (packed({"readme.txt": b"x"}), Limits(), r"holds no picture \(1 list of labels: readme.txt\)"),
        (
            packed({"labels.csv": b"file", "a/b.txt": b"x", "c.exe": b""}),
            Limits(),
            r"\(2 lists of labels: labels.csv, a/b.txt; 1 n",
        ),
        (packed({"a.exe": b"x", ".a": b"x"}), Limits(), r"holds no picture \(1 neither.*, 1 hidden.*\)"),
        (io.BytesIO(b"Rar!\x1a\x07\x00 and more"), Limits(), "cannot be read.*Expected a whole zip"),
        (io.BytesIO(b""), Limits(), "cannot be read"),
        (io.BytesIO(packed({"a.jpg": b"x" * 1000}).getvalue()[:-30]), Limits(), "cannot be read"),
        (io.BytesIO(b"\xff" * 10_000), Limits(), "cannot be read"),
    ],
    ids=[
        "files",
        "total",
        "bomb",
        "lying",
        "empty",
        "text alone",
        "lists alone",
        "nothing to keep",
        "rar",
        "no bytes",
        "cut off",
        "noise",
    ],
)
def test_what_breaks_a_limit_leaves_nothing(tmp_path: Path, stream: io.BytesIO, limits: Limits, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        unpack(stream, tmp_path / "data", limits)
    assert nothing_left(tmp_path / "data")


def test_what_comes_out_is_counted_and_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where zipfile itself would not hold to the size that the zip says."""
    stream = packed({"a.jpg": bytes(3 * MB), "b.jpg": bytes(3 * MB)})
    monkeypatch.setattr(
        archives, "_wanted", lambda zipped, *more: [(PurePosixPath(e.filename), e) for e in zipped.infolist()]
    )
    found = unpack(stream, tmp_path / "one" / "data", Limits(file_bytes=3 * MB))
    assert len(found.files) == 2
    with pytest.raises(DataError, match="more than 5 MB"):
        unpack(stream, tmp_path / "two" / "data", Limits(total_bytes=5 * MB))
    with pytest.raises(DataError, match="2 files that are too large"):
        unpack(stream, tmp_path / "two" / "data", Limits(file_bytes=2 * MB))
    assert nothing_left(tmp_path / "two" / "data")


def test_files_that_lie_over_each_other(tmp_path: Path) -> None:
    """A bomb without nesting: many names, one and the same packed megabytes."""
    kernel = packed({"000.bmp": bytes(30 * MB)}).getvalue()
    start = kernel.index(b"PK\x01\x02")
    line, tail = kernel[start : kernel.index(b"PK\x05\x06")], bytearray(kernel[kernel.index(b"PK\x05\x06") :])
    table = b"".join(line.replace(b"000.bmp", f"{number:03}.bmp".encode()) for number in range(60))
    tail[8:16] = struct.pack("<HHI", 60, 60, len(table))
    found = unpack(io.BytesIO(kernel[:start] + table + tail), tmp_path / "data")
    assert found.files == ("000.bmp",) and found.skipped == {archives.DAMAGED: 59}


def test_a_table_of_contents_of_any_length(tmp_path: Path) -> None:
    table = b"PK\x01\x02" + bytes(archives.LARGEST_TABLE)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, len(table), 0, 0)
    with pytest.raises(DataError, match="far too many files"):
        unpack(io.BytesIO(table + end), tmp_path / "data")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        stream = opened(self, mode, *more, **options)
        if self.name == "b.jpg":
            stream.write(b"x")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return stream

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError, match="could not be unpacked.*No space left.*make room, then try again"):
        unpack(packed({"a.jpg": b"x", "b.jpg": b"x"}), tmp_path / "data")
    assert nothing_left(tmp_path / "data")


# -- a folder that is there already ----------------------------------------------------------------------------------


def test_a_second_zip_adds_and_replaces(tmp_path: Path) -> None:
    unpack(packed({"smile/a.jpg": b"1", "smile/b.jpg": b"2", "x.jpg": b"3"}), tmp_path / "data")
    found = unpack(packed({"smile/b.jpg": b"new", "c.jpg": b"4", "x.jpg/d.jpg": b"5"}), tmp_path / "data")
    assert found.files == ("smile/b.jpg", "c.jpg") and found.skipped == {archives.TWICE: 1}
    assert below(tmp_path) == ["data/c.jpg", "data/smile/a.jpg", "data/smile/b.jpg", "data/x.jpg"]
    assert (tmp_path / "data/smile/b.jpg").read_bytes() == b"new"


def test_a_second_zip_that_breaks_a_limit_changes_nothing(tmp_path: Path) -> None:
    unpack(packed({"a.jpg": b"1"}), tmp_path / "data")
    with pytest.raises(DataError):
        unpack(packed({"a.jpg": b"2", "b.jpg": b"2"}), tmp_path / "data", Limits(files=1))
    assert below(tmp_path) == ["data/a.jpg"] and (tmp_path / "data/a.jpg").read_bytes() == b"1"
