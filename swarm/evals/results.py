"""What an evaluation came to: runs, scenarios, thresholds, totals."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from math import comb
from typing import Any

from swarm.core.money import CostStatus, plain
from swarm.evals.evidence import Evidence
from swarm.evals.scenario import Scenario, Thresholds
from swarm.evals.timeline import steps_of

FORMAT = 1
"""Version of the document that `swarm eval --json` prints and `swarm eval diff` reads."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check came to."""

    check: str
    scorer: str
    score: float
    holds: bool
    is_skipped: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run of one scenario. It travels between processes, so it holds plain values alone."""

    number: int
    mode: str
    """`replay` of cassettes, `authored` answers played, or `crashes`."""
    passed: bool
    checks: list[CheckResult]
    drift: list[str]
    provenance: list[str]
    orders: list[dict[str, Any]]
    costs: list[dict[str, str]]
    """Model cost by currency; two currencies are never added."""
    founder_minutes: float
    calls: int
    wall_s: float
    """What the run took here."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    """Why it could not be run at all."""
    graded: list[dict[str, str]] = field(default_factory=list)
    """What graded checks cost: an evaluation's own money, never the order's."""


def run_result(
    evidence: Evidence,
    checks: list[CheckResult],
    *,
    number: int,
    mode: str,
    wall_s: float,
    graded: list[dict[str, str]] | None = None,
) -> RunResult:
    """Put together what a run came to; drift fails it whatever the checks say."""
    documents = [order.document for order in evidence.orders]
    founders = [d.receipt.founder for d in documents]
    seconds = sum((f.seconds for f in founders if f), Decimal(0))
    return RunResult(
        number=number,
        mode=mode,
        passed=all(check.holds for check in checks) and not evidence.drift,
        checks=checks,
        drift=list(evidence.drift),
        provenance=list(evidence.provenance),
        orders=[
            {
                "id": d.id,
                "status": d.status.value,
                "text": d.text,
                "calls": d.receipt.calls,
                "files": {file.path: file.sha256 for file in d.artifacts},
            }
            for d in documents
        ],
        costs=_costs(d.receipt.model_cost for d in documents),
        founder_minutes=round(float(seconds) / 60, 2),
        calls=sum(d.receipt.calls for d in documents),
        wall_s=round(wall_s, 3),
        steps=[
            {"order": number, **step.as_document()}
            for number, order in enumerate(evidence.orders, start=1)
            for step in steps_of(order)
        ],
        graded=graded or [],
    )


def _costs(found: Iterable[Any]) -> list[dict[str, str]]:
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    worst: dict[str, CostStatus] = {}
    rank = [CostStatus.PAID, CostStatus.NOTIONAL, CostStatus.UNPRICED]
    for cost in found:
        amounts[cost.currency] += cost.amount
        before = worst.get(cost.currency, cost.status)
        worst[cost.currency] = max(before, cost.status, key=rank.index)
    return [
        {"amount": plain(amount), "currency": currency, "status": worst[currency].value}
        for currency, amount in sorted(amounts.items())
    ]


def failed_run(number: int, error: str) -> RunResult:
    """Return the result of a run that could not be made."""
    return RunResult(
        number=number,
        mode="none",
        passed=False,
        checks=[],
        drift=[],
        provenance=[],
        orders=[],
        costs=[],
        founder_minutes=0.0,
        calls=0,
        wall_s=0.0,
        error=error,
    )


def pass_hat_k(runs: int, passed: int, k: int) -> float:
    """Return how likely `k` runs, drawn from those made, all pass: C(passed, k) / C(runs, k)."""
    return comb(passed, k) / comb(runs, k) if 0 < k <= runs else 0.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A threshold that was not reached."""

    threshold: str
    wanted: str
    got: str


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What all runs of one scenario came to."""

    name: str
    pack: str
    """The folder it lies in."""
    path: str
    tags: list[str]
    runs: list[RunResult]
    pass_at_1: float
    pass_k: float
    """The chance that as many runs as were made would all pass."""
    breaches: list[Breach]

    @property
    def is_green(self) -> bool:
        """Whether every threshold was reached."""
        return not self.breaches


def scenario_result(
    scenario: Scenario, runs: Sequence[RunResult], *, pack: str, path: str
) -> ScenarioResult:
    """Put the runs of a scenario together and hold them against its thresholds."""
    passed = sum(run.passed for run in runs)
    at_1, at_k = passed / len(runs), pass_hat_k(len(runs), passed, len(runs))
    return ScenarioResult(
        name=scenario.name,
        pack=pack,
        path=path,
        tags=list(scenario.tags),
        runs=sorted(runs, key=lambda run: run.number),
        pass_at_1=round(at_1, 4),
        pass_k=round(at_k, 4),
        breaches=list(_breaches(scenario.thresholds, runs, at_1, at_k)),
    )


def _breaches(
    limits: Thresholds, runs: Sequence[RunResult], at_1: float, at_k: float
) -> Iterable[Breach]:
    if at_1 < limits.pass_at_1:
        yield Breach("pass_at_1", f"{limits.pass_at_1:g}", f"{at_1:.4g}")
    if at_k < limits.pass_k:
        yield Breach("pass_k", f"{limits.pass_k:g}", f"{at_k:.4g}")
    slowest = max(run.wall_s for run in runs)
    if limits.wall_s is not None and slowest > limits.wall_s:
        yield Breach("wall_s", f"{limits.wall_s:g}", f"{slowest:g}")
    longest = max(run.founder_minutes for run in runs)
    if limits.founder_minutes is not None and longest > limits.founder_minutes:
        yield Breach("founder_minutes", f"{limits.founder_minutes:g}", f"{longest:g}")
    if limits.cost is None:
        return
    for run in runs:
        for cost in run.costs:
            if Decimal(cost["amount"]) > limits.cost or cost["status"] == "unpriced":
                said = f"{cost['amount']} {cost['currency']} ({cost['status']})"
                yield Breach("cost", plain(limits.cost), said)
                return


def as_document(
    results: Sequence[ScenarioResult], *, wall_s: float, version: str
) -> dict[str, Any]:
    """Return an evaluation as programs read it."""
    runs = [run for result in results for run in result.runs]
    return {
        "format": FORMAT,
        "swarm": version,
        "is_green": all(result.is_green for result in results),
        "scenarios": [{**asdict(result), "is_green": result.is_green} for result in results],
        "totals": {
            "scenarios": len(results),
            "green": sum(result.is_green for result in results),
            "runs": len(runs),
            "passed": sum(run.passed for run in runs),
            "calls": sum(run.calls for run in runs),
            "costs": _added([cost for run in runs for cost in run.costs]),
            "graded": _added([cost for run in runs for cost in run.graded]),
            "founder_minutes": round(sum(run.founder_minutes for run in runs), 2),
            "drift": sum(bool(run.drift) for run in runs),
            "wall_s": round(wall_s, 3),
        },
    }


def _added(costs: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    rank = ("paid", "notional", "unpriced")
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    worst: dict[str, str] = {}
    for cost in costs:
        currency = cost["currency"]
        amounts[currency] += Decimal(cost["amount"])
        worst[currency] = max(worst.get(currency, "paid"), cost["status"], key=rank.index)
    return [
        {"amount": plain(amount), "currency": currency, "status": worst[currency]}
        for currency, amount in sorted(amounts.items())
    ]
