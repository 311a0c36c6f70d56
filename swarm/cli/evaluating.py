"""What `swarm eval` and `swarm explain` take. Nothing here works."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from swarm.cli.lazy import load_last

Tags = Annotated[
    list[str] | None, Option("--tag", help="Only scenarios with this tag; may be repeated.")
]
Author = Annotated[
    bool, Option("--author", help="Write the cassettes that the authored answers give.")
]
ApiBase = Annotated[
    str | None, Option("--llm__api_base", metavar="URL", help="conformance, --graded: the server.")
]
Json = Annotated[bool, Option("--json", help="Print one JSON document on standard output.")]


def evaluate(
    paths: Annotated[
        list[str],
        Argument(
            metavar="PATH...", help="Scenarios, or folders of them; or diff A B; or conformance."
        ),
    ],
    repeat: Annotated[int, Option("--repeat", min=1, max=1000, help="Runs of each scenario.")] = 1,
    jobs: Annotated[int, Option("--jobs", min=1, max=64, help="Processes at work at once.")] = 1,
    html: Annotated[
        Path | None, Option("--html", metavar="FILE", help="Write a page with timelines.")
    ] = None,
    junit: Annotated[
        Path | None, Option("--junit", metavar="FILE", help="Write JUnit XML.")
    ] = None,
    tag: Tags = None,
    author: Author = False,
    api_base: ApiBase = None,
    model: Annotated[
        str | None, Option("--llm__model", metavar="NAME", help="conformance: the model.")
    ] = None,
    graded: Annotated[
        str | None,
        Option("--graded", metavar="MODEL", help="Let this model grade; it is asked for real."),
    ] = None,
    budget: Annotated[
        str | None,
        Option("--budget", metavar="AMOUNT", help="Most that conformance or --graded spends [1]."),
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Run scenarios offline and grade what they left; exit code 4 where a threshold is missed.

    `swarm eval PATH...` plays recorded or authored orders with no network and no key.
    `swarm eval diff A B` compares two results written with --json: what got worse, and where.
    `swarm eval conformance --llm__api_base URL` asks a server whether it can drive the company;
    its key is SWARM_LLM__API_KEY. What that, or `--graded MODEL`, asks of a model stands in a ledger
    of the run, up to --budget; exit code 5 where that was not enough. Packs ship with the package: `swarm eval shipped`.
    """
    code: int = load_last("swarm.cli.evals:evaluate")(
        paths=paths,
        repeat=repeat,
        jobs=jobs,
        html=html,
        junit_file=junit,
        tags=tag or [],
        is_authoring=author,
        api_base=api_base,
        model=model,
        as_json=as_json,
        graded=graded,
        limit=budget,
    )
    return code


def explain(
    target: Annotated[str, Argument(metavar="ORDER|CASSETTE", help="An id, or a cassette's path.")],
    scenario: Annotated[
        Path | None, Option("--scenario", metavar="FILE", help="Hold its checks against the order.")
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Say where an order first went wrong, by rule and with evidence, and how it went step by step."""
    code: int = load_last("swarm.cli.explaining:explain")(
        target=target, scenario=scenario, as_json=as_json
    )
    return code


def import_trace(
    file: Annotated[Path, Argument(metavar="FILE", help="The trace; JSON, or a line of it each.")],
    out: Annotated[
        Path | None, Option("--out", "-o", metavar="FILE", help="The cassette to write.")
    ] = None,
    shape: Annotated[
        str, Option("--shape", help="chat, otel or messages; auto looks at the file.")
    ] = "auto",
    model: Annotated[
        str, Option("--model", metavar="NAME", help="The model, where the trace names none.")
    ] = "",
    as_json: Json = False,
) -> int | None:
    """Turn another program's trace into a cassette, to price it again and to look for faults.

    What the trace holds and a cassette cannot say is listed, never dropped in silence.
    """
    code: int = load_last("swarm.cli.explaining:import_trace")(
        file=file, out=out, shape=shape, model=model, as_json=as_json
    )
    return code
