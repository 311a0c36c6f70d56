"""What `swarm rules` takes: signatures given in advance. The docstrings are the help texts."""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]

rules = plain_typer(no_args_is_help=True, help="What you sign in advance, and take back.")


@rules.command("list")
def rules_list(as_json: Json = False) -> int | None:
    """List every rule, the newest first."""
    return _work("listed", as_json=as_json)


@rules.command("allow")
def rules_allow(
    role: Annotated[str, Argument(metavar="ROLE", help="Who may.")],
    tool: Annotated[str, Argument(metavar="TOOL", help="What they may use.")],
    to: Annotated[
        list[str], Option("--to", metavar="DESTINATION", help="Towards whom; may be repeated.")
    ],
    days: Annotated[float, Option("--days", metavar="DAYS", help="For how long.")] = 7,
    note: Annotated[str, Option("--note", metavar="TEXT", help="Why, for later readers.")] = "",
    as_json: Json = False,
) -> int | None:
    """Sign in advance: ROLE may use TOOL towards the destinations you name, and nobody else.

    A task that has read words of strangers and private data still asks each time, and so does
    every payment.
    """
    return _work("allow", role=role, tool=tool, to=to, days=days, note=note, as_json=as_json)


@rules.command("revoke")
def rules_revoke(
    rule_id: Annotated[str, Argument(metavar="ID", help="The rule's id.")], as_json: Json = False
) -> int | None:
    """Take a signature back: the next call asks again."""
    return _work("revoke", rule_id=rule_id, as_json=as_json)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.standing:{function}")(**arguments)
    return result
