"""The About tab: the chosen checkpoint's card as a page that people can read, what is kept, and where it lies."""

from __future__ import annotations

import functools
import json
import logging
from typing import Any

import gradio as gr

from mtl_model.card import to_text
from mtl_model.errors import CheckpointError
from mtl_model.ui.checkpoints import card_page, gallery
from mtl_model.ui.checkpoints.pickers import chosen_names
from mtl_model.ui.listeners import Handler, alert, html, question
from mtl_model.ui.render import escape
from mtl_model.ui.server import retention
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import dataset

TITLE = "About"
ORDER = 90
PUBLIC = True

log = logging.getLogger("mtl_model.ui")

EVERYTHING = question(
    "Delete everything?",
    "Pictures given to Teach, also those that were kept, corrections, what is being learned, and every checkpoint made here. It "
    "cannot be brought back. Checkpoints that came with the program stay.",
    "Delete everything",
)
PICTURES = question(
    "Delete these pictures?",
    "They cannot be brought back. The checkpoint that was taught with them stays.",
    "Delete them",
)


def build(shared: Shared) -> None:
    events, options, models, chosen = shared.events, shared.options, shared.models, shared.pickers.chosen

    def about(now: Any) -> str:
        name = chosen_names(now)[0] or models.default
        try:
            page = card_page.page(name, models.card(name), options, models.folder(name), events.sees_paths())
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:  # a card written by hand
            log.info("a card cannot be shown", exc_info=error)
            raise CheckpointError(f"{gallery.UNSHOWN} Choose another checkpoint.") from None
        return events.shown(page)

    with gr.Column(elem_classes="about"):
        mistake, page = alert(), html()
        events.on(
            "about", [chosen.change], about, [chosen], [page], alert=mistake, clears=True, trigger_mode="always_last"
        )
        if not options.read_only:
            with gr.Column(elem_classes="section"):
                _deletion(shared)
    _offer_api(shared)


def _deletion(shared: Shared) -> None:
    """Build what deletes the pictures that were kept, and everything."""
    events, runs, chosen = shared.events, shared.options.runs, shared.pickers.chosen

    def everything() -> str:
        _, left = retention.delete_everything(runs)
        dataset.forget()
        whose = "1 folder of another program was" if left == 1 else f"{left} folders of other programs were"
        return f"Everything is deleted.{f' {whose} left.' if left else ''}"

    def pictures(name: str) -> str:
        retention.delete_pictures(runs, name)
        return "The pictures are deleted."

    def button(words: str, name: str, handler: Handler, js: str) -> None:
        pressed = gr.Button(words, elem_classes="button danger", min_width=0).click
        events.on(name, [pressed], handler, (), [done], alert=mistake, js=js, then="mtl.changed")

    def draw(_: Any) -> None:
        with gr.Row(elem_classes="actions"):
            for name, _ in retention.kept_pictures(runs):
                button(f"Delete the pictures of {name}", "delete-pictures", functools.partial(pictures, name), PICTURES)

    html(f'<h3>Delete</h3><p class="small">{retention.EVERYTHING.format(runs=escape(runs))}</p>')
    mistake, done = alert(), html(elem_classes="done")
    events.render("kept-pictures", [chosen.change], draw, [chosen])
    with gr.Row(elem_classes="actions"):
        button("Delete everything", "delete-everything", everything, EVERYTHING)


def _offer_api(shared: Shared) -> None:
    """Offer to programs what this tab says to people."""

    def models() -> list[str]:
        """List the checkpoints by name, the one that answers first."""
        shared.models.refresh()
        return shared.models.names()

    def card(model: str = "") -> dict[str, Any]:
        """Return what is known of one checkpoint, as its card.json has it: tasks, figures, terms. Without a name: the first."""
        return shared.events.shown(json.loads(to_text(shared.models.card(model))))

    shared.events.public(models)
    shared.events.public(card)
