"""The command line: python -m mtl_model COMMAND; each command is a file in commands/.

Answers go to stdout, progress and errors to stderr. Exit codes: 0 done or stopped on request; 1 failed while working
(predict: some pictures have no answer; check: usable with warnings); 130 predict was stopped, its answers so far are
written; 2 wrong usage, a taken name, something that cannot be loaded, or (check) a data set that is not usable.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from mtl_model import __version__, commands
from mtl_model.errors import MtlError
from mtl_model.events import Failed, Report
from mtl_model.terminal import Parser, let_go, prepare, say


def main(words: Sequence[str] | None = None, report: Report | None = None) -> int:
    """Run a command. report: takes how far the work is, in place of a bar, and the error by which it ends."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["--job"]:  # how jobs.py starts this program for the page
        from mtl_model import jobs

        return jobs.attend(Path(words[1]), lambda report: main(words[2:], report))
    prepare()
    arguments = make_parser().parse_args(words, argparse.Namespace(report=report))
    try:
        code = commands.named(arguments.command).run(arguments)
        sys.stdout.flush()  # here a full disk or a closed pipe can still be said
        return code
    except MtlError as error:
        _fail(error.code, str(error), report)
        return error.exit_code
    except OSError as error:
        with contextlib.suppress(OSError):
            if not isinstance(error, BrokenPipeError):  # whoever read the answers, such as `head`, wants no more
                _fail("disk", _disk_text(error), report)
        let_go()
        return 1
    except KeyboardInterrupt:
        say("Stopped.")
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(prog="mtl_model", description="Apparent age, gender and smile of faces.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands.names():
        text = commands.named(name).HELP
        commands.named(name).add(subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}."))
    return parser


def _fail(code: str, message: str, report: Report | None) -> None:
    """Say by which error the command ends."""
    say(message)
    if report:
        report(Failed(code, {"message": message}))


def _disk_text(error: OSError) -> str:
    place = f"'{error.filename}'" if error.filename else "A file"  # a full disk names none
    return (
        f"{place} could not be read or written ({error.strerror or error}). Expected a place that may be; check the path, its "
        "permissions and the free space."
    )


if __name__ == "__main__":
    sys.exit(main())
