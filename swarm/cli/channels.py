"""What `swarm channels` takes. The docstrings are the help texts."""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]

channels = plain_typer(no_args_is_help=True, help="Where people talk to the company.")


@channels.command("list")
def channels_list(as_json: Json = False) -> int | None:
    """List the channels that are set up, how they fare, and what waits in them."""
    return _work("listed", as_json=as_json)


@channels.command("test")
def channels_test(
    name: Annotated[str, Argument(metavar="NAME", help="The channel, such as telegram.")],
    wait_s: Annotated[
        float, Option("--wait", metavar="SECONDS", help="How long to wait for an answer.")
    ] = 60.0,
    as_json: Json = False,
) -> int | None:
    """Send a test message to the founders of a channel, and wait for what one of them writes.

    On a channel of customers nobody is written to: whoever tests it writes first.

    Where a worker runs it does the sending and hearing; else this process does.
    """
    return _work("test", name=name, wait_s=wait_s, as_json=as_json)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.channel_tests:{function}")(**arguments)
    return result
