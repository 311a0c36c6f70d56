"""A farm on a fake cloud: a journal in memory, servers without SSH, and a death at any step."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr

from swarm.core.clock import SystemClock
from swarm.farm.base import Entry, EntryState, InstanceSpec, Intent, Price, Site
from tests.servers.cloud import Life

FARM = "f1"
TOKEN = "7000000001:canary-token-b7e2"
SECRETS = {
    "SWARM_TELEGRAM__TOKEN": SecretStr(TOKEN), "ANTHROPIC_API_KEY": SecretStr("sk-canary-4f1d9c27"),
}  # fmt: skip
OPERATOR = "203.0.113.7/32"


class MemoryJournal:
    """Keep the journal in a list."""

    def __init__(self, life: Life | None = None) -> None:
        self._life = life or Life()
        self.rows: list[Entry] = []

    async def intend(self, intent: Intent) -> Entry:
        """Store what is about to be done; the same open entry comes back."""
        step = self._life.enter()

        def same(entry: Entry) -> bool:
            a, b = entry.intent, intent
            return entry.state is EntryState.INTENDED and (
                (a.instance, a.generation, a.provider, a.action, a.kind, a.name)
                == (b.instance, b.generation, b.provider, b.action, b.kind, b.name)
            )

        entry = next((each for each in self.rows if same(each)), None)
        if entry is None:
            now = SystemClock().now()
            entry = Entry(len(self.rows) + 1, intent, EntryState.INTENDED, now)
            self.rows.append(entry)
        self._life.leave(step)
        return entry

    async def done(
        self, entry: Entry, *, resource_id: str, at: datetime | None = None,
        price: Price | None = None, location: str | None = None, type: str | None = None,
    ) -> Entry:  # fmt: skip
        """Note that it happened."""
        chosen = replace(
            entry.intent, price=price or entry.intent.price, type=type or entry.intent.type,
            location=location or entry.intent.location,
        )  # fmt: skip
        return self._end(
            replace(entry, intent=chosen, state=EntryState.DONE, resource_id=resource_id), at
        )

    async def undone(self, entry: Entry, *, why: str) -> Entry:
        """Note that it did not happen."""
        return self._end(replace(entry, state=EntryState.UNDONE, why=why), None)

    async def entries(
        self, *, provider: str | None = None, instance: str | None = None, only_open: bool = False
    ) -> list[Entry]:
        """Return what is written down."""
        return [
            each for each in self.rows
            if provider in (None, each.intent.provider) and instance in (None, each.intent.instance)
            and (not only_open or each.state is EntryState.INTENDED)
        ]  # fmt: skip

    def _end(self, entry: Entry, at: datetime | None) -> Entry:
        step = self._life.enter()
        index = entry.id - 1
        if self.rows[index].state is EntryState.INTENDED:
            self.rows[index] = replace(entry, ended_at=at or SystemClock().now())
        self._life.leave(step)
        return self.rows[index]

    @property
    def open(self) -> list[Entry]:
        """What is not known to have ended."""
        return [each for each in self.rows if each.state is EntryState.INTENDED]


def site(folder: Path, journal: MemoryJournal, said: list[str] | None = None) -> Site:
    """Return the site of the farm; `said` takes what the person is told."""
    said = said if said is not None else []
    return Site(FARM, journal, SystemClock(), folder, say=said.append)


def spec(name: str = "ada", *, generation: str = "g1", memory_mib: int = 512) -> InstanceSpec:
    """Return what to start for Ada."""
    return InstanceSpec(
        name, name.title(), "swarm:test", generation, memory_mib=memory_mib, cpus=Decimal(1),
        healthy_within_s=0.2,
    )  # fmt: skip
