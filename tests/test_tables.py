"""The one reader of tables: what spreadsheets save, and what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl_model import layouts, tables
from mtl_model.data import corrections
from mtl_model.errors import DataError, MtlError
from mtl_model.tables import Table, read_header, read_lines, read_table

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_read_as_it_was_saved(path: Path, delimiter: str, encoding: str, end: str) -> None:
    rows = [[], ["File", "Höhe, in cm"], ["ä.jpg", " 3 "], [], ["", ""], ["b, c; d.jpg", ""], ["e.jpg", "two\nlines"]]
    text = end.join(delimiter.join(f'"{field}"' for field in row) for row in rows)
    path.write_bytes(text.encode(encoding))
    table = read_table(path)
    assert table.columns == read_header(path) == ("file", "höhe, in cm")
    assert [tuple(entry.values()) for entry in table.entries] == [
        ("ä.jpg", "3"),
        ("b, c; d.jpg", ""),
        ("e.jpg", "two\nlines"),
    ]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lines_are_read_as_they_were_saved(path: Path, encoding: str) -> None:
    path.write_bytes("ä.jpg, 1\n\nb.jpg, 2".encode(encoding))
    assert read_lines(path) == ["ä.jpg, 1", "", "b.jpg, 2"]


@pytest.mark.parametrize(
    ("content", "table"),
    [
        ("", Table()),
        ("\n \n", Table()),
        ("file,smile", Table(("file", "smile"))),
        ("file,smile\na,1,2\nb\n", Table(("file", "smile"), (), (("a", "1", "2"), ("b",)))),
        ("file,smile,,\na,1,,\n", Table(("file", "smile"), ({"file": "a", "smile": "1"},), (), 2)),
        (",file\n0,a\na\n", Table(("file",), ({"file": "a"},), (("a",),), 1)),
    ],
)
def test_odd_tables(path: Path, content: str, table: Table) -> None:
    path.write_text(content)
    assert read_table(path) == table


@pytest.mark.parametrize("header", ["file,smile,smile", "file,smile,Smile", "file, smile ,smile", "File,file"])
def test_two_columns_of_one_name_are_refused(path: Path, header: str) -> None:
    path.write_text(f"{header}\n")
    with pytest.raises(DataError, match=r"two columns named '(smile|file)' \(columns "):
        read_table(path)


def test_two_columns_that_become_one_name_are_refused(path: Path) -> None:
    path.write_text("hair colour,Hair_Colour\n")
    with pytest.raises(DataError, match="two columns named 'hair_colour'"):
        read_table(path, lambda name: name.casefold().replace(" ", "_"))


def test_a_quote_that_is_not_closed_is_a_sentence(path: Path) -> None:
    """Else it takes all the rows behind it into one field, in silence."""
    lines = ["file,note", "a.jpg,fine", 'b.jpg,"open', *(f"{number}.jpg,fine" for number in range(20_000))]
    for end in (600, None):
        path.write_text("\n".join(lines[:end]))
        with pytest.raises(DataError, match=r"'x\.csv' cannot be read from line 3 on"):
            read_table(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("file,note\na.jpg," + "x" * 131_073, "line 2 on .* at most 131,072 characters"),
        ("file,note\na.jpg," + "x" * tables.MAX_LINE, "Line 2 of 'x.csv' has 1,048,582 characters"),
        ("file\n" + "a\n" * (tables.MAX_ROWS + 1), "more than 1,000,000 rows"),
        ("file\r" + "a\r" * (tables.MAX_ROWS + 1), "more than 1,000,000 rows"),
    ],
)
def test_what_is_too_long_is_a_sentence(path: Path, content: str, says: str) -> None:
    path.write_text(content, newline="")
    with pytest.raises(DataError, match=says):
        read_table(path)


def test_a_file_that_is_too_large_is_not_read(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(tables.MAX_BYTES + 1)
    for read in (read_table, read_lines):
        with pytest.raises(DataError, match="more than 64 MB"):
            read(path)


def test_a_missing_file_is_a_sentence(path: Path) -> None:
    for read in (read_table, read_lines):
        with pytest.raises(DataError, match=r"'x\.csv' cannot be read"):
            read(path)
    assert read_header(path) == ()


def test_a_header_alone_is_read_of_a_long_file(path: Path) -> None:
    text = "file,höhe\n" + "é" * 2 * tables.HEADER_BYTES
    for encoding in ENCODINGS:
        path.write_bytes(text.encode(encoding))
        assert read_header(path) == ("file", "höhe"), encoding


PICTURES = ("a.png", "30_1_0_1.png")
PIECES = st.sampled_from(
    [
        "file",
        "smile",
        "Smile",
        "age",
        "split",
        "person",
        "a.png",
        "b.png",
        "../a.png",
        "/a.png",
        "yes",
        "no",
        "1",
        "-1",
        "34",
    ]
    + [
        "20-29",
        "nan",
        "1e999",
        "",
        " ",
        "'",
        '"',
        '""',
        ",",
        ";",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "\0",
        "\x1b[2J",
        "ä",
        "日",
        "\u2028",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=40).map("".join)
TABLES = st.one_of(
    st.binary(max_size=200),
    st.tuples(TEXTS, st.sampled_from(ENCODINGS)).map(lambda pair: pair[0].encode(pair[1], "replace")),
    st.tuples(st.sampled_from(["file,smile", "file;age;split", "File\tPerson"]), TEXTS).map("\n".join).map(str.encode),
)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    for name in PICTURES:
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


READERS = (("labels.csv", "csv"), ("splits.csv", "utkface"), ("train.txt", "list"), ("fairface_label.csv", "fairface"))


@settings(max_examples=400, derandomize=True, deadline=None)
@given(content=TABLES)
def test_whatever_lies_in_a_table_is_read_or_refused_with_a_sentence(data_set: Path, content: bytes) -> None:
    """400 inputs for each of the readers: no other exception, nothing that JSON does not have, no picture from elsewhere."""
    for name, kind in READERS:
        path = data_set / name
        path.write_bytes(content)
        with contextlib.suppress(MtlError):
            source = layouts.read(f"{kind}:{data_set}")
            json.dumps([source.summary().values, [dict(sample.labels) for sample in source.samples]], allow_nan=False)
            assert all(Path(sample.path).parent == data_set for sample in source.samples)
        path.unlink()


@settings(max_examples=400, derandomize=True, deadline=None)
@given(content=TABLES)
def test_whatever_lies_in_the_corrections_is_counted_or_refused(data_set: Path, content: bytes) -> None:
    folder = data_set / "runs" / "corrections"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_bytes(content)
    with contextlib.suppress(MtlError):
        assert corrections.count(data_set / "runs") >= 0
