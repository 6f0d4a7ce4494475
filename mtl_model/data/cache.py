"""Faces and crops of data-set pictures, worked out once and kept.

Looking for faces is slow (tens of milliseconds a picture), cutting is quick. So two stores lie in the cache folder:
`faces.sqlite`, what `find` saw in a picture, keyed by the picture's bytes and the detection settings; and
`crops/<key>.npy`, the memory-mapped crops of a list of pictures, keyed by their bytes, the detection and the crop
settings. Crops are written to a temporary name and renamed; SQLite keeps two programs out of each other's way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import numpy as np

from mtl_model import registry
from mtl_model.card import CropSettings, DetectionSettings
from mtl_model.crops import centre_box, cut, find_all, frame, main_face
from mtl_model.detectors import Detector
from mtl_model.errors import DataError, PictureError
from mtl_model.events import Progress, Stage, silent
from mtl_model.pictures import read_picture
from mtl_model.processes import cores
from mtl_model.quality import quality_of, table_of
from mtl_model.records import PICTURE, Face, Quality

FACES_VERSION = 1  # raise it when `find` changes what it returns
CROPS_VERSION = 2  # raise it when `cut` or `quality` does
BATCH = 16  # pictures of one size a detector pass: 11 ms each instead of 17
CHUNK = 256  # pictures between two saves
HELD_BYTES = 2**28  # of decoded pictures that wait for others of their size; a photo of 12 megapixels takes 36 MB
UNREADABLE = -1
FACES = "faces.sqlite"
SUFFIXES = (".npy", ".quality.npy", ".faces.npy")  # of a list's crops, in the order in which they are written
FRAMES = ".frames.npy"  # where the crops lie in their pictures, written when a task first asks for it


def default_root() -> Path:
    """$MTL_CACHE, else ~/.cache/mtl_model."""
    return Path(os.environ.get("MTL_CACHE") or Path.home() / ".cache" / "mtl_model")


def _no_frames() -> np.ndarray:
    raise AssertionError("crops that know where they were cut come from crops_of")


@dataclass(frozen=True)
class Crops:
    """images: uint8 (N, S, S, 3), memory-mapped. faces: int16 (N,), how many were found, UNREADABLE if none could be.
    quality: float32 (N, Q), a column for each field of `Quality`, NaN where it is not known."""

    images: np.ndarray
    faces: np.ndarray
    quality: np.ndarray
    frames: Callable[[], np.ndarray] = _no_frames
    """Returns float64 (N, 2, 3), where each crop lies in its picture, as `crops.frame` says; worked out when first asked for."""

    @property
    def readable(self) -> np.ndarray:
        return self.faces != UNREADABLE

    def counts(self) -> dict[str, int]:
        return {
            "one": int((self.faces == 1).sum()),
            "none": int((self.faces == 0).sum()),
            "several": int((self.faces > 1).sum()),
            "unreadable": int((self.faces == UNREADABLE).sum()),
        }


def digest_of(path: str | Path) -> str:
    """Identifies a picture by its bytes; "" where it cannot be read."""
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def short_digest(path: str | Path) -> str:
    """8 bytes of `digest_of`, as a card keeps them: enough to know a picture again, and no more of it."""
    return digest_of(path)[:16]


def faces_of(
    paths: Sequence[str], settings: DetectionSettings, root: Path | None = None, progress: Progress = silent
) -> list[tuple[Face, ...] | None]:
    """What `find` sees in each picture, largest face first; None for a picture that cannot be read."""
    digests = [digest_of(path) for path in paths]
    return _faces_of(paths, digests, settings, root or default_root(), progress)


def known_faces(path: Path, settings: DetectionSettings, root: Path) -> tuple[Face, ...]:
    """What `faces_of` saw in a picture earlier, largest face first; () where that is not known."""
    digest, store = digest_of(path), root / FACES
    if not digest or not store.is_file():
        return ()
    try:
        with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as opened:
            return _known(opened, _faces_key(settings), [digest]).get(digest) or ()
    except sqlite3.Error:
        return ()


def crops_of(
    paths: Sequence[str],
    detection: DetectionSettings,
    crop: CropSettings,
    root: Path | None = None,
    progress: Progress = silent,
) -> Crops:
    """The crop of the main face of each picture (see `main_face`); of the centre square where no face was found.

    Raises DataError when the cache cannot be written (disk full, no permission).
    """
    root = root or default_root()
    digests = [digest_of(path) for path in paths]
    shape = {"size_px": crop.size_px, "margin": crop.margin, "upright": crop.upright}
    key = _key([FACES_VERSION, CROPS_VERSION, dataclasses.asdict(detection), shape, digests])
    stem = root / "crops" / key
    if not all(stem.with_suffix(suffix).is_file() for suffix in SUFFIXES):
        faces = _faces_of(paths, digests, detection, root, progress)
        try:
            _cut_all(paths, faces, crop, stem, progress)
        except OSError as error:
            raise _cannot_write(root, error) from None
    images, quality, counts = (stem.with_suffix(suffix) for suffix in SUFFIXES)

    def frames() -> np.ndarray:
        kept = stem.with_suffix(FRAMES)
        if not kept.is_file():
            faces = _faces_of(paths, digests, detection, root, progress)
            try:
                _write_frames(paths, faces, crop, kept)
            except OSError as error:
                raise _cannot_write(root, error) from None
        return np.load(kept)

    return Crops(np.load(images, mmap_mode="r"), np.load(counts), np.load(quality), frames)


def _write_frames(
    paths: Sequence[str], faces: Sequence[tuple[Face, ...] | None], settings: CropSettings, file: Path
) -> None:
    """Write where the crop of each picture lies in it; NaN for a picture that cannot be read."""
    places = np.full((len(paths), 2, 3), np.nan)
    for index, (path, found) in enumerate(zip(paths, faces, strict=True)):
        if found is not None:
            height, width = read_picture(path).shape[:2]
            places[index] = frame(_cut_face(found, width, height), settings)
    temporary = file.with_suffix(f"{file.suffix}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, places)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _cut_face(found: Sequence[Face], width: int, height: int) -> Face:
    """The face that a picture's crop shows; its middle where none was found."""
    return main_face(found, width, height) or Face(centre_box(width, height), 0.0)


def _cannot_write(root: Path, error: Exception) -> DataError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return DataError(
        f"The cache in {root} could not be written ({reason}). Expected free space and permission to write; "
        "make room, or set MTL_CACHE to another folder."
    )


def _key(parts: object) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, allow_nan=False).encode(), digest_size=12).hexdigest()


def _cut_all(
    paths: Sequence[str],
    faces: Sequence[tuple[Face, ...] | None],
    settings: CropSettings,
    stem: Path,
    progress: Progress,
) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    temporary = [stem.with_suffix(f"{suffix}.{os.getpid()}.part") for suffix in SUFFIXES]
    counts = np.full(len(paths), UNREADABLE, np.int16)
    quality = np.full((len(paths), len(dataclasses.fields(Quality))), np.nan, np.float32)
    shape = (len(paths), settings.size_px, settings.size_px, 3)
    try:
        images = np.lib.format.open_memmap(temporary[0], mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is said now; a page that finds no room later kills the process
            with temporary[0].open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary[0].stat().st_size)
        for index, (path, found) in enumerate(zip(paths, faces, strict=True)):
            if found is not None:
                picture = read_picture(path)
                height, width = picture.shape[:2]
                face = _cut_face(found, width, height)
                images[index] = cut(picture, [face], settings)[0]
                quality[index] = table_of([quality_of(images[index], face)])
                counts[index] = len(found)
            if index % 500 == 0:
                progress(Stage.CUTTING, index, len(paths))
        images.flush()
        del images
        for array, path in zip((quality, counts), temporary[1:], strict=True):
            with path.open("wb") as file:
                np.save(file, array)
        for path, suffix in zip(temporary, SUFFIXES, strict=True):  # the last one says that all are whole
            os.replace(path, stem.with_suffix(suffix))
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
    progress(Stage.CUTTING, len(paths), len(paths))


def _faces_of(
    paths: Sequence[str], digests: Sequence[str], settings: DetectionSettings, root: Path, progress: Progress
) -> list[tuple[Face, ...] | None]:
    settings_key = _faces_key(settings)
    whole = registry.load("detectors", settings.detector).SUBJECT == PICTURE
    doing = Stage.READING if whole else Stage.DETECTING
    try:
        root.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(root / FACES, timeout=60)) as store:
            # No WAL: where two programs open a new file together, the switch to it fails at once instead of waiting.
            store.execute("CREATE TABLE IF NOT EXISTS faces (key TEXT PRIMARY KEY, found TEXT) WITHOUT ROWID")
            known = _known(store, settings_key, digests)
            todo = [path for path, digest in zip(paths, digests, strict=True) if digest and digest not in known]
            keys = dict(zip(paths, digests, strict=True))
            done = 0
            for found in _look(todo, settings):
                rows = [(f"{settings_key}.{keys[path]}", _to_text(faces)) for path, faces in found.items()]
                with store:
                    store.executemany("INSERT OR REPLACE INTO faces VALUES (?, ?)", rows)
                known |= {keys[path]: faces for path, faces in found.items()}
                done += len(found)
                progress(doing, done, len(todo))
    except (OSError, sqlite3.Error) as error:
        raise _cannot_write(root, error) from None
    except BrokenProcessPool:
        raise DataError(
            "Looking for faces was ended from outside, as a system does that runs short of memory, or a Python script began it "
            'outside of `if __name__ == "__main__":`. Close other programs, or put that line above what the script does, then '
            "start it again: what was found so far is kept."
        ) from None
    return [known.get(digest) for digest in digests]


def _faces_key(settings: DetectionSettings) -> str:
    return _key([FACES_VERSION, dataclasses.asdict(settings)])


def _known(store: sqlite3.Connection, settings_key: str, digests: Iterable[str]) -> dict[str, tuple[Face, ...] | None]:
    known: dict[str, tuple[Face, ...] | None] = {}
    wanted = sorted({digest for digest in digests if digest})
    for start in range(0, len(wanted), 500):
        keys = [f"{settings_key}.{digest}" for digest in wanted[start : start + 500]]
        marks = ",".join("?" * len(keys))
        for key, text in store.execute(f"SELECT key, found FROM faces WHERE key IN ({marks})", keys):
            known[key.rsplit(".", 1)[1]] = _from_text(text)
    return known


def _to_text(faces: Sequence[Face] | None) -> str:
    if faces is None:
        return "null"
    return json.dumps([[face.box, face.confidence, face.landmarks] for face in faces], allow_nan=False)


def _from_text(text: str) -> tuple[Face, ...] | None:
    plain = json.loads(text)
    if plain is None:
        return None
    return tuple(Face(tuple(box), score, tuple((x, y) for x, y in points)) for box, score, points in plain)


def _look(paths: Sequence[str], settings: DetectionSettings) -> Iterator[Mapping[str, tuple[Face, ...] | None]]:
    """Chunks of answers. Each core runs a process of its own with one thread: threads of one process that wait for
    each other lose far more when the machine is busy."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    workers = min(len(chunks), cores())
    if workers <= 1:
        detector = registry.load("detectors", settings.detector).build() if chunks else None
        for chunk in chunks:
            yield _look_at(chunk, settings, detector)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(settings,)
    )
    try:
        asked = [pool.submit(_work, chunk, settings) for chunk in chunks]
        for one in asked:
            yield one.result()
    except BaseException:  # Ctrl+C: nobody waits for what they are at; nothing is cancelled, which the pool trips over
        for worker in set(active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown()


_WORKER: dict[str, Detector] = {}


def _start_worker(settings: DetectionSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is told to all: the parent hears it and ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    _WORKER["detector"] = registry.load("detectors", settings.detector).build()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers, who would wait for it for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(paths: Sequence[str], settings: DetectionSettings) -> dict[str, tuple[Face, ...] | None]:
    return _look_at(paths, settings, _WORKER["detector"])


def _look_at(
    paths: Sequence[str], settings: DetectionSettings, detector: Detector | None
) -> dict[str, tuple[Face, ...] | None]:
    if detector is None:
        return {}
    found: dict[str, tuple[Face, ...] | None] = dict.fromkeys(paths)
    waiting: defaultdict[tuple[int, ...], dict[str, np.ndarray]] = defaultdict(dict)  # by their size

    def look(shape: tuple[int, ...]) -> None:
        batch = waiting.pop(shape)
        for path, faces in zip(batch, find_all(list(batch.values()), detector, settings), strict=True):
            found[path] = tuple(faces)

    for path in paths:
        try:
            picture = read_picture(path)
        except PictureError:
            continue
        waiting[picture.shape][path] = picture
        held = sum(one.nbytes for batch in waiting.values() for one in batch.values())
        for shape in list(waiting) if held > HELD_BYTES else [picture.shape]:
            if held > HELD_BYTES or len(waiting[shape]) == BATCH:
                look(shape)
    for shape in list(waiting):
        look(shape)
    return found
