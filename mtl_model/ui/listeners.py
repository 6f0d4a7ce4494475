"""Event listeners of the page: every one is made here, so all fail in one way and a test can walk them."""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from starlette.requests import HTTPConnection

from mtl_model.errors import MtlError, disk_text, is_disk
from mtl_model.ui.render import escape
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.paths import hide_in_json

UNEXPECTED = "Something went wrong on the server. It has been written to its log; try again, or try another picture."
PRIVATE: Mapping[str, Any] = MappingProxyType(
    {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private", "trigger_mode": "once"}
)
"""Of events of the page itself: none waits for another, none shows Gradio's spinner, none is part of the API."""

log = logging.getLogger("mtl_model.ui")

Handler = Callable[..., Any]


def sentence_for(error: Exception) -> str:
    """Return what a person reads of an error: its own sentence, or a neutral one for an unexpected error, which is logged."""
    if isinstance(error, MtlError):
        return str(error)
    if isinstance(error, OSError) and is_disk(error):
        return disk_text("This could not be done on the server", error)
    log.error("unexpected error", exc_info=error)
    return UNEXPECTED


def html(value: str = "", elem_classes: str | None = None, js: str | None = None, **more: Any) -> gr.HTML:
    """Return a component that shows HTML in the look of this page. js: what runs once it is there, with `element`."""
    return gr.HTML(value, elem_classes=elem_classes, apply_default_css=False, js_on_load=js, **more)


def button(words: str, name: str | None = None, classes: str = "button", link: str = "") -> gr.Button:
    """Return a button in the look of this page.

    name: its id; the same after it is drawn anew, so that the focus comes back to it. link: "" rather than None, which Gradio
    does not send: the button that stood in this place before would leave its link."""
    return gr.Button(words, elem_id=name, elem_classes=classes.split(), min_width=0, link=link)


def alert(sentence: str = "") -> gr.HTML:
    """Return the place beside a control where its mistakes are said; it stays until the next try, and is read aloud."""
    return html(_paragraph(sentence), elem_classes="mistake")


def _paragraph(sentence: str) -> str:
    return f'<p class="alert" role="alert">{escape(sentence)}</p>' if sentence else ""


def quoted(value: Any) -> str:
    """Return a value as it stands in a script."""
    return json.dumps(value, allow_nan=False)


def question(title: str, text: str, yes: str) -> str:
    """Return the `js` of an event that asks first and goes on only if the person agrees."""
    asked = quoted({"title": title, "text": text, "yes": yes, "danger": True})
    return f"async (...values) => {{ if (!(await mtl.ask({asked}))) throw new Error('cancelled'); return values; }}"


class Events:
    """Makes the listeners of the page, and of what `render` draws in it.

    A handler gets the values of its inputs as the browser sent them. It checks them itself: a component refuses what it
    does not know before any code of ours runs, with a sentence of its own.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self.known: dict[str, tuple[Handler, int]] = {}
        """Each handler as Gradio calls it, and how many values it takes, by name."""

    # -- who asks ------------------------------------------------------------------------------------------------------

    def user(self) -> str:
        """Return the name of the person whose event is being handled, "" without log-in."""
        connection = _connection()
        name = self._access.user_of(connection) if connection and self._access.login else None
        return name or ""

    def sees_paths(self) -> bool:
        """Return whether that person may read where things lie on this machine."""
        connection = _connection()
        return connection is not None and self._access.sees_paths(connection)

    def shown(self, value: Any) -> Any:
        """Return a text, or a value of JSON, without absolute paths where that person may not read them."""
        return value if self.sees_paths() else hide_in_json(value, self._access.folders)

    # -- what is made --------------------------------------------------------------------------------------------------

    def on(
        self,
        name: str,
        triggers: Sequence[Any],
        handler: Handler,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        *,
        alert: gr.HTML,
        js: str | None = None,
        then: str | None = None,
        clears: bool = False,
        **how: Any,
    ) -> None:
        """Listen: the handler's result goes to the outputs, the sentence of its error to the alert.

        Args:
            name: of the event; those of many cards share one.
            handler: takes the inputs' values; returns the outputs' values, a tuple where there are several.
            js: a function that runs in the browser before the handler; it returns the inputs' values as an array, or throws to
                cancel the event.
            then: a function that runs in the browser after success, with the outputs' values.
            clears: a mistake empties the outputs; else they stay as they are.
            how: `trigger_mode`, by itself "once": a trigger is passed over while the event is still being answered; `queue`,
                False for what is asked again and again: no change of a `gr.State` is heard then.
        """
        count = len(outputs)

        def answer(*values: Any) -> Any:
            try:
                result, sentence = handler(*values), ""
            except Exception as error:
                result, sentence = [None if clears else gr.skip()] * count, _paragraph(self.shown(sentence_for(error)))
            else:
                result = [*result] if count > 1 else [result] * count
            return [*result, sentence] if count else sentence

        self.known[name] = answer, len(inputs)
        places = [*outputs, alert]
        how = {**PRIVATE, **how}
        event = gr.on([*triggers], answer, [*inputs], places, js=js, preprocess=False, api_name=name, **how)
        if then:
            script = f"(...values) => {{ if (!values.pop()) ({then})(...values); }}"
            event.success(None, places, None, js=script, api_visibility="private")

    def render(self, name: str, triggers: Sequence[Any], draw: Handler, inputs: Sequence[gr.State] = ()) -> None:
        """Draw components anew at each trigger; a mistake is said in their place."""

        def answer(*values: Any) -> None:
            try:
                draw(*values)
            except Exception as error:
                alert(self.shown(sentence_for(error)))

        self.known[name] = answer, len(inputs)
        gr.render([*inputs], [*triggers], concurrency_limit=None, show_progress="hidden")(answer)

    def in_browser(self, triggers: Sequence[Any], js: str, inputs: Sequence[Any] = ()) -> None:
        """Run a function in the browser alone."""
        gr.on([*triggers], None, [*inputs], None, js=js, api_visibility="private")

    def public(self, handler: Handler, **more: Any) -> None:
        """Offer a function in the API, under its own name, types and docstring."""

        @functools.wraps(handler)
        def answer(*values: Any) -> Any:
            try:
                return handler(*values)
            except gr.Error:
                raise
            except Exception as error:
                raise gr.Error(escape(self.shown(sentence_for(error))), print_exception=False) from None

        self.known[handler.__name__] = answer, len(inspect.signature(handler).parameters)
        gr.api(answer, api_name=handler.__name__, **more)


def _connection() -> HTTPConnection | None:
    request = LocalContext.request.get(None)
    return getattr(request, "request", None)
