"""What `swarm export` takes. Nothing here works: that is imported when a command runs."""

from pathlib import Path
from typing import Annotated

from typer import Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

First = Annotated[
    str | None, Option("--from", metavar="DAY", help="From this day on, as 2026-11-01 (UTC).")
]
Last = Annotated[str | None, Option("--to", metavar="DAY", help="Up to this day, it included.")]

export = plain_typer(no_args_is_help=True, help="Write the books in other programs' words.")


@export.command("focus")
def export_focus(
    first: First = None,
    last: Last = None,
    csv: Annotated[
        Path | None, Option("--csv", metavar="FILE|-", help="As CSV; - is standard output.")
    ] = None,
    parquet: Annotated[
        Path | None, Option("--parquet", metavar="FILE", help="As Parquet (extra `parquet`).")
    ] = None,
) -> None:
    """Write the charges of model calls as FOCUS 1.2, a row for each priced part."""
    load_last("swarm.cli.exported:focus")(first=first, last=last, csv=csv, parquet=parquet)


@export.command("otel")
def export_otel(
    first: First = None,
    last: Last = None,
    json: Annotated[
        Path | None, Option("--json", metavar="FILE|-", help="As OTLP JSON lines; - is stdout.")
    ] = None,
    http: Annotated[
        str | None, Option("--http", metavar="URL", help="To an OTLP/HTTP receiver.")
    ] = None,
) -> None:
    """Write model calls as OpenTelemetry GenAI spans and metrics (extra `otel`).

    Nothing is sent unless you name an address.
    """
    load_last("swarm.cli.exported:otel")(first=first, last=last, json=json, http=http)


@export.command("ledger")
def export_ledger(
    first: First = None,
    last: Last = None,
    jsonl: Annotated[
        Path | None, Option("--jsonl", metavar="FILE|-", help="Where to; - is standard output.")
    ] = None,
    has_texts: Annotated[
        bool, Option("--texts", help="Also what was asked and answered, word for word.")
    ] = False,
) -> None:
    """Write every model call as one line of JSON."""
    load_last("swarm.cli.exported:ledger")(first=first, last=last, jsonl=jsonl, has_texts=has_texts)
