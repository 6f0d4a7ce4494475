"""Fine-tune a checkpoint on one's own labelled pictures."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from mtl_model.commands._parts import (
    RESUME,
    add_device,
    add_places,
    check_files,
    exit_code,
    progress,
    show,
    use_threads,
    weights_of,
)
from mtl_model.config import FinetuneConfig
from mtl_model.errors import UsageError
from mtl_model.options import add_options, from_options
from mtl_model.terminal import given_path

HELP = "teach a checkpoint from a folder of one's own labelled pictures"
ORDER = 30
FIGURES = ("metric", "before", "after", "difference")
MEASURED = ("folds", "n", "interval", "guess", "beats_guess", "reliability")
CURVE = ("curve", "twice")
"""What the JSON holds of the outcome of each task, in its `cv` of how that was measured, and in its `curve`."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=given_path, metavar="DATA", help="a folder or zip of labelled pictures, or a CSV file"
    )
    add_options(parser, FinetuneConfig)
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write what it brought as JSON")
    parser.add_argument(
        "--pending", action="store_true", help="let the new checkpoint wait to be accepted, as the page does"
    )
    parser.add_argument("--resume", action="store_true", help=RESUME)
    add_places(parser)
    add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    from mtl_model import card, run_records, runs
    from mtl_model.destinations import check_folder

    settings, weights = from_options(FinetuneConfig, arguments), weights_of(arguments)
    name = card.check_name(settings.name)
    folder = arguments.runs / name
    check_files(arguments, "json")
    check_folder(folder, "--runs")
    waits = (folder / card.PENDING).is_file() or not (folder / card.CARD).exists()
    if not arguments.data.exists():
        raise UsageError(f"'{arguments.data}' is not there. Expected a folder, a zip or a CSV file; check the path.")
    parent = card.find_checkpoint(settings.start or None, weights, arguments.runs)
    begun = waits and (arguments.pending or arguments.resume)
    with runs.claimed(folder, weights, begun=begun, resume=arguments.resume):
        card.write_text(folder / card.PENDING, "")
        if not arguments.report:  # of a job it was cleared before it began, and it may have been asked to stop since
            (folder / runs.STOP).unlink(missing_ok=True)
        code = _learn(settings, folder, parent, arguments)
    outcome: Any = runs.read(folder / runs.OUTCOME, run_records.Outcome)
    if code == 0 and outcome:
        if not arguments.pending:
            runs.accept(folder)
        if arguments.json:  # last: what was learned counts, wherever this can be written
            tasks, measured, curve = (
                {task: {key: figures.get(key) for key in keys} for task, figures in outcome["tasks"].items()}
                for keys in (FIGURES, MEASURED, CURVE)
            )
            record = {"checkpoint": name, "seconds": outcome["seconds"], "tasks": tasks, "changed": outcome["changed"]}
            card.write_plain(
                arguments.json, record | {"cv": measured, "suspects": outcome.get("suspects", []), "curve": curve}
            )
    return code


def _learn(settings: FinetuneConfig, folder: Path, parent: Path, arguments: argparse.Namespace) -> int:
    from mtl_model import predictor, runs
    from mtl_model.train import finetune

    settings = dataclasses.replace(settings, **_place(arguments.data, folder))
    use_threads(arguments)
    device = predictor.choose_device(arguments.device)
    resume = arguments.resume and (folder / runs.STATE).exists()  # one that was killed before begins anew
    stream = finetune.finetune(settings, folder, parent, device=device, resume=resume, progress=progress(arguments))
    return exit_code(show(stream, folder, arguments))


def _place(data: Path, folder: Path) -> dict[str, str]:
    """Return where the pictures lie as settings; a zip is unpacked into the folder of the run."""
    if data.suffix.casefold() == ".csv" and data.is_file():
        return {"layout": "csv", "data": str(data.parent), "labels": data.name}
    if not data.is_file():
        return {"data": str(data)}
    from mtl_model import archives, runs

    unpacked = folder / runs.DATA / data.stem  # bare folders of classes are a task called like the archive
    if not unpacked.is_dir():
        archives.unpack(data, unpacked)
    return {"data": str(unpacked)}
