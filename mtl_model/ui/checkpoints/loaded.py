"""The checkpoints that the page offers, and those it has loaded."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtl_model import checkpoint, kinds
from mtl_model.card import CARD, Card, find_checkpoint, list_checkpoints, read_card
from mtl_model.errors import CheckpointError
from mtl_model.predictor import Predictor, choose_device
from mtl_model.records import FACE
from mtl_model.ui.server.options import UiOptions

KEPT = 3  # loaded at once; the one unused for longest goes first

Load = Callable[[str], Predictor]


@dataclass(frozen=True)
class _Look:
    """written: the time of the card, in nanoseconds. system: the published one that it was trained as."""

    written: int
    subject: str = FACE
    answers: bool = True
    is_start: bool = False
    system: str = ""


class Models:
    """Loaded predictors by name, safe to use from several threads."""

    def __init__(self, options: UiOptions, load: Load | None = None) -> None:
        """Raises CheckpointError if the checkpoint to begin with is not there."""
        self._weights, self._runs = options.weights, options.runs
        self._device, self._runtime = options.device, options.runtime
        self._load = load or self._from_disk
        self._loaded: OrderedDict[str, tuple[int, Predictor]] = OrderedDict()  # with the time of its card
        self._looks: dict[Path, _Look] = {}
        self._waiting: tuple[str, Predictor] | None = None
        self._lock = threading.Lock()  # held while loading too: two people wanting a checkpoint load it once
        self.default = self.folder(options.checkpoint).name

    def subjects(self, starts: bool = False) -> dict[str, str]:
        """{name: what it reads, see `Card.subject`} of the checkpoints that answer, the one to begin with first.

        starts: also those without a task, from which can be taught alone. One whose card is damaged is listed too."""
        known = list_checkpoints(self._weights, self._runs)
        looks = {name: self._look(folder) for name, folder in known.items()}
        return {
            name: looks[name].subject
            for name in sorted(known, key=lambda name: (name != self.default, name))
            if looks[name].answers or (starts and looks[name].is_start)
        }

    def names(self) -> list[str]:
        """The checkpoints that answer, the one to begin with first."""
        return list(self.subjects())

    def _look(self, folder: Path) -> _Look:
        """What a card says in short; read again only when it was written anew."""
        with contextlib.suppress(OSError, CheckpointError):
            written = (folder / CARD).stat().st_mtime_ns
            before = self._looks.get(folder)
            if before is None or before.written != written:
                card = read_card(folder)
                before = self._looks[folder] = _Look(
                    written, card.subject, bool(kinds.shown(card.tasks)), not card.tasks, _system(card)
                )
            return before
        return _Look(0)

    def of_system(self, system: str) -> list[str]:
        """Return the checkpoints that were trained as a published system and answer, by name."""
        known = list_checkpoints(self._weights, self._runs)
        looks = {name: self._look(folder) for name, folder in known.items()}
        return [name for name, look in looks.items() if look.answers and look.system == system]

    def refresh(self) -> None:
        """Forget what is gone; where the one to begin with is gone, another takes its place. Raises CheckpointError."""
        known = list_checkpoints(self._weights, self._runs)
        if self.default not in known:
            self.default = self.folder(None).name
        with self._lock:
            for name in [name for name in self._loaded if name not in known]:
                del self._loaded[name]

    def folder(self, name: str | None) -> Path:
        """Where a checkpoint lies. Raises CheckpointError."""
        return find_checkpoint(name, self._weights, self._runs)

    def card(self, name: str | None = None) -> Card:
        """The card of a checkpoint, without loading its network. Raises CheckpointError."""
        return read_card(self.folder(name or self.default))

    def get(self, name: str | None = None) -> Predictor:
        """A checkpoint ready to predict; None or "" stands for the default. Raises CheckpointError."""
        name = name or self.default
        with self._lock:
            # A name that is no longer listed is refused, also one in memory; never looked up as a path.
            written = (self.folder(name) / CARD).stat().st_mtime_ns
            if self._loaded.get(name, (None,))[0] != written:  # deleted and made anew under the same name
                self._loaded[name] = written, self._load(name)
                while len(self._loaded) > KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(name)
            return self._loaded[name][1]

    def waiting(self, folder: Path) -> Predictor:
        """A checkpoint that waits to be kept: it is listed nowhere, and loaded by its folder. Raises CheckpointError."""
        key = f"{folder} {read_card(folder).weights_sha256}"
        with self._lock:
            if self._waiting is None or self._waiting[0] != key:
                device = choose_device(self._device)
                network, card = checkpoint.load(folder, device)
                self._waiting = key, Predictor(folder.name, network, card, device)
            return self._waiting[1]

    def _from_disk(self, name: str) -> Predictor:
        places = {"weights": self._weights, "runs": self._runs}
        return Predictor.load(name, **places, device=self._device, runtime=self._runtime)


def _system(card: Card) -> str:
    """Return the published system of a card, "" for a variant of one and for a card that names none."""
    known = card.training
    return str(known.get("system", "")) if not known.get("variant") else ""
