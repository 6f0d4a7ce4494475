"""Where measured figures are kept: in the checkpoint's card, and in the log of readings of test splits."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl_model import card as cards
from mtl_model import layouts


def keep_record(folder: Path, record: Mapping[str, Any], spec: str, options: Mapping[str, str]) -> None:
    """Write a record into the card of `folder` as it is by now, in the place of an older one that the same command printed.

    Args:
        record: As `metrics.evaluate` returns it.
        spec: KIND:DIR that was measured.
        options: Options of its layout; "" for one that was not given.
    """
    kind, data = layouts.parse_spec(spec)
    words = f"evaluate {folder.name} --source {kind}:DATA/{data.resolve().name} --split {record['split']}"
    given = [f"--{name} {shlex.quote(value)}" for name, value in options.items() if value]
    command = " ".join(["python -m mtl_model", words, *given])
    card = cards.read_card(folder)
    whole = {**record, "command": command}
    records = [whole if other.get("command") == command else other for other in card.metrics]
    metrics = tuple(records if whole in records else [*records, whole])
    cards.write_card(folder, dataclasses.replace(card, metrics=metrics))


def note_reading(file: Path, checkpoint: str, record: Mapping[str, Any]) -> None:
    """Add a line for one reading of a test split: val chooses, test is read, and how often it was is written down."""
    try:
        called = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        commit = called.stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy that is no repository
        commit = "unknown"
    first = {task: next(iter(metrics.items())) for task, metrics in record["tasks"].items()}
    figures = "; ".join(f"{task} {name} {figure['value']}" for task, (name, figure) in first.items())
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    line = f"| {date} | {commit} | {checkpoint} | {record['source']} | {record['n']} | {figures} |\n"
    cards.write_text(file, file.read_text(encoding="utf-8") + line)
