"""What `swarm hosting` takes. Nothing here works: that is imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
Prices = Annotated[
    str | None,
    Option(
        "--prices",
        metavar="FILE",
        help="A price list, or the answer of Hetzner's GET /pricing; its rows win over ours.",
    ),
]
Gross = Annotated[
    bool, Option("--gross", help="Take the gross prices of an answer of GET /pricing, not the net.")
]

hosting = plain_typer(no_args_is_help=True, help="What machines cost: bills, prices, whose work.")


def _work(function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.hosting_bills:{function}")(**arguments)
    return result


@hosting.command("bill")
def hosting_bill(
    source: Annotated[str, Argument(metavar="FILE|-", help="Events as JSON; - reads stdin.")],
    provider: Annotated[
        str | None,
        Option("--provider", metavar="NAME", help="hetzner, scaleway or own: whose rules hold."),
    ] = None,
    until: Annotated[
        str | None, Option("--until", metavar="TIME", help="End of the bill; else now.")
    ] = None,
    prices: Prices = None,
    gross: Gross = False,
    as_json: Json = False,
) -> int | None:
    """Work out a bill from what happened to rented machines.

    The file is a JSON list, or one JSON object per line. Each event says when (`at`), what
    (`event`), to which thing (`id`), and what is needed to price it:

    {"at": "2026-05-01T08:00:00Z", "event": "created", "id": "s1", "server_type": "cx33",
    "location": "fsn1", "ipv4": true}

    Events: created, on, off, rebooted, resized (server_type or size_gb), deleted, ip_kept,
    volume_kept, traffic (tb), and for things of their own ipv4_created, volume_created (size_gb),
    snapshot_created, attached, detached, deleted. With own hardware, `created` has price_month and
    currency. What cannot be read or priced stays in the bill, with the reason.
    """
    return _work(
        "bill", source=source, provider=provider, until=until, prices=prices, tax="gross" if gross else "net",
        as_json=as_json,
    )  # fmt: skip


@hosting.command("farm")
def hosting_farm(
    month: Annotated[
        str | None, Option("--month", metavar="YYYY-MM", help="One month; else all until now.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Show what this home's farm costs: `swarm farm cost` by its other name."""
    result: int | None = load_last("swarm.cli.farm_work:cost")(
        month=month, shows_events=False, as_json=as_json
    )
    return result


@hosting.command("prices")
def hosting_prices(
    provider: Annotated[
        str | None, Option("--provider", metavar="NAME", help="hetzner or scaleway; else all.")
    ] = None,
    prices: Prices = None,
    gross: Gross = False,
    as_json: Json = False,
) -> int | None:
    """List the dated prices, each with its source and the day it was read."""
    return _work(
        "prices", provider=provider, prices=prices, tax="gross" if gross else "net", as_json=as_json
    )
