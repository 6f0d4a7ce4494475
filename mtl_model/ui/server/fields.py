"""JSON objects that come in, checked field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mtl_model.card_values import finite
from mtl_model.errors import UsageError

Check = Callable[[Any], bool]


def read_object(text: str | bytes, fields: Mapping[str, tuple[Check, str]]) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: the JSON; an empty one stands for {}.
        fields: name -> whether a value is of its kind, and what is expected in words. Other fields hold text, numbers,
            true, false or null.

    Raises: UsageError for anything else.
    """
    try:
        given = json.loads(text or b"{}", parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise UsageError(
            "The request is not what this page sends. Expected a JSON object; reload the page, then try again."
        )
    for name, value in given.items():
        fits, expected = fields.get(name, (is_scalar, "text, a number, true, false or null"))
        if not fits(value):
            raise UsageError(
                f"The field '{_shown(name)}' is {_shown(_seen(value))}. Expected {expected}; reload the page, then try again."
            )
    return given


def _seen(value: Any) -> str:
    return (
        "a list"
        if isinstance(value, list)
        else "an object"
        if isinstance(value, dict)
        else json.dumps(value, allow_nan=False)
    )


def _shown(text: str) -> str:
    return text[:60].encode("utf-8", "replace").decode()


def is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or is_text(value)


def is_text(value: Any) -> bool:
    """Tell whether it is text that can be written and sent: JSON can hold half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
