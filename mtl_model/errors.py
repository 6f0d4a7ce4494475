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
from collections.abc import Iterable


class MtlError(Exception):
    """Base of all errors with a sentence meant for the person who uses the program."""


class UsageError(MtlError):
    pass


class PictureError(MtlError):
    pass


class DataError(MtlError):
    pass


class CheckpointError(MtlError):
    pass


class RunError(MtlError):
    pass


def unknown(what: str, seen: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not among the known ones, with the nearest match.

    >>> unknown("network", "bknt", ["bknet", "resnet18"])
    "Unknown network 'bknt'. Did you mean 'bknet'? Known: bknet, resnet18."
    """
    names, seen = sorted(known), str(seen)[:100]
    near = difflib.get_close_matches(seen, names, n=1)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    return f"Unknown {what} '{seen}'.{meant} Known: {', '.join(names) if names else 'none'}."
