"""The one way in for pictures: whatever a person hands over becomes an upright RGB array, or a sentence why not."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from mtl_model import jpeg
from mtl_model.errors import PictureError

SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .heic .heif .avif".split())
MAX_PIXELS = 64_000_000
MAX_SIDE = 32_000
"""Pixels of the longer side. A decoder keeps something per row: 63 million rows of one pixel took 2.1 GB."""
MAX_SCANNED = 1_500_000_000
"""Pixels times scans of a JPEG, which take about 3 seconds."""
MEMORY_BYTES = 600_000_000
"""What reading one picture may take at most, the array that comes out included."""
FORMATS = "JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF"
READERS = (
    "JPEG",
    "PNG",
    "WEBP",
    "AVIF",
    "GIF",
    "BMP",
    "TIFF",
)  # as Pillow calls them; the one for JPEG reads MPO as well
DECODING_BYTES = {"WEBP": 18, "AVIF": 11, "HEIF": 10}
"""Bytes per pixel while it is decoded, as benchmarks/pictures.py measures them; of the others DECODED_BYTES."""
DECODED_BYTES = 8
FILE_BYTES = 60_000_000
"""Left for the file itself and the tables of its decoder."""
STRIP_PIXELS = 2**20

ORIENTATION = 0x0112  # the tag of EXIF, and how its values are undone
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}  # width and height change places
BACKWARDS = {3, 4, 6, 7}  # the first row comes last

PictureSource = str | os.PathLike | bytes | Image.Image | np.ndarray


@dataclass(frozen=True)
class Strip:
    """A part of an upright picture: where its first pixel belongs, and uint8 RGB (h, w, 3)."""

    top: int
    left: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Decoded:
    """An upright picture that is handed out strip by strip, so that there is no second copy of it."""

    height: int
    width: int
    strips: Iterator[Strip]

    def whole(self) -> np.ndarray:
        """Return uint8 RGB (height, width, 3); to be called once."""
        picture = np.empty((self.height, self.width, 3), np.uint8)
        for strip in self.strips:
            rows, columns = strip.pixels.shape[:2]
            picture[strip.top : strip.top + rows, strip.left : strip.left + columns] = strip.pixels
        return picture


def read_picture(source: PictureSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture upright and in colour.

    source: a path, the bytes of a file, a PIL image, or an array: uint8 (H, W), (H, W, 3) RGB or (H, W, 4) RGBA.
    Of an animation the first frame is taken; transparency is laid on white; 16 bits become 8 (65535 is white);
    the EXIF orientation is applied.
    Returns: uint8 (H, W, 3), RGB.
    Raises: PictureError with a sentence for anything that is not a whole, readable picture of at most max_pixels.
    """
    with decoded(source, max_pixels) as picture:
        return picture.whole()


def turn(rgb: np.ndarray, degrees: int) -> np.ndarray:
    """Turn a picture (H, W, 3) clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(rgb, -degrees // 90)) if degrees else rgb


def upright(source: PictureSource) -> np.ndarray:
    """Return the picture as `read_picture` does; an RGB array is returned itself, not as a copy, and must not be changed."""
    if not isinstance(source, np.ndarray) or source.dtype != np.uint8 or source.shape[2:] != (3,):
        return read_picture(source)
    return source if 0 < source.size <= 3 * MAX_PIXELS else read_picture(source)


@contextlib.contextmanager
def decoded(source: PictureSource, max_pixels: int = MAX_PIXELS) -> Iterator[Decoded]:
    """Decode a picture and hand it out in strips; sources and errors are those of `read_picture`."""
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on what is odd in a file but can be read
            if isinstance(source, Image.Image):
                yield _decode(source, max_pixels, 1)  # it may still lie in its file, cut off or not
                return
            with _stream(source) as stream:
                scans = _scans(stream)
                with Image.open(stream, formats=_readers()) as image:
                    yield _decode(image, max_pixels, scans)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(_too_large("far more", max_pixels)) from None
    except UnidentifiedImageError:
        raise PictureError(
            f"The file is not a picture in a format known here. Expected {FORMATS}; open it in a picture program "
            "and save it as JPEG."
        ) from None
    except PermissionError:
        raise PictureError("The file may not be read. Expected a readable picture; change its permissions.") from None
    except MemoryError:
        raise PictureError(
            f"The picture takes more memory to read than there is. Expected one that can be read in {MEMORY_BYTES // 10**6} MB; "
            "save a smaller copy as JPEG and try that."
        ) from None
    except Exception as error:  # on damage Pillow's readers raise anything, zlib.error and AssertionError among it
        raise PictureError(
            f"The picture is cut off or damaged. Expected a whole {FORMATS} file; copy or save it again."
        ) from error


@functools.cache
def _readers() -> tuple[str, ...]:
    """What a file may be read with. Pillow has dozens of others, which no camera writes; one starts Ghostscript."""
    try:
        import pillow_heif
    except ImportError:  # then a HEIC file gets the sentence for an unknown format
        return READERS
    pillow_heif.register_heif_opener()
    return *READERS, "HEIF"


def prepare() -> None:
    """Import every reader now: before several threads read their first picture, and import it, at the same time."""
    _readers()
    Image.init()


def _stream(source: str | os.PathLike | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    if not path.is_file():
        what = "is a folder, not a picture" if path.is_dir() else "is not there"
        raise PictureError(f"'{path.name}' {what}. Expected a picture file; check the path.")
    return path.open("rb")


def _scans(stream: BinaryIO) -> int:
    """Count the scans of a JPEG; 1 for any other file. Raises PictureError for one that would take long."""
    is_jpeg = stream.read(len(jpeg.START)) == jpeg.START
    stream.seek(0)
    scans = jpeg.count_scans(stream.read()) if is_jpeg else 1
    stream.seek(0)
    return scans


def _too_large(seen: str, max_pixels: int) -> str:
    return (
        f"The picture has {seen} pixels, more than the {max_pixels / 1e6:.0f} million that are read here. "
        "Save a smaller copy and try that."
    )


def _check_size(image: Image.Image, max_pixels: int, scans: int) -> None:
    """Raise PictureError for a picture whose decoding would take too long or too much memory, as its header says."""
    pixels = image.width * image.height
    if pixels == 0:
        raise PictureError("The picture is empty (0 pixels). Expected at least one pixel; choose another file.")
    per_pixel = max(DECODED_BYTES, DECODING_BYTES.get(image.format or "", 0))
    if scans > 1:  # a decoder then keeps two bytes of each component until the last one
        per_pixel = max(per_pixel, 4 + 2 * len(image.getbands()))
    most = min(max_pixels, (MEMORY_BYTES - FILE_BYTES) // per_pixel)
    if pixels > most:
        raise PictureError(_too_large(f"{pixels / 1e6:.0f} million", most))
    if max(image.size) > MAX_SIDE:
        raise PictureError(
            f"The picture is {image.width:,} x {image.height:,} pixels. Expected at most {MAX_SIDE:,} on each side; save a "
            "smaller copy and try that."
        )
    if pixels * scans > MAX_SCANNED:
        raise jpeg.slow(f"{scans} scans of {pixels / 1e6:.0f} million pixels", f"{MAX_SCANNED // pixels} of that size")


def _decode(image: Image.Image, max_pixels: int, scans: int) -> Decoded:
    _check_size(image, max_pixels, scans)
    image.load()
    turn = image.getexif().get(ORIENTATION)
    turn = turn if isinstance(turn, int) and turn in TURNS else 1
    height, width = image.size if turn in SIDEWAYS else image.size[::-1]
    return Decoded(height, width, _strips(image, turn))


def _strips(image: Image.Image, turn: int) -> Iterator[Strip]:
    rows = max(1, STRIP_PIXELS // image.width)
    white = _white(image, rows)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        part = _in_colour(image.crop((0, top, image.width, bottom)), white)
        if turn in TURNS:
            part = part.transpose(TURNS[turn])
        first = image.height - bottom if turn in BACKWARDS else top
        place = (0, first) if turn in SIDEWAYS else (first, 0)
        yield Strip(*place, np.asarray(part))


def _white(image: Image.Image, rows: int) -> float | None:
    """Return the value that is white in a mode of more than 8 bits, None for other modes. Of a mode that does not say it, it is
    the smallest usual one that the values fit."""
    if image.mode.startswith("I;16"):
        return 65535.0
    if image.mode not in ("I", "F"):
        return None
    strips = (image.crop((0, top, image.width, min(top + rows, image.height))) for top in range(0, image.height, rows))
    largest = max(np.nan_to_num(np.asarray(strip)).max() for strip in strips)
    return 65535.0 if largest > 255 else 255.0 if largest > 1 else 1.0


def _in_colour(part: Image.Image, white: float | None) -> Image.Image:
    if white is not None:
        grey = np.nan_to_num(np.asarray(part).astype(np.float64)) * (255.0 / white)
        part = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    elif "A" in part.getbands() or "a" in part.getbands() or "transparency" in part.info:
        part = part.convert("RGBA")
        part = Image.alpha_composite(Image.new("RGBA", part.size, "white"), part)
    return part.convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    grey = array.ndim == 2
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise PictureError(
            f"The array has shape {array.shape} and type {array.dtype}. Expected uint8 of shape (H, W, 3) in RGB "
            "order; convert it before the call."
        )
    return Image.fromarray(array)


def list_pictures(path: Path) -> tuple[list[Path], list[Path]]:
    """List the pictures that a path stands for: itself unless it is a folder, else all below it, sorted.

    Returns: the pictures, and the folders whose pictures cannot be listed.
    """
    if not path.is_dir():
        return [path], []
    pictures: list[Path] = []
    unreadable: set[Path] = set()
    for where, _, files in os.walk(path, onerror=lambda error: unreadable.add(Path(error.filename))):
        for name in files:
            if name.startswith("._") or os.path.splitext(name)[1].lower() not in SUFFIXES:
                continue  # "._": what macOS leaves beside its pictures
            try:
                if stat.S_ISREG(os.stat(os.path.join(where, name)).st_mode):
                    pictures.append(Path(where, name))
            except FileNotFoundError:  # a link that leads nowhere
                continue
            except OSError:
                unreadable.add(Path(where))
    return sorted(pictures), sorted(unreadable)
