"""The Models tab: a card per checkpoint, with what can be done with it, and the place where one can be brought in.

A zip is sent twice, once to be looked at and once to be kept, so nothing of it stays here between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from mtl_model import checkpoint, checkpoint_zip, export, runtimes
from mtl_model import runs as folders
from mtl_model.card import NAME, is_taken
from mtl_model.errors import UsageError
from mtl_model.ui import at_work
from mtl_model.ui.checkpoints import trial
from mtl_model.ui.checkpoints.gallery import Entry, Shelf, said
from mtl_model.ui.checkpoints.pickers import chosen_names
from mtl_model.ui.listeners import alert, button, html, question, quoted
from mtl_model.ui.render import asset, escape
from mtl_model.ui.server.bodies import keep, parts_of
from mtl_model.ui.server.environment import TEMPORARY_VARIABLE
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import teaching
from mtl_model.ui.teach.actions import Steps

TITLE = "Models"
ORDER = 40
PUBLIC = False
DELETED = "For 10 minutes you can undo that; then it is gone, unless you have downloaded it."
TOO_LARGE = f"The file is larger than {checkpoint_zip.LARGEST_ZIP // 2**20} MB. {checkpoint_zip.EXPECTED}."


def build(shared: Shared) -> None:
    routes, options, chosen = _Routes(shared), shared.options, shared.pickers.chosen
    shared.route("GET", "/mtl/models/download", routes.download)
    shared.route("POST", "/mtl/models/look", routes.look)
    shared.route("POST", "/mtl/models/keep", routes.keep)
    shared.route("POST", "/mtl/undo", routes.bring_back)
    steps = Steps(options.runs, options.weights, options.device)
    with gr.Column(elem_classes="models"):
        html('<h2 class="unseen" tabindex="-1" id="models-head">Checkpoints</h2>')
        at_work.build(options.runs, shared.events, chosen, {"stop": steps.stop, "resume": steps.resume})
        shared.events.render("cards", [chosen.change], _Cards(shared).draw, [chosen])
        html(asset("checkpoints/bring.html"), js="mtl.bring(element)")


class _Cards:
    """A card per checkpoint, drawn anew whenever the choice of this window or the list of checkpoints changes."""

    def __init__(self, shared: Shared) -> None:
        self._options, self._models, self._events = shared.options, shared.models, shared.events
        self._text = gr.Textbox(visible=False)
        """What a person typed in a question, on its way to the handler."""

    @property
    def _shelf(self) -> Shelf:
        return Shelf(self._options, self._models.default)

    def draw(self, chosen: Any) -> None:
        in_use, compared = chosen_names(chosen)
        for aside in self._shelf.deleted():
            self._undo(aside)
        entries = self._shelf.entries()
        with gr.Row(elem_classes="shelf"):
            for entry in entries:
                used = entry.name == in_use
                with gr.Column(elem_classes=["model", "used"] if used else "model"):
                    _head(self._shelf.html(entry), entry.name)
                    mistake = alert()
                    with gr.Row(elem_classes="actions"):
                        if entry.whole:
                            self._choices(entry, used, entry.name == compared, len(entries) > 1)
                        if entry.changeable:
                            self._changes(entry, mistake)
                    if offers := self._shelf.offers(entry, entries):
                        self._joins(entry.name, offers, mistake)

    def _choices(self, entry: Entry, used: bool, compared: bool, several: bool) -> None:
        name = entry.name
        if entry.answers:
            self._press("In use" if used else "Use", f"use-{name}", "mtl.use({})", name, used)
        if entry.answers and several and not used:
            words, script = "Compared" if compared else "Compare", "mtl.chooseComparison({}); mtl.openTab('photo')"
            self._press(words, f"compare-{name}", script, name, compared)
        if entry.answers and entry.parent:
            self._press("Go back to parent", f"parent-{name}", "mtl.use({})", entry.parent)
        link = f"{self._options.root_path}/mtl/models/download?name={quote(name)}"
        if folders.keeps_pictures(entry.folder):
            self._press("Add pictures", f"extend-{name}", "location.hash = '#teach/' + encodeURIComponent({})", name)
        button("Download", f"download-{name}", link=link)
        if entry.answers and runtimes.installed(*runtimes.EXPORTING):
            button("Export as ONNX", f"export-{name}", link=f"{link}&as=onnx")

    def _press(self, words: str, key: str, script: str, name: str, pressed: bool = False) -> None:
        """Build a button that does something in the browser alone, with a name of a checkpoint."""
        pressed_classes = "button pressed" if pressed else "button"
        self._events.in_browser(
            [button(words, key, pressed_classes).click], f"() => {{ {script.format(quoted(name))}; }}"
        )

    def _changes(self, entry: Entry, mistake: gr.HTML) -> None:
        name, word, text = entry.name, quoted(entry.name), [self._text]
        js, then = f"() => mtl.askName({word})", f"(to) => mtl.renamed({word}, to)"
        rename, delete = button("Rename", f"rename-{name}"), button("Delete", f"delete-{name}", "button danger")
        handler = functools.partial(self._rename, name)
        self._events.on("rename", [rename.click], handler, text, text, alert=mistake, js=js, then=then)
        left = f" {' and '.join(entry.children)} came from it and will stay, but cannot go back to it."
        js = question(f"Delete {name}?", DELETED + left * bool(entry.children), "Delete")
        then = f"() => mtl.changed({quoted(f'{name} is deleted')}, 'models-head')"
        handler = functools.partial(self._shelf.delete, name)
        self._events.on("delete", [delete.click], handler, alert=mistake, js=js, then=then)

    def _joins(self, name: str, offers: dict[str, str], mistake: gr.HTML) -> None:
        """Build the choice of tasks of others, on the same trunk, that can be put onto a checkpoint."""
        choices, label = [(words, offer) for offer, words in offers.items()], "Add a task of another checkpoint"
        picker = gr.Dropdown(
            choices, value=None, label=label, elem_id=f"join-{name}", elem_classes="join", filterable=False
        )
        js = f"(offer) => mtl.askJoin({quoted(name)}, offer)"
        then = "(to) => mtl.changed(`${to} is put together`, `use-${to}`)"
        handler, values, results = functools.partial(self._join, name), [picker, self._text], [self._text, picker]
        self._events.on("join", [picker.select], handler, values, results, alert=mistake, js=js, then=then)

    def _join(self, name: str, offer: Any, to: Any) -> tuple[str, None]:
        to = to if isinstance(to, str) else ""
        self._shelf.join(name, offer if isinstance(offer, str) else "", to)
        return to, None  # nothing is chosen any more

    def _undo(self, aside: folders.Aside) -> None:
        with gr.Row(elem_classes="undo"):
            _head(f"<span><b>{escape(aside.name)}</b> is deleted.</span>", aside.name)
            pressed = button("Undo", f"undo-{aside.token}").click
            html('<span class="small">for 10 minutes</span>')
        handler = functools.partial(folders.bring_back, self._options.runs, aside.token, self._options.weights)
        then = f"() => mtl.changed({quoted(f'{aside.name} is back')}, {quoted(f'rename-{aside.name}')})"
        self._events.on("bring-back", [pressed], handler, alert=alert(), then=then)

    def _rename(self, name: str, to: Any) -> str:
        to = to if isinstance(to, str) else ""
        self._shelf.rename(name, to)
        return to


def _head(text: str, name: str) -> None:
    """Show the text of a card; the script gives the card and its buttons the names that a screen reader says."""
    html(text, js=f"mtl.card(element, {quoted(name)})")


class _Routes:
    """What a browser sends and gets as it is: zips, which may have 500 MB."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._one_at_a_time = shared, asyncio.Semaphore(1)  # a zip that is looked at fills the memory

    async def bring_back(self, request: Request) -> Response:
        """Put back what was discarded on the Teach tab a moment ago."""
        options, token = self._shared.options, request.query_params.get("token", "")
        name = await asyncio.to_thread(folders.bring_back, options.runs, token, options.weights)
        return JSONResponse({"name": name})

    async def download(self, request: Request) -> Response:
        folder = await asyncio.to_thread(self._folder, request.query_params.get("name", ""))
        onnx = request.query_params.get("as") == "onnx"
        async with self._one_at_a_time if onnx else contextlib.nullcontext():
            file = await asyncio.to_thread(_packed, folder, _export if onnx else checkpoint_zip.pack)
        headers = {
            "content-disposition": f'attachment; filename="{folder.name}{"-onnx" * onnx}.zip"',
            "content-length": str(file.seek(0, os.SEEK_END)),
        }
        return StreamingResponse(_parts(file), media_type="application/zip", headers=headers)

    def _folder(self, name: str) -> Path:
        """Return where a checkpoint lies, also one that was learned and waits to be accepted."""
        with contextlib.suppress(UsageError):
            run = teaching.read_run(self._shared.options.runs, name)
            if run.state == "done":
                return run.folder
        return self._shared.models.folder(name)

    async def look(self, request: Request) -> Response:
        return await self._with_zip(request, self._look)

    async def keep(self, request: Request) -> Response:
        return await self._with_zip(request, self._keep)

    async def _with_zip(self, request: Request, work: Any) -> Response:
        name = request.query_params.get("name", "")
        keep(request, "stream")
        with said("The file could not be taken"):
            with tempfile.TemporaryFile() as file:
                async for part in parts_of(request, checkpoint_zip.LARGEST_ZIP, UsageError(TOO_LARGE)):
                    file.write(part)
                file.seek(0)
                async with self._one_at_a_time:
                    return JSONResponse(await asyncio.to_thread(work, file, name))

    def _look(self, file: IO[bytes], name: str) -> dict[str, str]:
        """What is in the zip, and a name for it after the file's."""
        options = self._shared.options
        with checkpoint_zip.opened(file, options.runs) as (folder, _):
            return {"html": trial.tried(folder, options), "name": self._free(Path(name).stem)}

    def _free(self, stem: str) -> str:
        """A name that is free, like the one of the file."""
        plain = (
            "".join(letter if NAME.fullmatch(f"a{letter}") else "-" for letter in stem).strip("-._")[:56] or "uploaded"
        )
        options = self._shared.options
        names = (plain, *(f"{plain}-{number}" for number in range(2, 1000)))
        return next((name for name in names if not is_taken(name, options.weights, options.runs)), "")

    def _keep(self, file: IO[bytes], name: str) -> dict[str, str]:
        options = self._shared.options
        with checkpoint_zip.opened(file, options.runs) as (folder, _):
            trial.tried(folder, options)
            checkpoint_zip.keep(folder, name, options.weights, options.runs)
        return {"name": name}


def _export(folder: Path, file: IO[bytes]) -> None:
    """Write a checkpoint as ONNX, with its card and an example, into a zip. Raises UsageError, RunError."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get(TEMPORARY_VARIABLE)) as place,
        zipfile.ZipFile(file, "w") as packed,
    ):
        for path in export.export(folder.name, *checkpoint.load(folder), Path(place)):
            packed.write(path, f"{folder.name}-onnx/{path.name}")


def _packed(folder: Path, pack: Callable[[Path, IO[bytes]], None]) -> IO[bytes]:
    """A checkpoint as a zip, in a file that has no name: however the download ends, it is gone with it."""
    with said("The download could not be made"):
        file = tempfile.TemporaryFile(dir=os.environ.get(TEMPORARY_VARIABLE))  # noqa: SIM115, closed by _parts
        try:
            pack(folder, file)
        except BaseException:
            file.close()
            raise
    return file


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(2**20):
            yield part
