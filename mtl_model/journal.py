"""Answers to pictures as JSON lines: written as they come, taken up again, and read back for every other form."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mtl_model.destinations import temporary_name
from mtl_model.errors import UsageError
from mtl_model.names import isolated
from mtl_model.records import FACE, Photo, from_json, to_json

SOURCE = "source"
"""Field of a line beside those of the contract: what was read, and by what."""
NAMED = 3  # pictures in a sentence that could name many


@dataclass(frozen=True)
class Settings:
    """What an answer depends on besides its picture.

    checkpoint: its name. weights: digest of its card and weights. smallest_face_px: as in `Predictor.predict`. version: of the
    program."""

    checkpoint: str
    weights: str
    smallest_face_px: float | None
    version: str


@dataclass(frozen=True)
class Stamp:
    """By what a changed picture is told: bytes of its file, and when it was written, in nanoseconds; None: there is no file."""

    bytes: int | None = None
    modified: int | None = None


NO_FILE = Stamp()


def stamp_of(file: Path) -> Stamp:
    """Return the stamp of a file, NO_FILE where it cannot be looked at."""
    try:
        seen = file.stat()
    except OSError:
        return NO_FILE
    return Stamp(seen.st_size, seen.st_mtime_ns)


@dataclass(frozen=True)
class Line:
    """A line of a file: the picture, whether there is an answer to it, and its first byte and length in the file."""

    name: str
    failed: bool
    stamp: Stamp
    start: int
    length: int


@dataclass
class TakenUp:
    """What a file that is gone on with held. torn: whether its last line was cut off.

    anew: why pictures are read again, by name."""

    answered: int = 0
    torn: bool = False
    anew: dict[str, str] = field(default_factory=dict)

    def sentence(self) -> str:
        """Return it in words."""
        parts = [f"{self.answered:,} {'picture is' if self.answered == 1 else 'pictures are'} answered already"]
        if self.torn:
            parts.append("the last line was cut off and is dropped")
        if self.anew:
            named = [f"{isolated(name)}: {why}" for name, why in list(self.anew.items())[:NAMED]]
            more = [f"{len(self.anew) - NAMED:,} more"] if len(self.anew) > NAMED else []
            parts.append(f"{len(self.anew):,} to be read anew ({'; '.join([*named, *more])})")
        return "; ".join(parts) + "."


class Journal:
    """A file with a line per picture, whole or not there: the object of the contract, and under "source" what it was made of.

    A line is written at once and never buffered, so that neither Ctrl-C nor SIGKILL takes a finished one; of a line that did not
    fit on the disk nothing stays. To be used from one thread.
    """

    def __init__(self, file: BinaryIO | io.FileIO, settings: Settings) -> None:
        """file: opened for reading and writing, unbuffered, and empty."""
        self._file, self._settings, self._size = file, settings, 0
        self._places: dict[str, tuple[int, int]] = {}

    @classmethod
    def temporary(cls, settings: Settings) -> Journal:
        """Return a journal that nobody keeps."""
        return cls(tempfile.TemporaryFile(buffering=0), settings)

    @classmethod
    def begin(cls, path: Path, settings: Settings) -> Journal:
        """Begin a file. Raises UsageError where one is there that holds something."""
        if path.exists() and (not path.is_file() or path.stat().st_size):
            what = "holds answers already" if path.is_file() else "is no file that can be read back"
            raise UsageError(
                f"--out names '{path}', which {what}. Expected a new file; add --resume to go on with one, or give another."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path.open("a+b", buffering=0), settings)

    @classmethod
    def resume(
        cls, path: Path, settings: Settings, files: Mapping[str, Path], uncopied: Container[str] = ()
    ) -> tuple[Journal, TakenUp]:
        """Go on with a file, or begin it. A line that was cut off is dropped, and so are those of pictures to be read anew.

        Args:
            files: The pictures asked for, by name. Lines of others stay.
            uncopied: Pictures of which a copy that is asked for is not there.

        Raises: UsageError for a file that is no journal, or one of other settings or another checkpoint."""
        if not path.is_file() or not path.stat().st_size:
            return cls.begin(path, settings), TakenUp()
        taken, lines = TakenUp(), {}
        with path.open("rb") as stream:
            for line in _whole_lines(stream, path, settings):
                taken.torn = line is None
                if line is not None:
                    lines[line.name] = line
        for name, line in list(lines.items()):
            why = _why_anew(line, stamp_of(files[name])) if name in files else ""
            if why := why or ("a copy of it is missing" if name in uncopied else ""):
                taken.anew[name] = why
                del lines[name]
        taken.answered = len(lines)
        _leave(path, [*lines.values()])
        journal = cls(path.open("a+b", buffering=0), settings)
        for line in lines.values():
            journal._place(line.name, line.length)
        return journal, taken

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def add(self, photo: Photo, stamp: Stamp = NO_FILE) -> None:
        """Append the answer to a picture. Raises OSError, with nothing of it in the file."""
        plain = {**to_json([photo])[0], SOURCE: {**asdict(stamp), **asdict(self._settings)}}
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"
        line = text.encode("utf-8", "backslashreplace")  # a name's bytes that are no UTF-8: the escape stands for them
        self._file.seek(self._size)
        try:
            done = 0
            while done < len(line):
                done += self._file.write(line[done:]) or 0
        except BaseException:
            self._file.truncate(self._size)
            raise
        self._place(photo.photo, len(line))

    def plain(self, names: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Give the contract's objects for those of the pictures that are answered, in the order of `names`."""
        for name in names:
            if name in self._places:
                start, length = self._places[name]
                self._file.seek(start)
                plain = json.loads(self._file.read(length))
                del plain[SOURCE]
                yield plain

    def photos(self, names: Iterable[str], titles: Mapping[str, str], subject: str = FACE) -> Iterator[Photo]:
        """Give the answers to those of the pictures that are answered; see `records.from_json`."""
        return (from_json(plain, titles, subject) for plain in self.plain(names))

    def close(self) -> None:
        self._file.close()

    def _place(self, name: str, length: int) -> None:
        self._places[name] = (self._size, length)
        self._size += length


def _whole_lines(stream: BinaryIO, path: Path, settings: Settings) -> Iterator[Line | None]:
    """Give the lines of a journal, None for one that was cut off, which is its last."""
    start = 0
    for number, text in enumerate(stream, start=1):
        if not text.endswith(b"\n"):
            yield None
            return
        yield _line(text, start, number, path, settings)
        start += len(text)


def _line(text: bytes, start: int, number: int, path: Path, settings: Settings) -> Line:
    try:
        plain = json.loads(text)
        source = plain[SOURCE]
        made_by = {name: source[name] for name in asdict(settings)}
        line = Line(plain["photo"], bool(plain["error"]), Stamp(source["bytes"], source["modified"]), start, len(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"Line {number} of '{path}' is no answer to a picture. Expected a file that --out has written; give another."
        ) from None
    if others := [name for name, value in asdict(settings).items() if made_by[name] != value]:
        seen = ", ".join(f"{name} {made_by[name]} in place of {getattr(settings, name)}" for name in others)
        raise UsageError(
            f"'{path}' holds answers made with other settings ({seen}). Expected those of this command; repeat the command that "
            "began it, or give another --out."
        )
    return line


def _why_anew(line: Line, now: Stamp) -> str:
    """Return why a picture is read again, "" where its answer still holds."""
    if line.failed:
        return "it could not be read then"
    if line.stamp.bytes != now.bytes:
        return f"its file has {now.bytes} bytes, and had {line.stamp.bytes}"
    return "its file was written since" if line.stamp.modified != now.modified else ""


def _leave(path: Path, lines: list[Line]) -> None:
    """Leave nothing but these lines in a file; a file that loses some in its middle is written anew beside it, then renamed."""
    size = sum(line.length for line in lines)
    if all(line.start == before for line, before in zip(lines, _starts(lines), strict=True)):
        os.truncate(path, size)
        return
    temporary = temporary_name(path)
    try:
        with path.open("rb") as before, temporary.open("wb") as after:
            for line in lines:
                before.seek(line.start)
                after.write(before.read(line.length))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _starts(lines: Iterable[Line]) -> Iterator[int]:
    """Give the first byte of each line if they follow each other."""
    start = 0
    for line in lines:
        yield start
        start += line.length
