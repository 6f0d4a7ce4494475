"""The Webcam tab: the live picture of a camera with what is estimated for each face.

The browser holds the camera, draws and keeps the states (static/webcam.js, webcam_view.js); ui/live.py answers its
frames. Gradio carries neither frames nor answers, so none of them can reach its files.
"""

from __future__ import annotations

import gradio as gr

from mtl_model.drawing import FACE_COLOURS
from mtl_model.ui import live
from mtl_model.ui.shell import Shared, asset

TITLE = "Webcam"
ORDER = 20
PUBLIC = True


def build(shared: Shared) -> None:
    server = live.LiveServer(
        shared.models.get, lambda socket: shared.user_of(socket) is not None, shared.access.folders
    )
    shared.routes.append(server.route())
    gr.HTML(
        html_template=asset("webcam.html"),
        css_template=asset("webcam.css"),
        js_on_load=asset("webcam_view.js") + asset("webcam.js"),
        elem_id="webcam",
        apply_default_css=False,
        path=live.PATH,
        face_colours=list(FACE_COLOURS),
    )
