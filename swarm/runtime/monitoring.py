"""The door for those who watch an instance: `/healthz`, `/readyz` and `/metrics`.

It tells numbers and states, takes nothing in, and is closed unless the operator names an address.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from swarm.channels.door import Asked, Door, Reply
from swarm.core.errors import ConfigError, SwarmError
from swarm.runtime.monitoring_config import MonitoringConfig
from swarm.runtime.vitals import METRICS, Reading, Vitals, reading
from swarm.store.database import Store
from swarm.store.tables import channel_health

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from swarm.runtime.watched import Watched

T = TypeVar("T")

PATHS = (b"/healthz", b"/readyz", b"/metrics")
FRESH_S = 2.0
"""For how long measures are handed out again: who asks without pause costs the company nothing."""
READ_S = 3.0
"""A database that takes longer than this to answer is not ready, in seconds."""
_EXTRA = b"/metrics needs the extra `metrics`: install `swarm[metrics]`.\n"


class Monitor:
    """Answer those who watch one worker, from its start to its end."""

    def __init__(self, config: MonitoringConfig, *, vitals: Vitals, store: Store) -> None:
        """Take where to listen and what to look at.

        Args:
            config: Names the address.
            vitals: The measures.
            store: Tried before the worker is called ready.
        """
        self._listen = config.listen
        self._vitals = vitals
        self._store = store
        self._task: asyncio.Task[None] | None = None
        self._is_working = False
        self._read_at = float("-inf")
        self._readings: list[Reading] = []
        self._watched: list[Watched] = []
        self.port = 0
        """What is listened on, once it is."""

    async def open(self) -> None:
        """Begin to answer.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        door = Door(listen=self._listen, max_body=0, judge=_judge, take=self._take)
        self._task = asyncio.create_task(door.run())
        opened = asyncio.create_task(door.opened.wait())
        await asyncio.wait({self._task, opened}, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if self._task.done():
            why = self._task.exception()
            raise ConfigError(
                f"monitoring.listen: nothing can listen on {self._listen} ({why}); name another "
                "port, or leave it empty."
            )
        self.port = door.port

    async def close(self) -> None:
        """Answer nobody any more."""
        self._is_working = False
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await self._task

    def works(self) -> None:
        """Say that the worker takes work from now on."""
        self._is_working = True

    def watch(self, part: "Watched") -> None:
        """Tell of a part of this process as well, in place of one of its name."""
        self._watched = [*(p for p in self._watched if p.name != part.name), part]

    async def _take(self, asked: Asked, body: bytes) -> Reply:
        if asked.path == b"/healthz":
            # That it is answered at all says that the event loop turns.
            return _json(200, {"status": "alive"} | self._states())
        if asked.path == b"/readyz":
            return await self._readiness()
        try:
            return Reply(200, exposition(await self._fresh()))
        except ImportError:
            return Reply(501, _EXTRA)

    def _states(self) -> dict[str, Any]:
        return {part.name: part.state() for part in self._watched}

    async def _readiness(self) -> Reply:
        """Say whether work is taken, and what of the channels is broken.

        A broken channel does not make it unready: work goes on, and a restart would mend nothing.
        """
        faults = [] if self._is_working else ["the worker has not begun to take work"]
        faults += [fault for part in self._watched for fault in part.faults()]
        broken: dict[str, str] = {}
        try:
            async with asyncio.timeout(READ_S):
                broken = await self._look(_broken_channels)
        except (SQLAlchemyError, SwarmError, TimeoutError) as error:
            faults.append(f"the database does not answer ({type(error).__name__})")
        document = {"ready": not faults, "faults": faults, "broken_channels": broken}
        return _json(503 if faults else 200, document | self._states())

    async def _look(self, work: Callable[[Connection], T]) -> T:
        """Read once: whoever asks wants to know now that a server cannot be reached."""
        if self._store.is_sqlite:
            return await self._store.aread(work)
        return await asyncio.to_thread(self._store.read, work)

    async def _fresh(self) -> list[Reading]:
        now = asyncio.get_running_loop().time()
        if now - self._read_at > FRESH_S:
            self._readings = await self._read()
            self._read_at = asyncio.get_running_loop().time()
        return self._readings

    async def _read(self) -> list[Reading]:
        """Return the measures; without those of a database that does not answer."""
        found = [one for part in self._watched for one in part.readings()]
        try:
            async with asyncio.timeout(READ_S):
                return [*await self._look(self._vitals.of), *found, reading("swarm_database_up", 1)]
        except (SQLAlchemyError, SwarmError, TimeoutError):
            return [*found, reading("swarm_database_up", 0)]


def exposition(readings: list[Reading]) -> bytes:
    """Write measures in Prometheus' text format.

    Raises:
        ImportError: The extra `metrics` is not installed.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(readings))
    return generate_latest(registry)


class _Collector:
    """Hand the readings to the library, each metric once and whole."""

    def __init__(self, readings: list[Reading]) -> None:
        self._readings = readings

    def collect(self) -> "list[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found: list[Metric] = []
        for metric in METRICS:
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=metric.labels)
            for one in self._readings:
                if one.name == metric.name:
                    family.add_metric(one.labels, float(one.value))
            found.append(family)
        return found


def _judge(asked: Asked) -> Reply | None:
    if asked.path not in PATHS:
        return Reply(404)
    return None if asked.method == b"GET" else Reply(405)


def _json(status: int, document: dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(document).encode() + b"\n")


def _broken_channels(connection: Connection) -> dict[str, str]:
    query = sa.select(channel_health.c.channel, channel_health.c.detail).where(
        channel_health.c.state == "broken"
    )
    return {str(channel): str(detail) for channel, detail in connection.execute(query)}
