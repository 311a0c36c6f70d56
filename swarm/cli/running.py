"""Read a command's arguments and run it, with its logs in place."""

from collections.abc import Callable
from typing import Any

import typer
from typer.main import get_command

from swarm.cli import exits
from swarm.cli.lazy import load
from swarm.cli.terminal import tell


def run_command(
    declared: Callable[..., Any] | typer.Typer, arguments: list[str], *, name: str, is_verbose: bool
) -> int:
    """Run a command, or a group of them, and return its exit code.

    Raises:
        Exception: Whatever the command raises, apart from wrong usage, which is said here.
    """
    if isinstance(declared, typer.Typer):
        command = get_command(declared)
    else:
        app = plain_typer()
        app.command()(declared)
        command = get_command(app)
    # Help needs no logs, and loading their library would triple its time.
    if {"--help", "-h"} & set(arguments):
        return _main(command, arguments, name)
    with load("swarm.cli.logs:configured")(is_verbose=is_verbose):
        return _main(command, arguments, name)


def plain_typer(**options: Any) -> typer.Typer:
    """Return a Typer that prints plain text and leaves errors to us."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        **options,
    )


def _main(command: Any, arguments: list[str], name: str) -> int:
    try:
        return int(command.main(arguments, prog_name=name, standalone_mode=False) or exits.DONE)
    except typer.TyperException as error:
        # "No such option: --wat" and the like: a sentence, and where the way is written.
        sentence = error.format_message().rstrip(".")
        tell(f"Error: {sentence}. `{name} --help` says what it takes.")
        return exits.USAGE
    except typer.Abort:
        return exits.INTERRUPTED
