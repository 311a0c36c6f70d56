"""Ledger rows as OpenTelemetry GenAI spans, and their sums as its metrics.

Names are those of the semantic conventions, all in development still. There `input_tokens` is the
whole prompt, what was read from a cache included: the cache's counts are parts of it, never added.
Money has no name there, so it goes under `swarm.`, as a text that loses no digit.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from swarm import __version__
from swarm.core.clock import parse_iso
from swarm.core.money import CostStatus, from_pico, plain
from swarm.ledger.book import FAILED

TOKEN_BOUNDS = tuple(4**power for power in range(14))
"""Those that the conventions name for `gen_ai.client.token.usage`."""
SECOND_BOUNDS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
"""Those for `gen_ai.client.operation.duration`."""
PROMPT = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "tool_tokens",
)
"""Disjoint buckets of the ledger, which together are the whole prompt."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who tells."""

    company: str

    @property
    def resource(self) -> Resource:
        """Return the resource that all spans and metrics are of."""
        return Resource({"service.name": "swarm", "service.instance.id": self.company})

    @property
    def scope(self) -> InstrumentationScope:
        """Return what made them."""
        return InstrumentationScope("swarm.ledger", __version__)


def spans(rows: Iterable[Any], source: Source) -> Iterator[ReadableSpan]:
    """Yield a `chat` span for each call; all calls of an order are one trace."""
    resource, scope = source.resource, source.scope
    for row in rows:
        start, end = _times(row)
        yield ReadableSpan(
            name=f"chat {_bare(row.model)}",
            context=_context(row),
            resource=resource,
            instrumentation_scope=scope,
            attributes=attributes(row),
            kind=SpanKind.CLIENT,
            status=_status(row),
            start_time=_nanoseconds(start),
            end_time=_nanoseconds(end),
        )


def attributes(row: Any) -> dict[str, str | int | float | bool]:
    """Return what a row says in the words of the conventions; what is not known is left out."""
    found: dict[str, Any] = {
        **_names(row),
        "gen_ai.response.model": row.answered_model,
        "gen_ai.agent.name": row.role,
        "gen_ai.conversation.id": row.order_id,
        "error.type": (row.error_kind or "_OTHER") if row.state == FAILED else None,
        "swarm.cost.status": row.cost_status,
        "swarm.cost.currency": row.currency,
        "swarm.price.id": row.price_id,
        "swarm.order.id": row.order_id,
        "swarm.task.id": row.task_id,
        "swarm.node": row.node,
        "swarm.attempt": row.attempt,
        "swarm.attempt.state": row.state,
        "swarm.ledger.id": row.id,
    }
    if row.cost_status != CostStatus.UNPRICED.value or row.cost_pico:
        found["swarm.cost.amount"] = plain(from_pico(row.cost_pico))
    if row.input_tokens is not None:
        written = (row.cache_write_tokens or 0) + (row.cache_write_1h_tokens or 0)
        found |= {
            "gen_ai.usage.input_tokens": prompt_tokens(row),
            "gen_ai.usage.output_tokens": row.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": row.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": written,
            "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
        }
    return {name: value for name, value in found.items() if value is not None}


def prompt_tokens(row: Any) -> int:
    """Return the size of the whole prompt, cached parts included."""
    return sum(getattr(row, name) or 0 for name in PROMPT)


def _names(row: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": row.provider or row.model.partition("/")[0],
        "gen_ai.request.model": _bare(row.model),
    }


@dataclass(slots=True)
class _Points:
    """A histogram under construction."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0
    least: float = 0
    most: float = 0

    def add(self, value: float) -> None:
        """Count a value; a bound belongs to the bin below it."""
        if not self.counts:
            self.counts, self.least, self.most = [0] * (len(self.bounds) + 1), value, value
        place = next((n for n, bound in enumerate(self.bounds) if value <= bound), -1)
        self.counts[place] += 1
        self.total += value
        self.least, self.most = min(self.least, value), max(self.most, value)


class Meters:
    """Add rows up as they stream by; a few numbers for each model, whatever their count."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens: dict[tuple[tuple[str, Any], ...], _Points] = {}
        self._seconds: dict[tuple[tuple[str, Any], ...], _Points] = {}
        self._costs: dict[tuple[tuple[str, Any], ...], int] = {}
        self._start: datetime | None = None
        self._end: datetime | None = None

    def add(self, row: Any) -> None:
        """Count a row."""
        start, end = _times(row)
        self._start = min(self._start or start, start)
        self._end = max(self._end or end, end)
        names = _names(row)
        if row.answered_model is not None:
            names["gen_ai.response.model"] = row.answered_model
        if row.input_tokens is not None:
            for kind, value in (("input", prompt_tokens(row)), ("output", row.output_tokens or 0)):
                key = tuple({**names, "gen_ai.token.type": kind}.items())
                self._tokens.setdefault(key, _Points(TOKEN_BOUNDS)).add(value)
        if row.latency_s is not None:
            self._seconds.setdefault(tuple(names.items()), _Points(SECOND_BOUNDS)).add(
                row.latency_s
            )
        money = {**names, "swarm.cost.currency": row.currency, "swarm.cost.status": row.cost_status}
        key = tuple(money.items())
        self._costs[key] = self._costs.get(key, 0) + row.cost_pico

    def metrics(self) -> MetricsData | None:
        """Return the sums; None where there was no row."""
        if self._start is None or self._end is None:
            return None
        span = (_nanoseconds(self._start), _nanoseconds(self._end))
        found = [
            _histogram("gen_ai.client.token.usage", "{token}", "Tokens used", self._tokens, span),
            _histogram(
                "gen_ai.client.operation.duration", "s", "Time of a call", self._seconds, span
            ),
            self._cost_metric(span),
        ]
        scope = ScopeMetrics(self._source.scope, [m for m in found if m is not None], "")
        return MetricsData([ResourceMetrics(self._source.resource, [scope], "")])

    def _cost_metric(self, span: tuple[int, int]) -> Metric:
        points = [
            NumberDataPoint(dict(key), *span, float(from_pico(pico)))
            for key, pico in self._costs.items()
        ]
        sums = Sum(points, AggregationTemporality.CUMULATIVE, True)
        return Metric("swarm.cost", "Cost, by currency and status", "1", sums)


def _histogram(
    name: str,
    unit: str,
    text: str,
    found: dict[tuple[tuple[str, Any], ...], _Points],
    span: tuple[int, int],
) -> Metric | None:
    points = [
        HistogramDataPoint(
            attributes=dict(key),
            start_time_unix_nano=span[0],
            time_unix_nano=span[1],
            count=sum(of.counts),
            sum=of.total,
            bucket_counts=of.counts,
            explicit_bounds=of.bounds,
            min=of.least,
            max=of.most,
        )
        for key, of in found.items()
    ]
    data = Histogram(points, AggregationTemporality.CUMULATIVE)
    return Metric(name, text, unit, data) if points else None


def _context(row: Any) -> SpanContext:
    """Name a span by what it is, so that a second export names it the same."""
    trace = hashlib.sha256(f"order:{row.order_id}".encode()).digest()
    span = hashlib.sha256(f"call:{row.order_id}:{row.id}".encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(trace[:16], "big"),
        span_id=int.from_bytes(span[:8], "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _status(row: Any) -> Status:
    if row.state == FAILED:
        return Status(StatusCode.ERROR, row.error_text or row.error_kind or "failed")
    return Status(StatusCode.UNSET)


def _times(row: Any) -> tuple[datetime, datetime]:
    start = parse_iso(row.started_at)
    end = parse_iso(row.ended_at) if row.ended_at else start
    # A clock that was set back gives no call a negative length.
    return start, max(start, end)


def _nanoseconds(at: datetime) -> int:
    # In whole numbers: a float of this size has lost its microseconds.
    since = at - datetime(1970, 1, 1, tzinfo=at.tzinfo)
    return since // timedelta(microseconds=1) * 1000


def _bare(model: str) -> str:
    return model.partition("/")[2] or model
