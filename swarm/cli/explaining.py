"""Say where an order went wrong, and take in other programs' traces."""

import asyncio
from pathlib import Path
from typing import Any

from swarm.cli import exits
from swarm.cli.lazy import load
from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json
from swarm.core.errors import InvalidInput
from swarm.evals.cassette import read, write
from swarm.evals.evidence import Evidence, gather
from swarm.evals.explain import Find, Past, as_document, first_wrong
from swarm.evals.explain import explain as find_faults
from swarm.evals.pasts import past_of_cassette, past_of_evidence, past_of_order
from swarm.evals.runner import read_case
from swarm.evals.timeline import Step

SUFFIXES = (".jsonl", ".zst")


def explain(*, target: str, scenario: Path | None, as_json: bool) -> int:
    """Say where an order, or a cassette's, first went wrong, and show how it went.

    Raises:
        NotFound: No such order.
        InvalidInput: No cassette, or a scenario with a cassette.
    """
    past = _past(target, scenario)
    finds = find_faults(past)
    if as_json:
        show_json(as_document(past, finds))
        return exits.DONE
    say(f"Order {past.order_id} is {past.status}." + (f" {past.reason}" if past.reason else ""))
    if past.provenance:
        say(f"Its answers are {past.provenance}.")
    first = first_wrong(past, finds)
    if first is None:
        say("Nothing went wrong that it did not get over.")
    else:
        say(f"It first went wrong at {_where(first)}: {first.sentence}.")
        say(f"  {first.evidence[:400]}")
    others = [find for find in finds if find is not first]
    if others:
        say("Also:")
    for find in others:
        over = " (got over)" if find.got_over else ""
        say(f"  {_where(find)}: {find.sentence}{over}")
    say("How it went:")
    for step in past.steps:
        say(f"  {_line(step)}")
    return exits.DONE


def _past(target: str, scenario: Path | None) -> Past:
    path = Path(target)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        raise InvalidInput(
            f"{path}: is a scenario: name the cassette that it plays, or an order's id with "
            f"--scenario {path}."
        )
    if path.is_file() or target.endswith(SUFFIXES):
        if scenario is not None:
            raise InvalidInput("--scenario goes with an order's id: its files are looked at.")
        return past_of_cassette(read(path))
    with opened() as app:
        if scenario is None:
            return past_of_order(app, target)
        case = read_case(scenario)
        order = gather(app.store, app.documents.order(target), app.home)
        marks = asyncio.run(_marked(case.checks, Evidence((order,))))
        failed = tuple((words, mark.detail) for words, mark in marks if not mark.holds)
        return past_of_evidence(order, failed)


async def _marked(checks: Any, evidence: Evidence) -> list[tuple[str, Any]]:
    return [(check.words, await check.mark(evidence)) for check in checks]


def _where(find: Find) -> str:
    who = f" ({find.who})" if find.who else ""
    if not find.place and find.at:
        return f"a person's word at {find.at[11:19]}{who}"
    return f"{find.place or 'the start'}, step {find.seq}{who}"


def _line(step: Step) -> str:
    clock = step.at[11:19] or "        "
    fault = f" !{step.fault}" if step.fault else ""
    cost = f" {step.cost} {step.currency}" if step.cost else ""
    text = " ".join(step.text.split())[:100]
    return f"{clock}  {step.place:12} {step.who:10} {step.what}{fault}{cost}: {text}"


def import_trace(*, file: Path, out: Path | None, shape: str, model: str, as_json: bool) -> int:
    """Write another program's trace as a cassette, price it, and list what could not be mapped.

    Raises:
        InvalidInput: No such trace, or the cassette cannot be written.
    """
    imported = load("swarm.evals.traces:read_trace")(file, shape=shape, model=model)
    target = out or file.with_suffix(".cassette.jsonl")
    if target.absolute() == file.absolute() or not target.name.endswith((".jsonl", ".jsonl.zst")):
        raise InvalidInput(f"{target}: name the cassette something else, ending in .jsonl.")
    try:
        write(imported.cassette, target)
    except OSError as error:
        raise InvalidInput(f"{target}: cannot be written: {error.strerror or error}.") from error
    document = {"path": str(target), **imported.as_document()}
    if as_json:
        show_json(document)
        return exits.DONE
    say(f"{document['calls']} model calls and {document['tools']} tool calls in {target}.")
    for cost in document["costs"]:
        least = "at least " if document["unpriced"] else ""
        say(f"At today's prices they cost {least}{cost['amount']} {cost['currency']}.")
    for model_name in document["unpriced"]:
        say(f"Not priced: {model_name}.")
    for line in document["unmapped"]:
        say(f"Not mapped: {line}.")
    return exits.DONE
