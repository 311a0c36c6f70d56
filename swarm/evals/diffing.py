"""Compare two evaluations: which scenario got worse, and at which step it first went another way."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from swarm.core.errors import InvalidInput
from swarm.core.money import plain
from swarm.evals.results import FORMAT
from swarm.llm.cassette import SHOWN
from swarm.llm.cassette import first_difference as first_difference_of

MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Difference:
    """How one scenario fared in two evaluations."""

    scenario: str
    verdict: str
    """`worse`, `better`, `changed` (another way to the same marks), `same`, `new`, `gone`."""
    pass_at_1: tuple[float | None, float | None]
    cost: tuple[str, str]
    lost_checks: list[str]
    """Checks that held before and hold no more."""
    won_checks: list[str]
    first_step: dict[str, Any] | None
    """Where the first runs differ: place, what was done before, what is done now."""


def read_results(path: Path) -> dict[str, Any]:
    """Read what `swarm eval --json` printed.

    Raises:
        InvalidInput: It is no such document, or of a newer format.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path}: is larger than any evaluation.")
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{path}: is no JSON; `swarm eval … --json > FILE` writes it."
        ) from error
    is_ours = isinstance(document, dict) and isinstance(document.get("scenarios"), list)
    if not is_ours or not isinstance(document.get("format"), int):
        raise InvalidInput(f"{path}: is no evaluation; `swarm eval … --json > FILE` writes one.")
    if document["format"] > FORMAT:
        raise InvalidInput(f"{path}: has format {document['format']}; use a newer Swarm.")
    checked: dict[str, Any] = document
    return checked


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Compare two evaluations, scenario by scenario, the worse ones first.

    Raises:
        InvalidInput: A scenario in them is none.
    """
    try:
        one = {item["path"]: item for item in before["scenarios"]}
        other = {item["path"]: item for item in after["scenarios"]}
        if not one.keys() & other.keys():
            one = {item["name"]: item for item in before["scenarios"]}
            other = {item["name"]: item for item in after["scenarios"]}
        found = [_difference(one.get(key), other.get(key)) for key in {**one, **other}]
    except (KeyError, TypeError, IndexError, ArithmeticError) as error:
        raise InvalidInput(f"An evaluation is damaged: {type(error).__name__}: {error}.") from error
    rank = ("worse", "gone", "new", "changed", "better", "same")
    return sorted(found, key=lambda item: rank.index(item.verdict))


def _difference(one: Any, other: Any) -> Difference:
    if one is None or other is None:
        known = one or other
        rates = (one and one["pass_at_1"], other and other["pass_at_1"])
        verdict = "new" if one is None else "gone"
        return Difference(known["name"], verdict, rates, ("", ""), [], [], None)
    lost, won = _checks(one, other)
    step = first_difference(one["runs"][0]["steps"], other["runs"][0]["steps"])
    worse = other["pass_at_1"] < one["pass_at_1"] or (one["is_green"] and not other["is_green"])
    better = other["pass_at_1"] > one["pass_at_1"] or (other["is_green"] and not one["is_green"])
    costs = (_cost(one), _cost(other))
    is_moved = step is not None or costs[0] != costs[1] or bool(lost or won)
    verdict = "worse" if worse else "better" if better else "changed" if is_moved else "same"
    rates = (one["pass_at_1"], other["pass_at_1"])
    return Difference(one["name"], verdict, rates, costs, lost, won, step)


def _checks(one: Any, other: Any) -> tuple[list[str], list[str]]:
    before, after = _held(one), _held(other)
    both = [check for check in before if check in after]
    lost = [check for check in both if before[check] and not after[check]]
    return lost, [check for check in both if after[check] and not before[check]]


def _held(result: Any) -> dict[str, bool]:
    """Return whether each check held in every run."""
    held: dict[str, bool] = {}
    for run in result["runs"]:
        for check in run["checks"]:
            held[check["check"]] = held.get(check["check"], True) and bool(check["holds"])
    return held


def _cost(result: Any) -> str:
    """Return the mean cost of a run, by currency."""
    amounts: dict[str, Decimal] = {}
    for run in result["runs"]:
        for cost in run["costs"]:
            now = amounts.get(cost["currency"], Decimal(0))
            amounts[cost["currency"]] = now + Decimal(cost["amount"])
    count = len(result["runs"])
    return ", ".join(f"{plain(total / count)} {name}" for name, total in sorted(amounts.items()))


def first_difference(one: list[Any], other: list[Any]) -> dict[str, Any] | None:
    """Return the first step at which two runs differ; None where they are step by step the same.

    Steps are compared by their place, not by their number: roles work side by side, and who is
    first says nothing.
    """
    before, after = _by_place(one), _by_place(other)
    for key, step in before.items():
        now = after.get(key)
        if now is None or now["digest"] != step["digest"] or now["fault"] != step["fault"]:
            return _shown(step, now)
    for key, step in after.items():
        if key not in before:
            return _shown(None, step)
    return None


def _by_place(steps: list[Any]) -> dict[tuple[Any, ...], Any]:
    found: dict[tuple[Any, ...], Any] = {}
    for step in steps:
        head = (step["order"], step["node"], step["seq"], step["kind"])
        count = sum(1 for key in found if key[:4] == head)
        found[(*head, count)] = step
    return found


def _shown(before: Any, after: Any) -> dict[str, Any]:
    known = before or after
    words = ("what", "text", "fault")
    return {
        "order": known["order"],
        "place": known["place"],
        "node": known["node"],
        "seq": known["seq"],
        "who": known["who"],
        "before": None if before is None else {name: before[name] for name in words},
        "after": None if after is None else {name: after[name] for name in words},
    }


def lines_of(difference: Difference) -> Iterator[str]:
    """Give a difference as lines for a person."""
    one, other = difference.pass_at_1
    rates = f"pass@1 {'-' if one is None else one} → {'-' if other is None else other}"
    yield f"{difference.verdict:8}{difference.scenario}: {rates}"
    if difference.cost[0] != difference.cost[1]:
        yield f"        cost {difference.cost[0] or '-'} → {difference.cost[1] or '-'}"
    yield from (f"        holds no more: {check}" for check in difference.lost_checks)
    yield from (f"        holds now: {check}" for check in difference.won_checks)
    step = difference.first_step
    if step is not None:
        yield f"        first differs at {step['place'] or step['node']}, step {step['seq']} ({step['who']})"
        sides = [_said(step[name]) for name in ("before", "after")]
        _, *parts = first_difference_of(*sides)
        for name, text in zip(("before", "after"), parts, strict=True):
            yield f"          {name + ':':8}{text[:SHOWN]}"
        if sides[0] == sides[1]:
            yield "          what differs comes later than the part that a result keeps"


def _said(side: Mapping[str, Any] | None) -> str:
    if side is None:
        return "(nothing)"
    fault = f" !{side['fault']}" if side["fault"] else ""
    return f"{side['what']}{fault}: {side['text']}"
