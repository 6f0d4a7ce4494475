"""Find pictures that do a learning harm: faces that are too small, too blurred, or cut off by the edge of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_model import kinds
from mtl_model.crops import main_face
from mtl_model.data.check import SMALL_FACE_PX
from mtl_model.records import Face, Quality, Sample
from mtl_model.tasks import Task

BLURRED = 0.035
"""Sharpness below which a face is too blurred: of 60 faces of CelebA and 40 of GENKI-4K the least are 0.038 and 0.035, of
the same drawn up from 25 px the most are 0.027 and 0.038."""
CUT_OFF = 0.15  # of the face's box, outside of the picture
MUCH = 0.25  # of a class, from which on the class as a whole suffers
FIELDS = [*Quality.__dataclass_fields__]


def harmful(
    task: Task,
    samples: Sequence[Sample],
    files: Sequence[str],
    quality: np.ndarray,
    faces: Sequence[Sequence[Face] | None],
    sizes: np.ndarray,
) -> list[dict[str, Any]]:
    """Return what harms, as findings of `wording` with the files, the worst first; [] if nothing does.

    samples, files, quality (N, Q), faces, sizes (N, 2), which are width and height in px: of the pictures with a face, each
    labelled for the task.
    Each is {"code", "count", "files", "values": {"task", "much": {class: [harmful, all]}}}; much: classes of which MUCH are."""
    size_px, sharpness = (quality[:, FIELDS.index(name)] for name in ("size_px", "sharpness"))
    outside = _outside(faces, sizes)
    bad: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        "too_small": (size_px < SMALL_FACE_PX, size_px),
        "too_blurred": ((sharpness < BLURRED) & (size_px >= SMALL_FACE_PX), sharpness),
        "cut_off": (outside > CUT_OFF, -outside),
    }
    groups = np.array([kinds.of(task).group_of(task, sample.labels[task.name]) for sample in samples])
    findings = []
    for code, (rows, order) in bad.items():
        worst = [row for row in np.argsort(order, kind="stable").tolist() if rows[row]]
        shares = {
            str(group): [int(rows[groups == group].sum()), int((groups == group).sum())] for group in np.unique(groups)
        }
        much = {group: counts for group, counts in shares.items() if counts[0] >= MUCH * counts[1]}
        if worst:
            values = {"task": task.title, "much": much}
            findings.append(
                {"code": code, "count": len(worst), "files": [files[row] for row in worst], "values": values}
            )
    return findings


def _outside(faces: Sequence[Sequence[Face] | None], sizes: np.ndarray) -> np.ndarray:
    """float (N,): the share of each main face's box that lies outside of its picture."""
    shares = np.zeros(len(faces))
    for row, (found, (width, height)) in enumerate(zip(faces, sizes.tolist(), strict=True)):
        face = main_face(found or (), width, height)
        if face is not None:
            left, top, right, bottom = face.box
            inside = max(0.0, min(right, width) - max(left, 0.0)) * max(0.0, min(bottom, height) - max(top, 0.0))
            shares[row] = 1 - inside / max(face.area, 1e-9)
    return shares
