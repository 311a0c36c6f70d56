"""A trace of another program as a cassette, priced."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from swarm import __version__
from swarm.core.clock import iso
from swarm.core.lane import lane_of
from swarm.core.money import plain
from swarm.core.usage import Usage
from swarm.core.usage_counts import UnknownShapeError, UsageFaultError
from swarm.core.usage_reading import read as read_usage
from swarm.evals.cassette import FORMAT, Cassette, Entry, Manifest, counts_of
from swarm.evals.digests import request_key
from swarm.evals.secrets import Secrets
from swarm.ledger.prices import PriceBook
from swarm.ledger.pricing import price_usage


@dataclass
class Imported:
    """A trace as a cassette, priced by today's book."""

    cassette: Cassette
    calls: int
    tools: int
    costs: list[dict[str, str]]
    unpriced: list[str]
    unmapped: list[str] = field(default_factory=list)
    """What the trace holds and the cassette does not say."""

    def as_document(self) -> dict[str, Any]:
        """Return what was taken in, without the cassette."""
        return {
            "calls": self.calls,
            "tools": self.tools,
            "costs": self.costs,
            "unpriced": self.unpriced,
            "unmapped": self.unmapped,
        }


@dataclass
class Call:
    """One model call of a trace."""

    model: str
    request: dict[str, Any]
    answer: dict[str, Any] | None
    usage: dict[str, Any]
    started_at: datetime
    latency_s: float
    error: str = ""
    error_kind: str = "imported"


def imported(
    calls: list[Call], tools_seen: list[Entry], unmapped: list[str], *, path: Path, kind: str
) -> Imported:
    """Make a cassette of what a trace held, priced by the book of now."""
    book = PriceBook.load(overrides={})
    guard = Secrets(())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    order_id = f"o{digest[:7]}"
    calls.sort(key=lambda call: call.started_at)
    entries: list[Entry] = []
    amounts: dict[str, Decimal] = {}
    unpriced: dict[str, None] = {}
    for number, call in enumerate(calls):
        charge = _charge(book, call)
        if charge["status"] == "unpriced":
            unpriced[call.model] = None
        else:
            currency = str(charge["currency"])
            amounts[currency] = amounts.get(currency, Decimal(0)) + Decimal(str(charge["cost"]))
        entries.append(_entry(call, number, order_id, charge, guard))
    tools = [json.loads(guard.hidden(json.dumps(e, ensure_ascii=False))) for e in tools_seen]
    manifest = _manifest(calls, unmapped, order_id, digest, kind)
    manifest.lanes = counts_of([*entries, *tools])
    cassette = Cassette(manifest, (*entries, *tools))
    costs = [{"amount": plain(a), "currency": c} for c, a in sorted(amounts.items())]
    return Imported(cassette, len(entries), len(tools), costs, list(unpriced), unmapped)


def _charge(book: PriceBook, call: Call) -> Entry:
    """Price a call by the book of now; what it cost then nobody wrote down."""
    priced = price_usage(
        book,
        provider=book.provider_of(call.model),
        model=call.model,
        usage=call.usage or None,
        at=datetime.now(UTC),
    )
    return {
        "cost": plain(priced.amount or Decimal(0)),
        "currency": priced.currency or "USD",
        "status": priced.status.value,
        "price_id": priced.price_id,
        "provider": book.provider_of(call.model) or None,
        "tier": None,
    }


def _entry(call: Call, number: int, order_id: str, charge: Entry, guard: Secrets) -> Entry:
    request = json.loads(guard.hidden(json.dumps(call.request, ensure_ascii=False)))
    digest = hashlib.sha256(json.dumps(call.request, sort_keys=True).encode()).hexdigest()
    entry: Entry = {
        "lane": "model",
        "lane_of": lane_of(order_id, "t1/0.0/w0", number),
        "role": "imported",
        "key": request_key(digest, "imported"),
        "request": request,
        "model": call.model,
        "started_at": iso(call.started_at),
        "ended_at": iso(call.started_at + timedelta(seconds=call.latency_s)),
        "latency_s": call.latency_s,
        "charge": charge,
        "ledger_sha256": digest,
    }
    if call.answer is None:
        return entry | {"error": {"kind": call.error_kind, "text": call.error, "is_owed": False}}
    answer = json.loads(guard.hidden(json.dumps(call.answer, ensure_ascii=False)))
    return entry | {"answer": answer, "raw_usage": call.usage, "usage": _buckets(call.usage)}


def _buckets(usage: dict[str, Any]) -> dict[str, int] | None:
    try:
        found: Usage = read_usage(usage).usage()
    except (UnknownShapeError, UsageFaultError):
        return None
    return {name: getattr(found, name) for name in Usage.__dataclass_fields__}


def _manifest(
    calls: list[Call], unmapped: list[str], order_id: str, digest: str, kind: str
) -> Manifest:
    first = calls[0]
    is_ended = calls[-1].answer is not None
    said = first.request.get("messages") or []
    asked = next((m.get("content") for m in said if m.get("role") == "user"), "")
    text = asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)
    return Manifest.model_validate(
        {
            "format": FORMAT,
            "swarm": __version__,
            "recorded_at": iso(first.started_at),
            "provenance": {"kind": "imported", "by": f"another program, as {kind}"},
            "order": {
                "id": order_id,
                "created_at": iso(first.started_at),
                "channel": "import",
                "account": kind,
                "update_id": digest[:16],
                "chat_id": "import",
                "thread_id": None,
                "sender_id": "unknown",
                "is_auto_signed": True,
                "origin": "tool",
                "customer": None,
                "text": Secrets(()).hidden(text[:2000]) or "(imported)",
                "budget": None,
            },
            "settings": {},
            "roles": {},
            "roles_sha256": digest,
            "prices": "today's",
            "models": {},
            "salt": "imported",
            "status": "delivered" if is_ended else "failed",
            "ledger_sha256": digest,
            "dropped": unmapped,
        }
    )
