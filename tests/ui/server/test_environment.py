from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from mtl_model.errors import UsageError
from mtl_model.ui.server import environment


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def test_a_taken_port_is_said_with_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port} is taken") as error:
            environment.claim_port("127.0.0.1", port)
    found = re.search(r"--port (\d+)", str(error.value))
    assert found and environment.claim_port("127.0.0.1", int(found[1])) == int(found[1]) != port


def test_zero_is_any_free_port() -> None:
    assert environment.claim_port("127.0.0.1", 0) > 0


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(UsageError, match="cannot listen on '192\\.0\\.2\\.1'"):
        environment.claim_port("192.0.2.1", 7860)


def test_the_folder_is_empty_and_private_at_each_start(temporary: Path) -> None:
    folder, lock = environment.empty_folder("127.0.0.1", 7860)
    (folder / "left.jpg").write_bytes(b"x")
    lock.release()  # as the end of its process does
    again, _ = environment.empty_folder("127.0.0.1", 7860)
    assert again == folder and os.listdir(again) == [] and os.listdir(again.parent) == [environment.LOCK, again.name]
    assert os.name == "nt" or all(path.stat().st_mode & 0o077 == 0 for path in (again, again.parent))


def test_the_lock_lies_outside_what_gradio_clears(temporary: Path) -> None:
    folder, lock = environment.empty_folder("127.0.0.1", 7860)
    assert not Path(lock.lock_file).is_relative_to(folder)


@pytest.mark.skipif(os.name == "nt", reason="no such rights there")
def test_a_folder_that_went_comes_back_as_private(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _lock = environment.empty_folder("127.0.0.1", 7860)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    for gone in (folder, folder.parent):
        shutil.rmtree(gone)
        environment.make_private(folder)
        assert folder.stat().st_mode & 0o777 == 0o700 == folder.parent.stat().st_mode & 0o777
    folder.chmod(0o755)
    environment.make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert temporary.stat().st_mode & 0o777 == 0o700  # pytest's own; nothing above ours is touched


def test_only_what_the_upload_of_gradio_left_is_an_upload(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, lock = environment.empty_folder("127.0.0.1", 7860)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    inside = folder / ("0a" * 32)
    for made in (inside / "folder.jpg", folder / "other"):
        made.mkdir(parents=True)
    for file in (inside / "a.jpg", inside / ".lock", folder / "tmpabc", folder / "other" / "a.jpg"):
        file.write_bytes(b"x")
    wrong = [inside, inside / "folder.jpg", inside / ".lock", folder / "tmpabc", folder / "other" / "a.jpg", Path("")]
    wrong += [
        Path(lock.lock_file),
        folder,
        folder.parent,
        inside / "none.jpg",
        inside / ".." / "tmpabc",
        Path("/etc/hostname"),
    ]
    wrong += [inside / ".." / inside.name / "a.jpg", inside / ("x" * 5000), inside / "\0", Path("a.jpg")]
    if os.name != "nt":
        (inside / "link.jpg").symlink_to("/etc/hostname")
        (folder / ("0b" * 32)).symlink_to(inside)
        wrong += [inside / "link.jpg", folder / ("0b" * 32) / "a.jpg"]
    assert [path for path in wrong if environment.is_upload(path)] == []
    assert environment.is_upload(inside / "a.jpg")


def test_what_a_killed_server_left_is_swept_and_a_running_one_kept(temporary: Path) -> None:
    uploads, lock = environment.empty_folder("192.168.0.7", 7860)
    alive = uploads.parent
    dead, young = temporary / "mtl_model-127.0.0.1-1", temporary / "mtl_model-127.0.0.1-2"
    for folder in (dead, young):
        folder.mkdir()
    for folder in (dead, young, alive):
        (folder / "left.jpg").write_bytes(b"x")
    for folder in (dead, alive):
        os.utime(folder, (0, 0))
    environment.empty_folder("127.0.0.1", 7860)
    assert (dead.exists(), young.exists(), (alive / "left.jpg").exists()) == (False, True, True)
    assert lock.is_locked


def test_a_folder_in_use_is_never_emptied(temporary: Path) -> None:
    first, _lock = environment.empty_folder("::", 7860)
    (first / "arriving.jpg").write_bytes(b"x")
    for host in ("::", "127.0.0.1"):
        second, _ = environment.empty_folder(host, 7860)
        assert second != first and (first / "arriving.jpg").exists()


def test_what_broke_off_while_it_came_in_goes_too(temporary: Path) -> None:
    folder, _lock = environment.empty_folder("127.0.0.1", 7860)
    old = [folder / name for name in ("tmpabc", "hash/a.jpg")]
    (folder / "hash").mkdir()
    for path in (*old, folder / "arriving"):
        path.write_bytes(b"x")
    for path in old:
        os.utime(path, (0, 0))
    environment.delete_old(folder)
    assert sorted(os.listdir(folder)) == ["arriving", "hash"]
    os.utime(folder / "hash", (0, 0))
    environment.delete_old(folder)
    assert sorted(os.listdir(folder)) == ["arriving"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_in_its_place_is_not_followed(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "precious").write_bytes(b"x")
    (temporary / "mtl_model-127.0.0.1-7860").symlink_to(other)
    folder, _ = environment.empty_folder("127.0.0.1", 7860)
    assert (other / "precious").exists() and folder.resolve() != other.resolve()
