"""What it costs to read a picture of each kind as the page does: in a child process, with a limit on time and memory.

    python benchmarks/pictures.py [WORD]     only the kinds whose name holds WORD

Prints a row per kind: megabytes of the file, megapixels, seconds in a child that is ready, and the largest sum of what the
child (40 MB while it waits) and the picture here take together, sampled every 5 ms, in MB. A picture that is refused has its
sentence instead. The page takes files of at most 64 MB; a larger one here counts twice, since parent and
child hold it. The pictures are made from the sample picture, with noise, so they do not shrink to nothing.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pillow_heif
import psutil
from PIL import Image

from mtl_model.decoding import Decoders
from mtl_model.errors import PictureError
from mtl_model.ui.checkpoints.trial import sample_path

Kind = tuple[str, Callable[[], bytes]]


def photo(megapixels: float, mode: str = "RGB") -> Image.Image:
    width, height = round((megapixels * 1e6 * 4 / 3) ** 0.5), round((megapixels * 1e6 * 3 / 4) ** 0.5)
    with Image.open(sample_path()) as sample:
        large = sample.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 1), dtype=np.int8)
    pixels = np.asarray(large)
    for top in range(0, height, 500):
        part = pixels[top : top + 500].astype(np.int16) + noise[top : top + 500]
        large.paste(Image.fromarray(part.clip(0, 255).astype(np.uint8)), (0, top))
    return large if mode == "RGB" else large.convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(megapixels: float) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(megapixels), "JPEG", quality=90, exif=exif)


def frames(kind: str, count: int, megapixels: float) -> bytes:
    first = photo(megapixels)
    others = [Image.new("RGB", first.size, (number % 256, 0, 0)) for number in range(count - 1)]
    return encoded(first, kind, save_all=True, append_images=others)


def sixteen_bits(megapixels: float) -> bytes:
    return encoded(Image.fromarray(np.asarray(photo(megapixels, "L")).astype(np.uint16) * 257), "PNG", compress_level=1)


def scans(count: int, side: int) -> bytes:
    """A progressive JPEG of one colour, its last scan repeated."""
    content = encoded(Image.new("RGB", (side, side), (90, 120, 30)), "JPEG", progressive=True)
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * (count - 10) + content[-2:]


def column(height: int) -> bytes:
    """A PNG of one pixel's width."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 1, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(2 * height)))
        + chunk(b"IEND", b"")
    )


KINDS: list[Kind] = [
    ("JPEG, 12 MP", lambda: encoded(photo(12), "JPEG", quality=90)),
    ("JPEG, 12 MP, on its side", lambda: turned(12)),
    ("JPEG, 24 MP", lambda: encoded(photo(24), "JPEG", quality=90)),
    ("JPEG, 48 MP", lambda: encoded(photo(48), "JPEG", quality=90)),
    ("JPEG, 48 MP, on its side", lambda: turned(48)),
    ("JPEG, 64 MP", lambda: encoded(photo(63.9), "JPEG", quality=85)),
    ("JPEG, progressive, 48 MP", lambda: encoded(photo(48), "JPEG", quality=90, progressive=True)),
    ("JPEG, progressive, 54 MP, 4:4:4", lambda: encoded(photo(53.9), "JPEG", progressive=True, subsampling=0)),
    ("JPEG, progressive, CMYK, 45 MP", lambda: encoded(photo(44.9, "CMYK"), "JPEG", progressive=True)),
    ("JPEG, 100 scans, 15 MP", lambda: scans(100, 3870)),
    ("JPEG, 27 scans, 54 MP", lambda: scans(27, 7340)),
    ("JPEG, 1,000 scans", lambda: scans(1000, 8000)),
    ("HEIC, 12 MP", lambda: encoded(photo(12), "HEIF", quality=60)),
    ("HEIC, 48 MP", lambda: encoded(photo(48), "HEIF", quality=60)),
    ("HEIC, 54 MP", lambda: encoded(photo(53.9), "HEIF", quality=60)),
    ("AVIF, 12 MP", lambda: encoded(photo(12), "AVIF", quality=60, speed=10)),
    ("AVIF, 48 MP", lambda: encoded(photo(48), "AVIF", quality=60, speed=10)),
    ("AVIF, 4:4:4, 48 MP", lambda: encoded(photo(48), "AVIF", quality=60, speed=10, subsampling="4:4:4")),
    ("WebP, 12 MP", lambda: encoded(photo(12), "WEBP", quality=80, method=0)),
    ("WebP, 30 MP", lambda: encoded(photo(30), "WEBP", quality=80, method=0)),
    ("WebP, lossless, 24 MP", lambda: encoded(photo(24), "WEBP", lossless=True, quality=0, method=0)),
    ("WebP, 48 MP", lambda: encoded(photo(48), "WEBP", quality=80, method=0)),
    ("PNG, 12 MP", lambda: encoded(photo(12), "PNG", compress_level=1)),
    ("PNG, 64 MP", lambda: encoded(photo(63.9), "PNG", compress_level=1)),
    ("PNG with transparency, 64 MP", lambda: encoded(photo(63.9, "RGBA"), "PNG", compress_level=1)),
    ("PNG, 16 bits, 64 MP", lambda: sixteen_bits(63.9)),
    ("PNG, 1 x 63,000,000", lambda: column(63_000_000)),
    ("TIFF, deflated, 30 MP", lambda: encoded(photo(30), "TIFF", compression="tiff_deflate")),
    ("TIFF, 21 MP", lambda: encoded(photo(21), "TIFF")),
    ("BMP, 21 MP", lambda: encoded(photo(21), "BMP")),
    ("GIF, 64 MP", lambda: encoded(photo(63.9, "P"), "GIF")),
    ("GIF, 500 frames of 1 MP", lambda: frames("GIF", 500, 1)),
    ("PNG, 500 frames of 1 MP", lambda: frames("PNG", 500, 1)),
    ("WebP, 500 frames of 1 MP", lambda: frames("WEBP", 500, 1)),
    ("AVIF, 50 frames of 1 MP", lambda: frames("AVIF", 50, 1)),
    ("TIFF, 50 frames of 1 MP", lambda: frames("TIFF", 50, 1)),
]


class Meter:
    """The largest sum of what this process has taken since the beginning, and its children take, in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[Meter]:
        here = psutil.Process()
        before = here.memory_info().rss

        def sample() -> None:
            while not self._over.wait(0.005):
                with contextlib.suppress(psutil.Error):
                    children = sum(child.memory_info().rss for child in here.children())
                    self.peak = max(self.peak, here.memory_info().rss - before + children)

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()


def main() -> None:
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    print("| kind | MB | megapixels | seconds | peak MB |\n|---|---|---|---|---|")
    for name, make in KINDS:
        if word not in name:
            continue
        content = make()
        decoders = Decoders(1)
        decoders.read(encoded(Image.new("RGB", (8, 8)), "PNG"))
        started = time.perf_counter()
        with Meter().running() as meter:
            try:
                size = f"{decoders.read(content).size / 3e6:.0f}"
            except PictureError as error:
                size = str(error).partition(". ")[0]
            seconds = time.perf_counter() - started
        print(f"| {name} | {len(content) / 1e6:.1f} | {size} | {seconds:.2f} | {meter.peak / 1e6:.0f} |", flush=True)
        decoders.close()


if __name__ == "__main__":
    main()
