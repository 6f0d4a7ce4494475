"""One converter between a frozen dataclass and the options of a command line: a field made by `option` is one --option."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from mtl_model.errors import UsageError
from mtl_model.terminal import given_path

Record = TypeVar("Record")


def option(
    default: Any,
    text: str,
    choices: tuple[str, ...] = (),
    flag: str = "",
    metavar: str | tuple[str, ...] | None = None,
    variable: str = "",
) -> Any:
    """Return a field of a dataclass that is an option too.

    The type of the field decides how the option is read: bool is a switch, tuple[str, ...] may be given several times,
    a tuple of a fixed length takes that many words, a Path must not be empty.

    Args:
        default: Value without the option; a function without arguments is called for each record.
        flag: Name of the option where it is not that of the field.
        variable: Environment variable that is read where the option is not given.
    """
    metadata = {"help": text, "choices": choices, "flag": flag, "metavar": metavar, "variable": variable}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def add_options(parser: argparse.ArgumentParser, record: type, only: Iterable[str] = ()) -> None:
    """Add one option per field. What is not given stands nowhere in the parsed arguments; `from_options` knows the defaults.

    only: names of fields, if not all of them are wanted."""
    for field in _fields(record, only):
        kind, more = _kind(record, field), field.metadata
        settings: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": _help(field)}
        if kind is bool:
            settings |= {"action": "store_true"}
        elif get_origin(kind) is tuple:
            several = get_args(kind)[-1] is Ellipsis
            settings |= {"action": "append"} if several else {"nargs": len(get_args(kind))}
        else:
            settings |= {"type": given_path if kind is Path else kind, "choices": more["choices"] or None}
        if more["metavar"]:
            settings |= {"metavar": more["metavar"]}
        parser.add_argument(_flag(field), **settings)


def from_options(record: type[Record], arguments: argparse.Namespace, base: Record | None = None) -> Record:
    """Return the record that parsed arguments give: of an option that was not given, its environment variable or default.

    base: a record whose values take the place of the defaults.
    Raises: UsageError for a value out of range."""
    values: dict[str, Any] = {}
    for field in _fields(record):
        kind, variable = _kind(record, field), field.metadata["variable"]
        if field.name in arguments:
            values[field.name] = _typed(kind, getattr(arguments, field.name))
        elif variable and os.environ.get(variable):
            values[field.name] = _from_variable(field, kind, os.environ[variable])
    return dataclasses.replace(base, **values) if base is not None else record(**values)  # type: ignore[type-var]


def options_of(record: Any, base: Any = None) -> str:
    """Return the options that make a record, as a shell takes them."""
    return shlex.join(words_of(record, base))


def words_of(record: Any, base: Any = None) -> list[str]:
    """Return the options that make a record, as a program takes them; what is as in `base`, or as usual, is left out."""
    words: list[str] = []
    for field in _fields(type(record)):
        value = getattr(record, field.name)
        if value == (_default(field) if base is None else getattr(base, field.name)):
            continue
        several = isinstance(value, tuple) and get_args(_kind(type(record), field))[-1] is Ellipsis
        for part in value if several else (value,):
            parts = () if part is True else part if isinstance(part, tuple) else (part,)
            words += [_flag(field), *map(str, parts)]
    return words


def _fields(record: Any, only: Iterable[str] = ()) -> Iterable[dataclasses.Field[Any]]:
    fields = (field for field in dataclasses.fields(record) if "help" in field.metadata)
    return [field for field in fields if not only or field.name in only]


def _kind(record: type, field: dataclasses.Field[Any]) -> Any:
    """Return the type of a field, without the None that stands for an option not given."""
    hint = get_type_hints(record)[field.name]
    if NoneType in get_args(hint):
        return next(part for part in get_args(hint) if part is not NoneType)
    return hint


def _flag(field: dataclasses.Field[Any]) -> str:
    return "--" + (field.metadata["flag"] or field.name.replace("_", "-"))


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]


def _help(field: dataclasses.Field[Any]) -> str:
    text, default, variable = field.metadata["help"], field.default, field.metadata["variable"]
    if variable:
        text += f" (else ${variable}, else {default})"
    elif default not in ("", (), False, None, dataclasses.MISSING):
        text += f" (default: {default})"
    return text.replace("%", "%%")


def _typed(kind: Any, value: Any) -> Any:
    if get_origin(kind) is not tuple:
        return value
    kinds = get_args(kind)
    return tuple(value) if kinds[-1] is Ellipsis else tuple(kind(part) for kind, part in zip(kinds, value, strict=True))


def _from_variable(field: dataclasses.Field[Any], kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(
            f"${field.metadata['variable']} is '{text}'. Expected a value such as {field.default}; change it."
        ) from None
