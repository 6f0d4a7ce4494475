from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl_model import card, jobs, processes
from mtl_model.errors import RunError, UsageError
from mtl_model.events import Failed, Progressed, Stage
from mtl_model.runs import LATEST
from tests import fake_job
from tests.codes import refused

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 90


def until(true: Callable[[], Any]) -> None:
    """A machine that is busy with something else passes too."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def state(runs: Path, name: str) -> str:
    job = jobs.look(runs, name)
    return job.state if job else ""


def pid(runs: Path, name: str) -> int:
    job = jobs.look(runs, name)
    assert job and job.pid
    return job.pid


def is_gone(number: int) -> bool:
    return processes.birth(number) == ""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs whose jobs are those of fake_job.py; none of them outlives the test."""
    monkeypatch.setattr(jobs, "command", fake_job.command)
    runs = tmp_path / "runs"
    yield runs
    for job in jobs.every(runs):
        jobs.kill(runs, job.name)


@pytest.fixture
def wait(runs: Path) -> list[str]:
    """The words of a job that runs until the file `go` is there, and then ends with exit code 3."""
    return ["wait", str(runs / "go"), "3"]


@contextlib.contextmanager
def server(runs: Path, *names: str, what: str = "server") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.fake_job", what, str(runs), *names]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# -- the usual course ------------------------------------------------------------------------------------------------


def test_the_real_program_says_how_it_ended(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    jobs.submit(runs, "well", "check", ["models", "--runs", str(runs), "--json", str(tmp_path / "list.json")])
    jobs.submit(runs, "wrong", "check", ["models", "--rans", str(runs)])
    until(lambda: jobs.advance(runs) or {job.state for job in jobs.every(runs)} == {"done"})
    well, wrong = jobs.look(runs, "well"), jobs.look(runs, "wrong")
    assert well and well.exit_code == 0 and (tmp_path / "list.json").is_file() and well.began
    assert wrong and wrong.exit_code == 2 and "unrecognized arguments: --rans" in wrong.log


def latest(runs: Path, name: str) -> Any:
    job = jobs.look(runs, name)
    return job.latest if job else None


def test_how_far_a_job_is_and_by_which_error_it_ended_are_events(runs: Path) -> None:
    jobs.submit(runs, "one", "check", ["report", str(runs / "go")])
    until(lambda: latest(runs, "one") == Progressed(Stage.READING, 3, 9, 1.5))
    (runs / "go").touch()
    until(lambda: state(runs, "one") == "done")
    assert latest(runs, "one") == Failed("no_face", {"message": "No face."})
    jobs.submit(runs, "one", "check", ["leave", "0"])  # what was said of an earlier one is gone
    until(lambda: state(runs, "one") == "done")
    assert latest(runs, "one") is None
    (runs / "one" / LATEST).write_text("half a li")
    assert latest(runs, "one") is None


def test_the_real_program_says_by_which_error_it_ends(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    jobs.submit(runs, "one", "check", ["check", f"folders:{tmp_path / 'gone'}"])
    until(lambda: state(runs, "one") == "done")
    failed = latest(runs, "one")
    assert isinstance(failed, Failed) and failed.code == "folder" and "is not a folder" in failed.values["message"]


@pytest.mark.parametrize(("words", "code", "said"), [(["leave", "5"], 5, ""), (["fail"], 1, "meant to fail")])
def test_every_end_that_python_sees_is_written_down(runs: Path, words: list[str], code: int, said: str) -> None:
    jobs.submit(runs, "one", "check", words)
    until(lambda: state(runs, "one") == "done")
    until(lambda: said in jobs.every(runs)[0].log)  # the traceback comes after the exit code
    assert jobs.every(runs)[0].exit_code == code
    assert jobs.every(runs)[0].latest == (Failed("unexpected") if said else None)


def test_one_runs_and_the_others_wait_in_their_order(runs: Path, wait: list[str]) -> None:
    for name in ("zebra", "apple", "mango"):
        jobs.submit(runs, name, "finetune", wait)
    assert [(job.name, job.state, job.place) for job in jobs.every(runs)] == [
        ("zebra", "running", 0),
        ("apple", "waiting", 1),
        ("mango", "waiting", 2),
    ]
    found = jobs.look(runs, "mango")
    assert found and found.place == 2 and found.words == tuple(wait) and found.pid is None
    (runs / "go").touch()
    until(lambda: jobs.advance(runs) or {job.state for job in jobs.every(runs)} == {"done"})
    assert [job.name for job in jobs.every(runs)] == ["mango", "apple", "zebra"]
    assert {job.exit_code for job in jobs.every(runs)} == {3}  # and not 1, as if two had run at once


def test_a_name_has_one_job_at_a_time(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    jobs.submit(runs, "two", "finetune", wait)
    for name in ("one", "two"):
        with refused("busy"):
            jobs.submit(runs, name, "finetune", wait)


def test_how_an_earlier_job_ended_is_not_taken_for_the_end_of_a_later_one(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "other", "finetune", wait)
    folder = runs / "one"
    folder.mkdir()
    (folder / jobs.EXIT).write_text("0\nan-older-token\n")
    jobs.submit(runs, "one", "finetune", wait)
    assert state(runs, "one") == "waiting"
    jobs.kill(runs, "other")
    (runs / fake_job.BUSY).unlink(missing_ok=True)
    jobs.advance(runs)
    (folder / jobs.EXIT).write_text("0\nan-older-token\n")
    assert state(runs, "one") == "running"


@pytest.mark.parametrize("name", ["../one", "", ".lock", "a/b", "x" * 65])
def test_names_that_lead_elsewhere(runs: Path, name: str, wait: list[str]) -> None:
    assert jobs.look(runs, name) is None
    jobs.stop(runs, name)
    jobs.kill(runs, name)
    with pytest.raises(UsageError):
        jobs.submit(runs, name, "check", wait)


def test_nothing_is_made_by_looking(runs: Path) -> None:
    jobs.advance(runs)
    assert jobs.every(runs) == [] and jobs.look(runs, "one") is None and not runs.exists()


def test_the_idle_are_held_back(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    with jobs.idle(runs, "one") as free:
        assert not free
    with jobs.idle(runs, "two") as free:
        assert free


# -- stop and kill ---------------------------------------------------------------------------------------------------


def test_a_learning_is_asked_to_stop(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    jobs.stop(runs, "one")
    assert (runs / "one" / jobs.STOP).exists() and state(runs, "one") == "running"
    (runs / "go").touch()
    until(lambda: state(runs, "one") == "done")
    (runs / "go").unlink()
    jobs.submit(runs, "one", "finetune", wait)
    assert not (runs / "one" / jobs.STOP).exists()  # the next one is not stopped by it


def test_a_learning_with_nothing_to_keep_ends_at_once(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    jobs.stop(runs, "one", at_once=True)
    job = jobs.look(runs, "one")
    assert job is not None and (job.state, job.exit_code) == ("done", 0) and not (runs / "one" / jobs.STOP).exists()


def test_a_check_ends_at_once(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "check", wait)
    number = pid(runs, "one")
    jobs.stop(runs, "one")
    found = jobs.look(runs, "one")
    assert found and (found.state, found.exit_code) == ("done", 0) and is_gone(number)


@pytest.mark.parametrize("end", [jobs.stop, jobs.kill])
def test_what_waits_leaves_the_queue(runs: Path, wait: list[str], end: Callable[[Path, str], None]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    jobs.submit(runs, "two", "finetune", wait)
    end(runs, "two")
    found = jobs.look(runs, "two")
    assert found and (found.state, found.exit_code) == ("done", 0)
    assert not (runs / "two" / fake_job.STARTS).exists()


def test_kill_ends_the_job_and_what_it_started(runs: Path, tmp_path: Path) -> None:
    jobs.submit(runs, "one", "finetune", ["family", str(tmp_path / "child")])
    until((tmp_path / "child").exists)
    numbers = pid(runs, "one"), int((tmp_path / "child").read_text())
    jobs.kill(runs, "one")
    assert all(map(is_gone, numbers)) and state(runs, "one") == "killed"
    jobs.kill(runs, "one")  # once more is no mistake


# -- it survives -----------------------------------------------------------------------------------------------------


def test_a_killed_job_is_known_and_can_be_resumed(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    until((runs / fake_job.BUSY).exists)
    os.kill(pid(runs, "one"), signal.SIGKILL)
    until(lambda: state(runs, "one") == "killed")
    jobs.advance(runs)
    assert state(runs, "one") == "killed"  # only a person says that it goes on
    (runs / fake_job.BUSY).unlink()
    (runs / "go").touch()
    jobs.submit(runs, "one", "finetune", [*wait])
    until(lambda: state(runs, "one") == "done")
    assert (runs / "one" / fake_job.STARTS).read_text().count("started") == 2


def test_a_killed_server_is_followed_by_the_next(runs: Path) -> None:
    with server(runs, "one", "two") as first:
        assert first.stdout and first.stdout.readline() == "submitted\n"
        number = pid(runs, "one")
        first.kill()
    assert pid(runs, "one") == number and state(runs, "one") == "running"
    jobs.advance(runs)
    assert [job.state for job in jobs.every(runs)] == ["running", "waiting"]
    (runs / "go").touch()
    until(lambda: jobs.advance(runs) or {job.state for job in jobs.every(runs)} == {"done"})
    for name in ("one", "two"):
        assert (runs / name / fake_job.STARTS).read_text().count("started") == 1


def test_two_servers_start_each_job_once_and_never_two_at_a_time(runs: Path) -> None:
    names = [f"job-{number}" for number in range(6)]
    with server(runs, *names) as one, server(runs, *reversed(names)) as two:
        until(lambda: len(jobs.every(runs)) == len(names))
        until(lambda: jobs.every(runs)[0].state == "running")
        assert [job.state for job in jobs.every(runs)] == ["running", *["waiting"] * 5]
        time.sleep(0.2)  # both try to move it on
        (runs / "go").touch()
        assert one.wait(PATIENCE_SECONDS) == two.wait(PATIENCE_SECONDS) == 0
    until(lambda: jobs.advance(runs) or {job.state for job in jobs.every(runs)} == {"done"})
    assert {job.exit_code for job in jobs.every(runs)} == {0}  # 1 of a job that met another
    assert {(runs / name / fake_job.STARTS).read_text() for name in names} == {"started\n"}


def test_the_queue_has_one_owner_at_a_time(runs: Path, wait: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE_SECONDS", 0.1)
    with server(runs, what="hold") as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="Another server has been at the work.*try again, or end that server"):
            jobs.submit(runs, "one", "finetune", wait)
        assert jobs.every(runs) == []
    assert jobs.submit(runs, "one", "finetune", wait).state == "running"


def test_a_server_that_dies_before_it_has_written_the_job_down(
    runs: Path, wait: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk is full: the process that was started ends unheard, the job waits and is started again."""
    write, begun = jobs._write, []

    def full(folder: Path, record: jobs._Record) -> None:
        if record.pid is not None:
            begun.append(record.pid)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, record)

    monkeypatch.setattr(jobs, "_write", full)
    with pytest.raises(RunError, match="No space left on device.*make room, then try again"):
        jobs.submit(runs, "one", "finetune", wait)
    assert state(runs, "one") == "waiting"
    until(lambda: is_gone(begun[0]))
    assert not (runs / "one" / fake_job.STARTS).exists() and not (runs / "one" / jobs.EXIT).exists()
    monkeypatch.setattr(jobs, "_write", write)
    jobs.advance(runs)
    assert state(runs, "one") == "running"


def test_a_full_disk_changes_nothing(runs: Path, wait: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.submit(runs, "one", "check", ["leave", "4"])
    until(lambda: state(runs, "one") == "done")

    def full(*arguments: Any, **more: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(card, "write_parts", full)
        for name in ("one", "new"):
            with pytest.raises(RunError, match="No space left on device"):
                jobs.submit(runs, name, "check", wait)
    found = jobs.look(runs, "one")
    assert found and (found.state, found.exit_code) == ("done", 4)
    assert jobs.look(runs, "new") is None and not list(runs.glob("*/.*"))


def test_runs_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be begun or ended in 'runs'.*permission to write"):
        jobs.submit(tmp_path / "file" / "runs", "one", "check", [])


def test_a_process_that_cannot_be_started_leaves_the_job_waiting(
    runs: Path, wait: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(jobs, "command", lambda folder, words: [str(folder / "no program")])
        with pytest.raises(RunError):
            jobs.submit(runs, "one", "check", wait)
    assert state(runs, "one") == "waiting"


def test_a_deleted_folder_ends_its_job(runs: Path, wait: list[str]) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    jobs.submit(runs, "two", "finetune", wait)
    until((runs / fake_job.BUSY).exists)
    number = pid(runs, "one")
    shutil.rmtree(runs / "one")
    until(lambda: is_gone(number))
    assert jobs.look(runs, "one") is None and not (runs / "one").exists()
    jobs.advance(runs)
    assert state(runs, "two") == "running"


def test_a_number_that_is_used_again_is_not_the_job(runs: Path) -> None:
    """The process of this test stands for the program that got the number."""
    folder = runs / "one"
    folder.mkdir(parents=True)
    record = jobs._Record("finetune", (), 1.0, "token", pid=os.getpid(), born="another time", began=1.0)
    jobs._write(folder, record)
    assert state(runs, "one") == "killed"
    jobs.kill(runs, "one")
    processes.end(os.getpid(), "another time")  # or this test would not come to its end


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kind": 1}', "\x00\x00"])
def test_a_damaged_record_is_passed_over_and_said_once(runs: Path, text: str, caplog: Any, wait: list[str]) -> None:
    (runs / "broken").mkdir(parents=True)
    (runs / "broken" / jobs.JOB).write_text(text)
    with caplog.at_level(logging.WARNING):
        assert jobs.every(runs) == [] and jobs.look(runs, "broken") is None
    assert caplog.text.count("is passed over") == 1
    jobs.submit(runs, "one", "finetune", wait)
    assert state(runs, "one") == "running"
    jobs.submit(runs, "broken", "finetune", wait)  # and it can be begun anew
    assert state(runs, "broken") == "waiting"


def test_the_record_can_be_read_by_people(runs: Path) -> None:
    jobs.submit(runs, "one", "check", ["leave", "0"])
    until(lambda: state(runs, "one") == "done")
    plain = json.loads((runs / "one" / jobs.JOB).read_text())
    assert (plain["kind"], plain["words"]) == ("check", ["leave", "0"])
    assert (runs / "one" / jobs.EXIT).read_text().split()[0] == "0"


def test_a_job_is_polite(runs: Path, wait: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.submit(runs, "one", "finetune", wait)
    until((runs / fake_job.BUSY).exists)
    with contextlib.suppress(AttributeError):  # where there is no such thing
        assert os.getpriority(os.PRIO_PROCESS, pid(runs, "one")) >= jobs.NICE
        session = Path(f"/proc/{pid(runs, 'one')}/autogroup")
        if session.is_file() and (told := session.read_text(encoding="ascii").split()):
            assert told[-1] == str(jobs.NICE)
    for cores, threads in ((1, "1"), (2, "1"), (8, "many")):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setenv("OMP_NUM_THREADS", "many")
        assert processes.environment()["OMP_NUM_THREADS"] == threads
