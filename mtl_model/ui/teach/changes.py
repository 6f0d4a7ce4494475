"""What a person changes of the pictures of a Teach run: left out, relabelled, classes renamed; each can be undone."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mtl_model import card, kinds
from mtl_model.data.dataset_edits import Changes
from mtl_model.errors import UsageError
from mtl_model.kinds import parse_label
from mtl_model.names import caption, isolated
from mtl_model.run_records import Forecast
from mtl_model.runs import CHANGES
from mtl_model.ui.teach import dataset
from mtl_model.ui.teach.dataset import LONGEST_WORD, Labelled, label_text
from mtl_model.ui.teach.teaching import Change, Run, read_edits

MOST_UNDO = 1000
RENEWED = 10  # changes, after which a forecast is made anew

_changing = threading.Lock()


def leave_out(run: Run, files: Sequence[str], out: bool = True) -> str:
    """Leave pictures out, or put them back, in one step that can be undone.

    Returns the sentence that says what was done. Raises UsageError for a picture that is not there."""
    _change(run, files, lambda said: said.update(out=out))
    return f"{_these(files)} {'left out' if out else 'back'}."


def keep(run: Run, files: Sequence[str], task: str) -> str:
    """Note that a person found the labels of these pictures right. Returns and raises as `leave_out` does."""
    _change(run, files, lambda said: said.update(kept=sorted({*said.get("kept", ()), task})))
    return f"{_these(files)} labelled as before."


def relabel(run: Run, task: str, words: Mapping[str, str]) -> str:
    """Give pictures other labels in one step that can be undone.

    words: {file: its label as people write it; "" takes it away}. Returns as `leave_out` does. Raises UsageError for a picture or
    a task that is not there, DataError for a label that the task does not know."""
    labelled = dataset.read_labelled(run)
    if task not in labelled.tasks:
        raise UsageError(f"These pictures have no labels of '{task[:64]}'. Reload the page, then choose again.")
    expect(labelled, [*words])
    given = {file: parse_label(labelled.tasks[task], word) for file, word in words.items()}

    def put(said: Change) -> None:
        label = given[said.get("file", "")]
        rest = {name: word for name, word in said.get("labels", {}).items() if name != task}
        first = labelled.by_file[said.get("file", "")].first.get(task)
        said["labels"] = rest if label == first else {**rest, task: label_text(labelled.tasks[task], label)}

    _change(run, [*words], put)
    title, different = labelled.tasks[task].title, {*words.values()}
    word = different.pop() if len(different) == 1 else None
    if word == "":
        return f"{_these([*words])} without a label of {isolated(title)} now."
    return f"{_these([*words])} now labelled {caption(title, word)}." if word else f"{_these([*words])} now labelled."


def _these(files: Sequence[str]) -> str:
    return f"{isolated(files[0])} is" if len(files) == 1 else f"{len(files):,} pictures are"


def _change(run: Run, files: Sequence[str], put: Callable[[Change], None]) -> None:
    """Write down what is said of each picture, as `put` changes it."""
    expect(dataset.read_labelled(run), files)
    with _changing:
        edits, steps, batch = dataset.edits_of(run.folder), _undo(run.folder), uuid.uuid4().hex
        for file in files:
            before = _said_of(edits, file)
            after = before.copy()
            put(after)
            edits, steps = _with(edits, after), [*steps, {**before, "batch": batch}]
        _write(run.folder, edits, steps)


def rename(run: Run, task: str, words: Mapping[str, str]) -> str:
    """Call classes otherwise: as another one is called, which merges them, or "", which takes the label away.

    words: {class as it is called now: its name}. Raises UsageError for a class that is not there."""
    labelled = dataset.read_labelled(run)
    classes = kinds.of(labelled.tasks[task]).choices(labelled.tasks[task]) if task in labelled.tasks else ()
    if strange := next((word for word in words if word not in classes), None):
        raise UsageError(f"There is no class '{strange[:64]}' here. Reload the page, then choose again.")
    if long := next((word for word in words.values() if len(word) > LONGEST_WORD), None):
        raise UsageError(f"The name '{long[:20]}...' is longer than {LONGEST_WORD} letters. Choose a shorter one.")
    with _changing:
        edits = dataset.edits_of(run.folder)
        first, own = edits.renamed.get(task, {}), dataset.own_task(run, task)
        called = {word: first.get(word, word) for word in kinds.of(own).choices(own)}
        called = {one: words.get(word, word).strip() for one, word in called.items()}
        changed = {one: word for one, word in called.items() if one != word}
        labels = {
            file: {name: words.get(word, word) if name == task else word for name, word in given.items()}
            for file, given in edits.labels.items()
        }
        before: Change = {"renamed": {name: dict(given) for name, given in edits.renamed.items()}}
        before["relabelled"] = {file: dict(given) for file, given in edits.labels.items()}
        after = dataclasses.replace(edits, renamed={**edits.renamed, task: changed}, labels=labels)
        _write(run.folder, after, [*_undo(run.folder), before])
    done = ", ".join(
        f"{isolated(one)} {f'is now {isolated(word)}' if word else 'has no part in it'}" for one, word in words.items()
    )
    return f"{done}."


def expect(labelled: Labelled, files: Sequence[str]) -> None:
    """Raise UsageError where no picture, or one that is not of this upload, is named."""
    if not files:
        raise UsageError("No picture is chosen. Expected at least one; choose pictures first.")
    for file in files:
        if file not in labelled.by_file:
            raise UsageError(f"There is no picture '{file[:100]}' in this upload. Reload the page, then choose again.")


def _said_of(edits: Changes, file: str) -> Change:
    return Change(
        file=file,
        out=file in edits.left_out,
        labels=dict(edits.labels.get(file, {})),
        kept=[*edits.kept.get(file, ())],
    )


def moved_since(run: Run, forecast: Forecast) -> int:
    """Return how many pictures have been changed since a forecast was made; other names of classes count as RENEWED."""
    now, then = dataset.edits_of(run.folder), forecast["edits"]
    out = set(now.left_out) ^ set(then["left_out"])
    files = now.labels.keys() | then["labels"].keys()
    relabelled = {file for file in files if now.labels.get(file) != then["labels"].get(file)}
    return len(out | relabelled) + (RENEWED if dict(now.renamed) != then["renamed"] else 0)


def undo(run: Run) -> str:
    """Take the last change back, with all of its batch. Raises UsageError where there is none."""
    dataset.expect_pictures(run)
    with _changing:
        edits, steps = dataset.edits_of(run.folder), _undo(run.folder)
        if not steps:
            raise UsageError("Nothing has been changed, so there is nothing to undo.", "nothing_changed")
        last, before = steps[-1], len(steps)
        while steps and (steps[-1] is last or steps[-1].get("batch", "") == last.get("batch")):
            edits = _with(edits, steps.pop())
        _write(run.folder, edits, steps)
    what = _these([last["file"]] * (before - len(steps))) if "file" in last else "the classes are"
    return f"The last change is undone: {what} as before."


def _with(edits: Changes, entry: Change) -> Changes:
    """The changes with what is said of one picture, or of the classes."""
    if "file" not in entry:
        return dataclasses.replace(edits, renamed=entry.get("renamed", {}), labels=entry.get("relabelled", {}))
    file = entry["file"]
    rest = tuple(one for one in edits.left_out if one != file)
    said = {"labels": entry.get("labels"), "kept": entry.get("kept")}
    others = {name: {one: given for one, given in getattr(edits, name).items() if one != file} for name in said}
    more = {name: {**others[name], **({file: given} if given else {})} for name, given in said.items()}
    return dataclasses.replace(edits, left_out=(*rest, file) if entry.get("out") else rest, **more)


def _undo(folder: Path) -> list[Change]:
    return list(read_edits(folder).get("undo", ()))


def can_undo(folder: Path) -> bool:
    return bool(_undo(folder))


def _write(folder: Path, edits: Changes, steps: Sequence[Change]) -> None:
    card.write_plain(folder / CHANGES, dataclasses.asdict(edits) | {"undo": list(steps)[-MOST_UNDO:]})
