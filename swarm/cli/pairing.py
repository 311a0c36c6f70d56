"""What `swarm pairing` takes: who may write from a chat. The docstrings are the help texts."""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Role = Annotated[str, Option("--role", metavar="ROLE", help="founder, team, observer or customer.")]

pairing = plain_typer(no_args_is_help=True, help="Who may write to the company from a chat.")


@pairing.command("list")
def pairing_list(as_json: Json = False) -> int | None:
    """List who was let in, and who waits with a code."""
    return _work("listed", as_json=as_json)


@pairing.command("approve")
def pairing_approve(
    code: Annotated[str, Argument(metavar="CODE", help="The code that they were shown.")],
    role: Role = "founder",
    as_json: Json = False,
) -> int | None:
    """Let in the person who was shown CODE; without --role, as a founder."""
    return _work("approve", code=code, role=role, as_json=as_json)


@pairing.command("invite")
def pairing_invite(role: Role = "founder", as_json: Json = False) -> int | None:
    """Print a one-time code; who sends it to the bot within an hour is let in."""
    return _work("invite", role=role, as_json=as_json)


@pairing.command("revoke")
def pairing_revoke(
    who: Annotated[
        str, Argument(metavar="WHO", help="A person's id, here or on their platform, or a code.")
    ],
    as_json: Json = False,
) -> int | None:
    """Take all rights of a person back, or refuse a code; it holds from their next click on."""
    return _work("revoke", who=who, as_json=as_json)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.letting_in:{function}")(**arguments)
    return result
