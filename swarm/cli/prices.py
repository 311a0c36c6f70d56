"""What `swarm prices` takes. Nothing here works: that is imported when a command runs."""

from typing import Annotated

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
At = Annotated[
    str | None, Option("--at", metavar="TIME", help="A moment, ISO 8601; now where left out.")
]
From = Annotated[str, Option("--from", metavar="SOURCE", help="litellm or genai, as installed.")]

prices = plain_typer(no_args_is_help=True, help="What model calls cost, and who says so.")


@prices.command("cost")
def cost(
    file: Annotated[str, Argument(metavar="FILE|-", help="JSON lines; - reads standard input.")],
    as_json: Annotated[bool, Option("--json", help="Print one JSON document per line.")] = False,
) -> None:
    """Price recorded calls: one line out for every line in, in order.

    Each line is an object of `provider`, `model`, `usage` exactly as the provider sent it, and
    where known `at` (ISO 8601) and `tier` (batch, flex, priority). A line that cannot be priced
    comes out as `unpriced`, with the reason.
    """
    load_last("swarm.cli.price_costs:cost")(file=file, as_json=as_json)


@prices.command("list")
def list_prices(
    word: Annotated[str, Argument(metavar="[WORD]", help="Part of a model's name.")] = "",
    at: At = None,
    as_json: Json = False,
) -> None:
    """List models and their usual prices."""
    load_last("swarm.cli.price_views:list_prices")(word=word, at=at, as_json=as_json)


@prices.command("show")
def show(
    model: Annotated[str, Argument(metavar="MODEL", help="As in openai/gpt-5.")],
    at: At = None,
    as_json: Json = False,
) -> None:
    """Show all prices of a model, now and before, with their sources."""
    load_last("swarm.cli.price_views:show")(model=model, at=at, as_json=as_json)


@prices.command("check")
def check(as_json: Json = False) -> None:
    """List where the book and its sources disagree. Nothing is fetched."""
    load_last("swarm.cli.price_views:check")(as_json=as_json)


@prices.command("diff")
def diff(source: From, as_json: Json = False) -> None:
    """Show what an import would change."""
    load_last("swarm.cli.price_views:diff")(source=source, as_json=as_json)


@prices.command("import")
def import_prices(
    source: From,
    only: Annotated[
        str, Option("--only", metavar="PATTERN", help="Models to take, as in 'openai/*'.")
    ] = "*",
    yes: Annotated[bool, Option("--yes", help="Write without asking.")] = False,
) -> int | None:
    """Show what a source says otherwise, and write it into the company's own book if you agree.

    Lines are only added, dated today: calls of the past keep the prices of their day.
    """
    code: int | None = load_last("swarm.cli.price_views:import_prices")(
        source=source, only=only, is_agreed=yes
    )
    return code
