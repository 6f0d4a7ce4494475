"""The command line: python -m mtl_model predict | train | finetune | evaluate | calibrate | check | models | ui.

Answers go to stdout, progress and errors to stderr. Exit codes: 0 done or stopped on request; 1 failed while working
(predict: some pictures have no answer; check: usable with warnings); 130 predict was stopped, its answers so far are
written; 2 wrong usage, a taken name,
something that cannot be loaded, or (check) a data set that is not usable.
torch is imported by the commands that need it, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl_model import __version__, card, config, events, jobs, kinds, processes, run_records, runs
from mtl_model.answers import to_csv
from mtl_model.destinations import check_file, check_folder, temporary_name
from mtl_model.errors import CheckpointError, MtlError, RunError, UsageError
from mtl_model.names import as_text
from mtl_model.pictures import list_pictures, read_picture
from mtl_model.records import Photo, to_json
from mtl_model.tasks import Task
from mtl_model.terminal import Parser, Progress, answer, given_path, has_stdout, let_go, prepare, say

STOPPED = 130
"""Exit code of `predict` that was stopped with answers left to give, as shells have it after Ctrl+C."""
CLOSED_FOLDER = "The folder may not be read. Expected a readable folder; change its permissions."
ANSWERS: Mapping[str, tuple[str, ...]] = {
    "predict": ("json", "csv", "annotate"),
    "evaluate": ("json", "charts", "keep"),
    "check": ("json", "charts"),
    "models": ("json",),
}
"""Commands that print their answer, with the options that write it elsewhere."""
READINGS = Path("docs/test-readings.md")


def add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", type=given_path, default=None, metavar="DIR", help="folder of the shipped checkpoints"
    )
    parser.add_argument(
        "--runs",
        type=given_path,
        default=Path("runs"),
        metavar="DIR",
        help="folder of the checkpoints made here (default: runs)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument("--threads", type=int, default=None, help="threads of torch; all cores if not given")


def check_files(arguments: argparse.Namespace, *options: str) -> None:
    """Raise UsageError unless the files that options name can be written, each to a place of its own."""
    given = {name: getattr(arguments, name) for name in options if getattr(arguments, name)}
    for name, path in given.items():
        check_file(path, f"--{name}")
    files = [os.path.realpath(path) for path in given.values() if path.is_file() or not path.exists()]
    if len(set(files)) < len(files):
        raise UsageError(
            f"{' and '.join(f'--{name}' for name in given)} name one file, '{files[0]}'. Expected a file for each; give another."
        )


def check_charts(folder: Path | None) -> None:
    """Raise UsageError where charts were asked for and cannot be drawn or written."""
    from mtl_model.evaluate import charts

    check_folder(folder, "--charts")
    if folder is not None:
        charts.check_installed()


def use_threads(arguments: argparse.Namespace) -> None:
    """Raise UsageError for a number that torch would crash on: it makes the threads that it is told to."""
    if arguments.threads is not None:
        most = 4 * processes.cores()
        if not 1 <= arguments.threads <= most:
            raise UsageError(
                f"--threads is {arguments.threads}. Expected 1 to {most}, four per core; give another number, or none for "
                "one thread per core."
            )
        import torch

        torch.set_num_threads(arguments.threads)


# -- predict -----------------------------------------------------------------------------------------------------


def add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="+", type=given_path, metavar="PATH", help="a picture, or a folder of pictures")
    parser.add_argument(
        "--checkpoint", default=None, metavar="NAME", help="default: `default` if it is there, else bknet"
    )
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the answers as JSON")
    parser.add_argument("--csv", type=given_path, metavar="FILE", help="write the answers as CSV, a row a face")
    parser.add_argument("--annotate", type=given_path, metavar="DIR", help="write the pictures with numbered boxes")
    parser.add_argument(
        "--smallest-face",
        type=float,
        default=None,
        metavar="PX",
        help="longer edge of the smallest face looked for, in pixels of the upright picture",
    )
    add_places(parser)
    add_device(parser)


def predict(arguments: argparse.Namespace) -> int:
    for path in arguments.path:
        if not path.exists():
            raise UsageError(f"'{path}' is not there. Expected a picture or a folder; check the path.")
    if arguments.smallest_face is not None and not arguments.smallest_face > 0:
        raise UsageError(f"--smallest-face is {arguments.smallest_face}. Expected pixels above 0; give another number.")
    check_files(arguments, "json", "csv")
    check_folder(arguments.annotate, "--annotate")
    from mtl_model.predictor import Predictor

    use_threads(arguments)
    predictor = Predictor.load(
        arguments.checkpoint, weights=arguments.weights, runs=arguments.runs, device=arguments.device
    )
    listed = [list_pictures(path) for path in arguments.path]
    photos = [Photo(as_text(str(folder)), CLOSED_FOLDER) for _, folders in listed for folder in folders]
    files = [file for pictures, _ in listed for file in pictures]
    if not files:
        say("There is no picture in " + ", ".join(f"'{path}'" for path in arguments.path) + ".")
    progress, drawn, closed, stopped = Progress(), set(), len(photos), False
    try:
        with processes.interruptible():
            for number, file in enumerate(files):
                progress("pictures", number, len(files))
                photos.append(predictor.photo(file, as_text(str(file)), smallest_face_px=arguments.smallest_face))
                if arguments.annotate and not photos[-1].error:
                    _annotate(arguments.annotate, file, arguments.path, photos[-1], drawn)
        if files:
            progress("pictures", len(files), len(files))
    except KeyboardInterrupt:
        stopped = True
        say(f"Stopped after {len(photos) - closed:,} of {len(files):,} pictures; the answers to them are written.")
    finally:  # also where a picture could not be drawn: the answers are no less worth
        _write_answers(arguments, photos, predictor.card.tasks)
    return STOPPED if stopped else 1 if any(photo.error for photo in photos) else 0


def _annotate(folder: Path, file: Path, roots: Sequence[Path], photo: Photo, drawn: set[Path]) -> None:
    """drawn: what was written already; a second picture of a name gets a number."""
    from mtl_model.drawing import annotate

    root = next((one for one in roots if one.is_dir() and one in file.parents), file.parent)
    place = folder / file.relative_to(root)
    names = (f"{file.name}.png", *(f"{file.name}-{number}.png" for number in range(2, len(drawn) + 3)))
    target = next(one for one in map(place.with_name, names) if one not in drawn)
    drawn.add(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target)
    try:
        annotate(read_picture(file), photo).save(temporary, "PNG")
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _write_answers(arguments: argparse.Namespace, photos: list[Photo], tasks: Sequence[Task]) -> None:
    if arguments.json:
        card.write_plain(arguments.json, to_json(photos))
    if arguments.csv:
        card.write_text(arguments.csv, to_csv(photos, tasks))
    for photo in photos:
        if photo.error:
            say(f"{photo.photo}: {photo.error}")
        elif not (arguments.json or arguments.csv):
            for line in readable(photo, tasks):
                answer(line)


def readable(photo: Photo, tasks: Sequence[Task]) -> Iterator[str]:
    """A line a face, as people read it."""
    if not photo.readings:
        yield f"{photo.photo}: no face found"
    for number, reading in enumerate(photo.readings, start=1):
        parts = []
        for task in tasks:
            if estimate := reading.estimates.get(task.name):
                detail = kinds.of(task).detail(estimate)
                parts.append(f"{estimate.caption} ({detail}{'' if estimate.sure else ', unsure'})")
        yield f"{photo.photo}: face {number}: {', '.join(parts)}"


# -- train -------------------------------------------------------------------------------------------------------


def add_train(parser: argparse.ArgumentParser) -> None:
    config.add_options(parser, config.TrainConfig)
    parser.add_argument(
        "--tensorboard", type=given_path, metavar="DIR", help="write losses and val figures for TensorBoard"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last state, with the same settings")
    add_places(parser)
    add_device(parser)


def train(arguments: argparse.Namespace) -> int:
    settings: config.TrainConfig = config.from_options(config.TrainConfig, vars(arguments))
    name = card.check_name(settings.name)
    weights = arguments.weights or card.shipped_weights()
    folder = arguments.runs / name
    if not settings.source:
        raise UsageError("No --source is given. Expected at least one, such as --source utkface:DIR.")
    check_folder(folder, "--runs")
    check_folder(arguments.tensorboard, "--tensorboard")
    with runs.claimed(folder, weights, begun=arguments.resume, resume=arguments.resume):
        from mtl_model import predictor
        from mtl_model.train import loop

        use_threads(arguments)
        (folder / runs.STOP).unlink(missing_ok=True)
        start = card.find_checkpoint(settings.start, weights, arguments.runs) if settings.start else None
        stream = loop.train(
            settings,
            folder,
            device=predictor.choose_device(arguments.device),
            resume=arguments.resume,
            start=start,
            progress=Progress(),
        )
        return _drain(stream, folder, Board(arguments.tensorboard) if arguments.tensorboard else None)


class Board:
    """Events as TensorBoard shows them; tensorboard is an extra."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "TensorBoard is not installed. Run: pip install tensorboard, or leave --tensorboard out."
            ) from None
        self._writer = SummaryWriter(str(folder))

    def add(self, event: events.Event) -> None:
        if isinstance(event, events.Step):
            for task, loss in event.losses.items():
                self._writer.add_scalar(f"loss/{task}", loss, event.step)
            self._writer.add_scalar("learning_rate", event.learning_rate, event.step)
        elif isinstance(event, events.Evaluated):
            for task, metrics in event.metrics.items():
                for name, value in metrics.items():
                    self._writer.add_scalar(f"val/{task}_{name}", value, event.step)
            self._writer.add_scalar("val/score", event.score, event.step)
        self._writer.flush()


def _drain(stream: Iterator[events.Event], folder: Path, board: Board | None) -> int:
    """Write each event to the run's file and show it; the file is made with the first: several processes have one teller."""
    failed, log = False, None
    try:
        for event in stream:
            if log is None:
                log = (folder / runs.EVENTS).open("a", encoding="utf-8", errors="backslashreplace")
            print(events.to_line(event), file=log, flush=True)
            say(sentence(event))
            if board:
                board.add(event)
            failed = failed or isinstance(event, events.Failed)
    finally:
        if log:
            log.close()
    return 1 if failed else 0


def sentence(event: events.Event) -> str:
    """An event as a line for people."""
    match event:
        case events.Started():
            steps = event.steps - event.first_step
            return f"{event.name}: {steps:,} steps, {event.epochs} epochs; {json.dumps(event.counts, allow_nan=False)}"
        case events.Step():
            losses = " ".join(f"{task} {loss:.3f}" for task, loss in event.losses.items())
            pace = f"{event.pictures_per_second:.0f} pictures/s, {event.seconds_left / 60:.0f} min left"
            return f"epoch {event.epoch + 1} step {event.step:,}: {losses}; {pace}"
        case events.Evaluated():
            found = "; ".join(
                f"{task} " + " ".join(f"{name} {one:.3f}" for name, one in some.items())
                for task, some in event.metrics.items()
            )
            best = ", the best so far" if event.best else ""
            return f"epoch {event.epoch + 1} on val: {found}; score {event.score:.4f}{best}"
        case events.Saved():
            return f"saved the {event.kind} at step {event.step:,}"
        case events.Stopped():
            return f"stopped at step {event.step:,}: {event.reason}"
        case events.Finished():
            spent = f"{event.step:,} steps and {event.seconds / 60:.1f} min"
            return f"finished after {spent}; the best epoch is {event.best_epoch + 1}"
        case events.Noted() | events.Failed():
            return event.text
    return events.to_line(event)


# -- finetune ----------------------------------------------------------------------------------------------------


def add_finetune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=given_path, metavar="DATA", help="a folder or zip of labelled pictures, or a CSV file"
    )
    config.add_options(parser, config.FinetuneConfig)
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write what it brought as JSON")
    parser.add_argument(
        "--pending", action="store_true", help="let the new checkpoint wait to be accepted, as the page does"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last state, with the same settings")
    add_places(parser)
    add_device(parser)


def finetune(arguments: argparse.Namespace) -> int:
    settings: config.FinetuneConfig = config.from_options(config.FinetuneConfig, vars(arguments))
    name = card.check_name(settings.name)
    weights, folder = arguments.weights or card.shipped_weights(), arguments.runs / name
    check_files(arguments, "json")
    check_folder(folder, "--runs")
    waits = (folder / card.PENDING).is_file() or not (folder / card.CARD).exists()
    if not arguments.data.exists():
        raise UsageError(f"'{arguments.data}' is not there. Expected a folder, a zip or a CSV file; check the path.")
    parent = card.find_checkpoint(settings.start or None, weights, arguments.runs)
    with runs.claimed(
        folder, weights, begun=waits and (arguments.pending or arguments.resume), resume=arguments.resume
    ):
        card.write_text(folder / card.PENDING, "")
        if not arguments.pending:  # the page clears it before it starts the job, and may have asked to stop since
            (folder / runs.STOP).unlink(missing_ok=True)
        code = _finetune(settings, folder, parent, arguments)
    outcome: Any = runs.read(folder / runs.OUTCOME, run_records.Outcome)
    if code == 0 and outcome:
        if not arguments.pending:
            runs.accept(folder)
        if arguments.json:  # last: what was learned counts, wherever this can be written
            kept = ("metric", "before", "after", "difference")
            tasks = {task: {one: figures[one] for one in kept} for task, figures in outcome["tasks"].items()}
            plain = {"checkpoint": name, "seconds": outcome["seconds"], "tasks": tasks, "changed": outcome["changed"]}
            card.write_plain(arguments.json, plain)
    return code


def _finetune(settings: config.FinetuneConfig, folder: Path, parent: Path, arguments: argparse.Namespace) -> int:
    data: Path = arguments.data
    if data.suffix.casefold() == ".csv" and data.is_file():
        settings = dataclasses.replace(settings, layout="csv", data=str(data.parent), labels=data.name)
    elif data.is_file():
        from mtl_model import archives

        unpacked = folder / runs.DATA / data.stem  # bare folders of classes are a task called like the archive
        if not unpacked.is_dir():
            archives.unpack(data, unpacked)
        settings = dataclasses.replace(settings, data=str(unpacked))
    else:
        settings = dataclasses.replace(settings, data=str(data))
    from mtl_model import predictor
    from mtl_model.train import finetune

    use_threads(arguments)
    device = predictor.choose_device(arguments.device)
    resume = arguments.resume and (folder / runs.STATE).exists()  # one that was killed before begins anew
    stream = finetune.finetune(settings, folder, parent, device=device, resume=resume, progress=Progress())
    return _drain(stream, folder, None)


# -- evaluate, models, ui ----------------------------------------------------------------------------------------


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    for name in ("columns", "attributes"):
        field = next(one for one in dataclasses.fields(config.TrainConfig) if one.name == name)
        parser.add_argument(f"--{name}", default="", help=field.metadata["help"])


def layout_options(arguments: argparse.Namespace) -> dict[str, str]:
    return {"columns": arguments.columns, "attributes": arguments.attributes}


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    add_layout_options(parser)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name of the checkpoint")
    parser.add_argument("--source", required=True, metavar="KIND:DIR", help="the data set to measure on")
    parser.add_argument("--split", default="test", help="train, val or test (default: test)")
    parser.add_argument(
        "--limit",
        type=int,
        default=None,
        metavar="N",
        help="N pictures drawn at random, always the same ones, for a quick look",
    )
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the record as JSON")
    parser.add_argument(
        "--charts", type=given_path, metavar="DIR", help="write confusion, calibration and age-error charts"
    )
    parser.add_argument(
        "--readings",
        type=given_path,
        default=READINGS,
        metavar="FILE",
        help="log of the readings of test splits, if it is there",
    )
    parser.add_argument("--keep", action="store_true", help="write the record into the checkpoint's card")
    add_places(parser)
    add_device(parser)


def evaluate(arguments: argparse.Namespace) -> int:
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"--limit is {arguments.limit}. Expected at least 1 picture; give another number.")
    if arguments.keep and arguments.limit is not None:
        raise UsageError(
            "--keep writes figures of the whole split, and --limit measures a part. Leave one of them out."
        )
    weights = arguments.weights or card.shipped_weights()
    folder = card.find_checkpoint(arguments.checkpoint, weights, arguments.runs)
    check_files(arguments, "json")
    check_charts(arguments.charts)
    noted = arguments.split == "test" and arguments.limit is None and arguments.readings.is_file()
    check_file(arguments.readings if noted else None, "--readings")
    check_file(folder / card.CARD if arguments.keep else None, "--keep")
    from mtl_model import checkpoint, predictor
    from mtl_model.evaluate import metrics

    use_threads(arguments)
    device = predictor.choose_device(arguments.device)
    network, loaded = checkpoint.load(folder, device)
    options = layout_options(arguments)
    record = metrics.evaluate(
        network,
        loaded,
        arguments.source,
        arguments.split,
        device=device,
        limit=arguments.limit,
        options=options,
        progress=Progress(),
        note=say,
    )
    if arguments.json:
        card.write_plain(arguments.json, record)
    if arguments.charts:
        from mtl_model.evaluate import charts

        for file in charts.evaluation_charts(record, arguments.charts):
            say(f"wrote {file}")
    if noted:
        note_reading(arguments.readings, folder.name, record)
    if arguments.keep:
        keep_record(folder, record, arguments.source, options)
    for task, values in record["tasks"].items():
        for metric, value in values.items():
            answer(f"{task} {metric}: {value['value']} ({value['low']} to {value['high']}, n = {value['n']})")
    return 0


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    add_layout_options(parser)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="name of the checkpoint")
    parser.add_argument(
        "--source",
        required=True,
        action="append",
        metavar="KIND:DIR",
        help="a data set whose val split to fit on; may be given several times",
    )
    parser.add_argument(
        "--flip-averaging",
        choices=("on", "off"),
        default=None,
        help="whether each face is also asked for mirrored; as it was if not given",
    )
    parser.add_argument(
        "--only-errors",
        action="store_true",
        help="measure only the errors for faces like one; temperatures, margins and figures stay as they are",
    )
    parser.add_argument(
        "--about",
        type=given_path,
        metavar="FILE",
        help='JSON with the sentences of the card: {"summary": "", "limits": [], "terms": ""}',
    )
    add_places(parser)
    add_device(parser)


def calibrate(arguments: argparse.Namespace) -> int:
    folder = card.find_checkpoint(arguments.checkpoint, arguments.weights or card.shipped_weights(), arguments.runs)
    said = _read_about(arguments.about) if arguments.about else {}
    check_file(folder / card.CARD, "The checkpoint")
    from mtl_model import checkpoint, predictor
    from mtl_model.evaluate import recalibration

    use_threads(arguments)
    device = predictor.choose_device(arguments.device)
    network, before = checkpoint.load(folder, device)
    flip = {"on": True, "off": False}.get(arguments.flip_averaging)
    fitted = recalibration.recalibrate(
        *(network, before, arguments.source),
        options=layout_options(arguments),
        flip_averaging=flip,
        only_errors=arguments.only_errors,
        device=device,
        progress=Progress(),
        note=say,
    )
    if before.metrics and not fitted.metrics:
        say("The card's figures were measured before and are taken out; evaluate --keep writes new ones.")
    card.write_card(folder, dataclasses.replace(fitted, **said))
    for name, calibration in fitted.calibration.items():
        values = (f"{field} {value}" for field, value in dataclasses.asdict(calibration).items())
        answer(f"{name}: {', '.join(values)}")
    return 0


def _read_about(file: Path) -> dict[str, Any]:
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        said = {"summary": str(plain["summary"]), "limits": tuple(str(one) for one in plain["limits"])}
        return said | ({"terms": str(plain["terms"])} if "terms" in plain else {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"'{file}' cannot be read ({error}). Expected JSON with summary and limits; correct it."
        ) from None


def note_reading(file: Path, checkpoint: str, record: dict[str, Any]) -> None:
    """A line for each reading of a test split: val chooses, test is read, and how often it was is written down."""
    import datetime
    import subprocess

    try:
        called = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        commit = called.stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or a copy that is no repository
        commit = "unknown"
    first = {task: next(iter(metrics.items())) for task, metrics in record["tasks"].items()}
    figures = "; ".join(f"{task} {name} {one['value']}" for task, (name, one) in first.items())
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    line = f"| {date} | {commit} | {checkpoint} | {record['source']} | {record['n']} | {figures} |\n"
    card.write_text(file, file.read_text(encoding="utf-8") + line)


def keep_record(folder: Path, record: dict[str, Any], spec: str, options: Mapping[str, str]) -> None:
    """Into the card as it is by now, in the place of an older record that the same command printed."""
    from mtl_model import layouts

    kind, data = layouts.parse_spec(spec)
    words = [
        f"python -m mtl_model evaluate {folder.name} --source {kind}:DATA/{data.resolve().name} --split {record['split']}"
    ]
    command = " ".join(words + [f"--{name} {shlex.quote(value)}" for name, value in options.items() if value])
    now = card.read_card(folder)
    whole = {**record, "command": command}
    records = [whole if one.get("command") == command else one for one in now.metrics]
    card.write_card(folder, dataclasses.replace(now, metrics=tuple(records if whole in records else [*records, whole])))


def add_check(parser: argparse.ArgumentParser) -> None:
    add_layout_options(parser)
    parser.add_argument("source", metavar="KIND:DIR", help="a data set; of a bare DIR the layout is recognised")
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the report as JSON")
    parser.add_argument(
        "--charts", type=given_path, metavar="DIR", help="write the pictures by class as PNG, a chart a task"
    )
    parser.add_argument("--task", default="", help="name of the task whose classes bare folders are")
    parser.add_argument(
        "--changes", type=given_path, metavar="FILE", help="JSON with pictures left out and labels put right"
    )
    parser.add_argument(
        "--cache", type=given_path, metavar="DIR", help="where found faces are kept, if not in the usual place"
    )
    parser.add_argument("--no-faces", action="store_true", help="do not look for faces, which takes most of the time")


def check(arguments: argparse.Namespace) -> int:
    check_files(arguments, "json")
    check_charts(arguments.charts)
    check_folder(arguments.cache, "--cache")
    from mtl_model import layouts
    from mtl_model.data import cache, dataset_edits
    from mtl_model.data.check import check as look_at

    given = {name: getattr(arguments, name) for name in ("columns", "attributes", "task")}
    source = layouts.read(arguments.source, layouts.options_for(arguments.source, given))
    if arguments.changes:
        source = dataset_edits.apply(source, dataset_edits.read_changes(arguments.changes))
    report = look_at(source, Progress(), look=None if arguments.no_faces else cache.faces_of, root=arguments.cache)
    if arguments.json:
        card.write_plain(arguments.json, report.to_json())
    if arguments.charts:
        from mtl_model.evaluate import charts

        for task, classes in report.labels.items():
            counts = {name: sum(where.values()) for name, where in classes.items()}
            charts.count_chart(
                counts, f"{task} in {report.kind}", charts.chart_file(arguments.charts, report.kind, task)
            )
    for line in report.lines():
        answer(line)
    return report.exit_code


def add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the list as JSON")
    add_places(parser)


def models(arguments: argparse.Namespace) -> int:
    check_files(arguments, "json")
    found = card.list_checkpoints(arguments.weights or card.shipped_weights(), arguments.runs)
    rows = []
    for name, folder in found.items():
        try:
            one = card.read_card(folder)
        except CheckpointError as error:
            say(f"{name}: {error}")
            continue
        tasks = [task.name for task in one.tasks]
        rows.append(
            {
                "name": name,
                "tasks": tasks,
                "network": one.network,
                "parameters": one.parameters,
                "parent": one.parent,
                "created": one.created,
            }
        )
        answer(
            f"{name}: {', '.join(tasks)}; {one.network}, {one.parameters / 1e6:.1f} M parameters, {one.created}"
            + (f", from {one.parent}" if one.parent else "")
        )
    if arguments.json:
        card.write_plain(arguments.json, rows)
    return 0


def add_ui(parser: argparse.ArgumentParser) -> None:
    from mtl_model.ui.server.options import add_arguments

    add_arguments(parser)


def ui(arguments: argparse.Namespace) -> int:
    from mtl_model.ui import launch
    from mtl_model.ui.server.options import from_args

    return launch(from_args(arguments))


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "predict": ("age, gender and smile of every face in pictures", add_predict, predict),
    "train": ("teach a network from data sets, each with the labels it has", add_train, train),
    "finetune": ("teach a checkpoint from a folder of one's own labelled pictures", add_finetune, finetune),
    "evaluate": ("measure a checkpoint on a data set", add_evaluate, evaluate),
    "calibrate": ("fit a checkpoint's calibration on the val splits of data sets", add_calibrate, calibrate),
    "check": ("say what is wrong with a data set before it is learned from", add_check, check),
    "models": ("list the checkpoints", add_models, models),
    "ui": ("serve the page", add_ui, ui),
}


def _check_stdout(arguments: argparse.Namespace) -> None:
    """Raise UsageError where the answer could be written nowhere: stdout is closed and no option names a file."""
    instead = ANSWERS.get(arguments.command, ())
    if instead and not has_stdout() and not any(getattr(arguments, name) for name in instead):
        raise UsageError(
            "stdout is closed. Expected a place for the answers; leave it open, or name a file with --json."
        )


def main(words: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["--job"]:  # how jobs.py starts this program for the page
        return jobs.attend(Path(words[1]), lambda: main(words[2:]))
    prepare()
    parser = Parser(prog="mtl_model", description="Apparent age, gender and smile of faces.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, add, _) in COMMANDS.items():
        add(commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + "."))
    arguments = parser.parse_args(words)
    try:
        _check_stdout(arguments)
        code = COMMANDS[arguments.command][2](arguments)
        sys.stdout.flush()  # here a full disk or a closed pipe can still be told
        return code
    except RunError as error:
        say(error)
        return 1
    except MtlError as error:
        say(error)
        return 2
    except OSError as error:
        what = f"'{error.filename}'" if error.filename else "A file"  # a full disk names none
        with contextlib.suppress(OSError):
            if not isinstance(error, BrokenPipeError):  # whoever read the answers, such as `head`, wants no more
                say(
                    f"{what} could not be read or written ({error.strerror or error}). Expected a place that may be; check the "
                    "path, its permissions and the free space."
                )
        let_go()
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return STOPPED if arguments.command == "predict" else 1


if __name__ == "__main__":
    sys.exit(main())
