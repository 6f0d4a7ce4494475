"""The one way in for pictures: whatever a person hands over becomes an upright RGB array, or a sentence why not."""

from __future__ import annotations

import functools
import io
import os
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mtl_model.errors import PictureError

SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .heic .heif .avif".split())
MAX_PIXELS = 64_000_000
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
STRIP_PIXELS = 2**20

PictureSource = str | os.PathLike | bytes | Image.Image | np.ndarray


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


def read_picture(source: PictureSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture upright and in colour.

    source: a path, the bytes of a file, a PIL image, or an array: uint8 (H, W), (H, W, 3) RGB or (H, W, 4) RGBA.
    Of an animation the first frame is taken; transparency is laid on white; 16 bits become 8 (65535 is white);
    the EXIF orientation is applied.
    Returns: uint8 (H, W, 3), RGB.
    Raises: PictureError with a sentence for anything that is not a whole, readable picture of at most max_pixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    if not isinstance(stream, io.BytesIO | Image.Image):
        stream = Path(stream)
        if not stream.is_file():
            what = "is a folder, not a picture" if stream.is_dir() else "is not there"
            raise PictureError(f"'{stream.name}' {what}. Expected a picture file; check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below Pillow's
            if isinstance(stream, Image.Image):
                return _decode(stream, max_pixels)  # it may still lie in its file, cut off or not
            with Image.open(stream, formats=_readers()) as image:
                return _decode(image, max_pixels)
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
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        RuntimeError,
        struct.error,
    ) as error:  # what Pillow raises on damage
        raise PictureError(
            f"The picture is cut off or damaged. Expected a whole {FORMATS} file; copy or save it again."
        ) from error


def _too_large(seen: str, max_pixels: int) -> str:
    return (
        f"The picture has {seen} pixels, more than the {max_pixels / 1e6:.0f} million that are read here. "
        "Save a smaller copy and try that."
    )


def _decode(image: Image.Image, max_pixels: int) -> np.ndarray:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise PictureError(_too_large(f"{pixels / 1e6:.0f} million", max_pixels))
    if pixels == 0:
        raise PictureError("The picture is empty (0 pixels). Expected at least one pixel; choose another file.")
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        white = 65535.0 if image.mode.startswith("I;16") else None
        return _to_eight_bits(image, white)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _to_eight_bits(image: Image.Image, white: float | None) -> np.ndarray:
    """Grey as uint8 (H, W, 3). Of a mode that does not say what is white, the smallest usual one that the values fit.

    Strip by strip: at once, the sums would take eight times the memory of the picture."""
    rows = max(1, STRIP_PIXELS // image.width)
    tops = range(0, image.height, rows)

    def strip(top: int) -> np.ndarray:
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        return np.nan_to_num(np.asarray(part).astype(np.float64))

    if white is None:
        largest = max(strip(top).max() for top in tops)
        white = 65535.0 if largest > 255 else 255.0 if largest > 1 else 1.0
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top in tops:
        grey = np.clip(np.rint(strip(top) * (255.0 / white)), 0, 255).astype(np.uint8)
        result[top : top + rows] = grey[:, :, None]
    return result


def _from_array(array: np.ndarray, max_pixels: int) -> np.ndarray:
    grey = array.ndim == 2
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise PictureError(
            f"The array has shape {array.shape} and type {array.dtype}. Expected uint8 of shape (H, W, 3) in RGB "
            "order; convert it before the call."
        )
    return _decode(Image.fromarray(array), max_pixels)


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
