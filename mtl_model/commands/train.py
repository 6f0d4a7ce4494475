"""Train a network from data sets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_model import systems
from mtl_model.commands._parts import (
    RESUME,
    add_device,
    add_places,
    exit_code,
    progress,
    show,
    use_threads,
    weights_of,
)
from mtl_model.config import TrainConfig, listed
from mtl_model.errors import UsageError
from mtl_model.options import add_options, from_options
from mtl_model.terminal import given_path

if TYPE_CHECKING:
    from mtl_model.events import Event

HELP = "teach a network from data sets, each with the labels it has"
ORDER = 20


def add(parser: argparse.ArgumentParser) -> None:
    add_options(parser, TrainConfig)
    parser.add_argument("--data", type=given_path, metavar="DIR", help=f"for --system: {systems.DATA_HELP}")
    parser.add_argument(
        "--tensorboard", type=given_path, metavar="DIR", help="write losses and val figures for TensorBoard"
    )
    parser.add_argument("--resume", action="store_true", help=RESUME)
    add_places(parser)
    add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    from mtl_model import card, runs
    from mtl_model.destinations import check_folder

    settings, weights = settings_of(arguments), weights_of(arguments)
    folder = arguments.runs / card.check_name(settings.name)
    if not settings.source:
        raise UsageError(
            "No --source is given. Expected at least one, such as --source utkface:DIR, or a --system that names its own."
        )
    check_folder(folder, "--runs")
    check_folder(arguments.tensorboard, "--tensorboard")
    with runs.claimed(folder, weights, begun=arguments.resume, resume=arguments.resume):
        from mtl_model import predictor
        from mtl_model.train import loop

        use_threads(arguments)
        if not arguments.report:  # of a job it was cleared before it began, and it may have been asked to stop since
            (folder / runs.STOP).unlink(missing_ok=True)
        start = card.find_checkpoint(settings.start, weights, arguments.runs) if settings.start else None
        teachers = [card.find_checkpoint(name, weights, arguments.runs) for name in listed(settings.teacher)]
        stream = loop.train(
            settings,
            folder,
            device=predictor.choose_device(arguments.device),
            resume=arguments.resume,
            start=start,
            teachers=teachers,
            progress=progress(arguments),
        )
        shown = show(stream, folder, arguments)
        return exit_code(draw(shown, arguments.tensorboard) if arguments.tensorboard else shown)


def settings_of(arguments: argparse.Namespace) -> TrainConfig:
    """Return the settings that the options give, those of a system where one is named.

    Raises UsageError for a variant or folder of data sets without a system, and where a set that the system needs is missing."""
    given = from_options(TrainConfig, arguments)
    if not given.system:
        if given.variant or arguments.data:
            raise UsageError(
                f"--{'variant' if given.variant else 'data'} is given without --system. Expected the system that it belongs to; "
                "name one, as the systems command lists them."
            )
        return given
    data = systems.data_folder(arguments.data)
    absent = systems.missing(systems.named(given.system), data)
    if absent and not given.source:
        raise UsageError(systems.missing_text(systems.named(given.system).title, absent, data))
    return from_options(TrainConfig, arguments, systems.recipe(given.system, given.variant, data))


def draw(stream: Iterator[Event], folder: Path) -> Iterator[Event]:
    """Pass events on, each written to `folder` as TensorBoard shows it. TensorBoard is an extra.

    Raises: UsageError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "TensorBoard is not installed. Run: pip install tensorboard, or leave --tensorboard out."
        ) from None
    from mtl_model.events import Evaluated, Step

    writer = SummaryWriter(str(folder))
    for event in stream:
        if isinstance(event, Step):
            for task, loss in event.losses.items():
                writer.add_scalar(f"loss/{task}", loss, event.step)
            writer.add_scalar("learning_rate", event.learning_rate, event.step)
        elif isinstance(event, Evaluated):
            for task, metrics in event.metrics.items():
                for name, value in metrics.items():
                    writer.add_scalar(f"val/{task}_{name}", value, event.step)
            writer.add_scalar("val/score", event.score, event.step)
        writer.flush()
        yield event
