"""Where a command will write, checked before it works: hours of work must not end at a path that cannot be written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from mtl_model.errors import UsageError

LONGEST_STEM = 60  # letters of a name, so that the temporary one is never too long for the disk


def temporary_name(path: Path) -> Path:
    """Return the name beside a file that this process writes it under before it is renamed."""
    return path.with_name(f".{path.name[:LONGEST_STEM]}.{os.getpid()}")


def check_file(path: Path | None, option: str) -> None:
    """Raise UsageError unless a file can be written there; folders above it may be missing. None: not asked for."""
    if path is None:
        return
    try:
        fault = _fault_of_file(path)
    except OSError as error:
        fault = error.strerror or str(error)
    if fault:
        raise UsageError(
            f"{option} names '{path}', which cannot be written: {fault}. Expected a new file, or one that may be replaced; "
            "give another path, or mend permissions and free space."
        )


def check_folder(path: Path | None, option: str) -> None:
    """Raise UsageError unless files can be written in a folder, which may be missing. None: not asked for."""
    if path is None:
        return
    try:
        fault = _fault_of_folder(Path(os.path.realpath(path)))
    except OSError as error:
        fault = error.strerror or str(error)
    if fault:
        raise UsageError(
            f"{option} names '{path}', where nothing can be written: {fault}. Expected a folder, there or not; give another "
            "path, or mend permissions and free space."
        )


def _fault_of_file(path: Path) -> str:
    from mtl_model.pictures import SUFFIXES  # numpy and Pillow come with it

    if path.is_dir():
        return "it is a folder"
    if path.exists() and not path.is_file():  # a pipe or a device takes what comes
        return "" if os.access(path, os.W_OK) else "permission denied"
    if path.exists() and path.suffix.lower() in SUFFIXES:
        return "it is a picture, which would be lost"
    target = Path(os.path.realpath(path))
    return _fault_of_folder(target.parent, target.name)


def _fault_of_folder(folder: Path, *names: str) -> str:
    """Write a file in the nearest folder that is there, and delete it. names: what is to lie in it."""
    missing = list(names)
    while not folder.exists():
        missing.append(folder.name)
        folder = folder.parent
    if not folder.is_dir():
        return f"'{folder.name}' is a file, not a folder"
    for name in missing:
        with contextlib.suppress(FileNotFoundError):
            (folder / name).lstat()  # raises OSError for a name too long for the disk
    with tempfile.TemporaryFile(dir=folder):
        return ""
