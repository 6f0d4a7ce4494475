from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model import card, jobs
from mtl_model import runs as folders
from mtl_model.card import CARD, PENDING, WEIGHTS, shipped_weights
from mtl_model.runs import OUTCOME
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.tabs import teach

OUTCOME_TEXT = {
    "checkpoint": "hats",
    "parent": "bknet",
    "how": "branch",
    "seconds": 8.31,
    "counts": {"train": 3, "val": 1, "held": 40},
    "tasks": {
        "smile": {"title": "Smile", "metric": "accuracy", "unit": "share", "new": False, "before": 0.91, "after": 0.96,
                  "difference": [0.01, 0.09], "n": 40, "classes": ["no", "<i>"], "confusion_before": [[1, 2], [3, 4]],
                  "confusion_after": [[2, 1], [1, 6]]},
        "age": {"title": "Age", "metric": "mae", "unit": "years", "new": False, "before": 5.1, "after": 4.4,
                "difference": [-1.2, 0.1], "n": 40},
        "gender": {"title": "Gender", "metric": "accuracy", "unit": "share", "new": False, "before": 0.9, "after": 0.8,
                   "difference": [-0.2, -0.1], "n": 40},
    },
    "changed": {"hat": 0.025},
    "pictures": {"better": [{"file": "hat/<u>.png", "task": "smile", "truth": "a", "before": "b", "after": "a"}], "worse": []},
    "sentence": "Smile: 91 -> 96 %.",
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def client(runs: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(teach, "html", lambda *positional, **named: None)
    monkeypatch.setattr(teach, "_tend", lambda runs: None)
    options = UiOptions(weights=shipped_weights(), runs=runs, checkpoint="bknet")
    shared = Shared(options, Models(options), Access(options))
    teach.build(shared)
    return TestClient(Starlette(routes=shared.routes))


def picture(colour: int = 0) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(colour).integers(0, 255, (40, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.fromarray(noise).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def uploaded(client: TestClient, *names: str) -> str:
    run = client.post("/mtl/teach/create", json={"base": "hats"}).json()["run"]
    files: Any = [(quote(name, safe=""), ("f", picture(number))) for number, name in enumerate(names)]
    assert client.post(f"/mtl/teach/files?run={run}", files=files).json()["files"] == len(names)
    assert client.post("/mtl/teach/look", json={"run": run}).json() == {}
    return run


def learned(runs: Path, run: str) -> Path:
    folder = runs / run
    for name in (CARD, WEIGHTS):
        shutil.copy(shipped_weights() / "bknet" / name, folder)
    (folder / OUTCOME).write_text(json.dumps(OUTCOME_TEXT))
    return folder


def test_what_a_killed_server_was_deleting_goes_as_soon_as_the_next_begins(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs / f"{folders.GOING}{32 * 'a'}" / "data").mkdir(parents=True)

    def end(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(teach.time, "sleep", end)
    with pytest.raises(KeyboardInterrupt):
        teach._tend(runs)
    assert not list(runs.glob(f"{folders.GOING}*"))


def test_nothing_is_there_at_first_and_a_rest_costs_nothing(client: TestClient) -> None:
    first = client.get("/mtl/teach/state").json()
    assert (first["run"], first["step"], first["reached"]) == ("", 1, 1)
    assert client.get(f"/mtl/teach/state?version={first['version']}").json() == {"version": first["version"]}


def test_an_upload_is_understood_and_shown_everywhere(client: TestClient) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png", "hat/off/<b>.png")
    seen = client.get("/mtl/teach/state").json()  # another browser knows no name
    assert seen["run"] == run == "hats" and seen["state"] == "uploaded" and seen["step"] == 1
    assert "3 pictures with labels" in seen["parts"]["found"] and "Check these pictures" in seen["parts"]["found"]
    assert client.get("/mtl/teach/state?new=1").json()["run"] == ""
    html = client.get(f"/mtl/teach/pictures?run={run}&task=hat&class=off").json()["html"]
    assert "&lt;b&gt;.png" in html and "<b>.png" not in html


def test_a_thumbnail_is_made_here_and_of_nothing_else(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    reply = client.get(f"/mtl/teach/picture?run={run}&file=hat/on/1.png")
    with Image.open(io.BytesIO(reply.content)) as image:
        assert image.format == "JPEG" and not image.getexif()
    for file in ("../teach.json", "..%2f..%2fx", "/etc/passwd", "", "hat", "%00"):
        assert client.get(f"/mtl/teach/picture?run={run}&file={file}").status_code == 400
    for name in ("..", "../x", "nobody"):
        assert client.get(f"/mtl/teach/picture?run={name}&file=hat/on/1.png").status_code == 400


def test_changes_and_mistakes_have_their_sentences(client: TestClient) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")

    def post(action: str, **body: Any) -> dict[str, Any]:
        return client.post(f"/mtl/teach/{action}", json={"run": run, **body}).json()

    assert post("change", files=["hat/on/1.png"], out=True)["said"] == "hat/on/1.png is left out."
    assert post("change", undo=True)["said"].startswith("The last change is undone")
    assert "no picture" in post("change", files=["../x"], out=True)["error"]
    assert "way to learn" in post("settings", how="far")["error"]
    assert "taken" in client.post("/mtl/teach/create", json={"name": run}).json()["error"]
    assert "nothing to teach called" in client.post("/mtl/teach/start", json={"run": "nobody"}).json()["error"]
    assert client.post("/mtl/teach/start", content=b"[1]").status_code == 400
    assert client.get("/mtl/teach/discard").status_code == 405, "what changes something is a POST"


def test_nobody_unknown_may_do_anything(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shared, "user_of", lambda self, connection: None)
    for path in ("state", "pictures", "picture", "template"):
        assert client.get(f"/mtl/teach/{path}").status_code == 401
    for path in ("create", "look", "settings", "change", "try", "files", "zip", "accept", *teach.ACTIONS):
        assert client.post(f"/mtl/teach/{path}").status_code == 401


def test_what_it_brought_is_told_in_words(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    learned(runs, run)
    seen = client.get(f"/mtl/teach/state?run={run}").json()
    text = re.sub(r"<[^>]+>", " ", seen["parts"]["outcome"])
    assert seen["step"] == 4 and "8.3 seconds" in text and "Smile: 91 -&gt; 96 %." in text
    assert re.findall(r"(Better|Worse|Could be chance)[.]", text) == ["Better", "Could be chance", "Worse"]
    assert "&lt;u&gt;.png" in seen["parts"]["details"] and "<i>" not in seen["parts"]["details"]


def test_accepting_lists_it_and_tells_every_page(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    folder = learned(runs, run)
    assert client.post("/mtl/teach/accept", json={"run": run}).json() == {}
    assert not (folder / PENDING).exists() and not (folder / "data").exists()
    seen = client.get(f"/mtl/teach/state?run={run}").json()
    assert seen["state"] == "accepted" and "is kept" in seen["parts"]["decide"] and seen["parts"]["runs"] == ""
    assert "data-src" not in seen["parts"]["details"], "the pictures are deleted"


def test_a_photo_is_tried_on_both(client: TestClient, runs: Path, root: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    learned(runs, run)
    body = (root / "samples" / "astronaut.jpg").read_bytes()
    answer = client.post(f"/mtl/teach/try?run={run}", content=body).json()
    assert "agree in all" in answer["said"] and answer["html"].count('aria-label="Face 1"') == 1
    assert "picture" in client.post(f"/mtl/teach/try?run={run}", content=b"text").json()["error"]


def test_a_queue_that_cannot_go_on_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runs: Path) -> None:
        raise jobs.RunError("The disk is full.")

    monkeypatch.setattr(jobs, "advance", fail)
    assert "The disk is full." in client.get("/mtl/teach/state").json()["parts"]["trouble"]


DAMAGED = [
    ("teach.json", '{"created": null}'),
    ("teach.json", '{"found": {"tasks": {"\\ud800": {}}}}'),
    ("teach.json", '{"found": {"stamp": "1", "tasks": {"hat": {}}}}'),
    ("teach.json", ""),
    ("report.json", '{"near": {"groups": 5}}'),
    ("outcome.json", '{"tasks": {"hat": {"n": "5"}}}'),
    ("changes.json", '{"labels": []}'),
    ("job.json", '{"kind": "finetune", "pid": []}'),
    ("run.json", "{}"),
]


@pytest.mark.parametrize(("file", "text"), DAMAGED, ids=range(len(DAMAGED)))
def test_one_damaged_file_is_one_sentence_and_the_other_runs_work(
    client: TestClient, runs: Path, file: str, text: str
) -> None:
    damaged = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    other = uploaded(client, "hat/on/1.png", "hat/off/2.png", "hat/off/3.png")
    (runs / damaged / file).write_text(text)
    seen = client.get(f"/mtl/teach/state?run={damaged}").json()
    assert seen["state"] == "damaged" and f"'{damaged}'" in seen["parts"]["found"].replace("&#x27;", "'")
    for name in (damaged, other):
        assert f'data-run="{name}"' in seen["parts"]["runs"]
    seen = client.get(f"/mtl/teach/state?run={other}").json()
    assert seen["state"] == "uploaded" and "3 pictures" in seen["parts"]["found"]
    assert client.post("/mtl/teach/discard", json={"run": damaged}).json() == {}
    assert f'data-run="{damaged}"' not in client.get("/mtl/teach/state").json()["parts"]["runs"]


@pytest.mark.parametrize(
    ("file", "text"), [("uploaded.json", "{"), ("events.jsonl", '{"event": "step", "step": "x"}\n')]
)
def test_what_mends_itself_is_no_damage(client: TestClient, runs: Path, file: str, text: str) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    (runs / run / file).write_text(text)
    assert client.get(f"/mtl/teach/state?run={run}").json()["state"] == "uploaded"


@pytest.mark.parametrize("content", [b"file,smile\nr\xe4t.jpg,yes\n", b"file;smile\na.jpg;yes\n"])
def test_damaged_corrections_leave_the_tab(client: TestClient, runs: Path, content: bytes) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    (runs / "corrections").mkdir()
    (runs / "corrections" / "labels.csv").write_bytes(content)
    assert client.get(f"/mtl/teach/state?run={run}").json()["state"] == "uploaded"


def test_half_a_letter_is_refused_where_it_comes_in(client: TestClient) -> None:
    run = uploaded(client, "on/1.png", "off/2.png")
    body = json.dumps({"run": run, "task": "\ud800"})
    assert client.post("/mtl/teach/settings", content=body).status_code == 400
    assert client.get(f"/mtl/teach/state?run={run}").json()["state"] == "uploaded"


STEPS: list[tuple[str, dict[str, Any]]] = [
    ("create", {"name": "new"}),
    ("look", {}),
    ("settings", {"how": "all"}),
    ("settings", {"kind": "utkface"}),
    ("change", {"files": ["hat/on/1.png"], "out": True}),
    ("check", {}),
    ("start", {}),
]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(("action", "more"), STEPS, ids=range(len(STEPS)))
def test_a_disk_that_takes_nothing_is_said(
    client: TestClient, runs: Path, monkeypatch: pytest.MonkeyPatch, code: int, action: str, more: dict[str, Any]
) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    monkeypatch.setattr(jobs, "submit", lambda *words: None)

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(card, "write_parts", refuse)
        answer = client.post(f"/mtl/teach/{action}", json={"run": run, **more})
    assert answer.status_code in (400, 507) and os.strerror(code) in answer.json()["error"]
    assert client.post(f"/mtl/teach/{action}", json={"run": run, **more}).status_code == 200


def test_pictures_are_kept_only_where_that_is_asked(client: TestClient, runs: Path) -> None:
    for keep in (False, True):
        run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
        learned(runs, run)
        assert 'data-size="1 MB"' in client.get(f"/mtl/teach/state?run={run}").json()["parts"]["decide"]
        assert client.post("/mtl/teach/accept", json={"run": run, "keep": keep}).json() == {}
        seen = client.get(f"/mtl/teach/state?run={run}").json()
        assert seen["state"] == "accepted" and ("are kept" in seen["parts"]["decide"]) is keep
        assert (runs / run / "data").exists() is keep
        answer = client.post("/mtl/teach/change", json={"run": run, "files": ["hat/on/1.png"], "out": True})
        assert "is kept already" in answer.json()["error"]


def test_what_was_discarded_is_said_with_its_undo(client: TestClient, runs: Path) -> None:
    run = uploaded(client, "hat/on/1.png", "hat/off/2.png")
    client.post("/mtl/teach/discard", json={"run": run})
    (aside,) = folders.asides(runs)
    assert f'data-token="{aside.token}"' in client.get("/mtl/teach/state").json()["parts"]["undo"]
    folders.bring_back(runs, aside.token, shipped_weights())
    seen = client.get("/mtl/teach/state").json()
    assert seen["run"] == run and seen["state"] == "uploaded" and seen["parts"]["undo"] == ""
