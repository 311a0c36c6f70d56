"""Run scenarios, compare evaluations, and ask a server whether it can drive the company."""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from swarm import __version__
from swarm.cli import exits
from swarm.cli.lazy import load
from swarm.cli.terminal import say, show_json, tell
from swarm.core.errors import InvalidInput, SwarmError
from swarm.evals.diffing import compare, lines_of, read_results
from swarm.evals.junit import faults, junit
from swarm.evals.page import page
from swarm.evals.results import RunResult, ScenarioResult, as_document, scenario_result
from swarm.evals.runner import Case, author, selected
from swarm.evals.scenario import find

SHIPPED = "shipped"


def evaluate(
    *,
    paths: list[str],
    repeat: int,
    jobs: int,
    html: Path | None,
    junit_file: Path | None,
    tags: list[str],
    is_authoring: bool,
    api_base: str | None,
    model: str | None,
    as_json: bool,
    graded: str | None = None,
    limit: str | None = None,
) -> int:
    """Do what the first word says: run scenarios, `diff` two evaluations, or ask for `conformance`.

    Raises:
        InvalidInput: A scenario, an evaluation or an address that is none; nothing was run.
    """
    first, *rest = paths
    if first == "diff" and not Path(first).exists():
        return _diff(rest, as_json=as_json)
    if first == "conformance" and not Path(first).exists():
        if rest:
            raise InvalidInput("`swarm eval conformance` takes no path, only --llm__api_base URL.")
        return _conformance(api_base, model, _limit(limit), as_json=as_json)
    if model or (api_base and not graded):
        raise InvalidInput(
            "--llm__api_base and --llm__model go with `swarm eval conformance`; with --graded MODEL "
            "an address says where that model is asked."
        )
    if limit is not None and not graded:
        raise InvalidInput("--budget limits what --graded MODEL and conformance spend on models.")
    found = find([_place(path) for path in paths])
    if is_authoring:
        return _author(found)
    for target in (html, junit_file):
        _check_target(target)
    cases = selected(found, tags)
    started = time.perf_counter()
    with _terms(graded, api_base, limit) as terms:
        results = _run(cases, repeat=repeat, jobs=jobs, is_quiet=as_json, terms=terms)
    document = as_document(results, wall_s=time.perf_counter() - started, version=__version__)
    if html is not None:
        html.write_text(page(document, results), encoding="utf-8")
    if junit_file is not None:
        junit_file.write_text(junit(results), encoding="utf-8")
    if as_json:
        show_json(document)
    else:
        _say_table(document, results)
    return exits.DONE if document["is_green"] else exits.FAILED


def _place(path: str) -> Path:
    """Return a path; the word `shipped` stands for the packs that came with the package."""
    if path != SHIPPED or Path(path).exists():
        return Path(path)
    place: Path = load("swarm.evals.shipped:packs")()
    return place


@contextmanager
def _terms(model: str | None, api_base: str | None, limit: str | None) -> Iterator[Any]:
    """Give whom graded checks may ask, with a ledger that is gone afterwards; None asks nobody."""
    if model is None:
        yield None
        return
    environment = load("swarm.settings:load")()
    if api_base:
        llm = environment.settings.llm.model_copy(update={"api_base": api_base})
        settings = environment.settings.model_copy(update={"llm": llm})
        environment = environment.model_copy(update={"settings": settings})
    with tempfile.TemporaryDirectory(prefix="swarm-graded-") as folder:
        terms = load("swarm.evals.purse:Terms")
        yield terms(Path(folder) / "home", environment, model, _limit(limit))


def _limit(text: str | None) -> Decimal:
    """Return the most that an evaluation itself may spend.

    Raises:
        InvalidInput: No amount.
    """
    if text is None:
        default: Decimal = load("swarm.evals.purse:LIMIT")
        return default
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal(0)
    if not amount.is_finite() or not 0 < amount <= 1_000_000:
        raise InvalidInput(f"--budget {text[:40]!r}: write an amount above 0, such as 0.50.")
    return amount


def _check_target(target: Path | None) -> None:
    if target is not None and not target.absolute().parent.is_dir():
        raise InvalidInput(f"{target}: there is no folder {target.absolute().parent}.")


def _author(paths: Sequence[Path]) -> int:
    """Write the cassettes that authored answers give; one that does not play stops no other."""
    written, faults_seen = 0, 0
    for path in paths:
        try:
            for cassette in author(path):
                say(f"{path}: wrote {cassette.name}.")
                written += 1
        except SwarmError as error:
            tell(f"Error: {error}")
            faults_seen += 1
    say(f"{written} cassettes written.")
    return exits.USAGE if faults_seen else exits.DONE


def _run(
    cases: Sequence[Case], *, repeat: int, jobs: int, is_quiet: bool, terms: Any
) -> list[ScenarioResult]:
    """Run each case as often as asked; the slow ones go first, so that no process ends alone."""
    order = sorted(cases, key=lambda case: case.scenario.crashes is None)
    work = [(case.path, number) for number in range(1, repeat + 1) for case in order]
    runs: dict[Path, list[RunResult]] = defaultdict(list)
    run_all = load("swarm.evals.processes:run_all")
    for path, result in run_all(work, workers=jobs, terms=terms):
        runs[path].append(result)
        if not is_quiet:
            tell(f"{'.' if result.passed else 'F'} {path.stem}")
    return [
        scenario_result(
            case.scenario,
            runs[case.path],
            pack=case.path.absolute().parent.name,
            path=str(case.path),
        )
        for case in cases
    ]


def _say_table(document: dict[str, Any], results: Sequence[ScenarioResult]) -> None:
    width = max(len(result.name) for result in results) + 2
    say(
        f"{'scenario':{width}}{'pass@1':>8}{'pass^k':>8}{'cost':>20}{'wall s':>8}{'founder':>9}  drift"
    )
    for pack in dict.fromkeys(result.pack for result in results):
        say(f"{pack}:")
        for result in (result for result in results if result.pack == pack):
            say(_line(result, width))
            for line in (line for run in result.runs for line in faults(run)):
                say(f"    {line}")
            for breach in result.breaches:
                say(f"    {breach.threshold}: {breach.got}, wanted {breach.wanted}")
    totals = document["totals"]
    say(
        f"{totals['green']} of {totals['scenarios']} scenarios green; {totals['passed']} of "
        f"{totals['runs']} runs passed, {totals['calls']} model calls, "
        f"{_costs(totals['costs']) or 'no cost'}, {totals['wall_s']:g} s"
    )
    if totals["graded"]:
        say(f"grading cost {_costs(totals['graded'])} beside that, really paid")


def _line(result: ScenarioResult, width: int) -> str:
    runs = result.runs
    graded = next((run.graded for run in runs if run.graded), [])
    wall = sum(run.wall_s for run in runs) / len(runs)
    drift = sum(bool(run.drift) for run in runs)
    mark = "" if result.is_green else "  RED"
    return (
        f"{'  ' + result.name:{width}}{result.pass_at_1:>8g}{result.pass_k:>8g}"
        f"{_costs(runs[0].costs):>20}{wall:>8.2f}{runs[0].founder_minutes:>9g}  "
        f"{drift or '-'}{mark}" + (f"  graded for {_costs(graded)}" if graded else "")
    )


def _costs(costs: Iterable[dict[str, str]]) -> str:
    return ", ".join(
        f"{'≥' if cost['status'] == 'unpriced' else ''}{cost['amount']} {cost['currency']}"
        for cost in costs
    )


def _diff(paths: Sequence[str], *, as_json: bool) -> int:
    if len(paths) != 2:
        raise InvalidInput("`swarm eval diff A B` compares two files that `--json` wrote.")
    found = compare(*(read_results(Path(path)) for path in paths))
    is_worse = any(item.verdict in ("worse", "gone") for item in found)
    if as_json:
        show_json({"is_worse": is_worse, "scenarios": [asdict(item) for item in found]})
        return exits.FAILED if is_worse else exits.DONE
    for item in found:
        if item.verdict != "same":
            for line in lines_of(item):
                say(line)
    same = sum(item.verdict == "same" for item in found)
    say(f"{same} of {len(found)} scenarios went the same, step by step.")
    return exits.FAILED if is_worse else exits.DONE


def _conformance(api_base: str | None, model: str | None, limit: Decimal, *, as_json: bool) -> int:
    if not api_base:
        raise InvalidInput("Name the server: `swarm eval conformance --llm__api_base URL`.")
    ask = load("swarm.evals.conformance:conformance")
    environment = load("swarm.settings:load")()
    with tempfile.TemporaryDirectory(prefix="swarm-conformance-") as folder:
        home = Path(folder) / "home"
        document = asyncio.run(ask(environment, api_base, model, home=home, limit=limit))
    if as_json:
        show_json(document)
    else:
        for item in document["checks"]:
            mark = "passes" if item["passed"] else "FAILS" if item["is_required"] else "lacks"
            say(f"{mark:8}{item['name']}: {item['detail']}")
        say(f"{document['calls']} calls, {_costs(document['costs']) or 'no cost'}.")
        say(document["verdict"])
    if document["stopped"]:
        return exits.STOPPED
    return exits.DONE if document["is_fit"] else exits.FAILED
