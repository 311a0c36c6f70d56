"""What `swarm record` and `swarm replay` take. Nothing here works."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.core.errors import InvalidInput

Paths = Annotated[
    list[Path],
    Argument(metavar="PATH...", help="Cassettes, scenarios that name some, or folders."),
]
LiveTools = Annotated[bool, Option("--live-tools", help="Run commands and look at pages for real.")]
Shipped = Annotated[bool, Option("--shipped-roles", help="Leave this company's own roles aside.")]
Reprice = Annotated[
    Path | None,
    Option("--reprice", metavar="BOOK", help="Show the cost by another price book too."),
]
Shock = Annotated[
    str | None,
    Option("--price-shock", metavar="FACTORS", help="Show the cost times these: llm=10."),
]
Stepped = Annotated[
    bool, Option("--step", help="Show each call and its answer, and wait for Enter.")
]
EngineName = Annotated[
    str | None,
    Option("--engine", metavar="NAME", help="dbos: work the order with production's engine."),
]
OtherModel = Annotated[
    str | None,
    Option("--model", metavar="MODEL", help="Show what another model would have cost."),
]
Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]


def record(
    order_id: Annotated[str | None, Argument(metavar="[ID]", help="The order's id.")] = None,
    out: Annotated[
        Path | None,
        Option("--out", "-o", metavar="FILE", help="Where to; .zst compresses it."),
    ] = None,
    author: Annotated[
        str, Option("--authored-by", metavar="NAME", help="Say that a person wrote the answers.")
    ] = "",
    no_check: Annotated[
        bool, Option("--no-check", help="Do not play it once to prove that it can be.")
    ] = False,
    seal: Annotated[
        Path | None,
        Option("--seal", metavar="FILE", help="Accept a cassette that you edited by hand."),
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Record a finished order, so that anybody can play it again without a network or a key.

    All that is needed lies in the company's database already. Secrets are hidden in what can be
    read; where hiding one would change the replay, nothing is recorded.
    """
    if seal is not None:
        sealed: int = load_last("swarm.cli.playing:seal")(path=seal)
        return sealed
    if order_id is None:
        raise InvalidInput("Which order? `swarm orders` lists them.")
    code: int = load_last("swarm.cli.playing:record")(
        order_id=order_id, out=out, author=author, is_checked=not no_check, as_json=as_json
    )
    return code


def replay(
    paths: Paths,
    live_tools: LiveTools = False,
    shipped: Shipped = False,
    reprice: Reprice = None,
    price_shock: Shock = None,
    model: OtherModel = None,
    until: Annotated[
        str | None,
        Option("--until", metavar="N|PLACE", help="Stop after N calls, or before a place."),
    ] = None,
    step: Stepped = False,
    faults: Annotated[
        str | None,
        Option("--faults", metavar="LIST", help="Put faults of the provider in: 429@3,cut@5."),
    ] = None,
    update: Annotated[
        bool, Option("--update", help="Ask the live model for what changed, and record that.")
    ] = False,
    yes: Annotated[bool, Option("--yes", help="With --update: write it without asking.")] = False,
    engine: EngineName = None,
    as_json: Json = False,
) -> int | None:
    """Play recorded orders again, with no network, and refuse whatever is not as recorded.

    The app runs as in production; only the models, and the tools that reach outside, answer from
    the recording, and a plain engine does the work, which waits for nobody: what the durable one
    survives is in no recording. --engine dbos takes that one, and comes to the same, slower.

    A changed prompt, tool, model or order of calls is shown with the nearest recording and the
    first difference, and ends with exit code 4, as does a recording left over.

    Faults are rate_limited and the like: 429, 500, 503, timeout, cut and refused, each before the
    recorded call of that number. The order must come to the same files and messages all the same.
    """
    if update:
        others = (reprice, price_shock, model, until, faults, engine)
        if len(paths) != 1 or step or shipped or any(other is not None for other in others):
            raise InvalidInput("--update takes one cassette, --live-tools, --yes and --json alone.")
        changed: int = load_last("swarm.cli.playing:bring_up_to_date")(
            path=paths[0], has_live_tools=live_tools, is_sure=yes, as_json=as_json
        )
        return changed
    if yes:
        raise InvalidInput("--yes says that --update may write; nothing else is written.")
    code: int = load_last("swarm.cli.playing:replay")(
        paths=paths,
        has_live_tools=live_tools,
        is_shipped=shipped,
        as_json=as_json,
        book=reprice,
        model=model,
        shock=price_shock,
        until=until,
        is_stepped=step,
        fault_text=faults,
        engine=engine,
    )
    return code
