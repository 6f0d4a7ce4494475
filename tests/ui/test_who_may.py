"""--auth and --read-only on the whole page: every route of the running server is asked, whoever added it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mtl_model.card import Card, write_card
from mtl_model.tasks import TASKS
from mtl_model.ui import shell
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server import environment, passwords, serving
from mtl_model.ui.server.environment import NOT_UPLOADED, TEMPORARY_VARIABLE, claim_port
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from tests.ui.conftest import FakePredictor

OPEN = {("/login", "POST")}  # what a stranger may ask
CLIENT = httpx.Client(timeout=60, verify=False, trust_env=False)
READ_ONLY = {"/live", "/mtl/photo", "/mtl/photo/picture", "/mtl/sample"}


@dataclass(frozen=True)
class Running:
    address: str
    blocks: gr.Blocks
    shared: Shared

    def routes(self) -> list[tuple[str, str]]:
        """(path, method) of everything that the server answers to; WebSockets are asked as WS."""
        assert self.blocks.app is not None
        return sorted(set(_walk(self.blocks.app.routes)))


def _walk(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, WebSocketRoute):
            yield path, "WS"
        elif isinstance(route, Route):
            yield from ((path, method) for method in route.methods or {"GET"})
        elif isinstance(route, Mount):
            yield path + "/x", "GET"
            yield from _walk(list(route.routes), path)
        else:  # a kind of route that came with a newer library: it must be looked into, not passed over
            inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
            assert inner, f"unknown kind of route: {route!r}"
            given = getattr(getattr(route, "include_context", None), "prefix", "")
            yield from _walk(list(inner), prefix + given)


def run(folder: Path, **options: Any) -> Iterator[Running]:
    write_card(folder / "weights" / "bknet", Card("bknet", {}, tuple(TASKS.values())))
    chosen = UiOptions(
        port=claim_port("127.0.0.1", 0), weights=folder / "weights", runs=folder / "runs", checkpoint="bknet", **options
    )
    load: Any = FakePredictor
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TEMPORARY_VARIABLE, str(folder / "uploads"))
        blocks, shared = shell.build(chosen, Models(chosen, load))
        serving.start(blocks, shared)
        try:
            yield Running(serving.address(chosen), blocks, shared)
        finally:
            blocks.close(verbose=False)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("guarded")
    passwords.add_user("ann", folder / "people", "correct horse")
    yield from run(folder, auth=folder / "people")


@pytest.fixture(scope="module")
def read_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from run(tmp_path_factory.mktemp("read_only"), read_only=True)


def filled(path: str) -> str:
    """The path with its parameters filled in."""
    parts = ("x" if part.startswith("{") else part for part in path.split("/"))
    return "/".join(part.split("{")[0] + "x" if "{" in part else part for part in parts)


def ask(address: str, path: str, method: str, cookies: dict[str, str]) -> int:
    """The status of the answer, without its body: some never end."""
    cookie = "; ".join(f"{name}={token}" for name, token in cookies.items())
    with CLIENT.stream(method, address + filled(path), headers={"cookie": cookie}) as reply:
        return reply.status_code


def handshake(address: str, path: str, cookies: dict[str, str]) -> int:
    cookie = "; ".join(f"{name}={token}" for name, token in cookies.items())
    try:
        with connect(address.replace("http", "ws", 1) + filled(path), additional_headers={"Cookie": cookie}):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def event(running: Running, name: str, values: list[Any], **more: Any) -> list[Any]:
    """Return what the outputs of one of the page's own events get."""
    reply = CLIENT.post(f"{running.address}/gradio_api/run/{name}", json={"data": values}, **more)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def about(running: Running, name: str, **more: Any) -> str:
    """Return all that the About tab says of a checkpoint, or its mistake. What is chosen is a state of the session."""
    session = {"session_hash": f"{name}{id(more)}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.shared.pickers.chosen, "value", ("", name, ""))
        reply = CLIENT.post(f"{running.address}/gradio_api/run/about", json={"data": [None], **session}, **more)
    assert reply.status_code == 200, reply.text
    return "".join(map(str, reply.json()["data"]))


@pytest.fixture(scope="module")
def cookies(guarded: Running) -> dict[str, str]:
    form = {"username": "ann", "password": "correct horse"}
    reply = httpx.post(guarded.address + "/login", data=form, timeout=60)
    assert reply.status_code == 200
    return dict(reply.cookies)


def test_the_walk_sees_all_kinds_of_routes(guarded: Running) -> None:
    found = guarded.routes()
    assert {("/live", "WS"), ("/mtl/photo", "POST"), ("/mtl/models/keep", "POST"), ("/login", "POST")} <= set(found)
    assert {
        ("/", "GET"),
        ("/config", "GET"),
        ("/gradio_api/upload", "POST"),
        ("/gradio_api/queue/join", "POST"),
    } <= set(found)


def test_before_the_log_in_nothing_answers(guarded: Running) -> None:
    for path, method in guarded.routes():
        if method == "WS":
            assert handshake(guarded.address, path, {}) == 403, path
        elif (path, method) not in OPEN:
            assert ask(guarded.address, path, method, {}) == 401, (path, method)
    for path in ("/nothing", "/gradio_api/run/predict", "/file=/etc/hostname", "//", "/login/", "/x/../login"):
        assert ask(guarded.address, path, "POST", {}) == 401, path


def test_after_it_everything_answers(guarded: Running, cookies: dict[str, str]) -> None:
    for path, method in guarded.routes():
        if method == "WS":
            assert handshake(guarded.address, path, cookies) == 101, path
        elif path not in ("/login", "/logout"):
            assert ask(guarded.address, path, method, cookies) != 401, (path, method)
    assert event(guarded, "offer", ["", "", ""], cookies=cookies)[-2]["value"] == "Log out ann"


def test_a_socket_with_a_made_up_cookie_is_refused(guarded: Running, cookies: dict[str, str]) -> None:
    assert handshake(guarded.address, "/live", dict.fromkeys(cookies, "x")) == 403


def test_the_programming_interface_logs_in_too(guarded: Running, root: Path) -> None:
    client = Client(guarded.address, auth=("ann", "correct horse"), verbose=False)
    (answer,) = client.predict(handle_file(str(root / "samples" / "astronaut.jpg")), api_name="/predict")
    assert len(answer["faces"]) == 2
    info: Any = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == {"/models", "/card", "/predict"} and info["unnamed_endpoints"] == {}
    assert client.predict(api_name="/models") == ["bknet"]
    with pytest.raises(Exception, match="Could not login|Invalid credentials"):
        Client(guarded.address, auth=("ann", "wrong horse"), verbose=False)


def test_in_every_mode_what_comes_in_is_seen_to(read_only: Running) -> None:
    assert any(getattr(one, "_target", None) is environment.tend for one in threading.enumerate())


# -- what strangers read -------------------------------------------------------------------------------------------

STRANGER = {"x-forwarded-for": "192.0.2.7"}
"""As somebody else's proxy on this machine says it."""


def test_strangers_read_no_path_and_no_version(read_only: Running) -> None:
    options = read_only.shared.options
    secrets = [
        str(options.runs.parent),
        str(environment.uploads_folder()),
        str(Path.home()),
        sys.prefix,
        platform.release(),
    ]
    secrets += [importlib.metadata.version("torch"), "Where</th>"]
    at_home = about(read_only, "bknet")
    assert [secret for secret in secrets if secret in about(read_only, "bknet", headers=STRANGER)] == []
    assert [secret for secret in secrets if secret in about(read_only, "nobody", headers=STRANGER)] == []
    assert {secret for secret in secrets if secret not in at_home} <= {str(Path.home()), sys.prefix}
    for path in (
        "/mtl/photo?checkpoint=nobody",
        "/",
        "/config",
    ):
        method = "POST" if path.startswith("/mtl/photo") else "GET"
        reply = CLIENT.request(method, read_only.address + path, headers=STRANGER)
        assert [secret for secret in secrets if secret in reply.text] == [], path
    assert str(options.runs) in about(read_only, "nobody")  # who is at the machine reads where it was looked


def test_strangers_read_no_path_by_the_programming_interface(read_only: Running) -> None:
    runs = str(read_only.shared.options.runs.parent)
    command = f"train --source utkface:{read_only.shared.options.runs}/x"
    card = dataclasses.replace(read_only.shared.models.card(), training={"command": command})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_only.shared.models, "card", lambda name: card)
        (stranger,) = event(read_only, "card", [""], headers=STRANGER)
        assert stranger["training"]["command"] == "train --source utkface:runs/x"
        assert runs in repr(event(read_only, "card", [""]))
    reply = CLIENT.post(f"{read_only.address}/gradio_api/run/card", json={"data": ["nobody"]}, headers=STRANGER)
    assert "nobody" in reply.json()["error"] and runs not in reply.text
    client = Client(read_only.address, verbose=False)
    info: Any = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == {"/models", "/card", "/predict"} and info["unnamed_endpoints"] == {}


def test_strangers_read_no_path_by_the_webcam(read_only: Running) -> None:
    with connect(read_only.address.replace("http", "ws", 1) + "/live", additional_headers=STRANGER) as socket:
        socket.send(json.dumps({"checkpoint": "nobody"}))
        said = json.loads(socket.recv())["error"]
        socket.send("[" * 100_000)
        deep = json.loads(socket.recv())["error"]
    assert "Looked in" in said and str(read_only.shared.options.runs.parent) not in said
    assert "Expected a JSON object" in deep


def test_who_is_logged_in_reads_where_things_lie(guarded: Running, cookies: dict[str, str]) -> None:
    text = about(guarded, "bknet", cookies=cookies, headers=STRANGER)
    assert str(guarded.shared.options.runs) in text and platform.release() in text


# -- what other web pages may --------------------------------------------------------------------------------------

ELSEWHERE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}


def test_no_other_page_embeds_anything(read_only: Running, guarded: Running, cookies: dict[str, str]) -> None:
    logged_in = {"cookie": "; ".join(f"{name}={token}" for name, token in cookies.items())}
    asked = [
        (running.address, path)
        for running in (read_only, guarded)
        for path, method in running.routes()
        if method == "GET"
    ]
    assert (guarded.address, "/mtl/teach/picture") in asked
    for address, path in asked:
        with CLIENT.stream("GET", address + filled(path), headers=ELSEWHERE | logged_in) as reply:
            assert (reply.status_code, reply.headers["cross-origin-resource-policy"]) == (403, "same-origin"), path
    leads = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert CLIENT.get(read_only.address + "/", headers=leads).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        *[("GET", path, {}) for path in ("/", "/config", "/mtl/sample", "/nothing", "/gradio_api/info")],
        ("GET", "/", {"host": "evil.example"}),
        ("DELETE", "/mtl/sample", {}),
        ("OPTIONS", "/mtl/sample", {"origin": "http://localhost", "access-control-request-method": "GET"}),
        ("POST", "/gradio_api/upload", {}),
    ],
)
def test_every_answer_says_that_it_is_for_this_page(
    read_only: Running, method: str, path: str, headers: dict[str, str]
) -> None:
    reply = CLIENT.request(method, read_only.address + path, headers=headers)
    assert reply.headers["cross-origin-resource-policy"] == "same-origin" and "content-security-policy" in reply.headers


def test_gradio_never_learns_of_a_forwarded_host(read_only: Running) -> None:
    forged = {
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "x-gradio-server": "http://evil.example",
    }
    for path in ("/", "/config"):
        assert "evil.example" not in CLIENT.get(read_only.address + path, headers=forged).text
    assert CLIENT.get(read_only.address + "/config", headers=forged).json()["root"] == read_only.address


# -- what gradio may clear -----------------------------------------------------------------------------------------


def named(running: Running, path: str, **more: Any) -> str | None:
    """The sentence that `predict` answers to a path, None where it is taken."""
    body = {"data": [{"path": path, **more}]}
    reply = CLIENT.post(f"{running.address}/gradio_api/run/predict", json=body).json()
    return reply["data"][0][0]["error"] if "data" in reply else reply["error"]


def test_a_visitor_names_no_file_for_gradio_to_delete(read_only: Running, root: Path, tmp_path: Path) -> None:
    uploads = environment.uploads_folder()
    sample = (root / "samples" / "astronaut.jpg").read_bytes()
    reply = CLIENT.post(f"{read_only.address}/gradio_api/upload", files={"files": ("a.jpg", sample)})
    (path,) = reply.json()
    as_file = {"meta": {"_type": "gradio.FileData"}}
    assert named(read_only, path, **as_file) is None
    precious = tmp_path / "precious.jpg"
    precious.write_bytes(sample)
    (uploads / ".lock").touch()
    (uploads / "other").mkdir()
    (uploads / "other" / "a.jpg").write_bytes(sample)
    link = Path(path).with_name("link.jpg")
    link.symlink_to(precious)
    wrong = [uploads / ".lock", uploads, uploads / "other" / "a.jpg", Path(path).parent, link, uploads.parent, precious]
    for named_path in (*map(str, wrong), f"{Path(path).parent}/../.lock", "", "\0", "x" * 5000):
        for more in ({}, as_file, as_file | {"is_stream": True}) if Path(named_path).is_absolute() else ({},):
            assert named(read_only, named_path, **more) == NOT_UPLOADED, (named_path, more)
    deletes = {Path(file) for kept in read_only.blocks.temp_file_sets for file in kept}
    assert Path(path) in deletes and not deletes & set(wrong)


@pytest.mark.skipif(os.name == "nt", reason="no such rights there")
def test_the_folder_of_uploads_comes_back_as_private(read_only: Running) -> None:
    uploads = environment.uploads_folder()
    shutil.rmtree(uploads)
    assert CLIENT.post(f"{read_only.address}/gradio_api/upload", files={"files": ("a.jpg", b"x")}).status_code == 200
    assert uploads.stat().st_mode & 0o777 == 0o700


def titles(running: Running) -> list[str]:
    return [str(block.label) for block in running.blocks.blocks.values() if isinstance(block, gr.Tab) and block.label]


def test_read_only_has_four_tabs_and_no_route_of_another(read_only: Running) -> None:
    assert titles(read_only) == ["Photo", "Webcam", "Systems", "About"]
    assert {getattr(route, "path", "") for route in read_only.shared.routes} == READ_ONLY
    own = {path for path, _ in read_only.routes() if path.startswith(("/mtl", "/live"))}
    assert own == READ_ONLY
    for path in ("/mtl/models/keep", "/mtl/undo", "/mtl/teach/start"):
        for method in ("GET", "POST"):
            assert ask(read_only.address, path, method, {}) in (302, 404, 405), path
    assert "Delete everything" not in repr(read_only.blocks.config)


def test_read_only_has_no_handler_that_changes_anything(read_only: Running) -> None:
    handlers = {one["api_name"] for one in read_only.blocks.config.get("dependencies", []) if one["backend_fn"]}
    assert (
        handlers
        == {"offer", "pick", "tick", "about", "models", "card", "predict"}
        == set(read_only.shared.events.known)
    )


def test_a_tab_that_says_nothing_is_not_public(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [tab.TITLE for tab in shell.load_tabs(public_only=True)] == ["Photo", "Webcam", "Systems", "About"]
    monkeypatch.delattr("mtl_model.ui.tabs.webcam.PUBLIC")
    assert [tab.TITLE for tab in shell.load_tabs(public_only=True)] == ["Photo", "Systems", "About"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (UiOptions(), None),
        (UiOptions(host="localhost"), None),
        (UiOptions(host="127.0.0.2"), None),
        (UiOptions(host="0.0.0.0"), "Anybody who reaches port 7860"),
        (UiOptions(host="192.168.0.7"), "--read-only"),
        (UiOptions(host="0.0.0.0", read_only=True), None),
        (UiOptions(host="0.0.0.0", auth=Path("people")), "https"),
        (UiOptions(host="0.0.0.0", auth=Path("people"), ssl_certfile=Path("c")), None),
    ],
)
def test_an_open_port_is_said(options: UiOptions, said: str | None) -> None:
    told = serving.warnings(options)
    assert (said in told[0] and len(told) == 1) if said else told == []
