"""Everything this package raises on purpose.

    MtlError
    |-- UsageError        a wrong option, name or combination: the caller can mend it
    |-- PictureError      a picture that cannot be read or is too large
    |-- DataError         a data set, label or file list that cannot be used
    |-- CheckpointError   a checkpoint that is missing, cut, foreign or does not fit
    `-- RunError          a training that could not go on

A message has three parts: what is wrong with the value seen; what is expected or known; what to do.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class MtlError(Exception):
    """Base of all errors with a sentence meant for the person who uses the program.

    code: stable, for whoever has to tell errors apart: the kind's own, unless the error is raised with another.
    exit_code: that of a command which ends by it."""

    code = "error"
    exit_code = 2

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code


class UsageError(MtlError):
    code = "usage"


class PictureError(MtlError):
    code = "picture"


class DataError(MtlError):
    code = "data"


class CheckpointError(MtlError):
    code = "checkpoint"


class RunError(MtlError):
    code, exit_code = "run", 1


def unknown(what: str, seen: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not among the known ones, with the nearest match.

    >>> unknown("network", "bknt", ["bknet", "resnet18"])
    "Unknown network 'bknt'. Did you mean 'bknet'? Known: bknet, resnet18."
    """
    names, seen = sorted(known), str(seen)[:100]
    near = difflib.get_close_matches(seen, names, n=1)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    return f"Unknown {what} '{seen}'.{meant} Known: {', '.join(names) if names else 'none'}."


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def is_disk(error: BaseException) -> bool:
    """Return whether an error says that a disk is full, read-only, or closed to this program."""
    return isinstance(error, OSError) and error.errno in _DISK


def disk_text(what: str, error: OSError) -> str:
    """Return the sentence for a disk that did not take or give what was asked of it.

    >>> disk_text("It was not written", OSError(errno.ENOSPC, "No space left on device"))
    'It was not written (No space left on device). Expected free space and permission to write; make room, then try again.'
    """
    reason = error.strerror or str(error) or "the disk did not answer"
    return f"{what} ({reason}). Expected free space and permission to write; make room, then try again."
