"""Run scenarios: play what was recorded, or perform what was authored, then grade what is left."""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.core.errors import InvalidInput, SwarmError
from swarm.core.registry import Registry
from swarm.evals.cassette import Cassette, Provenance, read, write
from swarm.evals.commands import sandbox_here
from swarm.evals.evidence import Evidence, OrderEvidence, gather
from swarm.evals.house import House
from swarm.evals.performing import Performance, order_id_of, prepare_home
from swarm.evals.recording import record
from swarm.evals.replaying import Replay, no_sockets, replay
from swarm.evals.results import CheckResult, RunResult, failed_run, run_result
from swarm.evals.scenario import Scenario, load, read_yaml
from swarm.evals.scorers import Check, read_checks
from swarm.evals.warm import WarmHouse
from swarm.sandbox.base import Sandbox

if TYPE_CHECKING:
    from swarm.evals.purse import Terms

SURVIVAL = Registry("way to run", {"crashes": "swarm.evals.crashing:survive"})
"""What only some scenarios need, loaded on first use."""
PAID = Registry(
    "part of a paid run",
    {
        "purse": "swarm.evals.purse:Purse",
        "costs": "swarm.evals.purse:costs_of",
        "grader": "swarm.evals.graded:ModelGrader",
    },
)


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario with its checks, ready to be run."""

    path: Path
    scenario: Scenario
    checks: tuple[Check, ...]


def read_case(path: Path) -> Case:
    """Read a scenario and find its scorers; nothing of it is run.

    Raises:
        InvalidInput: The file, the line and what to write instead.
    """
    scenario = load(path)
    _, lines = read_yaml(path)
    checks = tuple(read_checks(path, scenario.checks, lines.of))
    for order in scenario.orders:
        if order.cassette and not (path.parent / order.cassette).is_file():
            raise InvalidInput(
                f"{path}: the cassette {order.cassette} is not there."
                + (f" `swarm eval --author {path}` writes it." if order.is_authored else "")
            )
    return Case(path, scenario, checks)


def run_case(
    path: Path,
    number: int = 0,
    terms: "Terms | None" = None,
    *,
    warm: WarmHouse | None = None,
) -> RunResult:
    """Run a scenario once, in a folder that is gone afterwards and with no network.

    Args:
        path: Its file.
        number: Of the run.
        terms: Whom the graded checks ask, once all is played; None asks nobody.
        warm: The house that it is played in; without one, it opens its own.

    Raises:
        InvalidInput: It is no scenario.
    """
    if warm is None:
        with WarmHouse() as warm:
            return run_case(path, number, terms, warm=warm)
    case = read_case(path)
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="swarm-eval-") as folder:
            home = Path(folder) / "home"
            return warm.run(lambda house: _run(case, house, home, number, started, terms))
    except SwarmError as error:
        return failed_run(number, str(error))


async def _run(
    case: Case, house: House, home: Path, number: int, started: float, terms: "Terms | None"
) -> RunResult:
    mode = mode_of(case)
    if mode == "crashes":
        # Each of its processes closes its own sockets; they are started through one.
        evidence = await SURVIVAL.load("crashes")(case.path, case.scenario, home)
    elif mode == "replay":
        with no_sockets():
            evidence = await _replayed(case, house)
    elif any(word.act == "deploy" for order in case.scenario.orders for word in order.words):
        # What is deployed anew must find what the engine left on a disk. A process has one engine.
        await house.close()
        evidence = await _performed(case, home)
    else:
        evidence = await _performed(case, await house.fresh_home(), house)
    took = time.perf_counter() - started
    if terms is None or all(check.name != "graded" for check in case.checks):
        marks = [await _marked(check, evidence) for check in case.checks]
        return run_result(evidence, marks, number=number, mode=mode, wall_s=took)
    marks, costs = await _graded(case, evidence, terms, f"{case.path.stem}/{number}")
    return run_result(evidence, marks, number=number, mode=mode, wall_s=took, graded=costs)


async def _graded(
    case: Case, evidence: Evidence, terms: "Terms", about: str
) -> tuple[list[CheckResult], list[dict[str, str]]]:
    """Score a run with somebody there to grade; return what that cost, too."""
    purse = PAID.load("purse")(terms)
    try:
        grader = PAID.load("grader")(purse, terms.model, about=about)
        asked = replace(evidence, facts={**evidence.facts, "grader": grader})
        marks = [await _marked(check, asked) for check in case.checks]
        return marks, PAID.load("costs")(purse.lines(about))
    finally:
        await purse.close()


def mode_of(case: Case) -> str:
    """Return how a scenario is run."""
    if case.scenario.crashes:
        return "crashes"
    return "replay" if case.scenario.is_played else "authored"


async def _marked(check: Check, evidence: Evidence) -> CheckResult:
    found = await check.mark(evidence)
    return CheckResult(
        check=check.words,
        scorer=check.name,
        score=found.score,
        holds=found.holds,
        is_skipped=found.is_skipped,
        detail=found.detail,
    )


async def _replayed(case: Case, house: House) -> Evidence:
    found: list[OrderEvidence] = []
    drift: list[str] = []
    labels: list[str] = []
    for script in case.scenario.orders:
        cassette = read(case.path.parent / str(script.cassette))
        home = await house.fresh_home()
        alone = case.scenario.model_copy(update={"orders": (script,)})
        prepare_home(alone, home, [cassette.manifest.order["id"]])
        played = await replay(cassette, home, house=house)
        found.append(gather(house.store, played.document, home))
        drift += differences(played)
        labels.append(cassette.manifest.provenance.kind)
    return Evidence(orders=tuple(found), drift=tuple(drift), provenance=tuple(labels))


def differences(played: Replay) -> Iterator[str]:
    """Say in words what came out otherwise than it was recorded."""
    if played.status != played.recorded_status:
        yield f"it ended {played.status}, recorded {played.recorded_status}"
    for miss in played.misses:
        yield f"{miss.lane}: {miss.path or 'nothing recorded'}: {miss.expected!r} → {miss.got!r}"
    yield from (f"recorded and never asked for: {lane}" for lane in played.leftover)
    is_money = not played.misses and not played.leftover
    if is_money and played.ledger_sha256 != played.recorded_ledger_sha256:
        yield "the ledger differs: the same calls were counted or priced otherwise"
    elif is_money and not played.is_same:
        yield "messages or files differ"


async def _performed(case: Case, home: Path, house: House | None = None) -> Evidence:
    sandbox = await _sandbox_for(case.scenario)
    performance = Performance(case.scenario, home, sandbox=sandbox, house=house)
    try:
        with no_sockets():
            await performance.play()
        return evidence_of(performance)
    finally:
        performance.close()


async def _sandbox_for(scenario: Scenario) -> Sandbox | None:
    """Return a sandbox where the answers run commands; None where they run none."""
    turns = [turn for o in scenario.orders for turns in o.answers.values() for turn in turns]
    called = {name for t in turns for name in (t.call, *(c.tool for c in t.calls or ()))}
    return await sandbox_here() if called & {"shell", "python"} else None


def evidence_of(performance: Performance) -> Evidence:
    """Read what a performance left; its app is still open."""
    app, done = performance.app, performance.performed
    found: list[OrderEvidence] = []
    for order_id in done.order_ids:
        found.append(gather(app.store, app.documents.order(order_id), app.home))
    return Evidence(
        orders=tuple(found),
        drift=tuple(done.problems),
        provenance=("authored",) * len(found),
    )


def author(path: Path) -> list[Path]:
    """Perform a scenario's authored answers once and write the cassettes that it names.

    Returns:
        The cassettes that were written; none where the scenario names none, or is performed anew
        each time.

    Raises:
        InvalidInput: It is no scenario, or the answers do not play without a miss.
    """
    scenario = load(path)
    if not scenario.is_replayable or not all(o.cassette and o.answers for o in scenario.orders):
        return []
    cassette = authored_cassette(scenario, path)
    target = path.parent / str(scenario.orders[0].cassette)
    write(cassette, target)
    return [target]


def authored_cassette(scenario: Scenario, path: Path) -> Cassette:
    """Return the cassette that a scenario's authored answers give.

    Raises:
        InvalidInput: The answers do not play without a miss.
    """
    with tempfile.TemporaryDirectory(prefix="swarm-author-") as folder:
        return asyncio.run(_author(scenario, path, Path(folder) / "home"))


async def _author(scenario: Scenario, path: Path, home: Path) -> Cassette:
    performance = Performance(scenario, home, sandbox=await _sandbox_for(scenario))
    try:
        with no_sockets():
            done = await performance.play()
        if done.problems:
            raise InvalidInput(f"{path}: the answers do not play: {'; '.join(done.problems[:3])}.")
        provenance = Provenance(kind="authored", by=scenario.author or "a person")
        given = {name: text.encode() for name, text in scenario.orders[0].files.items()}
        return record(
            performance.app,
            order_id_of(1),
            provenance=provenance,
            given=given,
            salt=_salt_before(scenario, path),
        )
    finally:
        performance.close()


def _salt_before(scenario: Scenario, path: Path) -> str:
    """Return the salt of the cassette that is there, so that a new one differs where it differs."""
    name = scenario.orders[0].cassette
    try:
        return read(path.parent / name).manifest.salt if name else ""
    except InvalidInput:
        return ""


def selected(paths: Sequence[Path], tags: Sequence[str]) -> list[Case]:
    """Read scenarios, and keep those that carry one of the tags; none asks for all.

    Raises:
        InvalidInput: One is no scenario, or none carries a tag.
    """
    cases = [read_case(path) for path in paths]
    kept = [case for case in cases if not tags or set(tags) & set(case.scenario.tags)]
    if not kept:
        known = sorted({tag for case in cases for tag in case.scenario.tags})
        raise InvalidInput(f"No scenario has the tag {', '.join(tags)}; known: {', '.join(known)}.")
    return kept
