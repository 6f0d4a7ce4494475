"""Read JSON into the types that a record declares, or refuse it: people, disks and other programs damage files."""

from __future__ import annotations

import functools
import json
from typing import Any, TypeVar

Kind = TypeVar("Kind")


class Misfit(ValueError):
    """JSON that does not fit a record. field: the first one that does not, as "tasks.0.name"; "" where it is the whole."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'the file'}: {reason}")
        self.field = field


def parse(kind: type[Kind], text: bytes | str) -> Kind:
    """Return JSON as a dataclass or a TypedDict, of which the fields that it declares are checked.

    A dataclass leaves other fields out, a TypedDict keeps them. Nothing is converted: "3" is no number.

    Raises: Misfit, naming the first field that does not fit, for any other JSON, for half a letter (`\\ud800`), and for what
        is no JSON.
    """
    adapter = _adapter(kind)
    try:
        value = adapter.validate_json(text, strict=True)
    except ValueError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]  # type: ignore[attr-defined]
        raise Misfit(".".join(map(str, first["loc"])), first["msg"]) from None
    return json.loads(text) if isinstance(value, dict) else value


@functools.cache
def _adapter(kind: type[Any]) -> Any:
    from pydantic import TypeAdapter  # a tenth of a second, which --help does not wait for

    return TypeAdapter(kind)
