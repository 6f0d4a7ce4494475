"""What the Teach tab shows at one moment: the HTML of the parts of its four steps, and a version that differs with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mtl_model import card, corrections, finetuning, jobs
from mtl_model.card import OUTCOME, Card, read_plain
from mtl_model.errors import MtlError, UsageError
from mtl_model.ui import labelled, outcome_views, picture_views, progress_views, teach_views, teaching, views
from mtl_model.ui.models import Models
from mtl_model.ui.teaching import Run

MOST_ESTIMATES = 200
DELETED = "<p>The pictures are deleted.</p>"


class Page:
    """Makes what a browser asks for every second; where nothing has changed, that costs some looks at the disk."""

    def __init__(self, runs: Path, models: Models) -> None:
        self._runs, self._models = runs, models
        self._pool = ThreadPoolExecutor(1)
        self._estimates: dict[tuple[str, str, int, int], Future[float]] = {}
        self._made: dict[str, tuple[str, dict[str, str]]] = {}

    def state(self, name: str, version: str, new: bool) -> dict[str, Any]:
        """The parts of the run called name; of the newest open one if that is "", unless a new one is wanted. Only the
        version where it is still the newest."""
        trouble = ""
        try:
            jobs.advance(self._runs)
        except MtlError as error:
            trouble = str(error)
        runs = teaching.open_runs(self._runs)
        run = self._chosen(name, runs, new)
        stamps = "|".join(f"{one.name} {one.version()}" for one in (*runs, *([run] if run else [])))
        names = self._models.names()
        try:
            corrected = corrections.count(self._runs)
        except MtlError as error:  # damaged by hand: the runs are not
            corrected, trouble = 0, trouble or str(error)
        ready = sum(one.done() for one in self._estimates.values())
        shown = f"{run.name if run else ''}|{stamps}|{names}|{corrected}|{ready}|{trouble}"
        newest = hashlib.sha256(shown.encode()).hexdigest()[:16]
        if newest == version:
            return {"version": newest}
        answer = self._parts(run, runs, names)
        answer["parts"]["trouble"] = teach_views.problem(trouble) if trouble else ""
        return {"version": newest, "corrections": corrected, **answer}

    def _chosen(self, name: str, runs: Sequence[Run], new: bool) -> Run | None:
        """The run asked for; else, unless a new one is wanted, the newest that is open."""
        if name:
            try:
                return next((one for one in runs if one.name == name), None) or teaching.read_run(self._runs, name)
            except UsageError:
                return None  # discarded elsewhere
        return None if new or not runs else runs[0]

    def _parts(self, run: Run | None, runs: Sequence[Run], names: Sequence[str]) -> dict[str, Any]:
        parts = {"runs": teach_views.runs_list(runs, run.name if run else "")}
        answer: dict[str, Any] = {"run": run.name if run else "", "step": run.step if run else 1, "parts": parts}
        answer |= {"state": run.state if run else "", "said": f"{run.name}: {teach_views.status(run)}" if run else ""}
        if run is None:
            return answer | {"reached": 1, "busy": False}
        shown = self._labelled(run)
        about = run.record.found
        tasks = {} if shown is None else shown.tasks
        outcome = read_plain(run.folder / OUTCOME) if run.state in ("done", "accepted") else {}
        gone, queue = run.state == "accepted", jobs.every(self._runs)
        line = f"{about.get('pictures', 0):,} pictures: {teach_views.tasks_text(about.get('tasks', {}))}"
        parts |= {
            "line1": views.escape(line) if about and not about.get("error") else "",
            "found": DELETED if gone else teach_views.found(run, shown.source.examples if shown else {}),
            "check": DELETED if gone else picture_views.check(run, queue),
            **(self._contents(run, shown) if run.checked and shown else {}),
            "goon": picture_views.go_on(run, shown),
            "form": self._form(run, runs, names),
            "progress": progress_views.progress(run, tasks, queue),
            "line3": views.escape(teach_views.chosen(run)),
            "outcome": outcome_views.summary(outcome, self._card(run.folder) if outcome else None),
            "details": outcome_views.details({**outcome, "pictures": {}} if gone else outcome),
            "decide": outcome_views.decide(run),
            "line4": views.escape(outcome.get("sentence", "")),
        }
        reached = 4 if run.state in ("done", "accepted") else 3 if run.checked else 2 if run.step == 2 else 1
        if run.state == "checked" and shown and not picture_views.can_learn(run, shown):
            reached = 2
        stamp = str(about.get("stamp", ""))
        return answer | {"reached": reached, "busy": run.busy, "stamp": stamp, "edits": _edits_stamp(run)}

    def _labelled(self, run: Run) -> labelled.Labelled | None:
        try:
            return labelled.read_labelled(run) if run.data.is_dir() else None
        except MtlError:
            return None

    def _form(self, run: Run, runs: Sequence[Run], names: Sequence[str]) -> str:
        if not run.checked:
            return ""
        parent = self._parent(run)
        seconds = self._estimate(run, parent) if parent else None
        ahead = next((one.name for one in runs if one.busy and one.name != run.name), "")
        return teach_views.form(run, parent, names, seconds, ahead)

    def _estimate(self, run: Run, parent: Card) -> float | None:
        """About how long the learning takes; None until it is known, which takes some seconds of another thread."""
        how, pictures = run.record.how, int(run.record.found.get("pictures", 0))
        epochs = int(run.record.advanced.get("epochs") or 0)
        key = (parent.weights_sha256, how, pictures, epochs)
        if key not in self._estimates:
            if len(self._estimates) > MOST_ESTIMATES:
                self._estimates.clear()
            self._estimates[key] = self._pool.submit(finetuning.estimate_seconds, parent, how, pictures, epochs)
        found = self._estimates[key]
        return found.result() if found.done() and not found.exception() else None

    def _parent(self, run: Run) -> Card | None:
        try:
            return self._models.card(run.record.parent)
        except MtlError:
            return None

    def _card(self, folder: Path) -> Card | None:
        try:
            return card.read_card(folder)
        except MtlError:
            return None

    def _contents(self, run: Run, shown: labelled.Labelled) -> dict[str, str]:
        """Made anew only when the report or the changes are others: while it learns, every second asks for them."""
        report = (run.folder / teaching.REPORT).stat().st_mtime_ns
        key = f"{report} {_edits_stamp(run)}"
        if run.name not in self._made or self._made[run.name][0] != key:
            parts = {"counts": picture_views.tallies(run, shown), "problems": picture_views.found(run, shown)}
            self._made[run.name] = (key, {**parts, "line2": views.escape(picture_views.line(shown))})
        return self._made[run.name][1]


def _edits_stamp(run: Run) -> str:
    try:
        return f"{(run.folder / teaching.CHANGES).stat().st_mtime_ns} {run.record.found.get('stamp')}"
    except OSError:
        return str(run.record.found.get("stamp"))
