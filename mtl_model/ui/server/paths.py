"""Absolute paths in what a stranger reads: where things lie is for who is at the machine, or logged in."""

from __future__ import annotations

import functools
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse

from mtl_model.registry import PACKAGE

# After a space, a bracket, the end of a tag or the like; never in the middle of base64, of an address, or in an attribute.
_UNKNOWN = r"(?:(?<=[\s'(:>;=])|^)(?:/(?:[\w.+~-]+/)+[\w.+~-]*|[A-Za-z]:\\[^\s'\"<>]+)"
_END = r"(?=[/\\\s'\"<&,.;:)]|$)"


def hide_paths(text: str, folders: Iterable[Path] = ()) -> str:
    """Return the text with the last name of each absolute path in place of the path.

    folders: their paths are found whatever stands in them; what lies below one stays, such as runs/NAME/data.
    """
    return _pattern(tuple(folders)).sub(_short, text)


def hide_in(answer: JSONResponse, folders: Iterable[Path]) -> JSONResponse:
    """Return the same answer with `hide_paths` in every text of it."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    return JSONResponse(hide_in_json(json.loads(bytes(answer.body)), tuple(folders)), answer.status_code, headers)


def hide_in_json(value: Any, folders: Sequence[Path]) -> Any:
    """Return a value of JSON with `hide_paths` in every text of it."""
    if isinstance(value, str):
        return hide_paths(value, folders)
    if isinstance(value, list):
        return [hide_in_json(part, folders) for part in value]
    return {name: hide_in_json(part, folders) for name, part in value.items()} if isinstance(value, dict) else value


@functools.lru_cache(maxsize=8)
def _pattern(folders: tuple[Path, ...]) -> re.Pattern[str]:
    places = (*folders, PACKAGE, PACKAGE.parent, Path.cwd(), Path.home(), Path(sys.prefix), Path(tempfile.gettempdir()))
    known = {str(form) for place in places for form in (place.absolute(), place.resolve()) if len(form.parts) > 1}
    names = "|".join(re.escape(path) for path in sorted(known, key=len, reverse=True))
    return re.compile(rf"(?P<known>(?<![\w+/,.-])(?:{names}){_END})|{_UNKNOWN}")


def _short(match: re.Match[str]) -> str:
    path = match[0]
    return "~" if match["known"] and Path(path) == Path.home() else re.split(r"[/\\]", path.rstrip("/\\"))[-1]
