"""A visitor's zip, unpacked safely: pictures and files of labels, under names that stay inside the folder.

The same names are allowed for single files that come in by other ways. What is passed over is counted, with a reason;
what breaks a limit stops the whole, and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from mtl_model import wording
from mtl_model.errors import DataError, disk_text
from mtl_model.pictures import SUFFIXES

LABEL_SUFFIXES = frozenset({".csv", ".txt"})
ARCHIVE_SUFFIXES = frozenset(".zip .rar .7z .tar .gz .tgz .bz2 .xz".split())
LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 1000, 32  # bytes as file systems count them, bytes, folders
LEFTOVERS = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "@eadir", "$recycle.bin"})
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]) *(\..*)?", re.IGNORECASE)  # devices of Windows
DRIVE = re.compile(r"[A-Za-z]:")
FORBIDDEN = frozenset('<>:"|?*' if os.name == "nt" else "")
UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # categories of characters that no name needs

UNSAFE = "unsafe"
HIDDEN = "hidden"
OTHER = "other"
NESTED = "nested"
LINK = "link"
ENCRYPTED = "encrypted"
TWICE = "twice"
LARGE = "large"
DAMAGED = "damaged"
PACKED = "packed"
"""Codes of `wording.WORDS`: why a file is passed over."""

COMING = ".coming-"  # what begins so lies beside a folder while it is filled
EXAMPLES = 5
CHUNK = 2**20
LARGEST_TABLE = 16 * 2**20  # bytes of a zip's table of contents: a hundred thousand names
SMALL = 64 * 2**20  # bytes that any zip may hold, however well it is packed
PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack any amount in one go


@dataclass(frozen=True)
class Limits:
    """Of what is kept. ratio: how many times larger than the archive it may be; photos hardly shrink at all."""

    files: int = 20_000
    total_bytes: int = 2 * 2**30
    file_bytes: int = 64 * 2**20
    ratio: int = 100


@dataclass
class Skipped:
    """What was passed over. counts: code of the reason -> how many. examples: reason -> up to five of their names."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(name[:200])

    def words(self) -> dict[str, str]:
        """Return the words for each reason."""
        return {reason: wording.text(reason) for reason in self.counts}


@dataclass(frozen=True)
class Unpacked:
    """files: by their path below the folder. skipped, examples: see Skipped."""

    files: tuple[str, ...]
    skipped: dict[str, int]
    examples: dict[str, list[str]]


def safe_path(name: str) -> PurePosixPath | None:
    """Where a file of this name may lie below a folder, on any system; None if nowhere.

    Backslashes are read as slashes, letters and their accents are joined (NFC, as people type them).

    >>> safe_path("smile\\\\yes/a.jpg"), safe_path("../a.jpg"), safe_path("C:a.jpg")
    (PurePosixPath('smile/yes/a.jpg'), None, None)
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/")
    if name.startswith("/") or DRIVE.match(name) or any(unicodedata.category(one) in UNSEEN for one in name):
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not 1 <= len(parts) <= DEEPEST or len("/".join(parts).encode()) > LONGEST_PATH:
        return None
    return PurePosixPath(*parts) if all(map(_may_be_called, parts)) else None


def _may_be_called(part: str) -> bool:
    if os.name == "nt" and part[-1] in ". ":
        return False
    plain = part != ".." and len(part.encode()) <= LONGEST_NAME and not FORBIDDEN & set(part)
    return plain and not RESERVED.fullmatch(part)


def judge(name: str) -> tuple[PurePosixPath | None, str]:
    """Where a file of this name is kept; or None, and why it is not."""
    path = safe_path(name)
    if path is None:
        return None, UNSAFE
    if any(part.startswith(".") or part.casefold() in LEFTOVERS for part in path.parts):
        return None, HIDDEN
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES and suffix not in LABEL_SUFFIXES:
        return None, NESTED if suffix in ARCHIVE_SUFFIXES else OTHER
    return path, ""


def unpack(archive: Path | BinaryIO, folder: Path, limits: Limits = Limits()) -> Unpacked:
    """Unpack a zip into a folder; a file that is there already under the same name is replaced.

    Raises: DataError with a sentence for what is no zip, breaks a limit, holds nothing to keep, or does not fit on the
    disk; the folder is then as it was.
    """
    skipped = Skipped()
    files: list[PurePosixPath] = []
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            _opened(archive) as (zipped, packed_bytes),
            tempfile.TemporaryDirectory(prefix=COMING, dir=folder.parent, ignore_cleanup_errors=True) as beside,
        ):
            place = Path(beside) / "files"
            place.mkdir()
            meter = _Meter(limits, packed_bytes)
            for path, entry in _wanted(zipped, limits, skipped):
                reason = _copy(zipped, entry, place / path, meter)
                if reason:
                    skipped.add(reason, str(path))
                else:
                    files.append(path)
            if not any(path.suffix.lower() in SUFFIXES for path in files):
                raise DataError(
                    f"The archive holds no picture ({_seen(files, skipped)}). Expected pictures in folders named after "
                    "their class, or with a labels.csv; pack it again.",
                    "no_picture",
                )
            if folder.exists():
                files = [path for path in files if move(place / path, folder / path, skipped)]
            else:
                os.rename(place, folder)
    except OSError as error:
        raise DataError(disk_text("The archive could not be unpacked", error)) from None
    return Unpacked(tuple(map(str, files)), skipped.counts, skipped.examples)


def _seen(lists: Sequence[PurePosixPath], skipped: Skipped) -> str:
    """Say what an archive without pictures holds: lists of labels, and what was passed over."""
    count = "1 list of labels" if len(lists) == 1 else f"{len(lists):,} lists of labels"
    names = ", ".join(str(path) for path in lists[:EXAMPLES])
    held = [f"{count}: {names}"] if lists else []
    words = skipped.words()
    passed = ", ".join(f"{count:,} {words[reason]}" for reason, count in skipped.counts.items())
    return "; ".join([*held, *filter(None, [passed])]) or "it is empty"


class _Meter:
    """Counts what comes out while it comes: what a zip says of itself is not believed."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self.limits, self.seen, self._packed_bytes = limits, 0, packed_bytes

    def count(self, size: int) -> None:
        self.seen += size
        if self.seen > self.limits.total_bytes:
            raise _too_much(self.limits)
        if self.seen > max(SMALL, self.limits.ratio * self._packed_bytes):
            raise DataError(
                f"The archive unpacks to more than {self.limits.ratio} times its own size, as no pictures do. Expected a zip of "
                "photos; pack it again."
            )


def _too_much(limits: Limits) -> DataError:
    return DataError(
        f"The archive unpacks to more than {size_text(limits.total_bytes)}. Expected at most that; leave pictures out, or save "
        "them smaller."
    )


def size_text(size: int) -> str:
    """A number of bytes for people, rounded down."""
    return f"{size // 2**30} GB" if size >= 2**30 else f"{size // 2**20} MB"


class _Bounded:
    """A stream of which zipfile cannot take a table of contents of any length into memory at once."""

    def __init__(self, stream: IO[bytes], largest_table: int) -> None:
        self._stream, self._largest_table = stream, largest_table
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if size > self._largest_table:
            raise zipfile.BadZipFile("it lists far too many files")
        return self._stream.read(size)

    def seekable(self) -> bool:
        return True


def bounded(stream: IO[bytes], largest_table: int) -> zipfile.ZipFile:
    """A zip, opened to be read. largest_table: bytes of its table of contents. Raises BadZipFile, and what zipfile does."""
    return zipfile.ZipFile(cast(IO[bytes], _Bounded(stream, largest_table)))


@contextlib.contextmanager
def _opened(archive: Path | BinaryIO) -> Iterator[tuple[zipfile.ZipFile, int]]:
    """The archive and its size in bytes."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(archive.open("rb")) if isinstance(archive, Path) else archive
        size = stream.seek(0, os.SEEK_END)
        try:
            zipped = bounded(cast(IO[bytes], stream), LARGEST_TABLE)
        except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, EOFError) as error:
            raise DataError(
                f"The archive cannot be read ({error!s:.200}). Expected a whole zip of at most 20,000 files; pack or copy it "
                "again."
            ) from None
        yield stack.enter_context(zipped), size


def _wanted(zipped: zipfile.ZipFile, limits: Limits, skipped: Skipped) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """What is to be kept, as far as names and sizes tell. Raises DataError if that is too much."""
    found: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    files: set[str] = set()
    folders: set[str] = set()
    for entry in zipped.infolist():
        name = _name(entry)
        if name.endswith(("/", "\\")):
            continue
        path, reason = judge(name)
        reason = reason or _refusal(entry, limits)
        if path is not None and not reason:
            same = str(path).casefold()  # some systems do not tell A from a
            above = [same[:at] for at, letter in enumerate(same) if letter == "/"]
            if same in files or same in folders or not files.isdisjoint(above):
                reason = TWICE
            else:
                files.add(same)
                folders.update(above)
                found.append((path, entry))
        if reason:
            skipped.add(reason, name)
    if len(found) > limits.files:
        raise DataError(
            f"The archive holds {len(found):,} pictures and lists. Expected at most {limits.files:,}; leave some out."
        )
    if sum(entry.file_size for _, entry in found) > limits.total_bytes:
        raise _too_much(limits)
    return found


def _name(entry: zipfile.ZipInfo) -> str:
    """Some programs write UTF-8 and do not say so; the others mean the letters of old DOS, which zipfile assumes."""
    if entry.flag_bits & 0x800:
        return entry.orig_filename
    try:
        return entry.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.orig_filename


def _refusal(entry: zipfile.ZipInfo, limits: Limits) -> str:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return LINK
    if entry.flag_bits & 0x41:
        return ENCRYPTED
    if entry.compress_type not in PLAIN_METHODS:
        return PACKED
    return LARGE if entry.file_size > limits.file_bytes else ""


def _copy(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, meter: _Meter) -> str:
    """Unpack one file. Returns why it is not kept, "" if it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size, reason = 0, ""
    try:
        with zipped.open(entry) as source, target.open("xb") as copy:
            while not reason and (part := source.read(CHUNK)):
                size += len(part)
                meter.count(len(part))
                copy.write(part)
                reason = LARGE if size > meter.limits.file_bytes else ""
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError):
        reason = DAMAGED
    if reason:
        target.unlink(missing_ok=True)
    return reason


def move(source: Path, target: Path, skipped: Skipped) -> bool:
    """Put a finished file in its place, unless a folder lies there, or a file where a folder would have to be."""
    try:
        try:
            os.replace(source, target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        skipped.add(TWICE, target.name)
        return False
    return True
