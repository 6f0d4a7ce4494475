"""Other processes of this program: what they are started with, which is which, and how they are ended.

A process is known by its number and its birth, since numbers are used again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from mtl_model.errors import RunError
from mtl_model.registry import PACKAGE

PATIENCE_SECONDS = 30  # for a killed process to be gone
PROC = Path("/proc")
BOOT = PROC / "sys/kernel/random/boot_id"


def cores() -> int:
    """How many processor cores this program may use: fewer than there are under taskset or in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first() -> bool:
    """Whether this is the first of several processes of one training, as torchrun and accelerate number them, or alone."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Give an event that is set at Ctrl+C and SIGTERM, so that work ends where nothing is torn. A second one raises
    KeyboardInterrupt. Only the main thread can be told of either."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def told(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def environment() -> dict[str, str]:
    """The variables of a process that works beside the page.

    One thread on a small machine: two halves of its cores that wait for each other help nobody."""
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    few = {"OMP_NUM_THREADS": "1"} if cores() <= 2 else {}
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1", **few}


def birth(pid: int) -> str:
    """When the process of that number began, as text that no other process shares; "" if there is none, or no more."""
    try:
        if not BOOT.exists():  # not Linux
            process = psutil.Process(pid)
            # psutil's identity: on macOS the time since the boot, where create_time moves with the clock.
            born = (getattr(process, "_ident", None) or (pid, process.create_time()))[1]
            return "" if process.status() == psutil.STATUS_ZOMBIE else str(born)
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # from field 3 on: the state, and in field 22 the ticks since the boot
        return "" if fields[0] in "ZX" else f"{BOOT.read_text(encoding='ascii').strip()}:{fields[19]}"
    except (OSError, psutil.Error):
        return ""


def end(pid: int, born: str) -> None:
    """End the process and those that it started, and come back when they are gone.

    One that is gone already is no mistake. Raises RunError if it does not go."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        family = [first, *first.children(recursive=True)]
        births = {one.pid: birth(one.pid) for one in family}
        if not born or births[pid] != born:  # its number belongs to another by now
            return
        with contextlib.suppress(psutil.AccessDenied):
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        until = time.monotonic() + PATIENCE_SECONDS
        while any(since and birth(one) == since for one, since in births.items()):
            if time.monotonic() > until:
                raise RunError(f"The process {pid} does not end. Expected to be allowed to end it; end it yourself.")
            time.sleep(0.01)
