"""What the operator wants of each instance, as the last command said: a row for each name."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.errors import NotFound
from swarm.core.ids import Ids
from swarm.core.registry import nearest
from swarm.farm.base import InstanceSpec
from swarm.farm.spending import Reading, read_again, written
from swarm.store.database import Store
from swarm.store.tables import farm_instances, meta

COMING, RUNNING, STOPPED, GOING = "coming", "running", "stopped", "going"
FARM_ID = "farm"
"""Key of the farm's id in the table `meta`."""


@dataclass(frozen=True, slots=True)
class Record:
    """One instance as it is wanted."""

    name: str
    driver: str
    spec: InstanceSpec
    state: str
    """`coming`, `running`, `stopped` or `going`: wanted, reached or not."""
    created_at: datetime
    secrets: tuple[str, ...] = ()
    """Names of its secrets; the values are with the instance alone."""
    pending: str | None = None
    """Image of an upgrade that began and whose end is not known."""
    ready_at: datetime | None = None
    ready_ms: int | None = None
    bot: str | None = None
    backup: str | None = None
    reading: Reading | None = None
    """What it said last of its spending."""
    retold: bool = False
    """Whether its limit of the day is another than the one it was started with."""
    halted: str | None = None
    """The month in which it was stopped because its budget was spent; None where it was not."""

    @property
    def generation(self) -> str:
        """Of the run that made what runs now, or that makes it."""
        return self.spec.generation


class Records:
    """Read and write the rows of a farm."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def farm_id(self) -> str:
        """Return the farm's id, drawn when it is first asked for."""

        def work(connection: Connection) -> str:
            known = connection.execute(
                sa.select(meta.c.value).where(meta.c.key == FARM_ID)
            ).scalar()
            if known is not None:
                return str(known)
            drawn = self._ids.new("f")
            connection.execute(meta.insert().values(key=FARM_ID, value=drawn))
            return drawn

        return self._store.write(work)

    def new_generation(self) -> str:
        """Return the name of a new run's makings."""
        return self._ids.new("g")

    def all(self) -> list[Record]:
        """Return every record, by name."""
        query = sa.select(farm_instances).order_by(farm_instances.c.name)
        return [_record(row) for row in self._store.read(lambda c: c.execute(query).all())]

    def find(self, name: str) -> Record | None:
        """Return the record of a name, or None."""
        query = sa.select(farm_instances).where(farm_instances.c.name == name)
        row = self._store.read(lambda c: c.execute(query).first())
        return None if row is None else _record(row)

    def get(self, name: str) -> Record:
        """Return the record of a name.

        Raises:
            NotFound: There is none; the nearest name is in the text.
        """
        found = self.find(name)
        if found is None:
            known = [record.name for record in self.all()]
            raise NotFound(f"There is no instance {name!r} in this farm{nearest(name, known)}")
        return found

    def put(self, record: Record) -> Record:
        """Store a record, new or changed."""
        values = _values(record) | {"updated_at": iso(self._clock.now())}

        def work(connection: Connection) -> None:
            where = farm_instances.c.name == record.name
            if (
                connection.execute(farm_instances.update().where(where).values(**values)).rowcount
                == 0
            ):
                connection.execute(farm_instances.insert().values(**values))

        self._store.write(work)
        return record

    def change(self, record: Record, **changes: Any) -> Record:
        """Store a record with some fields changed, and return it."""
        return self.put(replace(record, **changes))

    def drop(self, name: str) -> None:
        """Forget a name; the journal keeps what it cost."""
        self._store.write(
            lambda c: c.execute(farm_instances.delete().where(farm_instances.c.name == name))
        )


def _values(record: Record) -> dict[str, Any]:
    spec = record.spec
    about = {
        "memory_mib": spec.memory_mib,
        "cpus": str(spec.cpus),
        "pids": spec.pids,
        "environment": dict(spec.environment),
        "budget_month": None if spec.budget_month is None else str(spec.budget_month),
        "currency": spec.currency,
        "port": spec.port,
        "healthy_within_s": spec.healthy_within_s,
        "secrets": list(record.secrets),
        "pending": record.pending,
        "reading": written(record.reading),
        "halted": record.halted,
        "retold": record.retold,
    }
    return {
        "name": record.name,
        "driver": record.driver,
        "owner": spec.owner,
        "image": spec.image,
        "generation": spec.generation,
        "spec": json.dumps(about, sort_keys=True),
        "state": record.state,
        "created_at": iso(record.created_at),
        "ready_at": None if record.ready_at is None else iso(record.ready_at),
        "ready_ms": record.ready_ms,
        "bot": record.bot,
        "backup": record.backup,
    }


def _record(row: sa.Row[Any]) -> Record:
    about = json.loads(row.spec)
    budget = about["budget_month"]
    spec = InstanceSpec(
        name=row.name,
        owner=row.owner,
        image=row.image,
        generation=row.generation,
        memory_mib=about["memory_mib"],
        cpus=Decimal(about["cpus"]),
        pids=about["pids"],
        environment=about["environment"],
        budget_month=None if budget is None else Decimal(budget),
        currency=about["currency"],
        port=about["port"],
        healthy_within_s=about["healthy_within_s"],
    )
    return Record(
        name=row.name,
        driver=row.driver,
        spec=spec,
        state=row.state,
        created_at=parse_iso(row.created_at),
        secrets=tuple(about["secrets"]),
        pending=about["pending"],
        ready_at=None if row.ready_at is None else parse_iso(row.ready_at),
        ready_ms=row.ready_ms,
        bot=row.bot,
        backup=row.backup,
        reading=read_again(about.get("reading")),
        halted=about.get("halted"),
        retold=about.get("retold", False),
    )
