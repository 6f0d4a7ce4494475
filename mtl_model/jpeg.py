"""The markers of a JPEG, followed before it is decoded: its scans, each of which goes over the whole picture once more."""

from __future__ import annotations

import re

from mtl_model.errors import PictureError

START = b"\xff\xd8"
MOST_SCANS = 100  # cameras write 1, programs about 10
MOST_SEGMENTS = 10_000  # of tables, notes and colour profiles
MOST_FILLING = 4096  # bytes between two segments ahead of the first scan, each of which Pillow reads on its own

_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""Any marker but a restart (D0 to D7) and an escaped FF (00), which belong to the data of a scan."""
_ALONE = frozenset({0x01, 0xD8})  # markers without a length behind them
_SCAN, _END = 0xDA, 0xD9


def count_scans(content: bytes) -> int:
    """Return the number of SOS markers up to the end of the first picture, as libjpeg meets them.

    Raises: PictureError for more scans or segments than any program writes.
    Source: ITU-T T.81, annex B.1.1 (markers and segments).
    """
    at = len(START)
    scans = segments = 0
    while (match := _MARKER.search(content, at)) and match[1][0] != _END:
        segments += 1
        scans += match[1][0] == _SCAN
        if segments > MOST_SEGMENTS or (not scans and match.end() - at > MOST_FILLING):
            raise slow("far more segments or filling than pictures have", f"{MOST_SEGMENTS:,} segments")
        if scans > MOST_SCANS:
            raise slow(f"more than {MOST_SCANS} scans", f"{MOST_SCANS} scans")
        at = match.end()
        if match[1][0] not in _ALONE:
            at += max(2, int.from_bytes(content[at : at + 2], "big"))
    return scans


def slow(seen: str, most: str) -> PictureError:
    """Return the error for a JPEG that would take long. seen, most: what it has, and what is read at most."""
    return PictureError(
        f"This JPEG is damaged or made to be slow: it has {seen}. Expected at most {most}, as cameras and programs write "
        "them; open it in a picture program and save it again."
    )
