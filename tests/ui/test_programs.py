from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model.records import to_json
from mtl_model.ui import programs
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server import bodies, passwords
from mtl_model.ui.server.gate import Access, Gate
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from tests.cli import write_weights
from tests.ui.conftest import FakePredictor

Serve = Callable[[UiOptions], TestClient]


@pytest.fixture
def serve(tmp_path: Path, fake_predictor: FakePredictor) -> Serve:
    write_weights(tmp_path / "weights")

    def serving(options: UiOptions) -> TestClient:
        models = Models(options, lambda name: fake_predictor)  # type: ignore[arg-type]
        shared = Shared(options, models, Access(options))
        programs.add_routes(shared)
        return TestClient(Gate(Starlette(routes=shared.routes), shared.access), base_url="http://localhost")  # pyright: ignore[reportArgumentType]

    return serving


@pytest.fixture
def options(tmp_path: Path) -> UiOptions:
    return UiOptions(weights=tmp_path / "weights", runs=tmp_path / "runs", checkpoint="bknet")


def picture(size: tuple[int, int] = (60, 40)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "olive").save(stream, "PNG")
    return stream.getvalue()


def test_a_picture_is_answered_as_the_command_line_does(
    serve: Serve, options: UiOptions, fake_predictor: FakePredictor
) -> None:
    expected = to_json([fake_predictor.photo(np.zeros((40, 60, 3), np.uint8), "a b.png")])
    reply = serve(options).post("/v1/predict?name=a%20b.png&smallest=31", content=picture())
    assert reply.status_code == 200 and reply.json() == json.loads(json.dumps(expected))
    assert fake_predictor.asked[-1] == 31


def test_a_form_holds_several_and_each_is_answered(serve: Serve, options: UiOptions) -> None:
    files = [
        ("picture", ("a.png", picture())),
        ("picture", ("../b.txt", b"hello")),
        ("x", ("c.png", picture((30, 20)))),
    ]
    reply = serve(options).post("/v1/predict", files=files)
    first, second, third = reply.json()
    assert reply.status_code == 200 and [first["photo"], second["photo"], third["photo"]] == ["a.png", "b.txt", "c.png"]
    assert first["error"] is None and second["error"] and not second["faces"] and third["width"] == 30


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ({"content": b""}, 400, "no_picture"),
        ({"content": b"hello"}, 400, None),
        ({"content": picture(), "params": {"smallest": "x"}}, 400, None),
        ({"content": picture(), "params": {"checkpoint": "nobody"}}, 400, None),
        ({"files": [("picture", (f"{number}.png", b"x")) for number in range(51)]}, 400, "form"),
        ({"data": {"picture": "words"}, "files": {}}, 400, None),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "form"),
        ({"content": picture(), "headers": {"origin": "http://elsewhere.example"}}, 403, None),
    ],
)
def test_what_cannot_be_answered_is_a_sentence(
    words: dict[str, Any], status: int, code: str | None, serve: Serve, options: UiOptions
) -> None:
    client = serve(options)
    reply = client.post("/v1/predict", **words)
    assert reply.status_code == status
    if status != 403:
        assert reply.json()["error"].endswith(".") and (code is None or reply.json()["code"] == code)
    assert client.post("/v1/predict", content=picture()).status_code == 200, "the next request works"


def test_a_file_that_is_too_large_is_refused_and_nothing_is_written(
    serve: Serve, options: UiOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "LARGEST_UPLOAD", 200_000)
    monkeypatch.setattr("tempfile._TemporaryFileWrapper", lambda *_, **__: pytest.fail("it was written to the disk"))
    files = [("picture", ("a.png", b"x" * 150_000)), ("picture", ("b.png", b"x" * 150_000))]
    reply = serve(options).post("/v1/predict", files=files)
    assert reply.status_code == 400 and "MB" in reply.json()["error"]
    assert programs._InMemory.spool_max_size == bodies.LARGEST_UPLOAD


def test_more_than_can_wait_is_told_when_to_try_again(
    serve: Serve, options: UiOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "MOST_WAITING", 0)
    reply = serve(options).post("/v1/predict", content=picture())
    assert reply.status_code == 503 and reply.headers["retry-after"] == "5" and reply.json()["code"] == "busy"


def test_the_checkpoints_and_their_tasks_are_listed(serve: Serve, options: UiOptions) -> None:
    (listed,) = serve(options).get("/v1/models").json()
    assert listed["name"] == "bknet" and listed["reads"] == "face"
    assert {task["name"]: task["classes"] for task in listed["tasks"]}["smile"] == ["not smiling", "smiling"]


def test_what_it_offers_is_described(serve: Serve, options: UiOptions) -> None:
    client = serve(options)
    described = client.get("/v1/openapi.json").json()
    served = {"/v1/predict", "/v1/models"}
    assert described["openapi"].startswith("3.1") and set(described["paths"]) == served
    page = client.get("/v1")
    assert page.headers["content-type"].startswith("text/html") and all(path in page.text for path in served)


def test_a_read_only_page_answers_programs_only_if_it_is_asked_to(
    serve: Serve, options: UiOptions, tmp_path: Path
) -> None:
    for api, status in ((False, 404), (True, 200)):
        more = UiOptions(weights=options.weights, runs=options.runs, checkpoint="bknet", read_only=True, api=api)
        assert serve(more).get("/v1/models").status_code == status


def test_a_token_opens_what_a_log_in_opens(serve: Serve, options: UiOptions, tmp_path: Path) -> None:
    path = tmp_path / "users"
    passwords.add_user("ann", path, "long enough")
    first, token = passwords.add_token("ann", path), passwords.add_token("ann", path)
    other = passwords.add_token("robot", path)
    text = path.read_text()
    assert not any(secret in text for secret in (first, token, other)) and text.count("\n") == 3
    client = serve(UiOptions(weights=options.weights, runs=options.runs, checkpoint="bknet", auth=path))
    for header, status in (
        (None, 401),
        ("Bearer ", 401),
        (f"Bearer {first}", 401),  # another one took its place
        (f"Basic {token}", 401),
        (f"Bearer {token}x", 401),
        (f"Bearer {token}", 200),
        (f"bearer {other}", 200),
    ):
        headers = {"authorization": header} if header else {}
        assert client.get("/v1/models", headers=headers).status_code == status, header
    assert passwords.read_users(path).keys() == {"ann"} and set(passwords.read_tokens(path).values()) == {
        "ann",
        "robot",
    }
