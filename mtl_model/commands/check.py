"""Check a data set before it is learned from."""

from __future__ import annotations

import argparse

from mtl_model.commands._parts import (
    add_checked,
    check_charts,
    check_files,
    check_stdout,
    layout_options,
    progress,
    tell_forecast,
)
from mtl_model.terminal import answer, given_path

HELP = "say what is wrong with a data set before it is learned from"
ORDER = 60


def add(parser: argparse.ArgumentParser) -> None:
    add_checked(parser)
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the report as JSON")
    parser.add_argument(
        "--charts", type=given_path, metavar="DIR", help="write the pictures by class as PNG, a chart a task"
    )
    parser.add_argument(
        "--forecast", type=given_path, metavar="FILE", help="with --from: write what learning it would bring as JSON"
    )
    parser.add_argument(
        "--no-faces",
        action="store_true",
        help="do not look for faces, which takes most of the time, and is not meant where whole pictures are read",
    )


def run(arguments: argparse.Namespace) -> int:
    from mtl_model.destinations import check_folder

    check_stdout(arguments, "json", "charts")
    check_files(arguments, "json", "forecast")
    check_charts(arguments.charts)
    check_folder(arguments.cache, "--cache")
    from mtl_model import card, layouts
    from mtl_model.data import cache, check, dataset_edits
    from mtl_model.evaluate import charts

    options = layouts.options_for(arguments.source, {**layout_options(arguments), "task": arguments.task})
    source = layouts.read(arguments.source, options)
    if arguments.changes:
        source = dataset_edits.apply(source, dataset_edits.read_changes(arguments.changes))
    look = None if arguments.no_faces else cache.faces_of
    later = layouts.unlabelled(source) if arguments.start is not None else ()
    report = check.check(source, progress(arguments), look=look, root=arguments.cache, unlabelled=later)
    if arguments.json:
        card.write_plain(arguments.json, report.to_json())
    if arguments.charts:
        charts.label_charts(report.labels, report.kind, arguments.charts)
    for line in report.lines():
        answer(line)
    if arguments.start is not None and not report.faults:
        tell_forecast(arguments, arguments.forecast)
    return report.exit_code
