"""The page's own Gradio theme: system fonts, quiet greys, one accent; light and dark are both designed.

The colours of what Gradio draws are set here; those of our own parts are the variables at the top of static/page.css,
and both hold the same values.
"""

from __future__ import annotations

import gradio as gr

_ACCENT = gr.themes.Color(
    c50="#eef4ff",
    c100="#dbe7ff",
    c200="#bcd2ff",
    c300="#8fb3ff",
    c400="#6594f5",
    c500="#3b6fdc",
    c600="#2457c5",
    c700="#1d479f",
    c800="#1b3c80",
    c900="#1a3365",
    c950="#121f3d",
)
_GREY = gr.themes.Color(
    c50="#f6f7f9",
    c100="#eceff3",
    c200="#dde2e9",
    c300="#c3cad5",
    c400="#98a2b3",
    c500="#667085",
    c600="#4d5768",
    c700="#38404e",
    c800="#222831",
    c900="#191e25",
    c950="#111418",
)

THEME = gr.themes.Base(
    primary_hue=_ACCENT,
    secondary_hue=_ACCENT,
    neutral_hue=_GREY,
    radius_size=gr.themes.sizes.radius_md,
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],  # plain strings: no font is fetched
    font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
).set(
    body_background_fill="#f6f7f9",
    body_background_fill_dark="#111418",
    body_text_color="#1a1f27",
    body_text_color_dark="#e9edf3",
    body_text_color_subdued="#566072",
    body_text_color_subdued_dark="#a6b0bf",
    background_fill_primary="#ffffff",
    background_fill_primary_dark="#191e25",
    background_fill_secondary="#f6f7f9",
    background_fill_secondary_dark="#14181d",
    border_color_primary="#dde2e9",
    border_color_primary_dark="#2d343f",
    block_background_fill="#ffffff",
    block_background_fill_dark="#191e25",
    block_border_width="0px",
    block_shadow="none",
    block_label_text_color="#566072",
    block_label_text_color_dark="#a6b0bf",
    block_title_text_color="#566072",
    block_title_text_color_dark="#a6b0bf",
    input_background_fill="#ffffff",
    input_background_fill_dark="#191e25",
    input_border_color="#98a2b3",
    input_border_color_dark="#566072",
    button_primary_background_fill="#2457c5",
    button_primary_background_fill_hover="#1d479f",
    button_primary_background_fill_dark="#8fb3ff",
    button_primary_background_fill_hover_dark="#bcd2ff",
    button_primary_text_color="#ffffff",
    button_primary_text_color_dark="#111418",
)
