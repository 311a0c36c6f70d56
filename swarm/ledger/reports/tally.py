"""Add up lines of the ledger, by currency and never across."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from swarm.core.money import CostStatus, from_pico
from swarm.ledger.reports.document import CurrencyShare, LineDocument, SumDocument
from swarm.ledger.reports.economics import share
from swarm.ledger.reports.sums import Line


@dataclass(slots=True)
class CurrencyTally:
    """What was charged in one currency, in 1e-12 parts."""

    paid: int = 0
    notional: int = 0
    listed: int = 0
    owed: int = 0
    """Charged on calls that are unpriced all the same, such as a part of one."""
    calls: int = 0
    unpriced_calls: int = 0
    notional_calls: int = 0

    def add(self, status: str, *, calls: int, cost_pico: int, listed_pico: int) -> None:
        """Count some calls of one status."""
        self.calls += calls
        self.listed += listed_pico
        if status == CostStatus.NOTIONAL.value:
            self.notional += cost_pico
            self.notional_calls += calls
        elif status == CostStatus.UNPRICED.value:
            self.owed += cost_pico
            self.unpriced_calls += calls
        else:
            self.paid += cost_pico

    @property
    def owed_pico(self) -> int:
        """Return what is owed for certain."""
        return self.paid + self.owed

    @property
    def total_pico(self) -> int:
        """Return all that is known, paid and at list price."""
        return self.paid + self.owed + self.notional

    @property
    def status(self) -> CostStatus:
        """Return the least certain status among the calls, as a receipt does."""
        if self.unpriced_calls:
            return CostStatus.UNPRICED
        if self.calls and self.notional_calls == self.calls:
            return CostStatus.NOTIONAL
        return CostStatus.PAID


@dataclass(slots=True)
class Tally:
    """Calls and what they cost, by currency."""

    calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_tokens: int = 0
    tool_tokens: int = 0
    output_tokens: int = 0
    currencies: dict[str, CurrencyTally] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """Count a line."""
        self.calls += line.calls
        self.input_tokens += line.input_tokens
        self.cache_read_tokens += line.cache_read_tokens
        self.cache_write_tokens += line.cache_write_tokens
        self.cache_write_1h_tokens += line.cache_write_1h_tokens
        self.audio_tokens += line.audio_tokens
        self.tool_tokens += line.tool_tokens
        self.output_tokens += line.output_tokens
        self.currencies.setdefault(line.currency, CurrencyTally()).add(
            line.cost_status,
            calls=line.calls,
            cost_pico=line.cost_pico,
            listed_pico=line.listed_pico,
        )

    def sums(self) -> list[SumDocument]:
        """Return the amounts by currency; one in which nothing was charged is left out."""
        return [
            SumDocument(
                currency=currency,
                amount=from_pico(tally.total_pico),
                paid=from_pico(tally.owed_pico),
                notional=from_pico(tally.notional),
                status=tally.status,
                unpriced_calls=tally.unpriced_calls,
            )
            for currency, tally in sorted(self.currencies.items())
            if self._says_something(tally)
        ]

    def _says_something(self, tally: CurrencyTally) -> bool:
        # A failed call is a zero in the currency of its price; beside real amounts that is noise.
        has_amounts = any(t.total_pico or t.unpriced_calls for t in self.currencies.values())
        return not has_amounts or bool(tally.total_pico or tally.unpriced_calls)

    def of(self, currency: str) -> CurrencyTally:
        """Return what was charged in a currency."""
        return self.currencies.get(currency, CurrencyTally())


def tally(lines: Iterable[Line]) -> Tally:
    """Add up lines."""
    total = Tally()
    for line in lines:
        total.add(line)
    return total


def grouped(lines: Iterable[Line]) -> dict[str, Tally]:
    """Add up lines by their name, in the order of the names."""
    groups: dict[str, Tally] = {}
    for line in lines:
        if line.name not in groups:
            groups[line.name] = Tally()
        groups[line.name].add(line)
    return dict(sorted(groups.items()))


def lines(
    groups: dict[str, Tally], *, accepted: dict[str, int] | None = None
) -> list[LineDocument]:
    """Write groups as lines of a breakdown."""
    return [
        LineDocument(
            name=name,
            calls=group.calls,
            sums=group.sums(),
            input_tokens=group.input_tokens,
            cache_read_tokens=group.cache_read_tokens,
            cache_write_tokens=group.cache_write_tokens,
            cache_write_1h_tokens=group.cache_write_1h_tokens,
            audio_tokens=group.audio_tokens,
            tool_tokens=group.tool_tokens,
            output_tokens=group.output_tokens,
            accepted=None if accepted is None else accepted.get(name, 0),
        )
        for name, group in groups.items()
    ]


def shares(part: Tally, whole: Tally) -> list[CurrencyShare]:
    """Return what a part is of the whole, by currency."""
    return [
        CurrencyShare(
            currency=line.currency,
            share=share(Decimal(part.of(line.currency).total_pico), line.amount.scaleb(12)),
        )
        for line in whole.sums()
    ]
