"""The journal in the operator's database: committed before each call that pays or makes something."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.money import CostStatus, from_pico, to_pico
from swarm.farm.base import Action, Entry, EntryState, Intent, Kind, Price
from swarm.store.database import Store, Work
from swarm.store.tables import farm_journal

_C = farm_journal.c


class SqlJournal:
    """Keep the journal in a table. Each verb has committed when it returns."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def intend(self, intent: Intent) -> Entry:
        """Store what is about to be done; said again while still open, the same entry comes back."""

        def work(connection: Connection) -> Entry:
            same = connection.execute(_open_like(intent)).first()
            if same is not None:
                return _entry(same)
            now = self._clock.now()
            values = _written(intent) | {
                "state": EntryState.INTENDED.value,
                "intended_at": iso(now),
            }
            key = connection.execute(farm_journal.insert().values(**values)).inserted_primary_key
            assert key is not None
            return Entry(int(key[0]), intent, EntryState.INTENDED, now)

        return await self._write(work)

    async def done(
        self, entry: Entry, *, resource_id: str, at: datetime | None = None,
        price: Price | None = None, location: str | None = None, type: str | None = None,
    ) -> Entry:  # fmt: skip
        """Note that it happened; said again it changes nothing."""
        chosen = replace(
            entry.intent,
            price=price or entry.intent.price,
            location=location or entry.intent.location,
            type=type or entry.intent.type,
        )
        return await self._end(
            replace(entry, intent=chosen, state=EntryState.DONE, resource_id=resource_id),
            at or self._clock.now(),
        )

    async def undone(self, entry: Entry, *, why: str) -> Entry:
        """Note that it surely did not happen."""
        return await self._end(replace(entry, state=EntryState.UNDONE, why=why), self._clock.now())

    async def entries(
        self, *, provider: str | None = None, instance: str | None = None, only_open: bool = False
    ) -> list[Entry]:
        """Return what is written down, oldest first."""
        query = sa.select(farm_journal).order_by(_C.id)
        if provider is not None:
            query = query.where(_C.provider == provider)
        if instance is not None:
            query = query.where(_C.instance == instance)
        if only_open:
            query = query.where(_C.state == EntryState.INTENDED.value)
        rows = await asyncio.to_thread(self._store.read, lambda c: c.execute(query).all())
        return [_entry(row) for row in rows]

    async def _end(self, entry: Entry, at: datetime) -> Entry:
        ended = replace(entry, ended_at=at)

        values = _written(ended.intent) | {
            "state": ended.state.value,
            "ended_at": iso(at),
            "resource_id": ended.resource_id,
            "why": ended.why,
        }
        is_open = (_C.id == entry.id) & (_C.state == EntryState.INTENDED.value)

        def work(connection: Connection) -> Entry:
            connection.execute(farm_journal.update().where(is_open).values(values))
            return _entry(
                connection.execute(sa.select(farm_journal).where(_C.id == entry.id)).one()
            )

        return await self._write(work)

    async def _write(self, work: Work[Entry]) -> Entry:
        # Not the grouped writer: it waits for a disk for ever, and here a person waits.
        return await asyncio.to_thread(self._store.write, work)


def entries_of(connection: Connection) -> list[Entry]:
    """Return the whole journal within a transaction of the caller's, oldest first."""
    return [_entry(row) for row in connection.execute(sa.select(farm_journal).order_by(_C.id))]


def _open_like(intent: Intent) -> sa.Select[Any]:
    return sa.select(farm_journal).where(
        _C.provider == intent.provider,
        _C.instance == intent.instance,
        _C.generation == intent.generation,
        _C.action == intent.action.value,
        _C.kind == intent.kind.value,
        _C.name == intent.name,
        _C.state == EntryState.INTENDED.value,
    )


def _written(intent: Intent) -> dict[str, Any]:
    price = intent.price
    return {
        "instance": intent.instance,
        "owner": intent.owner,
        "generation": intent.generation,
        "provider": intent.provider,
        "action": intent.action.value,
        "kind": intent.kind.value,
        "name": intent.name,
        "type": intent.type,
        "location": intent.location,
        "size_gb": None if intent.size_gb is None else str(intent.size_gb),
        "parent": intent.parent,
        "cpus": None if intent.cpus is None else str(intent.cpus),
        "memory_mib": intent.memory_mib,
        "hour_pico": None if price is None or price.hourly is None else to_pico(price.hourly),
        "month_pico": None if price is None or price.monthly is None else to_pico(price.monthly),
        "price": None if price is None else json.dumps(_about(price), sort_keys=True),
        "resource_id": "",
        "why": "",
    }


def _about(price: Price) -> dict[str, Any]:
    return {
        "currency": price.currency,
        "tax": price.tax,
        "status": price.status.value,
        "source": price.source,
        "read": None if price.read is None else price.read.isoformat(),
        "reason": price.reason,
    }


def _price(row: Mapping[str, Any]) -> Price | None:
    if row["price"] is None:
        return None
    about = json.loads(row["price"])
    return Price(
        hourly=None if row["hour_pico"] is None else from_pico(row["hour_pico"]),
        monthly=None if row["month_pico"] is None else from_pico(row["month_pico"]),
        currency=about["currency"],
        tax=about["tax"],
        status=CostStatus(about["status"]),
        source=about["source"],
        read=None if about["read"] is None else date.fromisoformat(about["read"]),
        reason=about["reason"],
    )


def _entry(found: sa.Row[Any]) -> Entry:
    row = found._mapping  # the public name of a row's mapping
    intent = Intent(
        instance=row["instance"],
        owner=row["owner"],
        generation=row["generation"],
        provider=row["provider"],
        action=Action(row["action"]),
        kind=Kind(row["kind"]),
        name=row["name"],
        type=row["type"],
        location=row["location"],
        size_gb=None if row["size_gb"] is None else Decimal(row["size_gb"]),
        price=_price(dict(row)),
        parent=row["parent"],
        cpus=None if row["cpus"] is None else Decimal(row["cpus"]),
        memory_mib=row["memory_mib"],
    )
    return Entry(
        id=row["id"],
        intent=intent,
        state=EntryState(row["state"]),
        intended_at=parse_iso(row["intended_at"]),
        ended_at=None if row["ended_at"] is None else parse_iso(row["ended_at"]),
        resource_id=row["resource_id"],
        why=row["why"],
    )
