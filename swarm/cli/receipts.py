"""What `swarm receipt` takes. Nothing here works: that is imported when the command runs."""

from typing import Annotated

from typer import Argument, Option

from swarm.cli.lazy import load_last


def receipt(
    order_id: Annotated[str, Argument(metavar="ID", help="The order's id.")],
    is_markdown: Annotated[
        bool, Option("--markdown", help="Print Markdown, every amount to its last digit.")
    ] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print one JSON document on standard output.")
    ] = False,
) -> int | None:
    """Print what an order cost, line by line, against what people would have cost.

    Printing it again gives the same numbers, unless rows came since; then it says as of when.
    """
    result: int | None = load_last("swarm.cli.papers:receipt")(
        order_id=order_id, is_markdown=is_markdown, as_json=as_json
    )
    return result
