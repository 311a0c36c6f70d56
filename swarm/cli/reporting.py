"""What `swarm report` takes. Nothing here works: that is imported when the command runs."""

from pathlib import Path
from typing import Annotated

from typer import Option

from swarm.cli.lazy import load_last

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]


def report(
    is_week: Annotated[bool, Option("--week", help="The last seven days (the default).")] = False,
    is_month: Annotated[bool, Option("--month", help="The last thirty days.")] = False,
    first: Annotated[
        str | None, Option("--from", metavar="DAY", help="From this day on, as 2026-11-01 (UTC).")
    ] = None,
    last: Annotated[
        str | None, Option("--to", metavar="DAY", help="Up to this day, it included.")
    ] = None,
    shock: Annotated[
        str | None,
        Option(
            "--price-shock",
            metavar="WHAT=FACTOR,…",
            help="Other prices: llm=10,hosting=1.4,openai=2 (llm, hosting, founder or a provider).",
        ),
    ] = None,
    reprice: Annotated[
        Path | None,
        Option("--reprice", metavar="BOOK", help="Price the recorded usage by another price book."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        Option("--beside", metavar="HOME", help="Also this instance; the worst is named."),
    ] = None,
    limit: Annotated[
        int, Option("--limit", min=1, max=100_000, help="The most orders that are listed.")
    ] = 20,
    html: Annotated[
        Path | None, Option("--html", metavar="FILE", help="Write a page of one file.")
    ] = None,
    svg: Annotated[
        Path | None, Option("--svg", metavar="DIR", help="Write the plots, a file each.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a week or a month cost, per accepted order, and whether it pays."""
    load_last("swarm.cli.reported:report")(
        is_week=is_week,
        is_month=is_month,
        first=first,
        last=last,
        shock=shock,
        reprice=reprice,
        beside=beside or [],
        limit=limit,
        html=html,
        svg=svg,
        as_json=as_json,
    )
