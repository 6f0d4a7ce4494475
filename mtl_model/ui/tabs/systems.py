"""The Systems tab: a card per published system, with its network, its figures, answers to test pictures, and its training.

The cards do not change while the page is served; what can be done with a system does, and is looked at with every change of
the checkpoints and the jobs.
"""

from __future__ import annotations

import random
from typing import Any

import gradio as gr

from mtl_model import kinds, systems
from mtl_model.errors import CheckpointError
from mtl_model.ui import at_work
from mtl_model.ui.listeners import alert, button, html, quoted
from mtl_model.ui.render import escape
from mtl_model.ui.shared import Shared
from mtl_model.ui.systems import cards, pictures, training
from mtl_model.ui.teach.actions import Steps

TITLE = "Systems"
ORDER = 50
PUBLIC = True
HIDDEN = "hidden"
"""It stays in the page, unlike what is not visible."""
INTRODUCTION = (
    "Published multi-task systems that can be trained, compared and changed here. Each card shows a network as this program "
    "builds it, and what it reached beside the figures of its author."
)


def build(shared: Shared) -> None:
    options = shared.options
    with gr.Column(elem_classes="systems"):
        html(f'<h2>Published systems</h2><p class="lead">{INTRODUCTION}</p>')
        if not options.read_only:
            steps = Steps(options.runs, options.weights, options.device)
            actions = {"stop": steps.stop, "resume": steps.resume}
            at_work.build(options.runs, shared.events, shared.pickers.chosen, actions, "systems")
        places = [_Card(shared, name) for name in systems.names()]
        if not options.read_only:
            outputs = [component for place in places for component in place.changing]
            chosen = shared.pickers.chosen

            def look(_: Any) -> list[Any]:
                return [value for place in places for value in place.look()]

            shared.events.on("systems", [chosen.change], look, [chosen], outputs, alert=alert())


class _Card:
    """The card of one system. changing: the components that depend on what is at hand; none on a read-only page."""

    def __init__(self, shared: Shared, name: str) -> None:
        self._shared, self._name, self._system = shared, name, systems.named(name)
        self._shown = bool(kinds.shown(self._system.tasks))
        self.changing: list[Any] = []
        with gr.Column(elem_classes="system"):
            script = f"mtl.card(element, {quoted(self._system.title)}, 'System')"
            html(cards.card(name), js=script)
            if shared.options.read_only:
                return
            state, mistake, answers = html(), alert(), html(elem_classes="answered")
            with gr.Row(elem_classes="actions"):
                train = button(f"Train it here, {_time(name)}", f"train-{name}", "button primary")
                show = button("Show three test pictures", f"pictures-{name}")
            then = "(run) => mtl.changed(`${run} is queued`, 'systems-head')"
            run = gr.Textbox(visible=False)
            on = shared.events.on
            on("system-train", [train.click], self._train, (), [run], alert=mistake, then=then)
            said = "() => mtl.announce('Three test pictures are answered')"
            on("system-pictures", [show.click], self._pictures, (), [answers], alert=mistake, then=said)
            self.changing = [state, train, show]

    def look(self) -> list[Any]:
        """Return the sentence on what is at hand, and which of the buttons can be pressed."""
        absent = training.missing(self._name)
        texts = filter(None, [absent, training.ended_badly(self._name, self._shared.options.runs)])
        answers = self._shown and not absent and bool(self._shared.models.of_system(self._name))
        return [
            self._shared.events.shown("".join(f'<p class="small">{escape(text)}</p>' for text in texts)),
            gr.Button(visible=not absent or HIDDEN),
            gr.Button(visible=answers or HIDDEN),
        ]

    def _train(self) -> str:
        return training.begin(self._name, self._shared.options)

    def _pictures(self) -> str:
        models = self._shared.models
        names = models.of_system(self._name)
        if not names:
            raise CheckpointError(
                f"No checkpoint of '{self._system.title}' is here. Expected one in runs/ or weights/; train it first."
            )
        return pictures.answered(self._name, models.get(names[0]), systems.data_folder(), random.Random())


def _time(name: str) -> str:
    """Return how long a training takes: by the one that was measured, which may have been shorter, else what recipes allow."""
    reached, config = systems.reached(name), systems.recipe(name)
    if not reached:
        return "at most an hour"
    longer = config.epochs * config.fraction / (reached["epochs"] * reached["fraction"])
    return f"about {cards.minutes(reached['seconds'] * longer)}"
