"""The Webcam tab: the live picture of a camera with what is estimated for each face.

The browser holds the camera, draws and keeps the states (static/webcam.js, webcam_view.js); ui/faces/webcam.py answers its
frames. Gradio carries neither frames nor answers, so none of them can reach its files.
"""

from __future__ import annotations

import contextlib

import gradio as gr

from mtl_model.drawing import FACE_COLOURS
from mtl_model.errors import CheckpointError, UsageError
from mtl_model.predictor import Predictor
from mtl_model.ui.faces import webcam
from mtl_model.ui.render import asset
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import teaching

TITLE = "Webcam"
ORDER = 20
PUBLIC = True


def load(shared: Shared, name: str | None) -> Predictor:
    """Return a checkpoint that is listed; where Teach is, also one that it learned and nobody has kept yet.

    Raises: CheckpointError if there is none of that name."""
    try:
        return shared.models.get(name)
    except CheckpointError:
        if shared.options.read_only or not name:
            raise
        with contextlib.suppress(UsageError):
            run = teaching.read_run(shared.options.runs, name)
            if run.state == "done":
                return shared.models.waiting(run.folder)
        raise


def build(shared: Shared) -> None:
    server = webcam.LiveServer(
        lambda name: load(shared, name), lambda socket: shared.user_of(socket) is not None, shared.access.folders
    )
    shared.routes.append(server.route())
    gr.HTML(
        html_template=asset("webcam/webcam.html"),
        css_template=asset("webcam/webcam.css"),
        js_on_load=asset("webcam/webcam_view.js") + asset("webcam/webcam.js"),
        elem_id="webcam",
        apply_default_css=False,
        path=webcam.PATH,
        face_colours=list(FACE_COLOURS),
    )
