"""Video files: upright frames at even times, copies with their sound, and nothing but files."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mtl_model import video
from mtl_model.errors import MtlError, PictureError, UsageError
from tests.videos import write_video


def halves(count: int = 40) -> Iterable[np.ndarray]:
    """Red above, blue below; brighter from frame to frame."""
    for index in range(count):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:24, :, 0], picture[24:, :, 2] = 100 + 2 * index, 100 + 2 * index
        yield picture


def sides(rgb: np.ndarray) -> list[str]:
    """The colours in the middle of the upper, lower, left and right edge."""
    height, width = rgb.shape[:2]
    places = ((3, width // 2), (height - 4, width // 2), (height // 2, 3), (height // 2, width - 4))
    return [
        "red" if rgb[place][0] > 70 > rgb[place][2] else "blue" if rgb[place][2] > 70 > rgb[place][0] else ""
        for place in places
    ]


@pytest.mark.parametrize(
    ("turned", "size", "expected"),
    [
        (0, (64, 48), ["red", "blue"]),
        (180, (64, 48), ["blue", "red"]),
        (90, (48, 64), ["red", "blue"]),
        (-90, (48, 64), ["blue", "red"]),
    ],
)
def test_a_phones_turn_is_undone(tmp_path: Path, turned: int, size: tuple[int, int], expected: list[str]) -> None:
    path = write_video(tmp_path / "a.mp4", halves(4), turned=turned)
    shape = video.shape_of(path)
    assert (shape.width, shape.height) == size and shape.seconds == pytest.approx(0.2)
    (frame,) = video.frames(path, 5)
    across = abs(turned) == 90
    assert sides(frame.rgb)[2 if across else 0 :][:2] == expected


@pytest.mark.parametrize(("every", "count"), [(0.5, 4), (0.12, 17), (0, 40), (9, 1)])
def test_frames_come_at_even_times(tmp_path: Path, every: float, count: int) -> None:
    path = write_video(tmp_path / "a.mp4", halves())
    seconds = [frame.seconds for frame in video.frames(path, every)]
    assert len(seconds) == pytest.approx(count, abs=1) and seconds[0] == 0
    assert all(second == pytest.approx(index * (every or 0.05), abs=0.06) for index, second in enumerate(seconds))


def sound_of(path: Path) -> str:
    with av.open(str(path)) as container:
        parts = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize(
    ("name", "codecs", "kind"),
    [
        ("a.mp4", ("libx264", "aac"), "mp4"),
        ("a.mkv", ("mpeg4", "pcm_s16le"), "mkv"),
        ("a.mov", ("libx264", None), "mp4"),
    ],
)
def test_a_copy_keeps_sound_length_and_turn(
    tmp_path: Path, name: str, codecs: tuple[str, str | None], kind: str
) -> None:
    path = write_video(tmp_path / name, halves(), codecs=codecs, turned=90 if name == "a.mp4" else 0)
    shape = video.shape_of(path)
    drawn = []

    def invert(frame: video.Frame) -> Image.Image:
        drawn.append(frame.seconds)
        return Image.fromarray(255 - frame.rgb)

    made = video.copy(path, tmp_path / "deep" / "copy", invert, lambda: False)
    assert made.name == f"copy.{kind}" and [file.name for file in made.parent.iterdir()] == [made.name]
    again = video.shape_of(made)
    assert (again.width, again.height) == (shape.width, shape.height)
    assert again.seconds == pytest.approx(shape.seconds, abs=0.1)
    assert drawn == pytest.approx([index / 20 for index in range(40)], abs=1e-3)
    frames = list(video.frames(made, 0))
    assert len(frames) == 40 and frames[0].rgb.mean() == pytest.approx(
        255 - next(video.frames(path, 0)).rgb.mean(), abs=8
    )
    if codecs[1]:
        assert sound_of(made) == sound_of(path)


def test_a_copy_that_is_stopped_can_be_played(tmp_path: Path) -> None:
    path, seen = write_video(tmp_path / "a.mp4", halves()), []
    made = video.copy(
        path, tmp_path / "b", lambda frame: seen.append(1) or Image.fromarray(frame.rgb), lambda: len(seen) > 9
    )
    assert 5 < len(list(video.frames(made, 0))) < 20


def test_an_odd_size_loses_a_line(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", (picture[:47, :63].copy() for picture in halves(4)), codecs=("ffv1", None))
    assert video.shape_of(path).width == 63
    assert (
        video.shape_of(video.copy(path, tmp_path / "b", lambda frame: Image.fromarray(frame.rgb), lambda: False)).width
        == 62
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n", b"ffconcat version 1.0\nfile 'other.mp4'\n",
     b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"],
    ids=["empty", "text", "a list of addresses", "a list of files", "a session"],
)  # fmt: skip
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    write_video(tmp_path / "other.mp4", halves(4))
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(PictureError, match=r"no video|no file"):
        list(video.frames(tmp_path / "a.mp4", 1))
    with pytest.raises(PictureError):
        video.copy(tmp_path / "a.mp4", tmp_path / "b", lambda frame: Image.fromarray(frame.rgb), lambda: False)


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:10,\n{}/x.ts\n", "ffconcat version 1.0\nfile '{}/x.mp4'\n"])
def test_no_address_inside_a_file_is_asked(tmp_path: Path, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        (tmp_path / "a.mp4").write_text(text.format(f"http://127.0.0.1:{server.getsockname()[1]}"))
        with pytest.raises(PictureError):
            video.shape_of(tmp_path / "a.mp4")
        with pytest.raises(TimeoutError):
            server.accept()


def test_sound_alone_and_a_picture_are_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.add_stream("aac", rate=16000, layout="mono")
    Image.new("RGB", (40, 40)).save(tmp_path / "b.png")
    for name in ("a.mp4", "missing.mp4", "."):
        with pytest.raises(PictureError):
            video.shape_of(tmp_path / name)


def test_what_is_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", halves(), codecs=("mpeg4", None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    seen = []
    with contextlib.suppress(MtlError):
        seen.extend(video.frames(path, 0))
    assert 5 < len(seen) < 40


@pytest.mark.parametrize(
    "text", ["rtsp://camera/1", "http:/x/a.mp4", "https://x", "RTMP://x", "concat:/a", "udp://@:1"]
)
def test_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="forbid watching people"):
        video.expect_no_address(text)


@pytest.mark.parametrize("text", ["a.mp4", "/home/me/a.mp4", "C:/films/a.mp4", "a: b/c.mp4", "./http/a"])
def test_files_are_not(text: str) -> None:
    video.expect_no_address(text)
