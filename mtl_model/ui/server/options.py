"""The options of the page, for `python app.py` and `python -m mtl_model ui` alike."""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_model.errors import UsageError
from mtl_model.registry import shipped_weights
from mtl_model.terminal import given_path

HOST, PORT = "127.0.0.1", 7860
HOST_VARIABLE, PORT_VARIABLE = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"  # set by hosts of Gradio apps
SPACE_VARIABLE = "SPACE_HOST"  # set by a hub that hosts the page, behind its proxy
HUB_NETWORK = "10.0.0.0/8"  # where that proxy's address lies; nobody else reaches the page there
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


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
    proxy: tuple[str, ...] = field(
        default=(),
        metadata=_option(
            "address or network of a proxy, such as 127.0.0.1 or 10.0.0.0/8, whose X-Forwarded-For and other forwarded "
            f"headers are trusted; may be given several times (default: none; where ${SPACE_VARIABLE} is set, {HUB_NETWORK})",
            metavar="ADDRESS",
        ),
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


SEVERAL = ("allow_host", "proxy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for option in dataclasses.fields(UiOptions):
        more: dict[str, Any] = {key: value for key, value in option.metadata.items() if key != "help"}
        if option.name in SEVERAL:
            more |= {"action": "append"}
        elif option.name == "port":
            more |= {"type": int, "metavar": "PORT"}
        elif option.name == "add_user":
            more |= {"nargs": 2}
        elif more.get("metavar") in ("DIR", "FILE"):
            more |= {"type": given_path}
        parser.add_argument(f"--{option.name.replace('_', '-')}", default=None, help=option.metadata["help"], **more)


def from_args(arguments: argparse.Namespace) -> UiOptions:
    """What the command line says, else the environment, else the defaults. Raises UsageError."""
    given = {option.name: getattr(arguments, option.name, None) for option in dataclasses.fields(UiOptions)}
    given = {name: value for name, value in given.items() if value is not None}
    if os.environ.get(HOST_VARIABLE):
        given.setdefault("host", os.environ[HOST_VARIABLE])
    if os.environ.get(PORT_VARIABLE):
        given.setdefault("port", _parse_port(os.environ[PORT_VARIABLE]))
    given |= {name: tuple(given[name]) for name in SEVERAL if name in given}
    if "root_path" in given:
        given["root_path"] = given["root_path"].rstrip("/")
    if "add_user" in given:
        given["add_user"] = (given["add_user"][0], Path(given["add_user"][1]))
    if os.environ.get(SPACE_VARIABLE) and "auth" not in given:
        given["read_only"] = True  # strangers come there, and its owner can give no options
    if os.environ.get(SPACE_VARIABLE):
        given.setdefault("proxy", (HUB_NETWORK,))
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
    if options.root_path and not ROOT_PATH.fullmatch(options.root_path):
        path = re.sub("^[a-z]+://[^/]*", "", options.root_path)  # of a whole address
        meant = "/".join(re.findall(r"[A-Za-z0-9._~-]+", path)) or "faces"
        raise UsageError(
            f"--root-path is '{options.root_path}'. Expected a path that begins with a slash, of letters, digits, dots, "
            f"dashes and underscores, such as /faces; write --root-path /{meant}."
        )
    for address in options.proxy:
        _check_proxy(address)
    _check_certificate(options.ssl_certfile, options.ssl_keyfile)


def _check_proxy(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            f"--proxy is '{text}'. Expected the address or network that the proxy asks from, such as 127.0.0.1 or "
            "10.0.0.0/8; a name is not looked up, write its address."
        ) from None


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise UsageError(f"'{path}' is not there. Expected a file in PEM format; check the path.")
    if (certificate is None) != (key is None):
        raise UsageError("https needs both --ssl-certfile and --ssl-keyfile. Only one was given; add the other.")
    if certificate is None or key is None:
        return
    import ssl  # only where it is needed

    try:
        # The password is there only so that nobody is asked for one: neither gradio nor uvicorn would be told of it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UsageError(
            f"'{certificate}' and '{key}' cannot be used for https ({_why(error)}). Expected a certificate and the private "
            "key that belongs to it, both in PEM format and the key without a password; make them anew, or give others."
        ) from None


def _why(error: Exception) -> str:
    reason = str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
    return reason.replace("_", " ").lower()
