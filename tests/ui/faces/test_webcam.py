"""The webcam route: what is said on it, what it refuses, and that viewers take turns."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from mtl_model.card import Card
from mtl_model.errors import CheckpointError, UsageError
from mtl_model.records import Estimate, Face, Reading
from mtl_model.tasks import TASKS, class_task
from mtl_model.ui.faces import webcam
from mtl_model.ui.faces.webcam import LiveServer, parse_settings
from mtl_model.ui.server.gate import Access, Gate
from mtl_model.ui.server.options import UiOptions
from tests.test_decoding import slow as slow_tiff

CARD = Card(network="fake", network_options={}, tasks=(TASKS["gender"], TASKS["smile"]))


class FakeModel:
    """Sees one face over the picture's left half; `seen` records each call."""

    card = CARD

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def predict(self, picture, *, quick) -> list[Reading]:
        self.seen.append(picture.shape)
        height, width = picture.shape[:2]
        gender = Estimate("female", "female", True, {"female": 0.9, "male": 0.1}, confidence=0.9, title="Gender")
        return [Reading(Face((-4.0, 0.0, width / 2, float(height)), 0.99), {"gender": gender})]

    def follow(self, rgb, faces) -> None:
        """It can only search."""


def jpeg(width: int = 64, height: int = 48, level: int = 120) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def client(model, allowed=lambda socket: True) -> TestClient:
    def load(name: str | None):
        if name not in (None, "known"):
            raise CheckpointError(f"Unknown checkpoint '{name}'. Known: known.")
        return model

    return TestClient(Starlette(routes=[LiveServer(load, allowed).route()]))


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def served(model: FakeModel) -> Iterator[TestClient]:
    with client(model) as one:
        yield one


def test_a_frame_is_answered_in_the_contract(served, model) -> None:
    with served.websocket_connect("/live") as socket:
        socket.send_bytes(jpeg(64, 48))
        answer = socket.receive_json()
    assert {"photo", "error", "turned", "fault", "faces", "width", "height", "seconds"} == set(answer)
    assert answer["error"] is None and (answer["width"], answer["height"]) == (64, 48)
    assert answer["faces"][0]["box"] == [0, 0, 32, 48]  # clipped, as everywhere
    assert answer["faces"][0]["estimates"]["gender"]["value"] == "female"
    assert answer["seconds"] >= 0 and answer["faces"][0]["number"] == 1
    assert model.seen == [(48, 64, 3)]


def test_settings_are_confirmed(served) -> None:
    with served.websocket_connect("/live") as socket:
        socket.send_json({"checkpoint": "known"})
        confirmed = socket.receive_json()
    assert confirmed["settings"] == {"checkpoint": "known"}
    assert confirmed["error"] is None
    assert confirmed["tasks"][0] == {"name": "gender", "title": "Gender", "kind": "classes"}


def test_a_task_that_nobody_has_heard_of_is_named_to_the_page(model) -> None:
    model.card = replace(CARD, tasks=(*CARD.tasks, class_task("eye_glasses", ("with", "without"))))
    with client(model) as served, served.websocket_connect("/live") as socket:
        socket.send_json({"checkpoint": "known"})
        assert socket.receive_json()["tasks"][-1] == {"name": "eye_glasses", "title": "Eye glasses", "kind": "classes"}


def test_an_unknown_checkpoint_gets_its_sentence_and_the_last_one_stays(served, model) -> None:
    with served.websocket_connect("/live") as socket:
        socket.send_json({"checkpoint": "../known"})
        answer = socket.receive_json()
        assert "Unknown checkpoint" in answer["error"] and answer["settings"]["checkpoint"] is None
        socket.send_bytes(jpeg())
        assert socket.receive_json()["error"] is None


@pytest.mark.parametrize(
    "bad",
    [b"", b"no picture", jpeg()[:200], jpeg(1800, 1400)],
    ids=["empty", "text", "cut", "too many pixels"],
)
def test_a_bad_frame_gets_a_sentence_and_the_next_works(served, bad: bytes) -> None:
    with served.websocket_connect("/live") as socket:
        socket.send_bytes(bad)
        answer = socket.receive_json()
        assert answer["faces"] == [] and answer["error"].endswith(".")
        socket.send_bytes(jpeg())
        assert socket.receive_json()["error"] is None


def slow() -> bytes:
    """A frame that would take minutes: Pillow reads its strips byte by byte."""
    content = slow_tiff(side=1000, strips=500)
    assert len(content) < webcam.MAX_FRAME_BYTES
    return content


def test_a_slow_frame_is_ended_and_delays_its_own_viewer_alone(served, monkeypatch) -> None:
    with served.websocket_connect("/live") as bad, served.websocket_connect("/live") as good:
        for socket in (bad, good):
            socket.send_bytes(jpeg())
            socket.receive_json()
        bad.send_bytes(slow())
        for _ in range(10):
            good.send_bytes(jpeg())
            assert good.receive_json()["seconds"] < webcam.FRAME_SECONDS
        answer = bad.receive_json()
        assert answer["faces"] == [] and "takes over 2 seconds" in answer["error"]
        assert webcam.FRAME_SECONDS <= answer["seconds"] < 20
        bad.send_bytes(jpeg())
        assert bad.receive_json()["error"] is None


def test_an_answer_that_is_no_json_is_a_sentence(model) -> None:
    class Broken(FakeModel):
        def predict(self, picture, *, quick):
            return [Reading(Face((0.0, 0.0, 9.0, float("nan")), 0.99), {})]

    with client(Broken()) as served, served.websocket_connect("/live") as socket:
        socket.send_bytes(jpeg())
        assert socket.receive_json()["error"] == webcam.NEUTRAL


def test_a_fault_of_our_own_shows_nothing_of_it(caplog) -> None:
    class Broken(FakeModel):
        def predict(self, picture, *, quick):
            raise ZeroDivisionError("inner detail")

    with client(Broken()) as served, served.websocket_connect("/live") as socket:
        socket.send_bytes(jpeg())
        assert socket.receive_json()["error"] == webcam.NEUTRAL
    assert "inner detail" in caplog.text


def test_a_frame_above_the_size_limit_ends_the_connection(served, model) -> None:
    with served.websocket_connect("/live") as socket:
        socket.send_bytes(b"\0" * (webcam.MAX_FRAME_BYTES + 1))
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == webcam.TOO_BIG
    assert model.seen == []


def test_a_stranger_is_refused_before_the_handshake(model) -> None:
    with client(model, allowed=lambda socket: False) as served, pytest.raises(WebSocketDisconnect) as closed:
        with served.websocket_connect("/live"):
            pass
    assert closed.value.code == webcam.REFUSED


def test_the_page_of_another_origin_is_refused(model) -> None:
    server = LiveServer(lambda name: model, lambda socket: True)
    gate = Middleware(Gate, access=Access(UiOptions(), space_host=""))
    app = Starlette(routes=[server.route()], middleware=[gate])
    own = {"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:7860"}
    with TestClient(app) as served:
        with pytest.raises(WebSocketDisconnect) as closed:
            with served.websocket_connect("/live", headers={**own, "origin": "http://elsewhere.invalid"}):
                pass
        assert closed.value.code == webcam.REFUSED
        with served.websocket_connect("/live", headers=own) as socket:
            socket.send_bytes(jpeg())
            assert socket.receive_json()["error"] is None


def test_one_viewer_too_many_is_told(served, monkeypatch) -> None:
    monkeypatch.setattr(webcam, "MAX_VIEWERS", 1)
    with served.websocket_connect("/live") as first:
        with served.websocket_connect("/live") as second:
            assert "Try again later." in second.receive_json()["error"]
            with pytest.raises(WebSocketDisconnect):
                second.receive_json()
        first.send_bytes(jpeg())
        assert first.receive_json()["error"] is None
    with served.websocket_connect("/live") as third:  # the place is free again
        third.send_bytes(jpeg())
        assert third.receive_json()["error"] is None


def test_a_silent_viewer_gives_the_place_back(served, monkeypatch) -> None:
    monkeypatch.setattr(webcam, "IDLE_SECONDS", 0.05)
    with served.websocket_connect("/live") as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == webcam.IDLE


def test_viewers_take_turns() -> None:
    """One sends as many frames as it can, unanswered; the other's single frame waits for two of them at most."""
    order: list[int] = []
    entered, go_on = threading.Semaphore(0), threading.Semaphore(0)

    class Slow(FakeModel):
        def predict(self, picture, *, quick):
            order.append(picture.shape[1])
            entered.release()
            assert go_on.acquire(timeout=20)
            return super().predict(picture, quick=quick)

    with client(Slow()) as served:
        with served.websocket_connect("/live") as greedy, served.websocket_connect("/live") as modest:
            for _ in range(6):
                greedy.send_bytes(jpeg(width=64))
            assert entered.acquire(timeout=20)
            modest.send_bytes(jpeg(width=32))
            for _ in range(7):
                go_on.release()
            assert modest.receive_json()["width"] == 32
            for _ in range(6):
                assert greedy.receive_json()["width"] == 64
    assert order.count(64) == 6
    assert order.index(32) <= 2


_written: list[str] | None = None


def _note_writing(event: str, arguments: tuple) -> None:
    if _written is not None and event == "open" and isinstance(arguments[2], int) and arguments[2] & 0b11:
        _written.append(str(arguments[0]))


def test_nothing_is_written_to_disk(served) -> None:
    global _written
    sys.addaudithook(_note_writing)  # cannot be taken off again; it is idle while _written is None
    with served.websocket_connect("/live") as socket:
        socket.send_bytes(jpeg())
        socket.receive_json()
        _written = written = []
        try:
            for _ in range(3):
                socket.send_bytes(jpeg())
                socket.receive_json()
            assert written == []
            with open("/dev/null", "wb"):
                pass
            assert written == ["/dev/null"]  # the hook does see
        finally:
            _written = None


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"other": 1}',
        '{"checkpoint": 3}',
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="Expected"):
        parse_settings(text, None)


def test_settings_left_out_stay() -> None:
    assert parse_settings("{}", "known") == "known"
    assert parse_settings('{"checkpoint": null}', "known") is None
