"""The checkpoints as a shelf: what each is as a card of HTML, and renaming and deleting those made here."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mtl_model import branches, checkpoint, checkpoint_zip, jobs, kinds
from mtl_model import runs as folders
from mtl_model.card import (
    CARD,
    WEIGHTS,
    Card,
    check_name,
    is_taken,
    list_checkpoints,
    read_card,
    write_plain,
    write_text,
)
from mtl_model.errors import CheckpointError, RunError, UsageError, disk_text
from mtl_model.names import isolated
from mtl_model.runs import INCOMING, OUTCOME
from mtl_model.tasks import Task
from mtl_model.ui.figures import SHARES, Figure, data_set, number, words_of
from mtl_model.ui.render import escape, named
from mtl_model.ui.server.options import UiOptions

UNSHOWN = "Its card holds something that cannot be shown."


@dataclass(frozen=True)
class Entry:
    """A checkpoint on the shelf.

    card: the reason instead, where it is damaged. parent: what it came from, "" unless that is here too. children: what came
    from it. changeable: whether it can be renamed and deleted. marks: what else there is to say. before: the
    cards of its parent, of the parent of that, and so on, as far as they are here.
    """

    name: str
    folder: Path
    card: Card | CheckpointError
    parent: str
    children: tuple[str, ...]
    changeable: bool
    marks: tuple[str, ...]
    before: tuple[Card, ...] = ()

    @property
    def whole(self) -> bool:
        return isinstance(self.card, Card)

    @property
    def answers(self) -> bool:
        """Whether it says anything; one without a task is a start, from which can be taught alone."""
        return isinstance(self.card, Card) and bool(kinds.shown(self.card.tasks))


@dataclass(frozen=True)
class Shelf:
    options: UiOptions
    default: str
    """The checkpoint that the page begins with: it is neither renamed nor deleted."""

    def entries(self) -> list[Entry]:
        """Return all but shipped starts, the one to begin with first; one whose card is damaged can still be deleted."""
        found = list_checkpoints(self.options.weights, self.options.runs)
        cards: dict[str, Card | CheckpointError] = {}
        for name, folder in found.items():
            try:
                cards[name] = read_card(folder)
            except CheckpointError as error:
                cards[name] = error
        parents = {name: card.parent for name, card in cards.items() if isinstance(card, Card)}
        entries = []
        for name in sorted(cards, key=lambda name: (name != self.default, name)):
            shipped, first = found[name].parent == self.options.weights, name == self.default
            marks = (*(("Came with the program",) if shipped else ()), *(("The page begins with it",) if first else ()))
            children = tuple(child for child, parent in parents.items() if parent == name)
            known = parents.get(name, "") if parents.get(name) in cards else ""
            before = _before(name, cards)
            entries.append(
                Entry(name, found[name], cards[name], known, children, not (shipped or first), marks, before)
            )
        return [entry for entry in entries if entry.changeable or not isinstance(entry.card, Card) or entry.card.tasks]

    def deleted(self) -> list[folders.Aside]:
        """Return what was deleted here and can still be brought back."""
        return [aside for aside in folders.asides(self.options.runs) if not aside.waited]

    def html(self, entry: Entry) -> str:
        """Return what is said of a checkpoint on its card."""
        try:
            inside = (
                body(entry.card, entry.folder, entry.before)
                if isinstance(entry.card, Card)
                else _alert(str(entry.card))
            )
        except Exception:  # written by hand: it has the fields, not their kinds
            inside = _alert(UNSHOWN)
        marks = "".join(f'<span class="origin">{mark}</span>' for mark in entry.marks)
        return f'<div class="title"><h3>{escape(entry.name)}</h3>{marks}</div>{inside}'

    def offers(self, entry: Entry, entries: Iterable[Entry]) -> dict[str, str]:
        """Return {"DONOR/TASK": what it is in words} of the tasks of others that can be put onto a checkpoint."""
        found = {}
        for other in entries:
            if entry.answers and other.answers and other.name != entry.name:
                with contextlib.suppress(CheckpointError):  # one that is damaged says so on its own card
                    for task in branches.offered(entry.folder, other.folder):
                        found[f"{other.name}/{task.name}"] = f"{isolated(task.title)} of {isolated(other.name)}"
        return found

    def join(self, name: str, offer: str, to: str) -> None:
        """Put a task of another checkpoint, one of `offers`, onto a checkpoint, as a third one called `to`.

        Raises CheckpointError, UsageError, RunError."""
        donor, _, task = offer.partition("/")
        known, options = list_checkpoints(self.options.weights, self.options.runs), self.options
        for wanted in (name, donor):
            if wanted not in known:
                raise CheckpointError(
                    f"There is no checkpoint '{wanted[:64]}' any more. The list is read anew; choose another."
                )
        network, card = branches.joined(known[name], known[donor], [task])
        with said(f"'{to}' could not be written"):
            options.runs.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=INCOMING, dir=options.runs, ignore_cleanup_errors=True) as place:
                folder = Path(place) / "checkpoint"
                checkpoint.save(folder, network, card)
                checkpoint_zip.keep(folder, to, options.weights, options.runs)

    def rename(self, name: str, to: str) -> None:
        """Raises CheckpointError, UsageError, RunError."""
        folder = self._changeable(name)
        if is_taken(check_name(to), self.options.weights, self.options.runs):
            raise UsageError(f"There is a checkpoint '{to}' already, or a run of that name. Choose another name.")
        with folders.held(self.options.runs, name), said(f"'{name}' could not be renamed"):
            os.rename(folder, self.options.runs / to)
            _say_name(self.options.runs / to, name, to)
            for other in list_checkpoints(self.options.runs, self.options.runs).values():
                _say_parent(other, name, to)

    def delete(self, name: str) -> None:
        """Take it away, so that it can be brought back for 10 minutes. Raises CheckpointError, UsageError, RunError."""
        folder = self._changeable(name)
        with folders.held(self.options.runs, name):
            folders.set_aside(folder)

    def _changeable(self, name: str) -> Path:
        found = list_checkpoints(self.options.weights, self.options.runs)
        if name not in found:
            raise CheckpointError(f"There is no checkpoint '{name}' any more. The list is read anew; choose another.")
        if name == self.default or found[name].parent == self.options.weights:
            raise UsageError(
                f"'{name}' came with the program, or the page begins with it. Expected another one; this one stays."
            )
        for job in jobs.every(self.options.runs):
            starts = [word for option, word in itertools.pairwise(job.words) if option == "--from"]
            if job.state in ("waiting", "running") and name in (job.name, *starts):
                raise UsageError(
                    f"'{name}' is needed by '{job.name}', which is being worked on. Wait, or stop that first."
                )
        return found[name]


def _alert(sentence: str) -> str:
    return f'<p class="alert">{escape(sentence)}</p>'


def undo_lines(asides: Iterable[folders.Aside], done: str) -> str:
    """A line for each run that was taken away a moment ago, with the button that brings it back. done: in a word."""
    return "".join(
        f'<div class="undo"><span><b>{escape(aside.name)}</b> is {done}.</span><button type="button" class="button" '
        f'id="undo-{aside.token}" data-do="bring-back" data-token="{aside.token}" '
        f'aria-label="Undo: bring {escape(aside.name)} back">Undo</button>'
        '<span class="small">for 10 minutes</span></div>'
        for aside in asides
    )


def _before(name: str, cards: Mapping[str, Card | CheckpointError]) -> tuple[Card, ...]:
    """The cards of those that a checkpoint came from, its parent first."""
    found, seen = [], {name}
    card = cards[name]
    while isinstance(card, Card) and card.parent in cards and card.parent not in seen:
        seen.add(card.parent)
        card = cards[card.parent]
        found.append(card)
    return tuple(one for one in found if isinstance(one, Card))


def body(card: Card, folder: Path, before: Sequence[Card] = ()) -> str:
    """What a checkpoint is, as HTML: tasks, parent, date, size, the few figures that count. before: see `Entry`.

    Raises any exception for a card that was written by hand and holds what cannot be shown."""
    tasks = _listed(
        isolated(task.title if number == 0 else task.title.lower())
        for number, task in enumerate(kinds.shown(card.tasks))
    )
    pairs = [
        ("Made from", card.parent),
        ("Made on", _date(card.created)),
        ("Network", f"{card.network}, {card.parameters / 1e6:.1f} million parameters"),
        ("Size", f"{_bytes(folder) / 1e6:.1f} MB"),
    ]
    rows = "".join(f"<div><dt>{what}</dt><dd>{escape(text)}</dd></div>" for what, text in pairs if text)
    sentence = f"<p>{escape(card.summary)}</p>" if outcome_of(card) else ""
    html = f'<p class="lead">{escape(tasks)}</p>{sentence}<dl>{rows}</dl>{figures(card, before)}'
    html.encode()  # half a letter, as JSON can hold it, cannot be sent
    return html


def outcome_of(card: Card) -> Mapping[str, Any]:
    """What teaching it brought on the pictures held apart; {} for a checkpoint that nobody taught further."""
    return dict(card.training.get("outcome") or {})


def figures(card: Card, before: Sequence[Card] = ()) -> Markup:
    """A row for each task with the one figure that stands for it. before: see `Entry`."""
    rows = "".join(_row(task, card, before) for task in kinds.shown(card.tasks))
    return Markup('<table class="plain"><tbody>' + rows + "</tbody></table>")


def _row(task: Task, card: Card, before: Sequence[Card]) -> str:
    value, said, of = _figure(task, card, before)
    said = f"as in {of}: {said}".rstrip(": ") if of else said
    return (
        f'<tr><th scope="row">{named(task.title)}</th><td><b>{escape(value)}</b>'
        f"{f' <span class=small>{escape(said)}</span>' if said else ''}</td></tr>"
    )


def _figure(task: Task, card: Card, before: Sequence[Card]) -> tuple[str, str, str]:
    """A figure, what it is, and whose, "" for this one's own: from teaching it here, else as it was measured, else that of the
    parent that it is the same as."""
    outcome = outcome_of(card)
    taught, changed = dict(outcome.get("tasks") or {}).get(task.name), dict(outcome.get("changed") or {})
    measured = _measured(task, card)
    value, said, of = "Not measured", "", ""
    if taught:
        words, unit = words_of(str(taught["metric"]), task)
        ends = [number(float(one), unit, False) for one in taught.get("interval") or ()]
        value, said = (
            number(float(taught["after"]), unit),
            f"{words.lower()}{f', {ends[0]} to {ends[1]}' if len(ends) == 2 else ''}, on {int(taught['n']):,} held-out pictures",
        )
        if taught.get("before") is not None:
            said += f"; before {number(float(taught['before']), unit)}{_difference(taught.get('difference'), unit)}"
    elif measured:
        words, unit, figure, source = measured
        value = number(float(figure["value"]), unit)
        between = " to ".join(number(float(figure.get(edge, figure["value"])), unit, False) for edge in ("low", "high"))
        said = f"{words.lower()}, {between}, on {int(figure.get('n', 0)):,} {card.subject}s of {source}"
    elif changed.get(task.name) == 0 and before and task.name in {one.name for one in before[0].tasks}:
        value, said, of = _figure(task, before[0], before[1:])
        of = of or card.parent
    elif task.name in changed:
        share = float(changed[task.name])
        parent = card.parent or "its parent"
        value = "Unchanged" if share == 0 else f"{100 * share:.1f} % differ"
        said = (
            f"answers the same as {parent}"
            if share == 0
            else f"of the answers on held-out {card.subject}s differ from {parent}"
        )
    return value, said, of


def _measured(task: Task, card: Card) -> tuple[str, str, Figure, str] | None:
    """(words, unit, figure, data set) of the first record of a test part that has one."""
    records = sorted(card.metrics, key=lambda record: record.get("split") != "test")
    for record in records:
        figures = dict(record.get("tasks") or {}).get(task.name) or {}
        if name := kinds.headline(figures):
            source = data_set(str(record.get("source", "")), str(record.get("data_set", "")))
            return *words_of(name, task), figures[name], source
    return None


def _difference(edges: Any, unit: str) -> str:
    if not edges:
        return ""
    low, high = (100 * float(edge) if unit in SHARES else float(edge) for edge in edges)
    word = " points" if unit in SHARES else f" {unit}".rstrip()
    chance = ", which could be chance" if low <= 0 <= high else ""
    return f", difference {low:+.1f} to {high:+.1f}{word}{chance}".replace("-", "−")


def _say_name(folder: Path, old: str, new: str) -> None:
    """The commands that print its figures go by the new name; what else the card holds stays as it is."""
    with contextlib.suppress(ValueError, TypeError, FileNotFoundError):
        text = (folder / CARD).read_text(encoding="utf-8")
        write_text(folder / CARD, text.replace(f"mtl_model evaluate {old} ", f"mtl_model evaluate {new} "))


def _say_parent(folder: Path, old: str, new: str) -> None:
    """Write the new name of a parent into what its children say of it; other fields stay as they are."""
    for path in (folder / CARD, folder / OUTCOME):
        with contextlib.suppress(ValueError, FileNotFoundError):
            plain = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(plain, dict) and plain.get("parent") == old:
                write_plain(path, {**plain, "parent": new})


def _bytes(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in (CARD, WEIGHTS) if (folder / name).is_file())


def _date(text: str) -> str:
    try:
        day = datetime.date.fromisoformat(text[:10])
    except ValueError:
        return text
    return f"{day.day} {day:%B %Y}"


def _listed(words: Iterable[str]) -> str:
    *rest, last = [*words] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last


@contextlib.contextmanager
def said(what: str) -> Iterator[None]:
    """A full disk or a missing permission as a sentence."""
    try:
        yield
    except OSError as error:
        raise RunError(disk_text(what, error)) from None
