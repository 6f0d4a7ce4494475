"""Predict what the tasks of a checkpoint say of every face in pictures."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from mtl_model.commands._parts import add_device, add_places, check_files, check_stdout, use_threads
from mtl_model.errors import UsageError
from mtl_model.terminal import given_path, say

if TYPE_CHECKING:
    from mtl_model.blurring import Who
    from mtl_model.predictor import Predictor

HELP = "age, gender and smile of every face in pictures"
ORDER = 10
MOST_SECONDS = 3600


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="+", type=given_path, metavar="PATH", help="a picture, a folder of pictures, or a video"
    )
    parser.add_argument(
        "--checkpoint", default=None, metavar="NAME", help="default: `default` if it is there, else bknet"
    )
    parser.add_argument("--json", type=given_path, metavar="FILE", help="write the answers as JSON")
    parser.add_argument("--csv", type=given_path, metavar="FILE", help="write the answers as CSV, a row a face")
    parser.add_argument(
        "--out", type=given_path, metavar="FILE", help="write the answers as they come, a line of JSON per picture"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the file of --out: answer what is new, changed or unread"
    )
    parser.add_argument(
        "--summary", type=given_path, metavar="FILE", help="write a page with the figures of all faces, as HTML"
    )
    parser.add_argument("--annotate", type=given_path, metavar="DIR", help="write the pictures with numbered boxes")
    parser.add_argument(
        "--blur",
        default="none",
        metavar="WHO",
        help="faces, none or 'under 18': make these faces unrecognisable in copies of the pictures",
    )
    parser.add_argument("--blur-to", type=given_path, metavar="DIR", help="write the copies of --blur there")
    parser.add_argument(
        "--smallest-face",
        type=float,
        default=None,
        metavar="PX",
        help="longer edge of the smallest face looked for, in pixels of the upright picture",
    )
    parser.add_argument(
        "--every",
        type=float,
        default=None,
        metavar="SECONDS",
        help="from one look at a video to the next (default: 0.5)",
    )
    add_places(parser)
    add_device(parser)
    parser.add_argument(
        "--runtime",
        default="auto",
        help="what runs the network: torch, onnx or openvino; auto is onnx where it is installed and the network was exported "
        "before, else torch (default: auto)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mtl_model.commands import _pictures, _video

    check_stdout(arguments, "json", "csv", "out", "summary", "annotate", "blur_to")
    try:
        who, is_video = _checked(arguments), _are_videos(arguments)
        predictor = _load(arguments)
        return _video.predict(arguments, predictor) if is_video else _pictures.predict(arguments, predictor, who)
    except KeyboardInterrupt:
        say("Stopped.")
        return _pictures.STOPPED


def _checked(arguments: argparse.Namespace) -> Who | None:
    """Return whose faces are to be made unrecognisable. Raises UsageError for options that cannot be."""
    from mtl_model.blurring import read_who
    from mtl_model.destinations import check_folder
    from mtl_model.video import expect_no_address

    for path in arguments.path:
        expect_no_address(str(path))
        if not path.exists():
            raise UsageError(f"'{path}' is not there. Expected a picture, a folder or a video; check the path.")
    if arguments.smallest_face is not None and not arguments.smallest_face > 0:
        raise UsageError(f"--smallest-face is {arguments.smallest_face}. Expected pixels above 0; give another number.")
    if arguments.resume and not arguments.out:
        raise UsageError("--resume is given without --out. Expected the file to go on with; name it with --out.")
    check_files(arguments, "json", "csv", "out", "summary")
    check_folder(arguments.annotate, "--annotate")
    check_folder(arguments.blur_to, "--blur-to")
    who = read_who(arguments.blur)
    if bool(who) != bool(arguments.blur_to):
        raise UsageError(
            f"--blur is '{arguments.blur}' and --blur-to is {arguments.blur_to or 'not given'}. Expected both: whose faces, "
            "and a folder for the copies; give both or neither."
        )
    if who and arguments.annotate and os.path.realpath(arguments.annotate) == os.path.realpath(arguments.blur_to):
        raise UsageError(
            f"--annotate and --blur-to name one folder, '{arguments.blur_to}'. Expected a folder for each; give another."
        )
    return who


def _are_videos(arguments: argparse.Namespace) -> bool:
    """Return whether videos are to be answered. Raises UsageError for a mixture, or options of the other kind."""
    from mtl_model.video import is_video

    videos = [path for path in arguments.path if is_video(path)]
    if videos and len(videos) < len(arguments.path):
        other = next(path for path in arguments.path if path not in videos)
        raise UsageError(
            f"'{videos[0]}' is a video and '{other}' is not. Expected videos alone, or pictures and folders; give two commands."
        )
    for name in ("out", "summary", "blur_to") if videos else ("every",):
        if getattr(arguments, name) is not None:
            kind = "pictures and folders" if videos else "videos"
            raise UsageError(f"--{name.replace('_', '-')} is for {kind}. Expected none here; leave it out.")
    if arguments.every is not None and not 0 < arguments.every <= MOST_SECONDS:
        raise UsageError(
            f"--every is {arguments.every:g}. Expected seconds above 0, {MOST_SECONDS} at most; give another number."
        )
    return bool(videos)


def _load(arguments: argparse.Namespace) -> Predictor:
    from mtl_model.predictor import Predictor

    use_threads(arguments)
    places = {"weights": arguments.weights, "runs": arguments.runs}
    predictor = Predictor.load(arguments.checkpoint, **places, device=arguments.device, runtime=arguments.runtime)
    if arguments.smallest_face is not None and predictor.card.reads_whole:
        raise UsageError(
            f"--smallest-face is {arguments.smallest_face:g}, and '{predictor.name}' reads whole pictures. Expected none there; "
            "leave it out, or choose another --checkpoint."
        )
    return predictor
