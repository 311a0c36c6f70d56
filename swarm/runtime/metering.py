"""Count what the company's process and its sandboxes use of the machine, and for whom.

The rule: between two moments at which work began or ended, the processor time and the memory of the
process are divided in equal parts among the tasks in flight; an order's own steps count while none
of its tasks is in flight; with nothing in flight they are idle. Commands in sandboxes are processes
of their own, so what they use is their task's alone.

Nothing here has a clock of its own but one tick a minute, which writes what has gathered: whoever
is killed loses a minute at most, and that minute is idle.
"""

import asyncio
import os
import resource
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.registry import Registry
from swarm.ledger.hosting.books import STARTED, STOPPED, UsageRow, write_event, write_usage
from swarm.ledger.hosting.terms import HostingConfig, Terms
from swarm.sandbox.base import CommandResult, Limits, Sandbox, SelfTest
from swarm.store.database import Store

PARTS = Registry("part", {"terms": "swarm.ledger.hosting.fixing:fix"})
"""What a start is not kept waiting for: the price list."""
TICK_S = 60.0
IDLE_TICKS = 5
"""With nothing in flight, only every so many ticks are written."""
ROW_S = 3600.0
"""A row that is older is begun anew."""
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_STATM = "/proc/self/statm"


def own_cpu_us() -> int:
    """Return the processor time of this process so far, in microseconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round((used.ru_utime + used.ru_stime) * 10**6)


def own_memory_kib() -> int:
    """Return the memory this process holds; the most it ever held, where no system says it."""
    # At each task's begin and end: without a buffer and a path object, in a third of the time.
    with (
        suppress(OSError, ValueError, IndexError),
        open(_STATM, "rb", buffering=0) as file,  # noqa: PTH123
    ):
        return int(file.read().split()[1]) * _PAGE_KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(slots=True, eq=False)
class _Span:
    """What one task, one order's own steps, or nobody used since it began."""

    seq: int
    order_id: str | None
    task_id: str | None
    segment: int | None
    started_at: datetime
    began_s: float
    ended_s: float
    cpu_us: int = 0
    memory_kib_ms: int = 0
    sandbox_cpu_us: int = 0
    sandbox_memory_kib_ms: int = 0
    peak_kib: int = 0
    is_open: bool = True

    def row(self, instance: str) -> UsageRow:
        elapsed_ms = max(round((self.ended_s - self.began_s) * 1000), 0)
        # The clock may jump; the time that passed does not.
        ended_at = self.started_at + timedelta(milliseconds=elapsed_ms)
        return UsageRow(
            instance, self.seq, self.order_id, self.task_id, self.segment, iso(self.started_at),
            iso(ended_at), elapsed_ms, self.cpu_us, self.memory_kib_ms, self.sandbox_cpu_us,
            self.sandbox_memory_kib_ms, self.peak_kib,
        )  # fmt: skip


class Meter:
    """The meter of one worker process. Not for threads: all of it is used on the event loop."""

    def __init__(
        self,
        clock: Clock,
        *,
        cpu_us: Callable[[], int] = own_cpu_us,
        memory_kib: Callable[[], int] = own_memory_kib,
    ) -> None:
        """Begin to count.

        Args:
            clock: For the times of rows.
            cpu_us: Reads the process's processor time so far.
            memory_kib: Reads the memory it holds.
        """
        self.instance = secrets.token_hex(8)
        self._clock = clock
        self._read_cpu = cpu_us
        self._read_memory = memory_kib
        self._seq = 0
        self._open: list[_Span] = []
        self._ended: list[_Span] = []
        self._at_s, self._cpu, self._memory = clock.monotonic(), cpu_us(), memory_kib()
        self._idle = self._span(None, None, None)

    @property
    def is_busy(self) -> bool:
        """Say whether anything is in flight, or ended since it was last written."""
        return bool(self._open or self._ended)

    @property
    def is_working(self) -> bool:
        """Say whether any task or any order's own step is in flight."""
        return bool(self._open)

    @contextmanager
    def working(self, order_id: str, task_id: str | None, segment: int) -> Iterator[None]:
        """Count what is used meanwhile for a task, or with no task for the order's own steps."""
        self._advance()
        span = self._span(order_id, task_id, segment)
        self._open.append(span)
        try:
            yield
        finally:
            self._advance()
            # Begun anew meanwhile, it is another one by now.
            span = next(s for s in self._open if _whose(s) == _whose(span))
            span.is_open = False
            self._open.remove(span)
            self._ended.append(span)

    def watched(self, sandbox: Sandbox | None, order_id: str, task_id: str) -> Sandbox | None:
        """Return the sandbox such that what its commands use is counted for a task."""
        return None if sandbox is None else _Watched(sandbox, self, order_id, task_id)

    def used(self, order_id: str, task_id: str, result: CommandResult) -> None:
        """Count what a command in a sandbox used."""
        if result.used is None:
            return
        for span in (*self._open, *self._ended):
            if (span.order_id, span.task_id) == (order_id, task_id):
                span.sandbox_cpu_us += round(result.used.cpu_s * 10**6)
                span.sandbox_memory_kib_ms += round(result.used.memory_mib_s * 1024 * 1000)
                span.peak_kib = max(span.peak_kib, round(result.used.peak_mib * 1024))
                return

    def rows(self, order_id: str | None = None) -> tuple[UsageRow, ...]:
        """Return what is to be written now: of one order, or of all; idle with it either way."""
        self._advance()
        spans = [s for s in (*self._ended, *self._open) if order_id in (None, s.order_id)]
        return tuple(span.row(self.instance) for span in (*spans, self._idle))

    def written(self, rows: Sequence[UsageRow]) -> None:
        """Let go of what ended and was written, and begin anew what runs for long."""
        done = {row.seq: row for row in rows}
        self._ended = [s for s in self._ended if done.get(s.seq) != s.row(self.instance)]
        self._open = [self._renewed(span, done) for span in self._open]
        self._idle = self._renewed(self._idle, done)

    # Small things.

    def _span(self, order_id: str | None, task_id: str | None, segment: int | None) -> _Span:
        self._seq += 1
        return _Span(
            self._seq, order_id, task_id, segment, self._clock.now(), self._at_s, self._at_s
        )

    def _renewed(self, span: _Span, done: dict[int, UsageRow]) -> _Span:
        """Begin another row where this one is old and was written as it stands."""
        if span.ended_s - span.began_s < ROW_S or done.get(span.seq) != span.row(self.instance):
            return span
        span.is_open = False
        fresh = self._span(span.order_id, span.task_id, span.segment)
        # It goes on where the old one ended, whatever the clock says.
        passed = timedelta(milliseconds=round((span.ended_s - span.began_s) * 1000))
        fresh.started_at = span.started_at + passed
        return fresh

    def _advance(self) -> None:
        """Divide what was used since the last look among those in flight."""
        now_s, cpu, memory = self._clock.monotonic(), self._read_cpu(), self._read_memory()
        passed_ms = round((now_s - self._at_s) * 1000)
        cpu_us = max(cpu - self._cpu, 0)
        memory_kib_ms = max((self._memory + memory) * passed_ms // 2, 0)
        self._at_s, self._cpu, self._memory = now_s, max(cpu, self._cpu), memory
        busy = {span.order_id for span in self._open if span.task_id is not None}
        shared = [s for s in self._open if s.task_id is not None or s.order_id not in busy]
        among = shared or [self._idle]
        for span, own_cpu, own_memory in zip(
            among, _equal(cpu_us, len(among)), _equal(memory_kib_ms, len(among)), strict=True
        ):
            span.cpu_us += own_cpu
            span.memory_kib_ms += own_memory
        for span in (*self._open, self._idle):
            span.ended_s = now_s


def _whose(span: _Span) -> tuple[str | None, str | None, int | None]:
    return span.order_id, span.task_id, span.segment


def _equal(amount: int, count: int) -> list[int]:
    """Divide a whole number into equal parts; the first ones take what is left over."""
    part, left = divmod(amount, count)
    return [part + (at < left) for at in range(count)]


class _Watched:
    """A sandbox whose commands are counted for a task."""

    def __init__(self, inner: Sandbox, meter: Meter, order_id: str, task_id: str) -> None:
        self.name = inner.name
        self._inner = inner
        self._meter = meter
        self._key = (order_id, task_id)

    async def run(
        self, argv: list[str], *, workspace: Path, limits: Limits | None = None
    ) -> CommandResult:
        """Run as the sandbox does, and count what the command used."""
        result = await self._inner.run(argv, workspace=workspace, limits=limits)
        self._meter.used(*self._key, result)
        return result

    async def self_test(self) -> SelfTest:
        """Ask the sandbox."""
        return await self._inner.self_test()


class Keeper:
    """Keep the meter's books while a worker runs."""

    def __init__(self, meter: Meter, store: Store, clock: Clock, config: HostingConfig) -> None:
        self._meter = meter
        self._store = store
        self._clock = clock
        self._config = config
        self._began_at = clock.now()
        self._has_begun = False

    async def run(self) -> None:
        """Note the start, then write what has gathered: every minute with work, else every fifth."""
        await self._begin()
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            if self._meter.is_busy or ticks >= IDLE_TICKS:
                ticks = 0
                await self.write()

    async def write(self) -> None:
        """Write what has gathered."""
        rows = self._meter.rows()
        await self._store.awrite(lambda c: write_usage(c, rows))
        self._meter.written(rows)

    async def end(self, grace_s: float) -> None:
        """Write the rest and note the stop, unless the database keeps it waiting too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._begin()
                rows = self._meter.rows()
                await self._store.awrite(lambda c: self._stop(c, rows))

    async def _begin(self) -> None:
        """Note the start, and on which terms the host costs from then on."""
        if self._has_begun:
            return
        terms = await asyncio.to_thread(self._terms)
        await self._store.awrite(lambda c: self._event(c, self._began_at, STARTED, terms))
        self._has_begun = True

    def _terms(self) -> Terms:
        cpus = Decimal(os.cpu_count() or 1)
        terms: Terms = PARTS.load("terms")(
            self._config, at=self._began_at, cpus=cpus, memory_gib=_memory_gib()
        )
        return terms

    def _stop(self, connection: Connection, rows: tuple[UsageRow, ...]) -> None:
        write_usage(connection, rows)
        self._event(connection, self._clock.now(), STOPPED, None)

    def _event(self, connection: Connection, at: datetime, event: str, terms: Terms | None) -> None:
        write_event(connection, instance=self._meter.instance, at=at, event=event, terms=terms)


def _memory_gib() -> Decimal:
    """Return the machine's memory."""
    kib = os.sysconf("SC_PHYS_PAGES") * _PAGE_KIB
    return (Decimal(kib) / 1024**2).quantize(Decimal("0.001"))
