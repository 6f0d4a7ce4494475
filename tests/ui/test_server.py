"""The page as a person starts it: a process of its own, asked over the network."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from mtl_model.predictor import Predictor
from mtl_model.records import to_json
from mtl_model.ui.server import serving
from mtl_model.ui.server.environment import NOT_UPLOADED
from tests.ui.conftest import Served

# Runs app.py and writes down what is imported when the first thread begins, and what other threads than the main one import.
IMPORTS = """
import runpy, sys, threading
log = open(sys.argv[1], "a", buffering=1)
begin = threading.Thread.start
def start(thread):
    threading.Thread.start = begin
    print("begun", *sorted(sys.modules), file=log)
    begin(thread)
threading.Thread.start = start
def hear(event, arguments):
    if event == "import" and threading.current_thread() is not threading.main_thread():
        print("import", arguments[0], file=log)
sys.addaudithook(hear)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
BUSY = "while True: pass"


def start_page(root: Path, folder: Path, *prefix: str) -> subprocess.Popen[str]:
    """`python app.py`, or a program that runs it, on a free port; its standard error goes to folder/log.txt."""
    command = [sys.executable, *prefix, "app.py", "--port", "0", "--runs", str(folder / "runs")]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "kept"), "PYTHONUNBUFFERED": "1"}
    with (folder / "log.txt").open("w") as log:
        return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_all_that_requests_need_is_imported_before_the_first_thread_begins(root: Path, tmp_path: Path) -> None:
    imports = tmp_path / "imports.txt"
    process = start_page(root, tmp_path, "-c", IMPORTS, str(imports))
    try:
        address = first_line(process).split()[-1]
        asker = Client(address, verbose=False)
        asker.predict(handle_file(str(root / "samples" / "astronaut.jpg")), api_name="/predict")
    finally:
        process.terminate()
        process.wait()
    begun, *later = (line.split() for line in imports.read_text().splitlines())
    assert begun[0] == "begun" and {"torch", "torchvision", "facenet_pytorch"} <= set(begun)
    ours = (
        "mtl_model",
        "torch",
        "torchvision",
        "facenet_pytorch",
        "PIL",
        "pillow_heif",
        "scipy",
        "sklearn",
        "matplotlib",
    )
    assert [name for _, name in later if name.split(".")[0] in ours] == []


def test_every_start_comes_up_on_a_busy_machine(root: Path, tmp_path: Path) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    try:
        for group in range(4):  # twelve in all; so many at once share the processor with the busy ones
            folders = [tmp_path / f"{group}-{number}" for number in range(3)]
            for folder in folders:
                folder.mkdir()
            starts = [start_page(root, folder) for folder in folders]
            try:
                assert [first_line(start).startswith("The page is at") for start in starts] == [True] * 3, [
                    (folder / "log.txt").read_text()[-600:] for folder in folders
                ]
            finally:
                for start in starts:
                    start.kill()
                    start.wait()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def client(served: Served) -> Client:
    return Client(served.address, verbose=False)


def test_predict_answers_as_python_does(client: Client, root: Path) -> None:
    sample = root / "samples" / "astronaut.jpg"
    (answer,) = client.predict(handle_file(str(sample)), api_name="/predict")
    assert answer == to_json([Predictor.load().photo(sample, "astronaut.jpg")])[0]
    assert answer["photo"] == "astronaut.jpg" and len(answer["faces"]) == 1


def test_what_is_no_picture_is_said_inside_the_answer(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    (answer,) = client.predict(handle_file(str(path)), api_name="/predict")
    assert answer["photo"] == "notes.jpg" and answer["error"] and answer["faces"] == []


def test_the_checkpoints_are_listed_and_described(client: Client, root: Path) -> None:
    names = client.predict(api_name="/models")
    assert names[0] == "default" and "bknet" in names
    card = client.predict("bknet", api_name="/card")
    written = json.loads((root / "weights" / "bknet" / "card.json").read_text(encoding="utf-8"))
    assert {**card, "calibration": 0} == {**written, "calibration": 0}  # its fields may have gained a default
    assert client.predict(api_name="/card")["network"] == "mobilenet"
    with pytest.raises(AppError, match="nobody.*bknet"):
        client.predict("nobody", api_name="/card")


def test_nothing_else_is_public(client: Client, served: Served) -> None:
    info: Any = client.view_api(return_format="dict", print_info=False)
    assert set(info["named_endpoints"]) == {"/models", "/card", "/predict"} and info["unnamed_endpoints"] == {}
    for path in ("/openapi.json", "/docs", "/monitoring/summary"):
        assert httpx.get(served.address + path).status_code in (403, 404, 405), path


def test_a_file_of_the_machine_cannot_be_asked_for(served: Served) -> None:
    body = {"data": [{"path": "/etc/hostname"}]}
    answer = httpx.post(f"{served.address}/gradio_api/run/predict", json=body, timeout=60).json()
    assert answer["data"][0][0]["error"] and answer["data"][0][0]["faces"] == []


@pytest.mark.parametrize("address", ["http://visitor.example/x.jpg", "https://huggingface.co/x.jpg"])
def test_an_address_in_place_of_a_file_is_never_fetched(served: Served, address: str) -> None:
    body = {"data": [{"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}]}
    answer = httpx.post(f"{served.address}/gradio_api/run/predict", json=body, timeout=60)
    assert answer.status_code == 500 and answer.json()["error"] == serving.FETCHED
    assert httpx.get(f"{served.address}/gradio_api/file={address}", timeout=60).status_code == 403
    assert served.outside.read_text() == ""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 200),
        ({"X-Forwarded-Host": "evil.example"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/", "/config", "/mtl/sample", "/gradio_api/info"])
def test_no_other_page_can_use_the_server(served: Served, path: str, headers: dict[str, str], status: int) -> None:
    port = str(urlsplit(served.address).port)
    filled = {name: value.format(port=port) for name, value in headers.items()}
    assert httpx.get(served.address + path, headers=filled, timeout=60).status_code == status


def test_a_foreign_page_cannot_send_a_picture(served: Served, root: Path) -> None:
    body = (root / "samples" / "astronaut.jpg").read_bytes()
    address = served.address + "/mtl/photo"
    assert httpx.post(address, content=body, headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.post(address, content=body, timeout=60).json()["faces"] == 1


def test_the_photo_route_writes_nothing(served: Served, root: Path) -> None:
    before = sorted(served.kept.rglob("*"))
    body = (root / "samples" / "astronaut.jpg").read_bytes()
    assert httpx.post(served.address + "/mtl/photo", content=body, timeout=60).status_code == 200
    assert sorted(served.kept.rglob("*")) == before


def test_a_visitor_who_goes_away_in_the_middle_harms_nobody(served: Served, root: Path) -> None:
    parts = urlsplit(served.address)
    for _ in range(3):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0)
        connection.putrequest("POST", "/mtl/photo")
        connection.putheader("Content-Length", "100000")
        connection.endheaders(b"\xff\xd8\xff")
        connection.close()
    body = (root / "samples" / "astronaut.jpg").read_bytes()
    assert httpx.post(served.address + "/mtl/photo", content=body, timeout=60).json()["faces"] == 1


def post_slowly(served: Served, address: str, size: int) -> socket.socket:
    """Send so much of a body of 64 MB from an address of this machine, and no more."""
    parts = urlsplit(served.address)
    line = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60, source_address=(address, 0))
    line.sendall(f"POST /mtl/photo HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {64 * 2**20}\r\n\r\n".encode())
    with contextlib.suppress(OSError):  # it may have been refused by then
        line.sendall(bytes(size))
    return line


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only address")
def test_slow_bodies_lock_nobody_else_out(served: Served, root: Path) -> None:
    slow = [post_slowly(served, "127.0.0.2", 60 * 2**20) for _ in range(4)]
    try:
        body = (root / "samples" / "astronaut.jpg").read_bytes()
        assert httpx.post(served.address + "/mtl/photo", content=body, timeout=60).json()["faces"] == 1
        answered = select.select(slow, [], [], 0)[0]
        assert len(answered) >= 2  # these were told so
    finally:
        for line in slow:
            line.close()


def test_nothing_that_a_visitor_names_frees_the_folder_of_a_running_server(served: Served) -> None:
    (folder,) = served.kept.iterdir()
    for path in (folder / ".lock", folder / "uploads" / ".lock", folder / "uploads"):
        body = {"data": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}]}
        answer = httpx.post(f"{served.address}/gradio_api/run/predict", json=body, timeout=60).json()
        assert answer["error"] == NOT_UPLOADED, path
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "uploads"]


def test_the_server_reaches_for_nothing_outside(served: Served) -> None:
    assert httpx.get(served.address, timeout=60).status_code == 200
    assert served.outside.read_text() == ""


def start(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "app.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_a_taken_port_ends_with_a_sentence(served: Served, root: Path) -> None:
    port = str(urlsplit(served.address).port)
    done = start(root, "--port", port)
    assert done.returncode == 2 and f"Port {port} is taken" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options", [("--root-path", "faces"), ("--ssl-certfile", "README.md", "--ssl-keyfile", "README.md")]
)
def test_a_wrong_option_ends_with_a_sentence(root: Path, options: tuple[str, ...]) -> None:
    done = start(root, "--port", "0", *options)
    assert done.returncode == 2 and "Expected a" in done.stderr
    assert "Traceback" not in done.stderr and "share" not in done.stderr


def test_a_checkpoint_that_is_not_there_ends_with_a_sentence(root: Path, tmp_path: Path) -> None:
    done = start(root, "--port", "0", "--checkpoint", "bknt", "--runs", str(tmp_path))
    assert done.returncode == 2 and "bknet" in done.stderr and "Traceback" not in done.stderr


def test_a_broken_checkpoint_ends_with_a_sentence(root: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "card.json").write_bytes((root / "weights" / "bknet" / "card.json").read_bytes())
    (broken / "model.safetensors").write_bytes(b"cut")
    done = start(root, "--port", "0", "--checkpoint", "broken", "--runs", str(tmp_path))
    assert done.returncode == 2 and "broken" in done.stderr and "Traceback" not in done.stderr
