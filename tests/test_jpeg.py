"""The scans of a JPEG are counted as libjpeg meets them, whatever is done to hide them."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from mtl_model.errors import PictureError
from mtl_model.jpeg import MOST_SCANS, count_scans


def jpeg(**options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", **options)
    return stream.getvalue()


def with_scans(content: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG until there are so many."""
    start = content.rindex(b"\xff\xda")
    return content[:-2] + content[start:-2] * (count - count_scans(content)) + content[-2:]


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body


ORDINARY, PROGRESSIVE = jpeg(), jpeg(progressive=True)


@pytest.mark.parametrize(
    ("content", "scans"),
    [
        (ORDINARY, 1),
        (PROGRESSIVE, 10),
        (with_scans(PROGRESSIVE, 40), 40),
        (jpeg(exif=b"Exif\0\0" + jpeg(progressive=True)), 1),  # the thumbnail's own scans do not count
        (jpeg(restart_marker_blocks=1), 1),
        (
            ORDINARY[:-2] + segment(0xFE, b"\xff\xd9") + with_scans(PROGRESSIVE, 12)[2:],
            13,
        ),  # an end inside a note is none
        (ORDINARY + PROGRESSIVE, 1),  # MPO: what comes behind the end is another picture
        (ORDINARY[:100], 0),
        (b"\xff\xd8", 0),
        (b"\xff\xd8\xff", 0),
    ],
)
def test_scans_are_counted_up_to_the_end_of_the_first_picture(content: bytes, scans: int):
    assert count_scans(content) == scans


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(with_scans(PROGRESSIVE, MOST_SCANS + 1), id="scans"),
        pytest.param(with_scans(PROGRESSIVE, 1000), id="a thousand scans"),
        pytest.param(b"\xff\xd8" + segment(0xFE, b"") * 100_000 + ORDINARY[2:], id="segments"),
        pytest.param(b"\xff" * 1_000_000 + ORDINARY[2:], id="filling"),
        pytest.param(b"\xff\xd8" + b"\xff\x00" * 1_000_000 + ORDINARY[2:], id="escapes"),
        pytest.param(b"\xff\xd8" + segment(0xFE, b"") * 9 + b"\xff" * 100_000 + ORDINARY[2:], id="filling further on"),
    ],
)
def test_what_would_take_long_is_refused_before_it_is_decoded(content: bytes):
    started = time.process_time()
    with pytest.raises(PictureError, match="damaged or made to be slow: it has .* Expected at most") as caught:
        count_scans(content)
    assert time.process_time() - started < 2
    assert str(caught.value).endswith(".")


def test_as_many_scans_as_are_read_pass():
    assert count_scans(with_scans(PROGRESSIVE, MOST_SCANS)) == MOST_SCANS
