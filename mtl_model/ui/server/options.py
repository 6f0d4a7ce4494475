"""The options of the page, for `python app.py` and `python -m mtl_model ui` alike."""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mtl_model.errors import UsageError
from mtl_model.options import from_options, option
from mtl_model.registry import shipped_weights

HOST, PORT = "127.0.0.1", 7860
HOST_VARIABLE, PORT_VARIABLE = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"  # set by hosts of Gradio apps
SPACE_VARIABLE = "SPACE_HOST"  # set by a hub that hosts the page, behind its proxy
HUB_NETWORK = "10.0.0.0/8"  # where that proxy's address lies; nobody else reaches the page there
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class UiOptions:
    """Each field is an option of the command line."""

    host: str = option(HOST, "address to listen on", variable=HOST_VARIABLE)
    port: int = option(PORT, "port to listen on, 0 for any free one", variable=PORT_VARIABLE)
    weights: Path = option(shipped_weights, "folder of the shipped checkpoints", metavar="DIR")
    runs: Path = option(Path("runs"), "folder of the checkpoints made here", metavar="DIR")
    checkpoint: str | None = option(None, "checkpoint to begin with (else default, else bknet)", metavar="NAME")
    device: str = option("auto", "auto, cpu, cuda or cuda:1")
    runtime: str = option("auto", "what runs the networks: auto, torch, onnx or openvino")
    root_path: str = option("", "path under which a proxy serves the page, such as /faces", metavar="PATH")
    ssl_certfile: Path | None = option(None, "certificate for https, which a phone's camera needs", metavar="FILE")
    ssl_keyfile: Path | None = option(None, "private key of the certificate", metavar="FILE")
    allow_host: tuple[str, ...] = option(
        (), "another host name to answer to; may be given several times", metavar="NAME"
    )
    proxy: tuple[str, ...] = option(
        (),
        "address or network of a proxy, such as 127.0.0.1 or 10.0.0.0/8, whose X-Forwarded-For and other forwarded headers are "
        f"trusted; may be given several times (default: none; where ${SPACE_VARIABLE} is set, {HUB_NETWORK})",
        metavar="ADDRESS",
    )
    auth: Path | None = option(None, "ask for a name and a password; FILE is made by --add-user", metavar="FILE")
    read_only: bool = option(
        False,
        f"show Photo, Webcam, Systems and About alone (always so where ${SPACE_VARIABLE} is set without --auth)",
    )
    api: bool = option(False, "answer programs at /v1 on a read-only page too")
    add_user: tuple[str, Path] | None = option(
        None, "write a name with its password into the file of --auth, then end", metavar=("NAME", "FILE")
    )
    add_token: tuple[str, Path] | None = option(
        None, "write a token for a program into the file of --auth, print it, then end", metavar=("NAME", "FILE")
    )


def read_options(arguments: argparse.Namespace) -> UiOptions:
    """Return what the command line says, else the environment, else the defaults. Raises UsageError."""
    options = from_options(UiOptions, arguments)
    options = dataclasses.replace(options, root_path=options.root_path.rstrip("/"))
    if os.environ.get(SPACE_VARIABLE):  # strangers come there, and its owner can give no options
        read_only, proxy = options.read_only or options.auth is None, options.proxy or (HUB_NETWORK,)
        options = dataclasses.replace(options, read_only=read_only, proxy=proxy)
    _check(options)
    return options


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
