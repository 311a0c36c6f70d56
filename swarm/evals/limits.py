"""Scorers of what an order took: money, the founder's attention, calls, and people's effort."""

from decimal import Decimal
from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from swarm.core.money import CostStatus, plain
from swarm.evals.checks import compared
from swarm.evals.evidence import Evidence
from swarm.evals.scorers import Mark, ScorerArgs, mark, order_of


class CostArgs(ScorerArgs):
    """What the model calls may cost, and how sure of it the books must be."""

    SHORT: ClassVar[str] = "at_most"
    at_most: Decimal | None = Field(default=None, ge=0)
    at_least: Decimal | None = Field(default=None, ge=0)
    currency: str = "USD"
    status: CostStatus | None = None
    """`paid`, `notional` or `unpriced`; unknown is never taken for nothing."""


class Cost:
    """Whether the order's model cost lies where it should."""

    name: ClassVar[str] = "cost"
    Args: ClassVar[type[ScorerArgs]] = CostArgs

    async def score(self, evidence: Evidence, args: CostArgs) -> Mark:
        """Read the receipt; an unpriced cost is a lower bound and meets no upper limit."""
        paid = order_of(evidence, args).document.receipt.model_cost
        said = f"{plain(paid.amount)} {paid.currency}, {paid.status.value}"
        if args.status is not None and paid.status is not args.status:
            return mark(False, f"{said}; not {args.status.value}")
        if paid.currency != args.currency and paid.amount:
            return mark(False, f"{said}: in another currency than {args.currency}")
        if args.at_most is not None and (
            paid.amount > args.at_most or paid.status is CostStatus.UNPRICED
        ):
            return mark(False, f"{said}: not known to be at most {plain(args.at_most)}")
        is_met = args.at_least is None or paid.amount >= args.at_least
        return mark(is_met, said)


class TouchesArgs(ScorerArgs):
    """How often the founder may have to act, and for how long."""

    SHORT: ClassVar[str] = "at_most"
    at_most: int | None = Field(default=None, ge=0)
    equals: int | None = Field(default=None, ge=0)
    minutes: float | None = Field(default=None, ge=0)


class Touches:
    """Whether the founder was left in peace."""

    name: ClassVar[str] = "touches"
    Args: ClassVar[type[ScorerArgs]] = TouchesArgs

    async def score(self, evidence: Evidence, args: TouchesArgs) -> Mark:
        """Count what the receipt counts."""
        founder = order_of(evidence, args).document.receipt.founder
        touches = founder.touches if founder else 0
        minutes = float(founder.seconds) / 60 if founder else 0.0
        is_met = (
            (args.at_most is None or touches <= args.at_most)
            and (args.equals is None or touches == args.equals)
            and (args.minutes is None or minutes <= args.minutes)
        )
        return mark(is_met, f"{touches} touches, {minutes:.1f} minutes")


class CallsArgs(ScorerArgs):
    """How many attempts at model calls there may be."""

    SHORT: ClassVar[str] = "at_most"
    at_most: int | None = Field(default=None, ge=0)
    at_least: int | None = Field(default=None, ge=0)
    equals: int | None = Field(default=None, ge=0)
    state: str | None = Field(default=None, pattern="^(used|failed|intent|superseded)$")
    error: str | None = None
    """Only those that failed this way, such as `rate_limited`."""


class Calls:
    """Whether the ledger has as many lines as it should."""

    name: ClassVar[str] = "calls"
    Args: ClassVar[type[ScorerArgs]] = CallsArgs

    async def score(self, evidence: Evidence, args: CallsArgs) -> Mark:
        """Count the ledger's lines."""
        lines = [
            row
            for row in order_of(evidence, args).calls
            if args.state in (None, row["state"]) and args.error in (None, row["error_kind"])
        ]
        count = len(lines)
        is_met = (
            (args.at_most is None or count <= args.at_most)
            and (args.at_least is None or count >= args.at_least)
            and (args.equals is None or count == args.equals)
        )
        return mark(is_met, f"{count} such calls of {len(order_of(evidence, args).calls)}")


class BaselineArgs(ScorerArgs):
    """What people really took, which the frozen band must contain."""

    SHORT: ClassVar[str] = "hours"
    hours: Decimal = Field(gt=0)


class Baseline:
    """Whether the frozen human baseline contains what people took."""

    name: ClassVar[str] = "baseline"
    Args: ClassVar[type[ScorerArgs]] = BaselineArgs

    async def score(self, evidence: Evidence, args: BaselineArgs) -> Mark:
        """Compare with the band from p10 to p90."""
        baseline = order_of(evidence, args).document.baseline
        if baseline is None:
            return mark(False, "there is no baseline")
        band = baseline.hours
        said = f"{plain(band.p10)} to {plain(band.p90)} h"
        return mark(
            band.p10 <= args.hours <= band.p90, f"{said}, people took {plain(args.hours)} h"
        )


class FactsArgs(ScorerArgs):
    """Something that the run itself counted, such as `crashes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    at: str
    equals: Any = None
    at_least: float | None = None
    at_most: float | None = None


class Facts:
    """Whether the run itself went as it should."""

    name: ClassVar[str] = "facts"
    Args: ClassVar[type[ScorerArgs]] = FactsArgs

    async def score(self, evidence: Evidence, args: FactsArgs) -> Mark:
        """Compare what was counted."""
        return compared(args.at, dict(evidence.facts), args.at, args)
