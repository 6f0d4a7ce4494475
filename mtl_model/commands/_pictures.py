"""Pictures and folders of them: answered as they come, taken up again, written in every form that was asked for."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mtl_model import __version__
from mtl_model.commands._parts import progress
from mtl_model.events import Stage
from mtl_model.names import printable
from mtl_model.terminal import answer, say

if TYPE_CHECKING:
    import numpy as np

    from mtl_model.blurring import Who
    from mtl_model.journal import Journal, Stamp
    from mtl_model.predictor import Predictor
    from mtl_model.records import Photo
    from mtl_model.tasks import Task

STOPPED = 130
"""Exit code where answers were left to give, as shells have it after Ctrl+C."""
CLOSED_FOLDER = "The folder may not be read. Expected a readable folder; change its permissions."


@dataclass(frozen=True)
class Listed:
    """Pictures and folders that the paths of a command name.

    files: pictures by name, in their order. closed: folders that may not be read."""

    files: dict[str, Path]
    closed: dict[str, Path]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Listed:
        from mtl_model.names import as_text
        from mtl_model.pictures import list_pictures

        listed = [list_pictures(path) for path in paths]
        return cls(
            {as_text(str(file)): file for files, _ in listed for file in files},
            {as_text(str(folder)): folder for _, folders in listed for folder in folders},
        )


def predict(arguments: argparse.Namespace, predictor: Predictor, who: Who | None) -> int:
    """Answer every picture that the paths stand for, and write the answers however it ends. Returns the exit code."""
    listed = Listed.of(arguments.path)
    if not listed.files:
        say("There is no picture in " + ", ".join(f"'{path}'" for path in arguments.path) + ".")
    copies = _Copies.of(arguments, predictor.card.tasks, listed, who)
    work = _Work(arguments, predictor, listed, _begun(arguments, predictor, listed, copies), copies)
    try:
        try:
            whole = work.answer()
        finally:  # also where a picture could not be written: the answers are no less worth
            work.write()
        copies.tell()
    finally:
        work.journal.close()
    return int(bool(work.failed)) if whole else STOPPED


def _begun(arguments: argparse.Namespace, predictor: Predictor, listed: Listed, copies: _Copies) -> Journal:
    from mtl_model.card import to_text
    from mtl_model.journal import Journal, Settings

    digest = hashlib.sha256(to_text(predictor.card).encode()).hexdigest()[
        :16
    ]  # the card holds the digest of its weights
    settings = Settings(predictor.name, digest, arguments.smallest_face, __version__)
    if arguments.out is None:
        return Journal.temporary(settings)
    if not arguments.resume:
        return Journal.begin(arguments.out, settings)
    uncopied = {name for name, file in listed.files.items() if copies.lack(file)}
    journal, taken = Journal.resume(arguments.out, settings, {**listed.closed, **listed.files}, uncopied)
    say(taken.sentence())
    return journal


@dataclass
class _Work:
    """failed: sentences of what could not be read, by name."""

    arguments: argparse.Namespace
    predictor: Predictor
    listed: Listed
    journal: Journal
    copies: _Copies
    failed: dict[str, str] = field(default_factory=dict)

    def answer(self) -> bool:
        """Answer what is not answered yet; returns whether that was all."""
        from mtl_model import pipeline, processes
        from mtl_model.journal import NO_FILE, stamp_of
        from mtl_model.records import Photo

        for name in self.listed.closed:
            self._keep(Photo(name, CLOSED_FOLDER), NO_FILE)
        # Before they are read: a picture that is changed meanwhile differs from its stamp, and is read anew.
        left = {file: stamp_of(file) for name, file in self.listed.files.items() if name not in self.journal}
        bar, done = progress(self.arguments), 0
        with processes.stoppable() as stop:
            more = {"smallest_face_px": self.arguments.smallest_face, "finish": self.copies.finish, "stop": stop}
            with contextlib.closing(pipeline.photos(self.predictor, [*left], **more)) as answers:
                for file, photo in answers:
                    bar(Stage.PREDICTING, done, len(left))
                    self._keep(photo, left[file])
                    done += 1
        if done < len(left):
            again = "; the same command with --resume goes on" if self.arguments.out else ""
            say(f"Stopped after {done:,} of {len(left):,} pictures; the answers to them are written{again}.")
        elif left:
            bar(Stage.PREDICTING, done, len(left))
        return done == len(left)

    def write(self) -> None:
        """Write the forms that are made of all answers, or print them where none was asked for."""
        from mtl_model import answers, card

        arguments, tasks, names = self.arguments, self.predictor.card.tasks, [*self.listed.closed, *self.listed.files]
        titles, subject = {task.name: task.title for task in tasks}, self.predictor.card.subject
        if arguments.json:
            card.write_list(arguments.json, self.journal.plain(names))
        if arguments.csv:
            card.write_text(arguments.csv, answers.to_csv(self.journal.photos(names, titles, subject), tasks))
        if arguments.summary:
            card.write_text(arguments.summary, self._summary(self.journal.photos(names, titles, subject)))
        if not (arguments.json or arguments.csv or arguments.out or arguments.summary):
            for photo in self.journal.photos(names, titles, subject):
                for line in () if photo.error else answers.to_lines(photo, tasks):
                    answer(line)
        for name in names:
            if name in self.failed:
                say(f"{name}: {self.failed[name]}")

    def _summary(self, photos: Iterator[Photo]) -> str:
        """The page of --summary, whose links lead from its own folder to the pictures."""
        from mtl_model.ui.faces.summary import summarised

        files, beside = {**self.listed.closed, **self.listed.files}, os.path.abspath(self.arguments.summary.parent)

        def link(name: str) -> str:
            try:
                return quote(os.fsencode(Path(os.path.relpath(files[name], beside)).as_posix()))
            except ValueError:  # another drive
                return files[name].absolute().as_uri()

        title = f"Faces in {', '.join(str(path) for path in self.arguments.path)}"
        return summarised(photos, self.predictor.card.tasks, printable(title), link)

    def _keep(self, photo: Photo, stamp: Stamp) -> None:
        self.journal.add(photo, stamp)
        if photo.error:
            self.failed[photo.photo] = photo.error


@dataclass
class _Copies:
    """The copies of pictures that were asked for: with boxes, with faces made unrecognisable.

    places: where below their folder the copies of each file lie."""

    annotated: Path | None
    blurred: Path | None
    who: Who | None
    tasks: Sequence[Task]
    places: dict[Path, Path]
    counted: list[tuple[int, int]] = field(default_factory=list)
    """Of each blurred copy the faces seen, and those made unrecognisable."""

    @classmethod
    def of(cls, arguments: argparse.Namespace, tasks: Sequence[Task], listed: Listed, who: Who | None) -> _Copies:
        places = _places([*listed.files.values()], arguments.path)
        return cls(arguments.annotate, arguments.blur_to, who, tasks, places)

    def lack(self, file: Path) -> bool:
        """Return whether a copy of a picture is to be written and not there."""
        return any(folder and not (folder / self.places[file]).exists() for folder in (self.annotated, self.blurred))

    def finish(self, file: Path, rgb: np.ndarray, photo: Photo) -> None:
        """Write the copies of a picture; see `pipeline.Finish`."""
        from mtl_model import blurring, drawing

        if self.annotated:
            drawing.save_png(drawing.annotate(rgb, photo), self.annotated / self.places[file])
        if self.blurred and self.who:
            chosen = blurring.chosen(photo.readings, self.tasks, self.who)
            copy = blurring.blur(rgb, (reading.face.box for reading in chosen))
            drawing.save_png(copy, self.blurred / self.places[file])
            self.counted.append((len(photo.readings), len(chosen)))

    def tell(self) -> None:
        """Say what was made unrecognisable: what the detector misses stays as it is."""
        if not self.counted:
            return
        faces, without = sum(blurred for _, blurred in self.counted), sum(not seen for seen, _ in self.counted)
        say(
            f"{faces:,} faces made unrecognisable in {len(self.counted):,} pictures; in {without:,} of them no face was found."
        )
        say("A face that is not found stays as it is: look at the copies before you hand them on.")


def _places(files: Sequence[Path], roots: Sequence[Path]) -> dict[Path, Path]:
    """Return where below its folder each picture's copy lies; the second of a name gets a number."""
    places: dict[Path, Path] = {}
    taken: set[Path] = set()
    for file in files:
        root = next((root for root in roots if root.is_dir() and root in file.parents), file.parent)
        place = file.relative_to(root)
        names = (f"{file.name}.png", *(f"{file.name}-{number}.png" for number in range(2, len(taken) + 3)))
        places[file] = next(path for path in map(place.with_name, names) if path not in taken)
        taken.add(places[file])
    return places
