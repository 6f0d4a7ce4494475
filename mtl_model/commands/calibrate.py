"""Calibrate a checkpoint on the val splits of data sets."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from mtl_model.commands._parts import (
    add_device,
    add_layout_options,
    add_places,
    layout_options,
    progress,
    tell,
    use_threads,
    weights_of,
)
from mtl_model.errors import UsageError
from mtl_model.terminal import answer, given_path, say

HELP = "fit a checkpoint's calibration on the val splits of data sets"
ORDER = 50


def add(parser: argparse.ArgumentParser) -> None:
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
        "--left-out",
        action="append",
        default=[],
        metavar="CHECKPOINT=KIND:DIR",
        help="a checkpoint and a data set that it never saw: intervals are widened until they keep their word on its val split "
        "too; may be given several times",
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


def run(arguments: argparse.Namespace) -> int:
    from mtl_model import card
    from mtl_model.destinations import check_file

    left_out = [_left_out(text) for text in arguments.left_out]
    folder = card.find_checkpoint(arguments.checkpoint, weights_of(arguments), arguments.runs)
    sentences = _read_about(arguments.about) if arguments.about else {}
    check_file(folder / card.CARD, "The checkpoint")
    from mtl_model import checkpoint, predictor
    from mtl_model.evaluate import recalibration

    use_threads(arguments)
    device = predictor.choose_device(arguments.device)
    network, before = checkpoint.load(folder, device)
    fitted = recalibration.recalibrate(
        *(network, before, arguments.source),
        options=layout_options(arguments),
        flip_averaging={"on": True, "off": False}.get(arguments.flip_averaging),
        only_errors=arguments.only_errors,
        left_out=[
            (*checkpoint.load(card.find_checkpoint(name, weights_of(arguments), arguments.runs), device), spec)
            for name, spec in left_out
        ],
        device=device,
        progress=progress(arguments),
        note=tell,
    )
    if before.metrics and not fitted.metrics:
        say("The card's figures were measured before and are taken out; evaluate --keep writes new ones.")
    card.write_card(folder, dataclasses.replace(fitted, **sentences))
    for name, calibration in fitted.calibration.items():
        values = (f"{field} {value}" for field, value in dataclasses.asdict(calibration).items())
        answer(f"{name}: {', '.join(values)}")
    return 0


def _left_out(text: str) -> tuple[str, str]:
    """Return checkpoint and source of --left-out."""
    name, _, spec = text.partition("=")
    if not name or ":" not in spec:
        raise UsageError(
            f"--left-out '{text}' cannot be read. Expected CHECKPOINT=KIND:DIR, such as fold=utkface:faces; correct it."
        )
    return name, spec


def _read_about(file: Path) -> dict[str, Any]:
    """Return the sentences of a card by its fields."""
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        sentences = {"summary": str(given["summary"]), "limits": tuple(str(limit) for limit in given["limits"])}
        return sentences | ({"terms": str(given["terms"])} if "terms" in given else {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"'{file}' cannot be read ({error}). Expected JSON with summary and limits; correct it."
        ) from None
