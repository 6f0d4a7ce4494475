from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_model.errors import MtlError
from mtl_model.ui.server import fields

FIELDS: Any = {"tasks": (lambda value: isinstance(value, list), "a list"), "run": (fields.is_text, "text")}


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        '{"a":' * 50_000,
        "5",
        "[]",
        "null",
        '"x"',
        "{",
        b"\xff",
        '{"tasks": 5}',
        '{"run": {}}',
        '{"x": []}',
    ]
    + ['{"run": "\\ud800"}', '{"run": null}', '{"\\ud800": []}'],
)
def test_what_is_no_request_of_the_page_is_a_sentence(text: str | bytes) -> None:
    with pytest.raises(MtlError, match="Expected") as error:
        fields.read_object(text, FIELDS)
    str(error.value).encode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["run", "tasks", "x"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(anything | st.binary(max_size=60))
def test_any_json_is_an_object_or_a_sentence(value: Any) -> None:
    text = value if isinstance(value, bytes) else json.dumps(value)
    try:
        assert isinstance(fields.read_object(text, FIELDS), dict)
    except MtlError as error:
        str(error).encode()
