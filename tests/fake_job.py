"""Jobs that only wait, and a server that only submits; started by test_jobs.py in processes of their own.

python fake_job.py FOLDER wait FILE CODE    the job of FOLDER: notes its start, ends with CODE when FILE is there
python fake_job.py FOLDER leave CODE        ends by sys.exit
python fake_job.py FOLDER fail              ends by an error
python fake_job.py FOLDER report FILE       says how far it is; when FILE is there, by which error it ends
python fake_job.py FOLDER family FILE       has a child of its own, whose number it writes into FILE
python fake_job.py hold RUNS                holds the queue until it is killed
python fake_job.py server RUNS NAME ...     submits `wait RUNS/go 0` for each name, then moves the queue on until RUNS/go
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl_model import jobs
from mtl_model.errors import MtlError
from mtl_model.events import Failed, Progressed, Report, Stage

STARTS, BUSY = "starts.txt", "busy"


def command(folder: Path, words: Sequence[str]) -> list[str]:
    """Takes the place of jobs.command."""
    return [sys.executable, __file__, str(folder.absolute()), *words]


def work(folder: Path, words: Sequence[str], report: Report) -> int:
    with (folder / STARTS).open("a") as starts:
        print("started", file=starts)
    match list(words):
        case ["wait", file, code]:
            alone = folder.parent / BUSY
            os.close(os.open(alone, os.O_CREAT | os.O_EXCL))  # an error if another job runs beside this one
            print("waiting", file=sys.stderr, flush=True)
            while not Path(file).exists():
                time.sleep(0.02)
            alone.unlink()
            return int(code)
        case ["leave", code]:
            sys.exit(int(code))
        case ["report", file]:
            report(Progressed(Stage.READING, 3, 9, 1.5))
            while not Path(file).exists():
                time.sleep(0.02)
            report(Failed("no_face", {"message": "No face."}))
            return 2
        case ["family", file]:
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (folder / "number").write_text(str(child.pid))
            os.replace(folder / "number", file)
            return child.wait()
    raise ValueError("meant to fail")


def serve(runs: Path, names: Sequence[str]) -> None:
    look = jobs._all

    def look_and_wait(runs: Path) -> Any:
        """Between seeing that nothing runs and starting something there is time for the other server to do so too."""
        found = look(runs)
        time.sleep(0.02)
        return found

    jobs._all = look_and_wait
    for name in names:
        with contextlib.suppress(MtlError):
            jobs.submit(runs, name, "finetune", ["wait", str(runs / "go"), "0"])
    print("submitted", flush=True)
    while not (runs / "go").exists():
        jobs.advance(runs)
        time.sleep(0.005)


if __name__ == "__main__":
    jobs.command, jobs.WATCH_SECONDS = command, 0.05
    if sys.argv[1] == "hold":
        with jobs.idle(Path(sys.argv[2]), "one"):
            print("held", flush=True)
            time.sleep(600)
    elif sys.argv[1] == "server":
        serve(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(jobs.attend(Path(sys.argv[1]), lambda report: work(Path(sys.argv[1]), sys.argv[2:], report)))
