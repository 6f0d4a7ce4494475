"""The page: one more reader of the records that the engine makes. Nothing is loaded before `launch` is called."""

from __future__ import annotations

from collections.abc import Sequence

from mtl_model.errors import MtlError
from mtl_model.options import add_options
from mtl_model.terminal import Parser, answer, prepare, say
from mtl_model.ui.server.options import UiOptions, read_options


def launch(options: UiOptions) -> int:
    """Serve the page until it is told to end, or do what --add-user or --add-token asks. Returns the exit code.

    Raises: UsageError for a taken port or a file of names, CheckpointError for a checkpoint that cannot be loaded.
    """
    from mtl_model.card import find_checkpoint, read_card
    from mtl_model.ui.server import environment, passwords

    if options.add_user is not None:
        passwords.add_user(*options.add_user)
        answer(f"{options.add_user[0]} is in {options.add_user[1]}. Start the page with --auth {options.add_user[1]}.")
        return 0
    if options.add_token is not None:
        answer(passwords.add_token(*options.add_token))
        return 0
    if options.auth is not None:
        passwords.read_users(options.auth)  # said before torch is imported
    read_card(find_checkpoint(options.checkpoint, options.weights, options.runs))  # said before torch is imported
    options = environment.prepare(options)  # before gradio is imported: it reads the environment when it is
    try:
        from mtl_model.ui.server.serving import serve

        return serve(options)
    finally:
        environment.leave()


def main(arguments: Sequence[str] | None = None) -> int:
    """What `python app.py` does."""
    prepare()
    parser = Parser(prog="app.py", description="Serve the page on this machine.")
    add_options(parser, UiOptions)
    try:
        return launch(read_options(parser.parse_args(arguments)))
    except MtlError as error:
        say(error)
        return 2
