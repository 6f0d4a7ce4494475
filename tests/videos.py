"""Videos that tests are about: frames that they draw, with a tone as sound."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SOUND_RATE = 16000


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    rate: int = 20,
    *,
    turned: int = 0,
    codecs: tuple[str, str | None] = ("libx264", "aac"),
) -> Path:
    """Write frames, uint8 RGB (H, W, 3) with even sides.

    turned: degrees counter-clockwise by which players have to turn each frame, as phones write it. codecs: of pictures and sound;
    None: no sound."""
    with av.open(str(path), "w") as container:
        shown: Any = container.add_stream(codecs[0], rate=rate)
        sound: Any = container.add_stream(codecs[1], rate=SOUND_RATE, layout="mono") if codecs[1] else None
        if turned:
            shown.set_display_rotation(turned)
        for index, picture in enumerate(pictures):
            if index == 0:
                shown.height, shown.width, shown.pix_fmt = *picture.shape[:2], "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(shown.encode(frame))
            if sound:
                container.mux(sound.encode(_tone(index, SOUND_RATE // rate)))
        for stream in filter(None, (shown, sound)):
            container.mux(stream.encode())
    return path


def _tone(index: int, length: int) -> av.AudioFrame:
    wave = 0.3 * np.sin((np.arange(length) + index * length) / 8)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, index * length, Fraction(1, SOUND_RATE)
    return frame


def moving(picture: np.ndarray, count: int, hidden: Iterable[int] = ()) -> Iterable[np.ndarray]:
    """A picture that moves across a grey ground of 480 x 270, two pixels a frame; not there in frames that are hidden."""
    for index in range(count):
        scene = np.full((270, 480, 3), 90, np.uint8)
        if index not in set(hidden):
            scene[20 : 20 + len(picture), 2 * index : 2 * index + picture.shape[1]] = picture
        yield scene
