"""What `swarm customers` takes. The docstrings are the help texts."""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Who = Annotated[
    str,
    Argument(
        metavar="CUSTOMER", help="As `list` shows them: CHANNEL:ID, their id, or a hand-over's."
    ),
]
Id = Annotated[str, Argument(metavar="ID", help="The hand-over, or the customer who waits.")]

customers = plain_typer(no_args_is_help=True, help="Customers, and those who wait for a person.")


@customers.command("list")
def customers_list(
    limit: Annotated[int, Option("--limit", min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> int | None:
    """List customers: first those who wait for a person, then whoever wrote last."""
    return _work("listed", limit=limit, as_json=as_json)


@customers.command("show")
def customers_show(
    customer: Who,
    limit: Annotated[int, Option("--limit", min=1, help="Newest messages that are shown.")] = 50,
    as_json: Json = False,
) -> int | None:
    """Show the conversation with a customer, what waits to be sent, and what it cost."""
    return _work("show", customer=customer, limit=limit, as_json=as_json)


@customers.command("answer")
def customers_answer(
    target: Id,
    text: Annotated[str, Argument(metavar="TEXT|-", help="Your words; - reads stdin.")],
    as_json: Json = False,
) -> int | None:
    """Write to a customer who waits for a person; it goes out under your name."""
    return _work("answer", target=target, text=text, as_json=as_json)


@customers.command("take")
def customers_take(target: Id, as_json: Json = False) -> int | None:
    """Write instead of Support from now on, until you give the customer back."""
    return _work("take", target=target, as_json=as_json)


@customers.command("give-back")
def customers_give_back(target: Id, as_json: Json = False) -> int | None:
    """Let Support answer the customer again."""
    return _work("give_back", target=target, as_json=as_json)


@customers.command("forget")
def customers_forget(
    customer: Who,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> int | None:
    """Delete a customer's words, files and memories for good; amounts in the books stay."""
    return _work("forget", customer=customer, is_asked=not yes, as_json=as_json)


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.customers_work:{function}")(**arguments)
    return result
