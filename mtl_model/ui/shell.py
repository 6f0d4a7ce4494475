"""The frame of the page: its head, the checkpoint pickers, the tabs."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import gradio as gr

from mtl_model import registry
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.checkpoints.pickers import Pickers
from mtl_model.ui.render import asset
from mtl_model.ui.server.environment import KEPT_SECONDS, TEND_SECONDS
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared

TITLE = "Faces: apparent age, gender and smile"
NOTICE = (
    "Apparent age, gender and smile are estimates by AI and often wrong. "
    "Tell the people shown; decide nothing about anyone by it."
)
TABS = "ui/tabs"
SCRIPTS = (
    "page/page.js",
    "page/tabs.js",
    "page/ask.js",
    "page/picker.js",
    "faces/faces.js",
    "faces/labels.js",
    "webcam/camera.js",
    "photo/photo_view.js",
    "photo/by_hand.js",
    "faces/corrections.js",
    "photo/photo.js",
    "page/morph.js",
    "teach/teach_upload.js",
    "teach/teach_label.js",
    "teach/teach_record.js",
    "teach/teach.js",
    "checkpoints/models.js",
)
"""In this order; what a script takes from another is looked up only when the page is there."""
STYLES = (
    "page/page.css",
    "page/frame.css",
    "faces/cards.css",
    "checkpoints/models.css",
    "teach/teach.css",
    "systems/systems.css",
)


def load_tabs(public_only: bool = False) -> list[Any]:
    """The modules of ui/tabs in the order in which they are shown; public_only: those that strangers may use."""
    tabs = [registry.load(TABS, name) for name in registry.names(TABS)]
    return sorted((tab for tab in tabs if not public_only or getattr(tab, "PUBLIC", False)), key=lambda tab: tab.ORDER)


def build(options: UiOptions, models: Models) -> tuple[gr.Blocks, Shared]:
    """The whole page, not yet served."""
    with gr.Blocks(
        analytics_enabled=False, title=TITLE, fill_width=True, delete_cache=(TEND_SECONDS, KEPT_SECONDS)
    ) as blocks:
        shared = Shared(options, models, Access(options))
        shared.routes += shared.access.routes()
        with gr.Row(elem_id="head", equal_height=True):
            gr.HTML(asset("page/brand.html"), elem_id="brand")
            shared.pickers = Pickers(blocks, options, models, shared.events)
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            for tab in load_tabs(options.read_only):
                key = tab.TITLE.lower()  # by it the scripts know a tab, and by its address
                with gr.Tab(tab.TITLE, id=key, elem_id=f"tab-{key}"):
                    tab.build(shared)
        gr.HTML(f'<p class="notice">{NOTICE}</p>', elem_id="notice")
    return blocks, shared


def head(models: Models, root_path: str = "") -> str:
    """What every page carries in its head: the style, and the few lines that all tabs share.

    root_path: the page's files are asked for below it, so its address needs the slash at the end."""
    root = json.dumps(root_path.rstrip("/"), allow_nan=False).replace("<", "\\u003c")
    whole = f"{root} + '/' + location.search + location.hash"
    slash = f"if (location.pathname === {root}) location.replace({whole});" if root_path else ""
    default = json.dumps(models.default, allow_nan=False).replace("<", "\\u003c")
    script = "".join(asset(name) for name in SCRIPTS).replace("__DEFAULT_CHECKPOINT__", default)
    icon = quote(asset("page/icon.svg").strip())
    return (
        f"<script>{slash}</script>"
        f'<link rel="icon" type="image/svg+xml" href="data:image/svg+xml,{icon}">'
        f"<style>{''.join(map(asset, STYLES))}</style><script>{script}</script>"
    )
