from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import gradio as gr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mtl_model import jobs, registry
from mtl_model.card import Card, write_card
from mtl_model.errors import PictureError
from mtl_model.tasks import TASKS
from mtl_model.ui import shell
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.listeners import UNEXPECTED
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared, guarded_route
from mtl_model.ui.tabs import teach
from tests.ui.conftest import FakePredictor


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[gr.Blocks, Shared]:
    monkeypatch.setattr(teach, "_tend", lambda runs: None)
    write_card(tmp_path / "bknet", Card("bknet", {}, tuple(TASKS.values())))
    options = UiOptions(weights=tmp_path, runs=tmp_path / "runs")
    load: Any = FakePredictor
    return shell.build(options, Models(options, load))


API: dict[str, tuple[list[tuple[str, str, bool]], str]] = {
    "/models": ([], "Any"),
    "/card": ([("model", "str", True)], "Any"),
    "/predict": ([("picture", "filepath", False)], "Any"),
}
"""Name -> the parameters, their types and whether they have a default; the answer is JSON, which Gradio calls Any."""


def test_the_api_is_three_events_with_types_and_a_sentence_each(built: tuple[gr.Blocks, Shared]) -> None:
    blocks, _ = built
    info: Any = blocks.get_api_info()
    assert info["unnamed_endpoints"] == {}
    named = info["named_endpoints"]
    assert {name: described(endpoint) for name, endpoint in named.items()} == API
    assert all(endpoint["description"].endswith(".") for endpoint in named.values())


def described(endpoint: dict[str, Any]) -> tuple[list[tuple[str, str, bool]], str]:
    parameters = [
        (one["parameter_name"], one["python_type"]["type"], one["parameter_has_default"])
        for one in endpoint["parameters"]
    ]
    return parameters, endpoint["returns"][0]["python_type"]["type"]


def test_every_tab_offers_what_the_protocol_says() -> None:
    tabs = shell.load_tabs()
    assert len(tabs) == len(registry.names(shell.TABS)) >= 2
    assert [tab.ORDER for tab in tabs] == sorted({tab.ORDER for tab in tabs})
    assert all(isinstance(tab.TITLE, str) and callable(tab.build) for tab in tabs)
    assert tabs[0].TITLE == "Photo" and tabs[-1].TITLE == "About"


def test_own_routes_have_names_of_their_own(built: tuple[gr.Blocks, Shared]) -> None:
    paths = [getattr(route, "path", "") for route in built[1].routes]
    assert {"/mtl/photo", "/mtl/photo/picture", "/mtl/sample"} <= set(paths)
    assert len(paths) == len(set(paths))


def test_the_notice_is_on_the_page(built: tuple[gr.Blocks, Shared]) -> None:
    values = [str(getattr(block, "value", "")) for block in built[0].blocks.values()]
    assert any(shell.NOTICE in value for value in values)


def test_what_the_page_carries_asks_for_nothing_outside(built: tuple[gr.Blocks, Shared]) -> None:
    text = shell.head(built[1].models).replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
    assert "http://" not in text and "https://" not in text and "@import" not in text


def answer(shared: Shared, error: Exception) -> Response:
    async def endpoint(request: Request) -> Response:
        raise error

    request = Request({"type": "http", "headers": []})
    return asyncio.run(guarded_route(shared, endpoint)(request))  # type: ignore[arg-type]


def test_routes_answer_errors_in_the_same_way(
    built: tuple[gr.Blocks, Shared], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = built[1]
    known = answer(shared, PictureError("It is cut off."))
    assert (known.status_code, json.loads(bytes(known.body))) == (400, {"error": "It is cut off.", "code": "picture"})
    unknown = answer(shared, ValueError("secret"))
    assert (unknown.status_code, json.loads(bytes(unknown.body))) == (500, {"error": UNEXPECTED, "code": "unexpected"})
    monkeypatch.setattr(shared.access, "user_of", lambda connection: None)
    assert answer(shared, ValueError("never reached")).status_code == 401


# -- whatever is asked ---------------------------------------------------------------------------------------------

NAMES = "run name base from how kind task tasks advanced looked file word out undo keep x".split()
QUERIES = "run page name to checkpoint compare smallest box right saved file task class version new".split()
TEXTS = [
    "r1",
    "r2",
    "bknet",
    "a.jpg",
    "smile",
    "",
    "..",
    "../x",
    "1",
    "²",
    "-1",
    "nan",
    "1,2,3,4",
    "0,0,9,9",
    "[" * 3000,
    "\0",
]
words = st.sampled_from(TEXTS) | st.text(max_size=12)
values = st.recursive(
    words | st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["epochs", "seed", "x"]), inner),
    max_leaves=5,
)
bodies_of_json = (
    st.dictionaries(st.sampled_from(NAMES), values, max_size=5).map(
        lambda fields: json.dumps({"run": "r1"} | fields).encode()
    )
    | values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40)
    | st.sampled_from(
        [b"[" * 90_000, b'{"run":' * 9_000, b'{"run": "r1", "tasks": 5}', b'{"run": "r1", "advanced": {"seed": 1e999}}']
    )
    | st.just(json.dumps({"run": "r1", "advanced": {"seed": int("9" * 400)}}).encode())
)


@pytest.fixture
def asking(built: tuple[gr.Blocks, Shared], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """All own routes with a run that has pictures; no job begins."""
    monkeypatch.setattr(jobs, "submit", lambda *arguments, **more: None)
    shared = built[1]
    client = TestClient(Starlette(routes=shared.routes))
    for run in ("r1", "r2"):
        client.post("/mtl/teach/create", json={"name": run})
        folder = shared.options.runs / run / "data" / "smile" / "yes"
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"x")
        assert client.post("/mtl/teach/look", json={"run": run}).status_code == 200
    return client


def own(client: TestClient, method: str) -> list[str]:
    routes = [route for route in cast(Starlette, client.app).routes if isinstance(route, Route)]
    return sorted(route.path for route in routes if method in (route.methods or ()))


def test_any_json_is_answered_with_a_sentence_at_worst(asking: TestClient) -> None:
    paths = [path for path in own(asking, "POST") if path.startswith("/mtl/teach/")]
    assert len(paths) >= 12

    @settings(max_examples=400, derandomize=True, deadline=None)
    @given(st.sampled_from(paths), bodies_of_json)
    def ask(path: str, body: bytes) -> None:
        reply = asking.post(path, params={"run": "r1"}, content=body)
        assert reply.status_code in (200, 400), (path, body, reply.text)
        assert reply.status_code == 200 or reply.json()["error"] != UNEXPECTED

    ask()


def test_any_query_is_answered_with_a_sentence_at_worst(asking: TestClient) -> None:
    paths = [(method, path) for method in ("GET", "POST") for path in own(asking, method)]

    @settings(max_examples=400, derandomize=True, deadline=None)
    @given(st.sampled_from(paths), st.dictionaries(st.sampled_from(QUERIES), words, max_size=6))
    def ask(asked: tuple[str, str], query: dict[str, str]) -> None:
        reply = asking.request(*asked, params={"run": "r1"} | query, content=b"x" if asked[0] == "POST" else None)
        assert reply.status_code in (200, 400, 404), (asked, query, reply.text)

    ask()


@pytest.mark.parametrize("page", ["²", "٣", "0", "-1", "x", "9" * 20, "1.5", ""])
def test_a_page_that_is_none_is_said(asking: TestClient, page: str) -> None:
    reply = asking.get("/mtl/teach/pictures", params={"run": "r1", "page": page})
    assert reply.status_code == 400 and "Expected a whole number" in reply.json()["error"]


def test_behind_a_prefix_the_address_gets_its_slash(built: tuple[gr.Blocks, Shared]) -> None:
    models = built[1].models
    assert "location.replace(\"/faces\" + '/'" in shell.head(models, "/faces")
    assert "location.replace" not in shell.head(models)
    assert "</script><script>x" not in shell.head(models, "/</script><script>x")
