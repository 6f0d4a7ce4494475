"""Every odd file that people hand over works, or gets one calm sentence."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageFile, ImageOps

from mtl_model import pictures
from mtl_model.errors import PictureError
from mtl_model.pictures import MAX_PIXELS, SUFFIXES, PictureSource, list_pictures, read_picture
from tests.test_jpeg import with_scans

WIDTH, HEIGHT = 60, 40
RED, BLUE = (220, 30, 30), (30, 30, 220)


def halves(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red above blue: which way is up shows."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width, height // 2))
    return image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rotated() -> bytes:
    """A photo whose pixels lie on their side, and whose EXIF says so (6: turn by 90 degrees to the right)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(halves().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def heic() -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(halves()).save(stream, quality=95)
    return stream.getvalue()


def animation() -> bytes:
    return encoded(halves(), "GIF", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT), "black")] * 3)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(side: int = 10_000) -> bytes:
    """A PNG that says it has side x side pixels, in a few hundred bytes."""

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


UPRIGHT: list[tuple[str, Callable[[], bytes]]] = [
    ("plain.jpg", lambda: encoded(halves(), "JPEG", quality=95)),
    ("plain.png", lambda: encoded(halves(), "PNG")),
    ("plain.webp", lambda: encoded(halves(), "WEBP", quality=95)),
    ("plain.bmp", lambda: encoded(halves(), "BMP")),
    ("plain.tif", lambda: encoded(halves(), "TIFF")),
    ("two.mpo", lambda: encoded(halves(), "MPO", save_all=True, append_images=[halves()], quality=95)),
    ("plain.avif", lambda: encoded(halves(), "AVIF", quality=95)),
    ("phone.heic", heic),
    ("turned.jpg", rotated),
    ("print.jpg", lambda: encoded(halves().convert("CMYK"), "JPEG", quality=95)),
    ("palette.png", lambda: encoded(halves().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")),
    ("opaque.png", lambda: encoded(halves().convert("RGBA"), "PNG")),
    ("animated.gif", animation),
    ("wrong_suffix.heic", lambda: encoded(halves(), "JPEG", quality=95)),
    ("no_suffix", lambda: encoded(halves(), "PNG")),
    ("broken_exif.jpg", lambda: encoded(halves(), "JPEG", quality=95, exif=b"Exif\0\0of no use")),
]


@pytest.mark.parametrize("given", ["path", "text", "bytes"])
@pytest.mark.parametrize(("name", "make"), UPRIGHT, ids=[case[0] for case in UPRIGHT])
def test_each_format_comes_out_upright_and_in_colour(tmp_path: Path, name: str, make: Callable[[], bytes], given: str):
    path = tmp_path / name
    path.write_bytes(make())
    picture = read_picture({"path": path, "text": str(path), "bytes": path.read_bytes()}[given])
    assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert np.abs(picture[5, WIDTH // 2].astype(int) - RED).max() < 25
    assert np.abs(picture[-5, WIDTH // 2].astype(int) - BLUE).max() < 25


@pytest.mark.parametrize(
    ("source", "colour"),
    [
        pytest.param(
            encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG"), 255, id="nothing there"
        ),  # nothing there: white
        pytest.param(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG"), 127, id="half there"),
        pytest.param(encoded(Image.new("LA", (8, 8), (0, 0)), "PNG"), 255, id="grey and clear"),
        pytest.param(
            encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3)), 255, id="one colour clear"
        ),
        pytest.param(encoded(Image.new("P", (8, 8), 0), "GIF", transparency=0), 255, id="palette clear"),
        pytest.param(encoded(Image.fromarray(np.full((8, 8), 65535, np.uint16)), "PNG"), 255, id="16 bits white"),
        pytest.param(encoded(Image.fromarray(np.full((8, 8), 32768, np.uint16)), "PNG"), 128, id="16 bits middle"),
        pytest.param(
            encoded(Image.fromarray(np.full((8, 8), 200, np.uint16)), "PNG"), 1, id="16 bits dark"
        ),  # dark, not 8 bits
        pytest.param(encoded(Image.fromarray(np.full((8, 8), 0.5, np.float32)), "TIFF"), 128, id="float"),
        pytest.param(encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), 0, id="not a number"),
        pytest.param(encoded(Image.new("L", (8, 8), 77), "PNG"), 77, id="grey"),
        pytest.param(encoded(Image.new("1", (8, 8), 1), "PNG"), 255, id="one bit"),
        pytest.param(Image.new("RGB", (8, 8), (9, 9, 9)), 9, id="opened"),
        pytest.param(np.full((8, 8), 9, np.uint8), 9, id="array grey"),
        pytest.param(np.full((8, 8, 3), 9, np.uint8), 9, id="array"),
        pytest.param(np.full((8, 8, 4), (9, 9, 9, 255), np.uint8), 9, id="array with alpha"),
    ],
)
def test_grey_values_keep_their_meaning(source: PictureSource, colour: int):
    picture = read_picture(source)
    assert (picture.shape, picture.dtype) == ((8, 8, 3), np.uint8)
    assert np.abs(picture.astype(int) - colour).max() <= 1


def test_a_sixteen_bit_ramp_stays_a_ramp():
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    picture = read_picture(encoded(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(picture[:, :, 0].ravel(), np.arange(256))


def test_a_large_picture_of_many_bits_is_worked_out_in_strips(monkeypatch: pytest.MonkeyPatch):
    values = np.linspace(0, 1, 1_200 * 1_100, dtype=np.float32).reshape(1_200, 1_100)
    content = encoded(Image.fromarray(values), "TIFF")
    monkeypatch.setattr(pictures, "STRIP_PIXELS", 100_000)
    tracemalloc.start()
    try:
        picture = read_picture(content)
        assert tracemalloc.get_traced_memory()[1] < 8 * values.size
    finally:
        tracemalloc.stop()
    assert np.array_equal(picture, np.repeat(np.rint(values.astype(float) * 255)[:, :, None], 3, 2))


@pytest.mark.parametrize("size", [(10, 10), (1, 1), (1, 300)])
def test_tiny_pictures_are_pictures(size: tuple[int, int]):
    assert read_picture(encoded(halves(*size), "PNG")).shape == (size[1], size[0], 3)


def cut(kind: str, keep: float = 0.5) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    return content[: int(len(content) * keep)]


REFUSED = [
    ("cut.jpg", cut("JPEG"), "cut off or damaged"),
    ("cut.png", cut("PNG"), "cut off or damaged"),
    ("cut.webp", cut("WEBP"), "cut off or damaged|not a picture"),
    ("cut.tif", cut("TIFF", 0.3), "cut off or damaged|not a picture"),
    ("head_only.jpg", cut("JPEG", 0.01), "cut off or damaged"),
    ("cut.heic", heic()[:300], "cut off or damaged|not a picture"),
    ("text.jpg", b"Dear diary, this is no picture.", "not a picture"),
    ("empty.jpg", b"", "not a picture"),
    ("zeros.png", bytes(5000), "not a picture"),
    ("page.html", b"<!doctype html><title>no</title>", "not a picture"),
    ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
    ("drawing.eps", encoded(halves(), "EPS"), "not a picture"),  # Pillow would start Ghostscript
    ("layers.psd", b"8BPS\0\1" + bytes(5000), "not a picture"),
    ("plain.ppm", encoded(halves(), "PPM"), "not a picture"),
    ("bomb.png", bomb(), "100 million pixels, more than the 64 million"),
    ("large_bomb.png", bomb(60_000), "far more pixels, more than the 64 million"),
]


@pytest.mark.parametrize("given", ["path", "bytes"])
@pytest.mark.parametrize(("name", "content", "sentence"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_no_picture_gets_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str, given: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PictureError, match=sentence) as caught:
        read_picture(path if given == "path" else content)
    text = str(caught.value)
    assert "\n" not in text and str(tmp_path) not in text
    assert text[0].isupper() and text.endswith(".") and len(text) < 300


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_undone_as_pillow_does(orientation: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "STRIP_PIXELS", 70)  # several strips, the last one smaller
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(noise, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = ImageOps.exif_transpose(image)
    assert np.array_equal(read_picture(content), np.asarray(upright))


def test_a_picture_that_is_upright_already_is_not_copied():
    given = np.zeros((4, 5, 3), np.uint8)
    assert pictures.upright(given) is given
    assert pictures.upright(given[:, :, 0]).shape == (4, 5, 3)
    with pytest.raises(PictureError):
        pictures.upright(given.astype(float))


def column(height: int, width: int = 1) -> bytes:
    """A PNG of very many rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


COSTLY = [
    ("rows", column(63_000_000), "1 x 63,000,000 pixels. Expected at most 32,000 on each side"),
    ("columns", column(1, 63_000_000), "63,000,000 x 1 pixels. Expected at most 32,000 on each side"),
    ("webp", encoded(halves(6_000, 6_000), "WEBP", method=0), "36 million pixels, more than the 30 million"),
    (
        "progressive",
        encoded(halves(7_600, 7_600), "JPEG", progressive=True),
        "58 million pixels, more than the 54 million",
    ),
    ("scans", with_scans(encoded(halves(), "JPEG", progressive=True), 101), "more than 100 scans"),
    (
        "scans of a large one",
        with_scans(encoded(halves(5_000, 5_000), "JPEG", progressive=True), 61),
        "61 scans of 25 million pixels. Expected at most 60 of that size",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), [case[1:] for case in COSTLY], ids=[case[0] for case in COSTLY])
def test_what_would_cost_too_much_is_never_decoded(content: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch):
    def load(*_: object) -> None:
        pytest.fail("it is decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(PictureError, match=sentence):
        read_picture(content)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_of_many_frames_only_the_first_is_decoded(kind: str):
    """So pixels times frames cost nothing: many frames take as long as few, and no more memory."""
    others = [Image.new("RGB", (400, 300), (number, 0, 0)) for number in range(1, 60)]
    content = encoded(halves(400, 300), kind, save_all=True, append_images=others)
    decodings: list[str] = []
    original = ImageFile.ImageFile.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFile.ImageFile, "load", lambda image: decodings.append(image.tell()) or original(image))
        picture = read_picture(content)
    assert np.abs(picture[5, 200].astype(int) - RED).max() < 40
    assert set(decodings) == {0}


def test_the_next_picture_works():
    for _, content, _ in REFUSED:
        with pytest.raises(PictureError):
            read_picture(content)
    assert read_picture(encoded(halves(), "PNG")).shape == (HEIGHT, WIDTH, 3)


def test_a_bomb_is_never_unpacked():
    tracemalloc.start()
    try:
        with pytest.raises(PictureError):
            read_picture(bomb())
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_the_limit_is_the_caller_s():
    content = encoded(halves(), "PNG")
    assert read_picture(content, max_pixels=WIDTH * HEIGHT).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(PictureError, match="pixels, more than"):
        read_picture(content, max_pixels=WIDTH * HEIGHT - 1)
    with pytest.raises(PictureError, match="pixels, more than"):
        read_picture(np.zeros((10, 10, 3), np.uint8), max_pixels=99)
    assert MAX_PIXELS == 64_000_000


def test_a_picture_opened_elsewhere_gets_the_same_sentence():
    with Image.open(io.BytesIO(cut("JPEG"))) as image, pytest.raises(PictureError, match="cut off"):
        read_picture(image)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((3, 4, 4), np.uint8)[..., None],
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_of_another_shape_is_refused(array: np.ndarray):
    with pytest.raises(PictureError, match="Expected uint8 of shape"):
        read_picture(array)


def test_a_path_that_is_no_file(tmp_path: Path):
    with pytest.raises(PictureError, match="'gone.jpg' is not there"):
        read_picture(tmp_path / "gone.jpg")
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)


def test_the_array_is_the_caller_s_own():
    given = np.zeros((4, 4, 3), np.uint8)
    picture = read_picture(given)
    picture[:] = 9
    assert given.max() == 0


def test_folders_are_searched_for_pictures_alone(tmp_path: Path):
    for name in ("b.JPG", "a/z.png", "a/deep/x.Heic", "notes.txt", "b.jpg.part", "a/data.json", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)[0]]
    assert found == sorted(found, key=lambda name: Path(name).parts)
    assert [name for name in found if not name.startswith(".")] == ["a/deep/x.Heic", "a/z.png", "b.JPG"]
    assert list_pictures(tmp_path / "notes.txt") == ([tmp_path / "notes.txt"], [])
    assert list_pictures(tmp_path / "a" / "deep") == ([tmp_path / "a" / "deep" / "x.Heic"], [])


def test_the_suffixes_are_the_contract():
    assert set(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .heic .heif .avif".split()) == SUFFIXES


def test_what_a_decoder_raises_on_damage_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    def damaged(*_: object) -> None:  # as Pillow's AVIF decoder does
        raise RuntimeError("Failed to decode frame 0: Decoding of color planes failed")

    monkeypatch.setattr(Image.Image, "load", damaged)
    with pytest.raises(PictureError, match="cut off or damaged"):
        read_picture(Image.new("RGB", (8, 8)))
