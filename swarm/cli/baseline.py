"""What `swarm baseline` takes. Nothing here works: that is imported when a command runs.

The docstrings are the help texts.
"""

from typing import Annotated, Any

from typer import Argument, Option

from swarm.cli.lazy import load_last
from swarm.cli.running import plain_typer

Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]
OrderId = Annotated[str, Argument(metavar="ORDER", help="The order's id.")]
Levels = Annotated[
    str, Option("--levels", metavar="LIST", help="Of the intervals, each between 0 and 1.")
]

baseline = plain_typer(
    no_args_is_help=True, help="What people would have needed for the same work, and how we know."
)


def _work(module: str, function: str, /, **arguments: Any) -> int | None:
    result: int | None = load_last(f"swarm.cli.{module}:{function}")(**arguments)
    return result


@baseline.command("show")
def baseline_show(order_id: OrderId, as_json: Json = False) -> int | None:
    """Show the baselines of an order: the one frozen before the work, and later views."""
    return _work("baselines", "show", order_id=order_id, as_json=as_json)


@baseline.command("compare")
def baseline_compare(order_id: OrderId, as_json: Json = False) -> int | None:
    """Hold the frozen baseline against what people took, and against what the order cost."""
    return _work("baselines", "compare", order_id=order_id, as_json=as_json)


@baseline.command("revise")
def baseline_revise(order_id: OrderId, as_json: Json = False) -> int | None:
    """Estimate an order's plan again with what is known today.

    The result is a new row beside the frozen one, which stays as it is and goes on to count.
    """
    return _work("baselines", "revise", order_id=order_id, as_json=as_json)


@baseline.command("import")
def baseline_import(
    source: Annotated[str, Argument(metavar="CSV|-", help="A table; - reads standard input.")],
    as_json: Json = False,
) -> int | None:
    """Take in what a real team or freelancer took.

    Columns: `actual` (person-hours), and where they are known `order`, `task`, `class`, `estimate`
    (hours, made before), `elapsed` (hours), `cost`, `currency`, `source`, `finished`. With an order
    the estimate and the kind come from its plan. Rows are only ever added, and the same row is
    taken in once; of rows about the same task and source the newest counts.
    """
    return _work("baselines", "take_in", source=source, as_json=as_json)


@baseline.command("predict")
def baseline_predict(
    source: Annotated[str, Argument(metavar="FILE|-", help="JSON lines; - reads stdin.")],
    levels: Levels = "0.5,0.8,0.9",
    is_own: Annotated[
        bool, Option("--own", help="With this company's own rate and what it learnt itself.")
    ] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print one JSON object per line of the input.")
    ] = False,
) -> int | None:
    """Predict what people need: one JSON object a line, one answer a line.

    {"kind": "task", "class": "article", "estimate_hours": 5}

    {"kind": "product", "size": {"function_points": 490}, "parts": 5, "drivers": {"CPLX": "high"},
    "country": "FR", "contract": "freelance"}

    `size` (function_points, ksloc, use_cases or use_case_points) is that of the whole product,
    which is built in `parts` equal parts side by side. `drivers` are COCOMO II's. Hours are
    person-hours, elapsed is by the calendar, in hours. No company is needed.
    """
    return _work(
        "predicting", "predict", source=source, levels=levels, is_own=is_own, as_json=as_json
    )


@baseline.command("calibrate")
def baseline_calibrate(
    source: Annotated[
        str | None, Argument(metavar="[CSV|-]", help="A table of class, estimate and actual hours.")
    ] = None,
    levels: Levels = "0.5,0.8,0.9",
    split: Annotated[
        str | None,
        Option("--split", metavar="DAY", help="Learn from rows before it, test on the rest."),
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Fit bands to a table, and test them on rows the fit has not seen; needs no company.

    Rows with days are split in time (the newest fifth is predicted), others by fold. Without a
    table: show the figures in force, and what this company learnt from its own orders.
    """
    return _work(
        "predicting", "calibrate", source=source, levels=levels, split=split, as_json=as_json
    )
