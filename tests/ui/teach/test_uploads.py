from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mtl_model import archives, jobs, layouts, runs, wording
from mtl_model.archives import Limits
from mtl_model.card import CARD, PENDING
from mtl_model.errors import DataError
from mtl_model.run_records import new_record
from mtl_model.runs import COUNT, RECORD, TEACH
from mtl_model.ui.server import bodies
from mtl_model.ui.server.gate import Access
from mtl_model.ui.server.options import UiOptions
from mtl_model.ui.shared import Shared
from mtl_model.ui.teach import template, uploads
from tests.codes import refused

MB = 2**20
MULTIPART = "multipart/form-data; boundary="
BATCH = b'--x\r\ncontent-disposition: form-data; name="a.jpg"; filename="f"\r\n\r\nb\r\n--x--\r\n'
ARABIC, EMOJI = "ابتسامة/نعم/صورة.jpg", "smile/yes/😀 1.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """runs/new, as the Teach tab makes it."""
    return runs.begin(tmp_path / "runs", "new", {PENDING: None, TEACH: {}})


def came(folder: Path, days_ago: float) -> None:
    """Let the last upload have come so long ago."""
    runs.write_record(folder, new_record(uploaded=time.time() - days_ago * 24 * 3600))


@pytest.fixture
def shared(folder: Path) -> Shared:
    options = UiOptions(weights=folder.parent.parent / "weights", runs=folder.parent)
    shared = Shared(options, cast(Any, None), Access(options))
    uploads.add_routes(shared)
    return shared


@pytest.fixture
def client(shared: Shared) -> TestClient:
    return TestClient(Starlette(routes=shared.routes))


def send(client: TestClient, files: Mapping[str, bytes], run: str = "new") -> Any:
    parts = [(quote(name, safe=""), ("f", content)) for name, content in files.items()]
    return client.post(f"/mtl/teach/files?run={quote(run)}", files=cast(Any, parts))


def packed(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def send_zip(client: TestClient, body: Any, run: str = "new") -> Any:
    return client.post(f"/mtl/teach/zip?run={run}", content=body)


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def half_files(folder: Path) -> list[Path]:
    return list(folder.glob(f"{archives.COMING}*"))


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_keeps_its_folders(client: TestClient, folder: Path) -> None:
    names = ["faces/labels.csv", "faces/smile/yes/a b.jpg", ARABIC, EMOJI, "100%/#1?&=.jpg", "lächeln/ü.jpg"]
    answer = send(client, {name: name.encode() for name in names})
    assert answer.status_code == 200 and answer.json() == {"files": 6, "skipped": {}, "examples": {}, "words": {}}
    assert below(folder / "data") == sorted(names)
    assert (folder / "data" / ARABIC).read_text() == ARABIC
    assert not half_files(folder)


def test_what_is_passed_over_is_said(client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LIMITS", Limits(file_bytes=10))
    names = (
        "a.jpg",
        "../b.jpg",
        "/etc/c.jpg",
        "C:\\d.jpg",
        "x\\..\\..\\e.jpg",
        ".DS_Store",
        "__MACOSX/._a.jpg",
        "f.exe",
    )
    answer = send(client, {**dict.fromkeys(names, b"x"), "large.jpg": b"x" * 11, "a.jpg/inside.jpg": b"x"})
    assert answer.json()["files"] == 1
    assert answer.json()["skipped"] == {
        archives.UNSAFE: 4,
        archives.HIDDEN: 2,
        archives.OTHER: 1,
        archives.LARGE: 1,
        archives.TWICE: 1,
    }
    assert answer.json()["examples"][archives.UNSAFE][0] == "../b.jpg"
    assert answer.json()["words"] == {reason: wording.WORDS[reason] for reason in answer.json()["skipped"]}
    assert below(folder.parent.parent) == [
        *("runs/.new.lock", "runs/new/data/a.jpg", f"runs/new/{PENDING}"),
        *("runs/new/run.json", "runs/new/teach.json", "runs/new/uploaded.json"),
    ]


def test_the_number_is_that_of_all_batches(client: TestClient, folder: Path) -> None:
    assert send(client, {"a.jpg": b"1", "b.jpg": b"2"}).json()["files"] == 2
    assert send(client, {"c.jpg": b"3"}).json()["files"] == 3
    assert send(client, {"c.jpg": b"33", "d.jpg": b"4"}).json()["files"] == 4  # the same picture again is no other
    assert send_zip(client, packed({"e.jpg": b"5", "a.jpg": b"11"})).json()["files"] == 5
    assert (folder / "data" / "c.jpg").read_bytes() == b"33"
    assert json.loads((folder / COUNT).read_text()) == {"files": 5, "total_bytes": 7}


@pytest.mark.parametrize("written", [None, "", "{", '{"files": "many"}', "[]"])
def test_a_lost_number_is_counted_anew(client: TestClient, folder: Path, written: str | None) -> None:
    send(client, {"a.jpg": b"1", "sub/b.jpg": b"2"})
    (folder / COUNT).unlink()
    if written is not None:
        (folder / COUNT).write_text(written)
    assert send(client, {"c.jpg": b"3"}).json()["files"] == 3


def test_a_new_upload_begins_the_seven_days_anew(client: TestClient, folder: Path) -> None:
    came(folder, days_ago=3)
    before = runs.read_record(folder)
    for unwanted in ({"a.exe": b"1"}, {"../a.jpg": b"1"}):
        send(client, unwanted)
    send_zip(client, b"no zip at all")
    assert runs.read_record(folder) == before, "nothing was kept"
    send(client, {"a.jpg": b"1"})
    now = runs.read_record(folder)
    assert now is not None and time.time() - now.uploaded < 3600


def test_twenty_thousand_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch looks at what is there already, and not one file more than allowed comes in."""
    counted, walk = [], os.walk
    monkeypatch.setattr(os, "walk", lambda top, **more: counted.append(top) or walk(top, **more))
    answer = {}
    for batch in range(0, 20_000, 50):
        given = [(f"age/{number % 80}/{number}.jpg", io.BytesIO(b"x"), 1) for number in range(batch, batch + 50)]
        answer = uploads.add_files(folder, given)
    assert answer == {"files": 20_000, "skipped": {}, "examples": {}, "words": {}}
    assert counted.count(folder / "data") == 1
    with pytest.raises(DataError, match="would be 20,001 files.*at most 20,000"):
        uploads.add_files(folder, [("one more.jpg", io.BytesIO(b"x"), 1)])
    assert uploads.add_files(folder, [("age/0/0.jpg", io.BytesIO(b"y"), 1)])["files"] == 20_000


# -- zips ------------------------------------------------------------------------------------------------------------


def test_a_zip(client: TestClient, folder: Path) -> None:
    answer = send_zip(client, packed({"smile/yes/a.jpg": b"1", ARABIC: b"2", "../b.jpg": b"3", "__MACOSX/a.jpg": b"4"}))
    assert answer.status_code == 200
    assert (answer.json()["files"], answer.json()["skipped"]) == (2, {archives.UNSAFE: 1, archives.HIDDEN: 1})
    assert below(folder / "data") == sorted(["smile/yes/a.jpg", ARABIC])
    assert not half_files(folder)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"no zip at all", "cannot be read"),
        (b"", "cannot be read"),
        (packed({"a.exe": b"x"}), "holds no picture"),
        (packed({f"{number}.bmp": bytes(40 * MB) for number in range(2)}), "100 times its own size"),
    ],
    ids=["noise", "nothing", "no pictures", "bomb"],
)
def test_a_bad_zip_is_one_sentence(client: TestClient, folder: Path, body: bytes, sentence: str) -> None:
    answer = send_zip(client, body)
    assert answer.status_code == 400 and sentence in answer.json()["error"]
    assert not (folder / "data").exists() and not half_files(folder)


# -- limits and refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Limits(files=3), Limits(total_bytes=3)])
def test_limits_hold_over_all_batches(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    monkeypatch.setattr(uploads, "LIMITS", limits)
    assert send(client, {"a.jpg": b"1", "b.jpg": b"2"}).status_code == 200
    for answer in (
        send(client, {"c.jpg": b"3", "d.jpg": b"4"}),
        send_zip(client, packed({"c.jpg": b"3", "d.jpg": b"4"})),
    ):
        assert answer.status_code == 400 and "Expected at most" in answer.json()["error"]
    assert below(folder / "data") == ["a.jpg", "b.jpg"] and not half_files(folder)
    assert send(client, {"c.jpg": b"3"}).json()["files"] == 3


def test_too_many_files_at_once(client: TestClient, folder: Path) -> None:
    answer = send(client, {f"{number}.jpg": b"x" for number in range(51)})
    assert answer.status_code == 400 and "at most 50 files" in answer.json()["error"]
    assert not (folder / "data").exists()


@pytest.mark.parametrize("path", ["files", "zip"])
@pytest.mark.parametrize("streamed", [False, True])
def test_too_much_at_once(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch, path: str, streamed: bool
) -> None:
    """Whether the request says how long it is or not."""
    monkeypatch.setattr(uploads, "BATCH_BYTES", MB)
    monkeypatch.setattr(uploads, "ZIP_BYTES", MB)
    head = b'--x\r\ncontent-disposition: form-data; name="a.jpg"; filename="f"\r\n\r\n'
    parts = [head, *[bytes(100_000)] * 11, b"\r\n--x--\r\n"]
    body: Any = iter(parts) if streamed else b"".join(parts)
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post(f"/mtl/teach/{path}?run=new", content=body, headers=headers)
    assert answer.status_code == 400 and "larger than 1 MB" in answer.json()["error"]
    assert not (folder / "data").exists() and not half_files(folder)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"nothing", "text/plain"),
        (b"nothing", "multipart/form-data"),
        (b"noise", "multipart/form-data; boundary=x"),
        (b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n', "multipart/form-data; boundary=x"),
        (
            b'--x\r\ncontent-disposition: form-data; filename="f"\r\n\r\nb\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_what_is_no_batch(client: TestClient, folder: Path, body: bytes, kind: str) -> None:
    answer = client.post("/mtl/teach/files?run=new", content=body, headers={"content-type": kind})
    assert answer.status_code == 400 and "did not arrive as they should" in answer.json()["error"]
    assert not (folder / "data").exists()


@pytest.mark.parametrize("run", ["", "..", "other", "../new", "new/data", "no-record"])
def test_only_a_run_of_the_tab_is_added_to(client: TestClient, folder: Path, run: str) -> None:
    (folder.parent / "no-record").mkdir()
    for answer in (send(client, {"a.jpg": b"x"}, run), send_zip(client, packed({"a.jpg": b"x"}), run)):
        assert answer.status_code == 400 and "nothing to teach called" in answer.json()["error"]
    assert not list(folder.parent.rglob("*.jpg"))


def test_not_while_it_is_learned_from(client: TestClient, folder: Path) -> None:
    jobs._write(folder, jobs._Record("finetune", (), 1.0, "token"))  # it waits
    assert "being worked on" in send(client, {"a.jpg": b"x"}).json()["error"]
    jobs.kill(folder.parent, "new")
    assert send(client, {"a.jpg": b"x"}).json()["files"] == 1


def test_a_check_ends_when_more_pictures_come(client: TestClient, folder: Path) -> None:
    jobs._write(folder, jobs._Record("check", (), 1.0, "token"))  # it waits
    assert send(client, {"a.jpg": b"x"}).json()["files"] == 1
    job = jobs.look(folder.parent, "new")
    assert job and job.state not in jobs.ACTIVE


def test_work_that_begins_while_files_arrive(folder: Path) -> None:
    jobs._write(folder, jobs._Record("finetune", (), 1.0, "token"))
    with refused("busy"):
        uploads.add_files(folder, [("a.jpg", io.BytesIO(b"x"), 1)])
    assert not (folder / "data").exists() and not half_files(folder)


def test_an_accepted_checkpoint_is_not_added_to(client: TestClient, folder: Path) -> None:
    (folder / CARD).touch()
    assert send(client, {"a.jpg": b"x"}).json()["files"] == 1  # it waits to be accepted, and may learn anew
    (folder / PENDING).unlink()
    assert "is kept already" in send(client, {"b.jpg": b"x"}).json()["error"]


def test_strangers_are_turned_away(client: TestClient, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.access, "user_of", lambda connection: None)
    answers = (
        send(client, {"a.jpg": b"x"}),
        send_zip(client, packed({"a.jpg": b"x"})),
        client.get("/mtl/teach/template"),
    )
    assert [answer.status_code for answer in answers] == [401] * 3
    for path in ("files", "zip"):
        assert client.get(f"/mtl/teach/{path}?run=new").status_code == 405


# -- it survives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["files", "zip"])
def test_an_upload_that_breaks_off_leaves_nothing(shared: Shared, folder: Path, path: str) -> None:
    head = b'--x\r\ncontent-disposition: form-data; name="a.jpg"; filename="f"\r\n\r\n'
    messages = [
        {"type": "http.request", "body": head + bytes(2 * MB), "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {"type": "http", "method": "POST", "path": f"/mtl/teach/{path}", "query_string": b"run=new"}
    scope |= {"headers": [(b"content-type", b"multipart/form-data; boundary=x")], "http_version": "1.1"}
    said = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def answer(message: Any) -> None:
        said.append(message)

    asyncio.run(Starlette(routes=shared.routes)(scope, receive, answer))
    assert said[0]["status"] == bodies.GONE
    assert not (folder / "data").exists() and not half_files(folder)


def no_space(*arguments: Any, **more: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("place", ["shutil.copyfileobj", "tempfile.mkdtemp", "mtl_model.ui.teach.uploads.write_plain"])
def test_a_full_disk_is_one_sentence(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    send(client, {"a.jpg": b"1"})
    with monkeypatch.context() as patched:
        patched.setattr(place, no_space)
        answer = send(client, {"b.jpg": b"2"})
    assert answer.status_code == 400 and "could not be kept (No space left on device)" in answer.json()["error"]
    assert not half_files(folder)
    assert all((folder / "data" / name).stat().st_size == 1 for name in below(folder / "data"))
    assert send(client, {"b.jpg": b"2", "c.jpg": b"3"}).json()["files"] == 3


def test_a_disk_that_is_full_before_the_zip_is_there(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(self: Path, *more: Any, **options: Any) -> Any:
        stream = opened(self, *more, **options)
        return stream if self.suffix != ".zip" else no_space()

    monkeypatch.setattr(Path, "open", full)
    answer = send_zip(client, packed({"a.jpg": b"x"}))
    assert answer.status_code == 400 and "No space left" in answer.json()["error"]
    assert not half_files(folder)


def test_a_run_discarded_while_files_arrive(folder: Path) -> None:
    (folder / TEACH).unlink()
    with refused("gone"):
        uploads.add_files(folder, [("a.jpg", io.BytesIO(b"x"), 1)])
    assert not (folder / "data").exists() and not half_files(folder)
    shutil.rmtree(folder)
    with refused("gone"):  # and not of free space
        uploads.add_files(folder, [("a.jpg", io.BytesIO(b"x"), 1)])
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["files", "zip"])
def test_a_run_discarded_while_a_request_comes_in_is_said_to_be_gone(
    client: TestClient, folder: Path, kind: str
) -> None:
    def body() -> Iterator[bytes]:
        whole = BATCH if kind == "files" else packed({"a.jpg": b"x" * 100})
        yield whole[:50]
        shutil.rmtree(folder)
        yield whole[50:]

    answer = client.post(f"/mtl/teach/{kind}?run=new", content=body(), headers={"content-type": f"{MULTIPART}x"})
    assert answer.status_code == 400 and "nothing to teach called 'new'" in answer.json()["error"]


# -- out again -------------------------------------------------------------------------------------------------------


def fill(folder: Path, age_days: float = 0) -> None:
    for name in (
        "data/smile/a.jpg",
        ".unwrapped/b.jpg",
        "cache/faces.sqlite",
        f"{archives.COMING}x/a.jpg",
        f"{archives.COMING}y.zip",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / COUNT).write_text('{"files": 1, "total_bytes": 1}')
    (folder / "outcome.json").touch()
    came(folder, age_days)


def test_clear_leaves_what_was_learned(folder: Path) -> None:
    fill(folder)
    runs.clear_pictures(folder)
    assert below(folder) == ["outcome.json", PENDING, RECORD, TEACH]
    runs.clear_pictures(folder)  # once more is no mistake


def test_clear_follows_no_links(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a.jpg").touch()
    (folder / "data").symlink_to(tmp_path / "precious")
    runs.clear_pictures(folder)
    assert not (folder / "data").is_symlink() and (tmp_path / "precious" / "a.jpg").exists()


def test_uploads_go_after_seven_days(folder: Path) -> None:
    fill(folder, age_days=6.9)
    assert uploads.expire(folder.parent) == [] and (folder / "data").exists()
    (folder / CARD).touch()
    fill(folder, age_days=7.1)
    assert uploads.expire(folder.parent) == ["new"]
    assert below(folder) == [CARD, "outcome.json", PENDING, RECORD, TEACH]
    assert uploads.expire(folder.parent) == []  # nothing is left to do


def test_a_run_without_a_checkpoint_goes_wholly(folder: Path) -> None:
    fill(folder, age_days=8)
    other = folder.parent / "training"
    (other / "data").mkdir(parents=True)  # no upload: nothing of it is ours
    os.utime(other, (1000, 1000))
    assert uploads.expire(folder.parent) == ["new"]
    assert not folder.exists() and (other / "data").exists()


@pytest.mark.parametrize("pid", [None, os.getpid()])
def test_what_is_worked_on_stays(folder: Path, pid: int | None) -> None:
    fill(folder, age_days=30)
    born = jobs.processes.birth(pid) if pid else ""
    jobs._write(folder, jobs._Record("finetune", (), 1.0, "token", pid=pid, born=born, began=1.0 if pid else None))
    assert uploads.expire(folder.parent) == [] and (folder / "data" / "smile" / "a.jpg").exists()
    jobs._write(folder, jobs._Record("finetune", (), 1.0, "token", exit_code=0))
    assert uploads.expire(folder.parent) == ["new"]


def test_what_cannot_be_deleted_is_said_in_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(folder, age_days=8)
    with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", no_space)
        assert uploads.expire(folder.parent) == []
        assert "could not be deleted whole (No space left on device)" in runs.sweep(folder.parent)[0]
    assert caplog.text.count("could not be deleted whole") == 1 and list(folder.parent.rglob("a.jpg"))
    assert runs.sweep(folder.parent) == []
    assert not list(folder.parent.rglob("a.jpg"))


# -- the template ----------------------------------------------------------------------------------------------------


def test_the_template_can_be_downloaded(client: TestClient) -> None:
    answer = client.get("/mtl/teach/template")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="faces-template.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        assert b"<h1>How to lay out your pictures</h1>" in archive.read("faces-template/Read me first.html")
    assert {"faces-template/1 Folders/smile/yes/", "faces-template/1 Folders/age/20-29/"} <= set(names)
    assert [name for name in names if not name.endswith(("/", ".html", ".csv"))] == []  # no faces of people


@pytest.mark.parametrize(("part", "kind"), [("1 Folders", "folders"), ("2 Table", "csv")])
def test_what_is_filled_in_is_understood(tmp_path: Path, part: str, kind: str) -> None:
    with zipfile.ZipFile(io.BytesIO(template.pack())) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / template.NAME / part
    places = [path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())]
    for place in places:
        (place / f"{place.name}.jpg").touch()
    for name in ("first", "second", "third"):
        (folder / f"{name}.jpg").touch()
    assert layouts.recognise(folder) == kind
    source = layouts.read(str(folder))
    assert set(source.tasks) == {"smile", "gender", "age", "glasses"}
    assert len(source.samples) == (len(places) if kind == "folders" else 3)
    assert not {"label_unknown", "no_label"} & {reason.code for reason in source.left_out}
