"""What commands share: options for places, device and layouts, and checks before the work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_model.config import LAYOUT_OPTIONS, TrainConfig
from mtl_model.errors import UsageError
from mtl_model.options import add_options
from mtl_model.registry import shipped_weights
from mtl_model.terminal import Progress, answer, given_path, has_stdout, say, sentence

if TYPE_CHECKING:
    from mtl_model.events import Event

RESUME = "go on from the run's last state, with the same settings"


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


def weights_of(arguments: argparse.Namespace) -> Path:
    """Return the folder of the shipped checkpoints."""
    return arguments.weights or shipped_weights()


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument("--threads", type=int, default=None, help="threads of torch; all cores if not given")


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser, TrainConfig, LAYOUT_OPTIONS)


def layout_options(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options of layouts; "" for one that is not given."""
    return {name: getattr(arguments, name, "") for name in LAYOUT_OPTIONS}


def add_checked(parser: argparse.ArgumentParser) -> None:
    """Add the data set that is looked at before anything is learned from it, and the checkpoint that would learn."""
    add_layout_options(parser)
    parser.add_argument("source", metavar="KIND:DIR", help="a data set; of a bare DIR the layout is recognised")
    parser.add_argument("--from", dest="start", metavar="NAME", help="the checkpoint that would learn from it")
    parser.add_argument("--task", default="", help="name of the task whose classes bare folders are")
    parser.add_argument(
        "--changes", type=given_path, metavar="FILE", help="JSON with pictures left out and labels put right"
    )
    parser.add_argument(
        "--cache", type=given_path, metavar="DIR", help="where faces and features are kept, if not in the usual place"
    )
    add_places(parser)
    add_device(parser)


def tell_forecast(arguments: argparse.Namespace, file: Path | None) -> None:
    """Say how well a data set would be learned now, and write it into the file."""
    from mtl_model import card, layouts, predictor, promises
    from mtl_model.config import FinetuneConfig
    from mtl_model.train.forecast import forecast

    use_threads(arguments)
    kind, folder = layouts.parse_spec(arguments.source)
    config = FinetuneConfig(
        data=str(folder),
        layout=kind,
        task=arguments.task,
        columns=layout_options(arguments)["columns"],
        changes=str(arguments.changes or ""),
    )
    parent = card.find_checkpoint(arguments.start or None, weights_of(arguments), arguments.runs)
    device = predictor.choose_device(arguments.device)
    found = forecast(config, arguments.cache, parent, device, progress(arguments))
    if file:
        card.write_plain(file, found)
    for line in promises.lines(**found):
        answer(line)


def check_stdout(arguments: argparse.Namespace, *instead: str) -> None:
    """Raise UsageError where the answer has no place: stdout is closed and none of the options `instead` names one."""
    if not has_stdout() and not any(getattr(arguments, name) for name in instead):
        raise UsageError(
            "stdout is closed. Expected a place for the answers; leave it open, or name a file with --json."
        )


def check_files(arguments: argparse.Namespace, *options: str) -> None:
    """Raise UsageError unless the files that options name can be written, each to a place of its own."""
    from mtl_model.destinations import check_file

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
    from mtl_model.destinations import check_folder
    from mtl_model.evaluate import charts

    check_folder(folder, "--charts")
    if folder is not None:
        charts.check_installed()


def use_threads(arguments: argparse.Namespace) -> None:
    """Raise UsageError for a number that torch would crash on: it makes as many threads as it is asked for."""
    from mtl_model import processes

    if arguments.threads is not None:
        most = 4 * processes.cores()
        if not 1 <= arguments.threads <= most:
            raise UsageError(
                f"--threads is {arguments.threads}. Expected 1 to {most}, four per core; give another number, or none for "
                "one thread per core."
            )
        import torch

        torch.set_num_threads(arguments.threads)


def progress(arguments: argparse.Namespace) -> Progress:
    """Return the bar of a command; of a job the events in its place."""
    return Progress(arguments.report)


def tell(event: Event) -> None:
    """Say an event."""
    say(sentence(event))


def show(stream: Iterator[Event], folder: Path, arguments: argparse.Namespace) -> Iterator[Event]:
    """Pass the events of a run on, each written to the file of the run in `folder` and shown."""
    from mtl_model import events, runs

    for event in events.written(stream, folder / runs.EVENTS):
        tell(event)
        if arguments.report and isinstance(event, events.Failed):
            arguments.report(event)
        yield event


def exit_code(stream: Iterator[Event]) -> int:
    """Follow a run to its end, and return the exit code."""
    from mtl_model.events import Failed

    return int(Failed in {type(event) for event in stream})
