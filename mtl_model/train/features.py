"""Work out what a frozen network makes of pictures, once per picture: kept by the digests of trunk and picture."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_model.card import Card, temporary_name
from mtl_model.crops import to_tensor
from mtl_model.data import cache
from mtl_model.data.batches import Labelled
from mtl_model.errors import DataError, disk_text
from mtl_model.events import Progress, Stage, silent
from mtl_model.networks import folded
from mtl_model.tasks import Task
from mtl_model.train.fit import Features

BATCH = 32
FOLDER, DIGESTS = "features", "digests"
TAPS, OWN, LOGITS = "taps", "own", "logits"
"""What is kept: the stages of the trunk; of a task that the parent knows what its last layer takes, and its answer."""
Rows = dict[tuple[str, str], np.ndarray]
"""{(TAPS, stage) | (OWN, task) | (LOGITS, task): one row per picture}"""


@dataclass(frozen=True)
class Seen:
    """What a frozen network makes of N pictures, asked as its card says.

    taps: {stage: float16 (N, F)}. own: {task: float32 (N, F)}, what the last layer of a known task's branch takes. logits:
    {task: float32 (N, width)} of the known tasks."""

    taps: Features = field(default_factory=dict)
    own: Features = field(default_factory=dict)
    logits: Mapping[str, np.ndarray] = field(default_factory=dict)


def look(
    network: Any,
    data: Labelled,
    card: Card,
    tasks: Sequence[Task],
    device: str = "cpu",
    progress: Progress = silent,
    root: Path | None = None,
) -> Seen:
    """Show each picture to the network once, and keep what fits of these tasks need.

    root: folder of the cache, where the features of earlier calls lie; nothing is kept if not given."""
    known = [task.name for task in tasks if task.name in {known.name for known in card.tasks}]
    keys = {TAPS: trunk_digest(network)} if len(known) < len(tasks) else {}
    keys |= {f"{OWN}-{name}": card.weights_sha256 for name in known}
    stores = {what: _Store(root, what, key, card) for what, key in keys.items()}
    digests = [cache.digest_of(sample.path) if root else "" for sample in data.samples]
    todo = [row for row, digest in enumerate(digests) if not all(digest in store.rows for store in stores.values())]
    new = _work_out(network, data, card, known, TAPS in keys, np.array(todo, int), device, progress)
    place = {row: at for at, row in enumerate(todo)}
    joined: Rows = {}
    for what, store in stores.items():
        own = {key: rows for key, rows in new.items() if what == (TAPS if key[0] == TAPS else f"{OWN}-{key[1]}")}
        joined |= store.join(own, digests, place)
    return Seen(
        *({name: rows for (what, name), rows in joined.items() if what == part} for part in (TAPS, OWN, LOGITS))
    )


def trunk_digest(network: nn.Module) -> str:
    """Return a digest of the weights that features depend on."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name.startswith("trunk."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class _Store:
    """Features in one file: of one trunk, or of one task's branch, by the digest of each picture."""

    def __init__(self, root: Path | None, what: str, key: str, card: Card) -> None:
        asked = [what, key, asdict(card.detection), asdict(card.crop), card.flip_averaging]
        name = hashlib.sha256(json.dumps(asked, sort_keys=True, allow_nan=False).encode()).hexdigest()[:24]
        self.path = root / FOLDER / f"{name}.npz" if root else None
        self.rows: dict[str, int] = {}
        self.arrays: Rows = {}
        if self.path and self.path.is_file():
            with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(self.path) as kept:
                arrays = {_key(name): kept[name] for name in kept.files if name != DIGESTS}
                rows = {digest: row for row, digest in enumerate(kept[DIGESTS].tolist())}
                self.arrays, self.rows = arrays, rows  # of a file that is whole

    def join(self, new: Rows, digests: Sequence[str], place: Mapping[int, int]) -> Rows:
        """Return the features of all pictures: new ones, of the rows in `place`, and kept ones. The new ones are kept too."""
        keys = [*(new or self.arrays)]  # stages in the order of the network
        order = [place.get(row, -1) for row in range(len(digests))]
        if not place:
            kept = [self.rows[digest] for digest in digests]
            return {key: self.arrays[key][kept] for key in keys}
        fresh = {digests[row]: at for row, at in place.items() if digests[row] and digests[row] not in self.rows}
        result: Rows = {}
        for key in keys:
            old = self.arrays.get(key, new[key][:0])
            rows = [
                at if at >= 0 else len(new[key]) + self.rows[digest] for at, digest in zip(order, digests, strict=True)
            ]
            result[key] = np.concatenate([new[key], old])[rows]
            self.arrays[key] = np.concatenate([old, new[key][[*fresh.values()]]])
        if self.path and fresh:
            self._write(
                {DIGESTS: np.array([*self.rows, *fresh])} | {"/".join(key): rows for key, rows in self.arrays.items()}
            )
        return result

    def _write(self, named: dict[str, Any]) -> None:
        assert self.path
        temporary = temporary_name(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.savez(file, **named)
            os.replace(temporary, self.path)
        except OSError as error:
            raise DataError(disk_text("The features could not be kept", error)) from None
        finally:
            temporary.unlink(missing_ok=True)


def _key(name: str) -> tuple[str, str]:
    what, _, part = name.partition("/")
    return what, part


@torch.inference_mode()
def _work_out(
    network: Any,
    data: Labelled,
    card: Card,
    known: Sequence[str],
    taps: bool,
    rows: np.ndarray,
    device: str,
    progress: Progress,
) -> Rows:
    quick: Any = folded(network)
    parts: dict[tuple[str, str], list[np.ndarray]] = {}
    inputs: dict[str, Tensor] = {}
    hooks = [
        last_layer(quick.branches[name]).register_forward_pre_hook(functools.partial(_remember, inputs, name))
        for name in known
    ]
    for start in range(0, len(rows), BATCH):
        progress(Stage.FEATURES, start, len(rows))
        images = to_tensor(data.images(rows[start : start + BATCH]), card.crop).to(device)
        views = torch.cat([images, images.flip(-1)]) if card.flip_averaging else images
        seen: dict[tuple[str, str], Tensor] = {}
        if taps:
            seen |= {(TAPS, stage): features for stage, features in quick.tap(views).items()}
        if known:
            answers = quick(views)
            seen |= {(OWN, name): inputs[name] for name in known} | {(LOGITS, name): answers[name] for name in known}
        for key, features in seen.items():
            mean = features.float().unflatten(0, (-1, len(images))).mean(0).cpu().numpy()
            parts.setdefault(key, []).append(mean.astype(np.float16) if key[0] == TAPS else mean)
    progress(Stage.FEATURES, len(rows), len(rows))
    for hook in hooks:
        hook.remove()
    return {key: np.concatenate(batches) for key, batches in parts.items()}


def last_layer(branch: nn.Module) -> nn.Linear:
    return [module for module in branch.modules() if isinstance(module, nn.Linear)][-1]


def _remember(inputs: dict[str, Tensor], name: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
    inputs[name] = given[0]
