"""Evaluate a checkpoint on one split of a data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtl_model.commands._parts import (
    add_device,
    add_layout_options,
    add_places,
    check_charts,
    check_files,
    check_stdout,
    layout_options,
    progress,
    tell,
    use_threads,
    weights_of,
)
from mtl_model.errors import UsageError
from mtl_model.terminal import answer, given_path, say

HELP = "measure a checkpoint on a data set"
ORDER = 40
READINGS = Path("docs/test-readings.md")


def add(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> int:
    check_stdout(arguments, "json", "charts", "keep")
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"--limit is {arguments.limit}. Expected at least 1 picture; give another number.")
    if arguments.keep and arguments.limit is not None:
        raise UsageError(
            "--keep writes figures of the whole split, and --limit measures a part. Leave one of them out."
        )
    from mtl_model import card
    from mtl_model.destinations import check_file

    folder = card.find_checkpoint(arguments.checkpoint, weights_of(arguments), arguments.runs)
    check_files(arguments, "json")
    check_charts(arguments.charts)
    noted = arguments.split == "test" and arguments.limit is None and arguments.readings.is_file()
    check_file(arguments.readings if noted else None, "--readings")
    check_file(folder / card.CARD if arguments.keep else None, "--keep")
    from mtl_model import checkpoint, predictor
    from mtl_model.evaluate import charts, metrics, results

    use_threads(arguments)
    device, options = predictor.choose_device(arguments.device), layout_options(arguments)
    network, loaded = checkpoint.load(folder, device)
    record = metrics.evaluate(
        network,
        loaded,
        arguments.source,
        arguments.split,
        device=device,
        limit=arguments.limit,
        options=options,
        progress=progress(arguments),
        note=tell,
    )
    if arguments.json:
        card.write_plain(arguments.json, record)
    if arguments.charts:
        for file in charts.evaluation_charts(record, loaded.tasks, arguments.charts):
            say(f"wrote {file}")
    if noted:
        results.note_reading(arguments.readings, folder.name, record)
    if arguments.keep:
        results.keep_record(folder, record, arguments.source, options)
    for task, figures in record["tasks"].items():
        for metric, figure in figures.items():
            answer(f"{task} {metric}: {figure['value']} ({figure['low']} to {figure['high']}, n = {figure['n']})")
    return 0
