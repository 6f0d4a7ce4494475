from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_model.errors import UsageError
from mtl_model.ui.server import passwords


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COST", 2)


def test_a_password_is_known_again_and_stands_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "people"
    passwords.add_user("ann", path, "correct horse")
    passwords.add_user("bob", path, "battery staple")
    assert "horse" not in path.read_text() and len(path.read_text().splitlines()) == 2
    users = passwords.read_users(path)
    assert passwords.matches("correct horse", users["ann"]) and not passwords.matches("correct horse", users["bob"])
    assert not passwords.matches("", users["ann"]) and not passwords.matches("correct hors\ud800", users["ann"])


def test_each_person_has_a_salt(tmp_path: Path) -> None:
    assert passwords.hash_password("the same one") != passwords.hash_password("the same one")


def test_a_new_password_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "people"
    for password in ("the first one", "the second one"):
        passwords.add_user("ann", path, password)
    (hashed,) = passwords.read_users(path).values()
    assert passwords.matches("the second one", hashed) and not passwords.matches("the first one", hashed)


@pytest.mark.skipif(os.name == "nt", reason="no such modes there")
def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "people"
    path.touch(0o644)
    passwords.add_user("ann", path, "correct horse")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and [one.name for one in tmp_path.iterdir()] == ["people"]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "x" * 65, "a\nb"])
def test_strange_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        passwords.add_user(name, tmp_path / "people", "correct horse")
    assert not list(tmp_path.iterdir())


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="7 characters"):
        passwords.add_user("ann", tmp_path / "people", "1234567")


def test_it_is_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["correct horse", "correct house", "correct horse", "correct horse"])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(passwords.getpass, "getpass", lambda prompt: next(answers))
    with pytest.raises(UsageError, match="differ"):
        passwords.add_user("ann", tmp_path / "people")
    passwords.add_user("ann", tmp_path / "people")
    assert passwords.matches("correct horse", passwords.read_users(tmp_path / "people")["ann"])


GOOD = "2$8$1$AAAA$AAAA"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "it is not text"),
        (b"", "names nobody"),
        (b"ann\n", "Line 1"),
        (f"ann:{GOOD}\nbob:secret\n".encode(), "Line 2"),
        (b"ann:2$8$1$AAAA$!!!!\n", "Line 1"),
        (b"ann:3$8$1$AAAA$AAAA\n", "Line 1"),
        (b"ann:1073741824$8$1$AAAA$AAAA\n", "Line 1"),
        (f"a b:{GOOD}\n".encode(), "Line 1"),
    ],
)
def test_a_file_that_is_of_no_use_is_said(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "people"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as error:
        passwords.read_users(path)
    assert "Expected" in str(error.value)


def run(root: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mtl_model", "ui", *arguments]
    return subprocess.run(command, cwd=root, input=typed, capture_output=True, text=True, check=False)


def test_on_the_command_line(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "people"
    done = run(root, "--add-user", "ann", str(path), typed="correct horse\n")
    assert done.returncode == 0 and "--auth" in done.stdout, done.stderr
    assert passwords.matches("correct horse", passwords.read_users(path)["ann"])
    for arguments in (("--add-user", "b b", str(path)), ("--auth", str(tmp_path / "none"))):
        done = run(root, *arguments, typed="correct horse\n")
        assert done.returncode == 2 and "Expected" in done.stderr and "Traceback" not in done.stderr
    done = run(root, "--auth", str(path), "--read-only")
    assert done.returncode == 2 and "--read-only" in done.stderr
