"""The one reader of tables and lists of labels, in whatever encoding and with whatever separator they were saved.

UTF-8 with and without a byte-order mark, UTF-16, Windows-1252; commas, semicolons or tabs.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl_model.errors import DataError
from mtl_model.names import printable

MAX_BYTES = 64 * 2**20
MAX_ROWS = 1_000_000  # take 0.5 GB of memory
MAX_LINE = 2**20  # characters
HEADER_BYTES = 2**16
DELIMITERS = ",;\t"
QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Table:
    """A CSV file as read; every field is stripped.

    columns: their names. entries: one {column: field} per row. odd: rows with another number of fields than the header.
    unnamed: how many columns have no name; they are in no entry. titles: {column: its field in the header}.
    """

    columns: tuple[str, ...] = ()
    entries: tuple[dict[str, str], ...] = ()
    odd: tuple[tuple[str, ...], ...] = ()
    unnamed: int = 0
    titles: Mapping[str, str] = field(default_factory=dict, compare=False)


def decode(content: bytes, whole: bool = True) -> str:
    """Decode text as editors and spreadsheets save it. whole: False for the first bytes of a longer file."""
    encodings = ["utf-8-sig", "cp1252"]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0":
        encodings = ["utf-16-le"]
    elif content[:1] == b"\0":
        encodings = ["utf-16-be"]
    for encoding in encodings:
        errors = "strict" if encoding == "utf-8-sig" else "replace"
        try:
            return codecs.getincrementaldecoder(encoding)(errors).decode(content, final=whole)
        except UnicodeDecodeError:
            continue
    raise AssertionError("the last encoding replaces what it cannot decode")


def read_text(path: Path) -> str:
    """Read a label file whole. Raises DataError if it cannot be read, or has over MAX_BYTES or MAX_ROWS lines."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"The label file '{path.name}' cannot be read ({error.strerror or error}). Expected it in "
            f"'{path.parent.name}'; check the folder and its permissions."
        ) from None
    if len(content) > MAX_BYTES:
        raise _too_long(path, f"{MAX_BYTES // 2**20} MB")
    text = decode(content)
    if max(text.count("\n"), text.count("\r")) > MAX_ROWS:
        raise _too_long(path, f"{MAX_ROWS:,} rows")
    return text


def _too_long(path: Path, most: str) -> DataError:
    return DataError(
        f"The label file '{path.name}' has more than {most}. Expected at most that; leave rows out, or split the data set."
    )


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file without their ends, blank ones included. Raises DataError, see `read_text`."""
    return read_text(path).splitlines()


def read_table(path: Path, name_of: Callable[[str], str] = str.casefold) -> Table:
    """Read a CSV file. Blank rows are left out.

    name_of: returns the name of a column from its field in the header.
    Raises: DataError for a file that cannot be read or is too long, two columns of one name, a quote that is not closed (all
    rows behind it would vanish in one field), a line of over MAX_LINE characters.
    """
    rows = _rows(path, read_text(path))
    titles = next(rows, [])
    header = [name_of(name) for name in titles]
    check_names(path, header)
    entries, odd = [], []
    for row in rows:
        if len(row) == len(header):
            entries.append({name: field for name, field in zip(header, row, strict=True) if name})
        else:
            odd.append(tuple(row))
    columns, titles_of = tuple(filter(None, header)), dict(zip(header, titles, strict=True))
    return Table(columns, tuple(entries), tuple(odd), header.count(""), titles_of)


def read_header(path: Path) -> tuple[str, ...]:
    """Read the names of the columns alone, in small letters; () for a file that cannot be read as a table."""
    try:
        with path.open("rb") as stream:
            text = decode(stream.read(HEADER_BYTES), whole=False)
        return tuple(name.casefold() for name in next(_rows(path, text), []))
    except (OSError, DataError):
        return ()


def _rows(path: Path, text: str) -> Iterator[list[str]]:
    """Yield the rows that are not blank, every field stripped."""
    first = next(filter(str.strip, text[:HEADER_BYTES].splitlines()), "")
    delimiter = max(DELIMITERS, key=QUOTED.sub("", first).count)
    reader = csv.reader(_lines(path, text), delimiter=delimiter, strict=True)
    begun = 1
    try:
        for row in reader:
            begun = reader.line_num + 1
            row = [field.strip() for field in row]
            if any(row):
                yield row
    except csv.Error as error:
        expected = f"fields of at most {csv.field_size_limit():,} characters, and a closing quote for each opening one"
        raise DataError(
            f"'{path.name}' cannot be read from line {begun:,} on ({error}). Expected {expected}; correct that line."
        ) from None


def _lines(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if len(line) > MAX_LINE:
            raise DataError(
                f"Line {number:,} of '{path.name}' has {len(line):,} characters. Expected one row per line, of at most "
                f"{MAX_LINE:,}; correct that line."
            )
        yield line


def check_names(path: Path, names: list[str]) -> None:
    """Raise DataError for a name that stands twice: of two columns of one name one would be lost."""
    for place, name in enumerate(names):
        if name and name in names[:place]:
            first = names.index(name) + 1
            raise DataError(
                f"'{path.name}' has two columns named '{printable(name)}' (columns {first} and {place + 1}). Expected a "
                "name of its own for each column, apart from capitals and blanks; rename or delete one of them."
            )
