"""Video files: upright frames at even times, and a copy of a video that is drawn on, its sound kept.

Files alone are read. FFmpeg knows addresses and play lists of addresses too; none of them is opened.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from mtl_model.destinations import temporary_name
from mtl_model.errors import PictureError, UsageError, is_disk
from mtl_model.pictures import MAX_PIXELS

if TYPE_CHECKING:
    import av
    from av.container import InputContainer, OutputContainer

SUFFIXES = frozenset(".mp4 .mov .m4v .webm .mkv .avi .mpg .mpeg .3gp .mts .m2ts .wmv .flv .ogv".split())
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
LISTS = frozenset("hls concat concatf dash sdp rtsp rtp applehttp image2 lavfi".split())
"""FFmpeg's formats that open other files or addresses."""
FILES_ALONE = {"protocol_whitelist": "file"}
ENCODERS = ("libx264", "mpeg4")
RATE = Fraction(25)  # of a copy of a video that does not say its own


def expect_no_address(text: str) -> None:
    """Raise UsageError for the address of a stream."""
    if ADDRESS.match(text):
        raise UsageError(
            f"'{text}' is an address. Expected a file; streams are not opened, since the terms of the weights forbid watching "
            "people. Save the video as a file, with the consent of those who are seen."
        )


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by its name."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


@dataclass(frozen=True)
class Frame:
    """seconds: since the video began. rgb: uint8 (H, W, 3), upright."""

    seconds: float
    rgb: np.ndarray


@dataclass(frozen=True)
class Shape:
    """Of a video. width, height: pixels of an upright frame. seconds: how long it is, 0 where the file does not say."""

    width: int
    height: int
    seconds: float


def shape_of(path: Path) -> Shape:
    """Raises PictureError for a file that is no video."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        frame = next(_decoded(container, stream), None)
        if frame is None:
            raise _damaged(path)
        rgb = _upright(frame)
        length = container.duration / 1e6 if container.duration else _length(stream)
    return Shape(rgb.shape[1], rgb.shape[0], length)


def _length(stream: Any) -> float:
    return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0


def frames(path: Path, every_seconds: float) -> Iterator[Frame]:
    """Give a frame every so many seconds, beginning with the first; all of them for 0.

    Raises PictureError for a file that is no video, or is damaged from some moment on."""
    with _opened(path) as container:
        stream, due = container.streams.video[0], 0.0
        for seconds, frame in _timed(_decoded(container, stream), stream):
            if seconds >= due - 1e-6:
                due = max(due + every_seconds, seconds + every_seconds / 2)
                yield Frame(seconds, _upright(frame))


def copy(path: Path, target: Path, drawn: Callable[[Frame], Image.Image], stop: Callable[[], bool]) -> Path:
    """Write a copy of a video whose frames are drawn anew, and whose sound is as it was; folders above it may be missing.

    Where `stop` says so it ends early, and what is written can be played.

    Returns: the file, `target` with ".mp4", or ".mkv" where the sound does not fit into MP4."""
    shape = shape_of(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as source:
        kind = _container_for(source)
        file = target.with_name(f"{target.name}.{kind}")
        temporary = temporary_name(file)
        try:
            import av

            with av.open(os.fspath(temporary), "w", format={"mkv": "matroska"}.get(kind, kind)) as made:
                _write(source, made, shape, drawn, stop)
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    return file


def _write(
    source: InputContainer,
    made: OutputContainer,
    shape: Shape,
    drawn: Callable[[Frame], Image.Image],
    stop: Callable[[], bool],
) -> None:
    import av

    stream = source.streams.video[0]
    encoder = _encoder(made, stream, shape)  # all streams are there before the first packet, which writes the head
    sounds = {sound.index: made.add_stream_from_template(sound) for sound in source.streams.audio}
    start: float | None = None
    for packet in source.demux(stream, *source.streams.audio):
        if stop():
            break
        if packet.stream.index in sounds:
            if packet.dts is not None:
                packet.stream = sounds[packet.stream.index]
                made.mux(packet)
            continue
        for frame in _frames_of(packet):
            if frame.pts is None or frame.time is None:
                continue
            start = frame.time if start is None else start
            image = drawn(Frame(frame.time - start, _upright(frame)))
            out = av.VideoFrame.from_image(image.crop((0, 0, encoder.width, encoder.height)))
            out.pts, out.time_base = frame.pts, frame.time_base
            made.mux(encoder.encode(out))
    made.mux(encoder.encode())


def _encoder(made: OutputContainer, stream: Any, shape: Shape) -> Any:
    import av

    name = next(name for name in ENCODERS if name in av.codecs_available)
    encoder: Any = made.add_stream(name, rate=stream.average_rate or RATE)
    encoder.width, encoder.height = (
        max(2, side // 2 * 2) for side in (shape.width, shape.height)
    )  # yuv420p halves them
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.time_base = stream.time_base
    return encoder


def _container_for(source: InputContainer) -> str:
    fits = {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}
    return "mp4" if all(sound.codec_context.name in fits for sound in source.streams.audio) else "mkv"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    expect_no_address(os.fspath(path))
    if not path.is_file():
        raise PictureError(f"'{path.name}' is no file. Expected a video file; check the path.")
    try:
        import av
    except ImportError:
        raise UsageError(
            "The package av, which reads videos, is not installed. Expected it; install it with: pip install av."
        ) from None
    try:
        with path.open("rb") as stream, _container(path, stream) as container:
            if LISTS & set(container.format.name.split(",")) or not container.streams.video:
                raise _damaged(path)
            shown = container.streams.video[0].codec_context
            if shown.width * shown.height > MAX_PIXELS:
                raise PictureError(
                    f"The video has {shown.width} x {shown.height} pixels. Expected {MAX_PIXELS / 1e6:.0f} million at most; save "
                    "a smaller copy and try that."
                )
            yield container
    except av.FFmpegError as error:
        raise error if is_disk(error) else _damaged(path) from None


def _container(path: Path, stream: BinaryIO) -> InputContainer:
    import av

    try:
        return av.open(stream, "r", options=FILES_ALONE)
    except (OSError, av.FFmpegError):  # also of a file that names others, which FFmpeg may not open
        raise _damaged(path) from None


def _damaged(path: Path) -> PictureError:
    return PictureError(
        f"'{path.name}' is no video, or is cut off or damaged. Expected a video file as phones and cameras write them; copy it "
        "again, or save it as MP4."
    )


def _decoded(container: InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
    stream.thread_type = "AUTO"
    for packet in container.demux(stream):
        yield from _frames_of(packet)


def _frames_of(packet: Any) -> list[av.VideoFrame]:
    """The frames of a packet; none of one that is damaged: the next key frame is whole again."""
    from av.error import InvalidDataError

    try:
        return packet.decode()
    except InvalidDataError:
        return []


def _timed(decoded: Iterator[av.VideoFrame], stream: Any) -> Iterator[tuple[float, av.VideoFrame]]:
    """Give each frame with the seconds since the first; one that does not say its time follows the last by the usual step."""
    step, start, last = float(1 / (stream.average_rate or RATE)), None, None
    for frame in decoded:
        time = frame.time if frame.time is not None else 0.0 if last is None else last + step
        start = time if start is None else start
        last = time
        yield time - start, frame


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """uint8 RGB (H, W, 3), turned as the file says: a phone writes how it was held."""
    quarters = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
