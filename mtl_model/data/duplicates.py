"""Exact and near copies among pictures, as groups, from small grey versions of them.

A near copy is a picture whose grey version correlates with another's: within one set over 0.99 at 32x32 pixels, and
between pictures that were encoded, scaled or coloured anew over 0.985 at 16x16. Source: measured on UTKFace, where the
first finds 841 groups, and on the copies that cross its splits and FairFace's, which the second finds and which were
looked at one by one. With another filter than the bilinear one (which averages over a wide window) some are missed.

All pairs are compared, in blocks: 80,000 pictures are 3.2 billion pairs. A bound on the correlation, from the waves of
low frequency and the length of the rest, is a matrix product of a sixteenth of the cost; only pairs whose bound
reaches the threshold are worked out in full, so nothing is lost by it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image

from mtl_model.errors import PictureError
from mtl_model.events import Progress, Stage, silent
from mtl_model.pictures import prepare, read_picture

BLOCK = 4096  # rows and columns of one matrix product: 64 MB of correlations
CHUNK = 256  # pictures between two reports of progress
WAVES = 11  # frequencies of the bound, both directions together: 65 waves
FLAT = 2.0  # grey levels: below this standard deviation a picture shows nothing that could be compared


@dataclass(frozen=True)
class Rule:
    """side_px: side of the grey versions, 32 or 16. least: the correlation from which on two are near copies."""

    side_px: int
    least: float


WITHIN = Rule(32, 0.99)
ACROSS = Rule(16, 0.985)


@dataclass(frozen=True)
class Thumbnails:
    """What is kept of N pictures to compare them by.

    grey32: uint8 (N, 32, 32). grey16: uint8 (N, 16, 16). digests: uint8 (N, 16), of the decoded RGB pixels and their
    shape, the same for two files that show the same pixels. readable: bool (N,); the rows of an unreadable picture are
    zeros.
    """

    grey32: np.ndarray
    grey16: np.ndarray
    digests: np.ndarray
    readable: np.ndarray

    def __len__(self) -> int:
        return len(self.readable)

    def take(self, rows: Sequence[int] | np.ndarray) -> Thumbnails:
        chosen = np.asarray(rows)
        if chosen.dtype != bool:
            chosen = chosen.astype(np.intp)
        return Thumbnails(*(getattr(self, part.name)[chosen] for part in fields(self)))


@dataclass(frozen=True)
class Pairs:
    """K pairs of pictures by their rows: first, second: int (K,); correlation: float32 (K,)."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray


def thumbnails(paths: Sequence[str], progress: Progress = silent) -> Thumbnails:
    """Read pictures and keep what comparing them needs. An unreadable picture is marked, not raised."""
    count = len(paths)
    grey32, grey16 = np.zeros((count, 32, 32), np.uint8), np.zeros((count, 16, 16), np.uint8)
    found = Thumbnails(grey32, grey16, np.zeros((count, 16), np.uint8), np.zeros(count, bool))
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]

    def work(rows: range) -> int:
        for row in rows:
            _keep(paths[row], row, found)
        return rows.stop

    prepare()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:  # Pillow decodes outside Python's lock
        for done in pool.map(work, chunks):
            progress(Stage.READING, done, count)
    return found


def _keep(path: str, row: int, found: Thumbnails) -> None:
    try:
        picture = read_picture(path)
    except PictureError:
        return
    digest = hashlib.blake2b(picture.tobytes(), digest_size=16, salt=b"%d" % picture.shape[1])
    found.digests[row] = np.frombuffer(digest.digest(), np.uint8)
    grey = Image.fromarray(picture).convert("L")
    for rows in (found.grey32, found.grey16):
        rows[row] = np.asarray(grey.resize(rows.shape[1:], Image.Resampling.BILINEAR))
    found.readable[row] = True


def exact_groups(found: Thumbnails) -> list[list[int]]:
    """Rows of pictures with the very same pixels: groups of two and more, each sorted, in the order of the first."""
    groups: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(found.readable):
        groups.setdefault(found.digests[row].tobytes(), []).append(int(row))
    return [rows for rows in groups.values() if len(rows) > 1]


def near_groups(found: Thumbnails, rule: Rule = WITHIN, progress: Progress = silent) -> list[list[int]]:
    """Rows of pictures that are near copies, exact ones among them: groups of two and more, each sorted.

    A picture belongs to a group if it is a near copy of one member of it.
    """
    pairs = near_pairs(found, None, rule, progress)
    return group(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def leak(train: Thumbnails, held: Thumbnails, rule: Rule = ACROSS, progress: Progress = silent) -> np.ndarray:
    """Rows of training pictures that are near copies of a picture held back for val or test; int (K,), sorted."""
    return np.unique(near_pairs(train, held, rule, progress).first)


def group(pairs: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> list[list[int]]:
    """Join pairs into groups: sorted lists of two and more rows, in the order of their first row."""
    from scipy.cluster.hierarchy import DisjointSet

    joined = DisjointSet()
    for first, second in pairs:
        joined.add(first)
        joined.add(second)
        joined.merge(first, second)
    return sorted(sorted(rows) for rows in joined.subsets())


def near_pairs(
    found: Thumbnails, others: Thumbnails | None = None, rule: Rule = WITHIN, progress: Progress = silent
) -> Pairs:
    """All pairs (first in `found`, second in `others`) whose grey versions correlate as much as the rule says.

    others: None compares `found` with itself, each pair once, first < second.
    Pictures that are unreadable or flat (one colour) have no near copies.
    """
    rows, left = _vectors(found, rule.side_px)
    columns, right = (rows, left) if others is None else _vectors(others, rule.side_px)
    left_sketch = _sketches(left, rule.side_px)
    right_sketch = left_sketch if others is None else _sketches(right, rule.side_px)
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(left), BLOCK):
        progress(Stage.COMPARING, start, len(left))
        for across in range(start if others is None else 0, len(right), BLOCK):
            bound = left_sketch[start : start + BLOCK] @ right_sketch[across : across + BLOCK].T
            first, second = np.nonzero(bound >= rule.least - 1e-4)
            first, second = first + start, second + across
            if others is None:
                once = first < second
                first, second = first[once], second[once]
            kept.append(_confirm(left, right, first, second, rule.least))
    progress(Stage.COMPARING, len(left), len(left))
    if not kept:
        return Pairs(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32))
    first, second, correlation = (np.concatenate(one) for one in zip(*kept, strict=True))
    return Pairs(rows[first], columns[second], correlation)


def _confirm(
    left: np.ndarray, right: np.ndarray, first: np.ndarray, second: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of candidate pairs those that reach `least`, and their correlation."""
    correlation = np.zeros(len(first), np.float32)
    for start in range(0, len(first), 50_000):  # 50,000 pairs of 1024 numbers: 400 MB
        part = slice(start, start + 50_000)
        correlation[part] = np.einsum("ij,ij->i", left[first[part]], right[second[part]])
    enough = correlation >= least
    return first[enough], second[enough], correlation[enough]


def _vectors(found: Thumbnails, side_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that can be compared, int (K,), and their grey versions, float32 (K, side * side), of mean 0, length 1."""
    rows = np.flatnonzero(found.readable)
    grey = {32: found.grey32, 16: found.grey16}[side_px]
    vectors = grey[rows].reshape(len(rows), side_px * side_px).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1)
    clear = length >= FLAT * side_px
    return rows[clear], vectors[clear] / length[clear, None]


def _sketches(vectors: np.ndarray, side_px: int) -> np.ndarray:
    """Short versions whose dot product is never below that of the whole vectors; float32 (N, 66).

    a.b = a1.b1 + a2.b2 <= a1.b1 + |a2||b2|, a1 being the part of a along the waves of low frequency (of a cosine
    transform), which hold nearly all of a photograph at this size, and a2 the rest.
    """
    short = vectors @ _waves(side_px)
    rest = np.sqrt(np.maximum(1.0 - (short * short).sum(axis=1), 0.0))
    return np.concatenate([short, rest[:, None]], axis=1)


def _waves(side_px: int) -> np.ndarray:
    """The cosine transform's waves of the lowest frequencies as orthonormal columns, float32 (side * side, K)."""
    place = np.arange(side_px)
    rows = np.cos(np.pi / side_px * (place[None, :] + 0.5) * place[:, None]) * np.sqrt(2 / side_px)
    rows[0] /= np.sqrt(2)
    low = [(i, j) for i in range(WAVES) for j in range(WAVES - i) if i or j]  # without the constant one: means are 0
    return np.stack([np.outer(rows[i], rows[j]).ravel() for i, j in low], axis=1).astype(np.float32)
