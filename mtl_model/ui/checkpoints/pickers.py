"""The pickers above the tabs: which checkpoint answers in this window, and which one it is compared with.

What a window has chosen is its own (static/page/picker.js keeps it); what there is to choose is looked at once a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from mtl_model import runs as folders
from mtl_model.card import CARD, list_checkpoints
from mtl_model.records import PICTURE
from mtl_model.ui import at_work
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.listeners import Events, alert, html
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.teach.teaching import Run

TICK_SECONDS, PUBLIC_TICK_SECONDS = 1, 15  # strangers are many, and what they see hardly changes
NONE = ("none", "")
HIDDEN: Literal["hidden"] = "hidden"
"""It stays in the page, unlike what is not visible."""


class Pickers:
    """The components in the head of the page.

    Attributes:
        timer: ticks once a second in every window that is seen.
        chosen: (stamp, checkpoint, compare). It changes with the choice of this window and with the checkpoints that there
            are: whatever shows either is drawn anew when it does.
    """

    def __init__(self, page: gr.Blocks, options: UiOptions, models: Models, events: Events) -> None:
        self._options, self._models, self._events = options, models, events
        names = models.names()
        subjects = gr.JSON(visible=False)
        self.timer = gr.Timer(PUBLIC_TICK_SECONDS if options.read_only else TICK_SECONDS)
        self.chosen = gr.State(("", models.default, ""))
        stamp = gr.Textbox(visible=False)
        with gr.Row(elem_id="pickers"):
            checkpoint = gr.Dropdown(names, value=models.default, label="Checkpoint", elem_id="checkpoint")
            compare = gr.Dropdown([NONE], value="", label="Compare with", elem_id="compare")
            chip = gr.Button("", visible=HIDDEN, elem_id="chip", elem_classes="button")
            out = gr.Button("Log out", visible=HIDDEN, elem_id="log-out", elem_classes="link")
            told = html(elem_id="told", html_template='<p class="told">{{value}}</p>')
            mistake = alert()
        refresh = gr.Button(visible=HIDDEN, elem_id="refresh")
        choice, shown = [checkpoint, compare, told], [checkpoint, compare, told, stamp, subjects, self.chosen, out]
        asked: dict[str, Any] = {"alert": mistake, "then": "mtl.settled", "trigger_mode": "multiple"}
        events.on("offer", [page.load, refresh.click], self.offer, choice, shown, js="mtl.wanted", **asked)
        events.on("pick", [checkpoint.input, compare.input], self.offer, choice, shown, js="mtl.picked", **asked)
        seen, js = [stamp, chip], "mtl.awake"
        events.on("tick", [self.timer.tick], self.tick, seen, seen, alert=mistake, js=js, then="mtl.seen", queue=False)
        events.in_browser([out.click], "mtl.logOut")
        events.in_browser([chip.click], "() => mtl.openTab('models')")

    def offer(self, checkpoint: Any, compare: Any, told: Any) -> tuple[Any, ...]:
        """Return what can be chosen, and the choice, as far as what was chosen is still there.

        told: the sentence on what is gone; it stays until another is picked. Raises: CheckpointError where nothing is left."""
        self._models.refresh()
        subjects = self._models.subjects()
        names = list(subjects)
        gone = [name for name in (checkpoint, compare) if isinstance(name, str) and name and name not in names]
        checkpoint = checkpoint if checkpoint in names else self._models.default
        others = comparable(subjects, checkpoint)
        if compare in names and compare not in (checkpoint, *others):
            told = f"{_reads(subjects, compare)}, {_reads(subjects, checkpoint)}: they are not compared."
        compare = compare if compare in others else ""
        if gone:
            told = f"{' and '.join(gone)} {'are' if len(gone) > 1 else 'is'} no longer there; {checkpoint} answers now."
        stamp, user = self.stamp(), self._events.user()
        return (
            gr.Dropdown(names, value=checkpoint),
            gr.Dropdown([NONE, *((name, name) for name in others)], value=compare, visible=bool(others) or HIDDEN),
            self._events.shown(told) if isinstance(told, str) else "",
            stamp,
            subjects,
            (stamp, checkpoint, compare),
            gr.Button(f"Log out {user}", visible=bool(user) or HIDDEN),
        )

    def tick(self, seen: Any, told: Any) -> tuple[Any, Any]:
        """Return the stamp and the chip that says what is at work, as far as they are others than those that were seen."""
        work = self._work()
        stamp, chip = self._stamp(work), at_work.chip(work)
        return (
            gr.skip() if stamp == seen else stamp,
            gr.skip() if chip == (told or "") else gr.Button(chip, visible=bool(chip) or HIDDEN),
        )

    def stamp(self) -> str:
        """Return a text that differs whenever there are other checkpoints, jobs, or things that can be brought back."""
        return self._stamp(self._work())

    def _work(self) -> list[Run]:
        return [] if self._options.read_only else at_work.working(self._options.runs)

    def _stamp(self, work: Sequence[Run]) -> str:
        found = list_checkpoints(self._options.weights, self._options.runs)
        cards = [(name, _changed(folder / CARD)) for name, folder in found.items()]
        undo = [aside.token for aside in folders.asides(self._options.runs)]
        seen = repr((self._models.default, cards, undo, at_work.listed(work)))
        return hashlib.sha256(seen.encode()).hexdigest()[:16]


def comparable(subjects: Mapping[str, str], checkpoint: str) -> list[str]:
    """Return the names of those that read the same as the chosen one."""
    return [name for name in subjects if name != checkpoint and subjects[name] == subjects[checkpoint]]


def _reads(subjects: Mapping[str, str], name: str) -> str:
    return f"{name} reads {'whole pictures' if subjects[name] == PICTURE else f'{subjects[name]}s'}"


def chosen_names(chosen: Any) -> tuple[str, str]:
    """Return the checkpoint of `Pickers.chosen` and the one it is compared with, "" for what is not as `offer` makes it."""
    names = [name for name in chosen[1:] if isinstance(name, str)] if isinstance(chosen, (tuple, list)) else []
    return (names[0], names[1]) if len(names) == 2 else ("", "")


def _changed(path: Path) -> int:
    """Return when a file was written; 0 for one that is just being taken away."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
