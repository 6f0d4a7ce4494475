"""Names that people choose (tasks, classes, files) inside sentences of another length and direction."""

from __future__ import annotations

import unicodedata

ISOLATE, POP = "\u2068", "\u2069"  # FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE, Unicode annex 9
RIGHT_TO_LEFT = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI"))


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
