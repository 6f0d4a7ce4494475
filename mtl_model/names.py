"""Names that people choose (tasks, classes, files): text in every locale, without control characters, whole inside a sentence."""

from __future__ import annotations

import os
import unicodedata

UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, lone surrogates and line separators: no name needs one."""
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067")
"""They change the direction of what follows; the isolates of `isolated` keep a direction inside."""
ISOLATE, POP = "\u2068", "\u2069"  # FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE, Unicode annex 9
RIGHT_TO_LEFT = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI"))


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


def isolated(name: str) -> str:
    """Return the name so that its direction stays inside it.

    A name with right-to-left letters would take the numbers and commas beside it along; it comes back between Unicode's isolates.
    Any other name comes back as it is, so that nothing invisible is added to it. In HTML `views.named` does the same with <bdi>.
    """
    mixed = any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in name)
    return f"{ISOLATE}{name}{POP}" if mixed else name


def shortened(name: str, most: int) -> str:
    """Return at most `most` characters of the name; what is cut off is marked by an ellipsis."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def caption(title: str, text: str) -> str:
    """Return an answer together with its task: "Smile: not smiling". A class alone, such as "black", says something else."""
    return f"{isolated(title)}: {isolated(text)}"
