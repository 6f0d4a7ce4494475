"""What the Teach tab shows at one moment: the HTML of the parts of its four steps, and a version that differs with it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mtl_model import jobs
from mtl_model import runs as folders
from mtl_model.card import Card
from mtl_model.data import corrections
from mtl_model.errors import MtlError, UsageError
from mtl_model.records import FACE
from mtl_model.run_records import Outcome
from mtl_model.runs import CHANGES, FORECAST, OUTCOME, REPORT
from mtl_model.train import finetune
from mtl_model.ui.checkpoints import gallery
from mtl_model.ui.checkpoints.loaded import Models
from mtl_model.ui.render import escape
from mtl_model.ui.teach import dataset, forecast_views, outcome_views, picture_views, progress_views, teaching, views
from mtl_model.ui.teach.teaching import CHECK, Run

MOST_ESTIMATES = 200
GONE = "<p>The pictures are deleted.</p>"
KEPT = "<p>The pictures are kept, until you delete them: on the About tab, or with the checkpoint.</p>"
UNSHOWN = (
    "'{}' cannot be shown: its files hold something else than this program writes. Expected them as it wrote them."
)

log = logging.getLogger("mtl_model.ui")


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
        trouble, corrected = [], 0
        try:
            jobs.advance(self._runs)
        except MtlError as error:
            trouble.append(str(error))
        try:
            corrected = corrections.count(self._runs)
        except MtlError as error:
            trouble.append(str(error))
        runs = teaching.open_runs(self._runs)
        run = self._chosen(name, runs, new)
        discarded = [aside for aside in folders.asides(self._runs) if aside.waited]
        stamps = "|".join(f"{one.name} {one.version()}" for one in (*runs, *([run] if run else [])))
        names, tokens = self._models.subjects(starts=True), [aside.token for aside in discarded]
        ready = sum(one.done() for one in self._estimates.values())
        shown = f"{run.name if run else ''}|{stamps}|{names}|{corrected}|{ready}|{trouble}|{tokens}"
        newest = hashlib.sha256(shown.encode()).hexdigest()[:16]
        if newest == version:
            return {"version": newest}
        answer = self._parts(run, runs, names)
        answer["parts"]["trouble"] = "".join(map(views.problem, trouble))
        answer["parts"]["undo"] = gallery.undo_lines(discarded, "discarded")
        return {"version": newest, "corrections": corrected, **answer}

    def _chosen(self, name: str, runs: Sequence[Run], new: bool) -> Run | None:
        """The run asked for; else, unless a new one is wanted, the newest that is open."""
        if name:
            try:
                return next((one for one in runs if one.name == name), None) or teaching.read_run(self._runs, name)
            except UsageError:
                return None  # discarded elsewhere
        return None if new or not runs else runs[0]

    def _parts(self, run: Run | None, runs: Sequence[Run], names: Mapping[str, str]) -> dict[str, Any]:
        """One run with a damaged file takes nothing else of the tab away."""
        listed = {"runs": views.runs_list(runs, run.name if run else "")}
        answer: dict[str, Any] = {"run": run.name if run else "", "reached": 1, "step": 1, "busy": False}
        if run is None:
            return answer | {"state": "", "said": "", "parts": listed}
        answer |= {"state": run.state, "said": f"{run.name}: {views.status(run)}"}
        try:
            about = {"parts": {"found": views.problem(run.damage)}} if run.damage else self._steps(run, runs, names)
        except Exception as error:  # a file written by hand can hold anything
            log.error("the run %s cannot be shown", run.name, exc_info=error)
            sentence = views.problem(UNSHOWN.format(run.name), "Discard the run, or mend its files.")
            about = {"state": teaching.DAMAGED, "parts": {"found": sentence}}
        about["parts"] |= listed
        return answer | about

    def _steps(self, run: Run, runs: Sequence[Run], names: Mapping[str, str]) -> dict[str, Any]:
        shown = self._labelled(run)
        about = run.record.found
        tasks = {} if shown is None else shown.tasks
        decided = run.state in ("done", "accepted")
        outcome: Any = folders.read(run.folder / OUTCOME, Outcome) or {} if decided else {}
        kept, queue = KEPT if run.kept else GONE, jobs.every(self._runs)
        gone = run.state == "accepted"
        line = views.understood(about) if about and not about.get("error") else ""
        parts = {
            "line1": escape(line),
            "found": kept if gone else views.found(run, shown.source.left_out if shown else ()),
            "check": kept if gone else picture_views.check(run, queue),
            **(self._contents(run, shown) if shown and run.step >= 2 else {}),
            "forecast": self._forecast(run, shown),
            "goon": picture_views.go_on(run, shown, self._parent(run)),
            "form": self._form(run, runs, names),
            "progress": progress_views.progress(run, tasks, queue),
            "line3": escape(views.chosen(run)),
            "outcome": outcome_views.summary(outcome, bool(shown and shown.recorded)),
            "details": outcome_views.details({**outcome, "pictures": {}} if gone else outcome),
            "decide": outcome_views.decide(run, outcome),
            "line4": escape(outcome_views.sentence(outcome)),
        }
        reached = 4 if decided else 3 if run.checked else 2 if run.step == 2 else 1
        if run.state == "checked" and shown and not picture_views.can_learn(run, shown, self._parent(run)):
            reached = 2
        stamp, edits = (
            str(about.get("stamp", "")),
            f"{_edits_stamp(run)} {_written(run, REPORT)} {_written(run, FORECAST)}",
        )
        faces = f"{_written(run, REPORT)}" if run.checked and run.record.reads == FACE else ""
        shared = {
            "reached": reached,
            "step": run.step,
            "busy": run.busy and run.kind != CHECK,
            "subject": run.record.reads,
        }
        return {**shared, "stamp": stamp, "edits": edits, "parts": parts, **self._classes(run, shown), "faces": faces}

    def _classes(self, run: Run, shown: dataset.Labelled | None) -> dict[str, Any]:
        """naming: whether the classes of the pictures are still to be named. label: the task, if pictures wait for a label of it.
        classes: those that a person can record pictures of, as [folder, name, pictures]; declared: they are named on the page."""
        about, named = run.record.found, run.record.classes
        naming = bool(about) and not about.get("error") and not about["tasks"]
        nothing = {"naming": naming, "label": "", "classes": [], "declared": bool(named)}
        known = about.get("tasks", {})
        if shown is None or len(known) != 1 or about["kind"] != dataset.FOLDERS or run.state == "accepted":
            return nothing
        ((task, own),) = known.items()
        words, counts = shown.edits.renamed.get(task, {}), shown.counts()[task]
        classes = [
            [word, called, counts.get(called, 0)] for word in own["classes"] if (called := words.get(word, word))
        ]
        return {**nothing, "label": task if named and shown.waiting(task) else "", "classes": classes}

    def _labelled(self, run: Run) -> dataset.Labelled | None:
        try:
            return dataset.read_labelled(run) if run.data.is_dir() else None
        except MtlError:
            return None

    def _forecast(self, run: Run, shown: dataset.Labelled | None) -> str:
        return forecast_views.forecast(run, shown, self._parent(run)) if shown and run.checked else ""

    def _form(self, run: Run, runs: Sequence[Run], names: Mapping[str, str]) -> str:
        """names: {checkpoint: what it reads}"""
        if not run.checked:
            return ""
        parent = self._parent(run)
        known, fitted = run.forecast, run.record.how == "branch"
        if known and fitted and known["parent"] == run.record.parent:  # its features lie there
            seconds: float | None = known["seconds"]
        else:
            seconds = self._estimate(run, parent) if parent else None
        ahead = next((one.name for one in runs if one.busy and one.name != run.name), "")
        starts = [name for name, subject in names.items() if subject == run.record.reads]
        return views.form(run, parent, starts, seconds, ahead)

    def _estimate(self, run: Run, parent: Card) -> float | None:
        """About how long the learning takes; None until it is known, which takes some seconds of another thread."""
        how, pictures = run.record.how, int(run.record.found.get("pictures", 0))
        epochs = int(run.record.advanced.get("epochs") or 0)
        key = (parent.weights_sha256, how, pictures, epochs)
        if key not in self._estimates:
            if len(self._estimates) > MOST_ESTIMATES:
                self._estimates.clear()
            self._estimates[key] = self._pool.submit(finetune.estimate_seconds, parent, how, pictures, epochs)
        found = self._estimates[key]
        return found.result() if found.done() and not found.exception() else None

    def _parent(self, run: Run) -> Card | None:
        try:
            return self._models.card(run.record.parent)
        except MtlError:
            return None

    def _contents(self, run: Run, shown: dataset.Labelled) -> dict[str, str]:
        """Made anew only when the report or the changes are others: while it learns, every second asks for them."""
        key = f"{_written(run, REPORT)} {_written(run, FORECAST)} {_edits_stamp(run)} {run.checked}"
        if run.name not in self._made or self._made[run.name][0] != key:
            problems = picture_views.found(run, shown) if run.checked else ""
            parts = {"counts": picture_views.tallies(run, shown), "problems": problems}
            self._made[run.name] = (key, {**parts, "line2": escape(picture_views.line(shown))})
        return self._made[run.name][1]


def _written(run: Run, name: str) -> int:
    """When a file of the run was written, in nanoseconds; 0 where there is none."""
    try:
        return (run.folder / name).stat().st_mtime_ns
    except OSError:
        return 0


def _edits_stamp(run: Run) -> str:
    try:
        return f"{(run.folder / CHANGES).stat().st_mtime_ns} {run.record.found.get('stamp')}"
    except OSError:
        return str(run.record.found.get("stamp"))
