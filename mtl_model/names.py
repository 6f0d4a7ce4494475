"""Names from disks and label files as text: the same in every locale, and printed without control characters."""

from __future__ import annotations

import os
import unicodedata

UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, lone surrogates and line separators: no name needs one."""
OVERRIDES = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # they change the direction of what follows


def is_text(name: str) -> bool:
    """Return whether a name can be encoded as UTF-8, as JSON, cards and requests need it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(name: str) -> str:
    """Decode a name that the file system gave as UTF-8, also where the locale has another encoding.

    Bytes that are not UTF-8 stay as they came: `is_text` is False for the result.
    """
    if is_text(name):
        return name
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a letter, as JSON can hold it
        return name


def printable(text: str) -> str:
    r"""Escape what a terminal would obey or cannot show; names of files can hold anything.

    >>> printable("a\x1b[31m\n.jpg")
    'a\\x1b[31m\\n.jpg'
    """
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter in OVERRIDES or unicodedata.category(letter) in UNPRINTABLE
        else letter
        for letter in text
    )
