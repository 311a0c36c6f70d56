"""Take over what dead workers left. Every worker on a shared database looks whenever one is silent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock
from swarm.core.ids import Ids
from swarm.runtime import recoveries, shared_bell
from swarm.runtime.dbos_recovery import DbosRecovery, Left
from swarm.runtime.recoveries import Verdict
from swarm.store import postgres
from swarm.store.database import Store
from swarm.store.tables import workers

log = structlog.get_logger("swarm.reaper")

SILENT_SHARE = 0.4
"""After this share of the time to give a worker up, one without its lock is dead. One that was heard
of since has lost the lock with the server, say, and is about to take it again."""
BEATS = 6
"""Signs of life in the time to give a worker up. With each, whoever gives it asks who is silent."""


def lock_of(store: Store, name: str) -> str:
    """Name the lock that a worker holds on the server as long as it lives.

    Locks are the whole database's, so a company's own ones bear its id.
    """
    return f"swarm worker {store.company}/{name}"


class RecoverableEngine(Protocol):
    """An engine whose dead executors' work can be taken over."""

    def recovery(self) -> DbosRecovery:
        """Return the way to what is left."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A worker that may be dead."""

    name: str
    generation: int
    tag: str
    silent_ms: int


class Reaper:
    """Find workers that died or stall, and hand their orders on."""

    def __init__(
        self,
        *,
        store: Store,
        engine: RecoverableEngine,
        clock: Clock,
        ids: Ids,
        stale_s: float,
        version: str,
    ) -> None:
        """Take where to look.

        Args:
            store: The company's database.
            engine: Knows what is left.
            clock: For what people are told.
            ids: Make the tokens of claims.
            stale_s: After how many seconds without a sign of life a worker is given up.
            version: Of the work that this process can do.
        """
        self._store = store
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._stale_s = stale_s
        self._version = version

    def look(self, me: str) -> list[str]:
        """Take over from every other worker that is dead; return their names. Blocks."""
        reaped = []
        for absent in self._others(me):
            if absent.silent_ms >= self._stale_s * 1000:
                self._cut_off(absent)
            is_silent = absent.silent_ms >= self._stale_s * 1000 * SILENT_SHARE
            if is_silent and self._take_over_dead(absent):
                reaped.append(absent.name)
        return reaped

    def _others(self, me: str) -> list[Absent]:
        def work(connection: Connection) -> list[Absent]:
            now = postgres.now_ms(connection)
            rows = connection.execute(sa.select(workers).where(workers.c.name != me)).all()
            return [Absent(r.name, r.generation, r.tag, now - r.seen_ms) for r in rows]

        return self._store.read(work)

    def _cut_off(self, absent: Absent) -> None:
        """End the connections of a worker that stalls: with them go its lock and its open changes."""
        with self._store.engine.begin() as connection:
            ended = connection.execute(_CUT_OFF, {"tag": absent.tag}).scalar()
        if ended:
            log.warning("a worker stalls and is cut off", worker=absent.name, connections=ended)

    def _take_over_dead(self, absent: Absent) -> bool:
        with self._store.engine.begin() as connection:
            # Held to the end: it neither comes back meanwhile, nor is it taken over twice.
            if not postgres.tried(connection, lock_of(self._store, absent.name)):
                return False
            if not self._store.write(partial(_is_fenced, absent)):
                return False
            count = self.take_over(absent.name)
            self._store.write(
                lambda c: c.execute(workers.delete().where(workers.c.name == absent.name))
            )
        log.warning("a worker died; its orders go on", worker=absent.name, runs=count)
        return True

    def take_over(self, name: str, *, is_clean: bool = False) -> int:
        """Hand on what an executor left, whose lock the caller holds; return how many runs. Blocks.

        Args:
            name: The executor.
            is_clean: It stopped by itself, which is nobody's fault.
        """
        recovery = self._engine.recovery()
        left = recovery.left_by(name)
        if not left:
            return 0
        segments = sorted({(item.order_id, item.segment) for item in left})
        verdicts = dict.fromkeys((item.order_id for item in left), Verdict.GO)
        if not is_clean:
            verdicts = self._store.write(
                lambda c: recoveries.judge(
                    c, segments, blamed=_blamed(left), now_ms=self._now_ms(c)
                )
            )
        self._hand_on(recovery, left, verdicts)
        return len(left)

    def _now_ms(self, connection: Connection) -> int:
        if self._store.is_sqlite:
            # One machine, and one clock.
            return round(self._clock.now().timestamp() * 1000)
        return postgres.now_ms(connection)

    def _ring(self) -> None:
        """Wake those who rest. Before there is work, too: who dies in between leaves it to them."""
        self._store.write(lambda c: shared_bell.ring(c, shared_bell.WORK))

    def _hand_on(
        self, recovery: DbosRecovery, left: Sequence[Left], verdicts: dict[str, Verdict]
    ) -> None:
        living = {self._version, *self._store.read(_living)}
        self._ring()
        by_verdict: dict[Verdict, list[Left]] = {}
        for item in left:
            by_verdict.setdefault(verdicts[item.order_id], []).append(item)
        for verdict, items in by_verdict.items():
            if verdict is Verdict.PARK:
                self._park(items)
                recovery.drop(items)
            else:
                recovery.hand_back(items, alone=verdict is Verdict.ALONE, living=living)
        counts = {recoveries.ACTIONS[verdict]: len(items) for verdict, items in by_verdict.items()}
        self._store.write(lambda c: recoveries.note_actions(c, counts))
        self._ring()

    def _park(self, items: Iterable[Left]) -> None:
        for order_id, segment in sorted({(item.order_id, item.segment) for item in items}):
            log.error("an order kills its workers and is parked", order=order_id)
            self._store.write(
                partial(
                    recoveries.park,
                    order_id=order_id,
                    segment=segment,
                    clock=self._clock,
                    ids=self._ids,
                )
            )

    def sweep(self) -> None:
        """Take work over that belongs to versions which nobody runs any more. Blocks."""
        recovery = self._engine.recovery()
        living = {self._version, *self._store.read(_living)}
        alive = set(
            self._store.read(lambda c: c.execute(sa.select(workers.c.name)).scalars().all())
        )
        found = recovery.stranded(living)
        items = [
            item for executor, item in found if item.status == "ENQUEUED" or executor not in alive
        ]
        if not items or not recovery.is_newest:
            return
        with self._store.engine.begin() as connection:
            if postgres.tried(connection, f"swarm sweep {self._store.company}"):
                log.warning("work of an older version is taken over", runs=len(items))
                self._ring()
                recovery.hand_back(items, alone=False, living=living)
                self._ring()


def _is_fenced(absent: Absent, connection: Connection) -> bool:
    """Say that this life of a worker is over; False where another one began meanwhile."""
    key = (workers.c.name == absent.name, workers.c.generation == absent.generation)
    changed = connection.execute(
        workers.update().where(*key).values(generation=absent.generation + 1)
    )
    return changed.rowcount == 1


def _living(connection: Connection) -> list[str]:
    return [*connection.execute(sa.select(workers.c.version).distinct()).scalars()]


def _blamed(left: Sequence[Left]) -> set[str]:
    """Return the orders that may have killed their worker.

    Where a suspect ran, it was that one.
    """
    alone = [item for item in left if item.is_alone]
    return {item.order_id for item in alone or left}


_CUT_OFF = sa.text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name = :tag AND pid <> pg_backend_pid()"
)
