"""The options of the page, for `python app.py` and `python -m mtl_model ui` alike."""

from __future__ import annotations

import argparse
import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_model.card import shipped_weights
from mtl_model.errors import UsageError
from mtl_model.terminal import given_path

HOST, PORT = "127.0.0.1", 7860
HOST_VARIABLE, PORT_VARIABLE = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"  # set by hosts of Gradio apps
SPACE_VARIABLE = "SPACE_HOST"  # set by a hub that hosts the page, behind its proxy


def _option(help_text: str, **more: Any) -> dict[str, Any]:
    return {"help": help_text, **more}


@dataclass(frozen=True)
class UiOptions:
    """Each field is an option of the command line; its metadata holds the help text."""

    host: str = field(default=HOST, metadata=_option(f"address to listen on (else ${HOST_VARIABLE}, else {HOST})"))
    port: int = field(
        default=PORT, metadata=_option(f"port to listen on, 0 for any free one (else ${PORT_VARIABLE}, else {PORT})")
    )
    weights: Path = field(
        default_factory=shipped_weights, metadata=_option("folder of the shipped checkpoints", metavar="DIR")
    )
    runs: Path = field(default=Path("runs"), metadata=_option("folder of the checkpoints made here", metavar="DIR"))
    checkpoint: str | None = field(
        default=None, metadata=_option("checkpoint to begin with (else default, else bknet)", metavar="NAME")
    )
    device: str = field(default="auto", metadata=_option("auto, cpu, cuda or cuda:1 (default: auto)"))
    root_path: str = field(
        default="", metadata=_option("path under which a proxy serves the page, such as /faces", metavar="PATH")
    )
    ssl_certfile: Path | None = field(
        default=None, metadata=_option("certificate for https, which a phone's camera needs", metavar="FILE")
    )
    ssl_keyfile: Path | None = field(default=None, metadata=_option("private key of the certificate", metavar="FILE"))
    allow_host: tuple[str, ...] = field(
        default=(), metadata=_option("another host name to answer to; may be given several times", metavar="NAME")
    )
    auth: Path | None = field(
        default=None, metadata=_option("ask for a name and a password; FILE is made by --add-user", metavar="FILE")
    )
    read_only: bool = field(
        default=False,
        metadata=_option(
            f"show the photo, the webcam and About alone (always so where ${SPACE_VARIABLE} is set without --auth)",
            action="store_true",
        ),
    )
    add_user: tuple[str, Path] | None = field(
        default=None,
        metadata=_option("write a name with its password into the file of --auth, then end", metavar=("NAME", "FILE")),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for one in dataclasses.fields(UiOptions):
        more: dict[str, Any] = {key: value for key, value in one.metadata.items() if key != "help"}
        if one.name == "allow_host":
            more |= {"action": "append"}
        elif one.name == "port":
            more |= {"type": int, "metavar": "PORT"}
        elif one.name == "add_user":
            more |= {"nargs": 2}
        elif more.get("metavar") in ("DIR", "FILE"):
            more |= {"type": given_path}
        parser.add_argument(f"--{one.name.replace('_', '-')}", default=None, help=one.metadata["help"], **more)


def from_args(arguments: argparse.Namespace) -> UiOptions:
    """What the command line says, else the environment, else the defaults. Raises UsageError."""
    given = {one.name: getattr(arguments, one.name, None) for one in dataclasses.fields(UiOptions)}
    given = {name: value for name, value in given.items() if value is not None}
    if os.environ.get(HOST_VARIABLE):
        given.setdefault("host", os.environ[HOST_VARIABLE])
    if os.environ.get(PORT_VARIABLE):
        given.setdefault("port", _parse_port(os.environ[PORT_VARIABLE]))
    if "allow_host" in given:
        given["allow_host"] = tuple(given["allow_host"])
    if "add_user" in given:
        given["add_user"] = (given["add_user"][0], Path(given["add_user"][1]))
    if os.environ.get(SPACE_VARIABLE) and "auth" not in given:
        given["read_only"] = True  # strangers come there, and its owner can give no options
    options = UiOptions(**given)
    _check(options)
    return options


def _parse_port(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"${PORT_VARIABLE} is '{text}'. Expected a port number such as {PORT}; change it.") from None


def _check(options: UiOptions) -> None:
    if options.auth is not None and options.read_only:
        raise UsageError(
            "--auth and --read-only were both given. Expected one: --auth lets known people do everything, --read-only lets "
            "everybody look; leave one out."
        )
    if not 0 <= options.port <= 65535:
        raise UsageError(f"The port {options.port} cannot be. Expected 0 to 65535; choose another with --port.")
    for one in (options.ssl_certfile, options.ssl_keyfile):
        if one is not None and not one.is_file():
            raise UsageError(f"'{one}' is not there. Expected a file in PEM format; check the path.")
    if (options.ssl_certfile is None) != (options.ssl_keyfile is None):
        raise UsageError("https needs both --ssl-certfile and --ssl-keyfile. Only one was given; add the other.")
