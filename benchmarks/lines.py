"""Results of benchmarks that resume: a file with one JSON line per finished run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Lines:
    """The finished runs of a file; one that stands there is not made again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.runs: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def has(self, key: Mapping[str, Any]) -> bool:
        """Return whether a run with these fields is finished; a field that is "" may be missing."""
        return any(all(run.get(name, "") == value for name, value in key.items()) for run in self.runs)

    def add(self, run: dict[str, Any]) -> None:
        """Append a finished run, and print it."""
        line = json.dumps(run, ensure_ascii=False, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        self.runs.append(run)
        print(line, flush=True)
