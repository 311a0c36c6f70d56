"""What a receipt is made of, read from the books beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from swarm.core.clock import parse_iso
from swarm.core.money import CostStatus, from_pico
from swarm.core.order import Baseline, Plan
from swarm.ledger.attention import FounderTime, FounderTimeConfig
from swarm.ledger.hosting.attribution import HostingShare


@dataclass(frozen=True)
class Sheet:
    """One order's books."""

    rows: Sequence[Any]
    """Its ledger rows."""
    plan: Plan | None
    created_at: datetime
    ended_at: datetime
    """When it ended, or now."""
    is_ended: bool
    """False while work goes on or somebody is waited for."""
    currency: str
    """The company's."""
    founder: FounderTime
    founder_config: FounderTimeConfig = field(default_factory=FounderTimeConfig)
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """Price of one unit of another currency, in the company's."""
    hosting: HostingShare | None = None
    """None where no machine is metered."""
    hosting_until: datetime | None = None
    """Up to when the machine's books go."""
    baseline: Baseline | None = None
    channel: str = "terminal"
    """Where the order came from."""
    foreign_tools: tuple[str, ...] = ()
    """Tools of MCP servers that were used; what they charge nobody tells."""
    is_on_web: bool = False
    """True where a role fetched pages or searched."""


@dataclass(frozen=True, slots=True)
class Line:
    """One ledger row as money."""

    amount: Decimal
    currency: str
    status: CostStatus


def line_of(row: Any, company_currency: str) -> Line:
    """Return what a row costs; nothing is nothing in any currency."""
    amount = from_pico(row.cost_pico)
    return Line(amount, row.currency if amount else company_currency, CostStatus(row.cost_status))


def seconds_of(row: Any) -> float:
    """Return how long a call took; 0 for one that never came back."""
    if row.latency_s is not None:
        return float(row.latency_s)
    if row.ended_at is None:
        return 0.0
    return max((parse_iso(row.ended_at) - parse_iso(row.started_at)).total_seconds(), 0.0)
