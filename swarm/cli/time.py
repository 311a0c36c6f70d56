"""What `swarm time` takes. Nothing here works: that is imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Note = Annotated[str, Argument(metavar="[NOTE]", help="What it was, for later readers.")]

time = plain_typer(no_args_is_help=True, help="Your own minutes: what counts, and your word on it.")


@time.command("list")
def time_list(
    order_id: Annotated[
        str | None, Argument(metavar="[ID]", help="Of this order alone; else of this week.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """List every stretch of time that counts, and every correction."""
    return _work("listed", order_id=order_id, as_json=as_json)


@time.command("week")
def time_week(
    day: Annotated[
        str | None, Argument(metavar="[DATE]", help="A day of the week; else the week of today.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Show what your week went into, beside your weekly budget."""
    return _work("week", day=day, as_json=as_json)


@time.command("away")
def time_away(
    target: Annotated[
        str,
        Argument(metavar="ID", help="A question, a gap of `swarm time list`, or an order."),
    ],
    counted: Annotated[
        str, Argument(metavar="[DURATION]", help="What counts instead, as 2m; nothing if left out.")
    ] = "0",
    note: Annotated[str, Option("--note", metavar="TEXT", help="Why, for later readers.")] = "",
    as_json: Json = False,
) -> int | None:
    """Say that you were elsewhere: the time before that action counts nothing, or what you say."""
    return _work("away", target=target, counted=counted, note=note, as_json=as_json)


@time.command("add")
def time_add(
    order_id: Annotated[str, Argument(metavar="ID", help="The order's id.")],
    duration: Annotated[str, Argument(metavar="DURATION", help="As 15m, 1h30m, 90s.")],
    note: Note = "",
    day: Annotated[
        str | None, Option("--on", metavar="DATE", help="The day it was spent; else now.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Add time that nobody measured, such as 15 minutes of reviewing on paper."""
    return _work("add", order_id=order_id, duration=duration, note=note, day=day, as_json=as_json)


@time.command("revoke")
def time_revoke(
    correction_id: Annotated[str, Argument(metavar="ID", help="The correction's id.")],
    as_json: Json = False,
) -> int | None:
    """Take a correction back; it stays listed, and no longer counts."""
    return _work("revoke", correction_id=correction_id, as_json=as_json)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.timing:{function}")(**arguments)
    return result
