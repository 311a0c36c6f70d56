"""The processes a company runs in: doorman and worker, and what watches them."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swarm import __version__
from swarm.app.parts import PARTS
from swarm.app.talking import Talking
from swarm.channels.base import Channel
from swarm.core.errors import ConfigError
from swarm.runtime.lock import holder

if TYPE_CHECKING:
    import asyncio

    from swarm.runtime.doorman import Doorman
    from swarm.runtime.doorman_watch import Watch
    from swarm.runtime.doorman_worker import Command
    from swarm.runtime.heartbeat import Life
    from swarm.runtime.monitoring import Monitor
    from swarm.runtime.seat import Seat
    from swarm.runtime.worker import Worker


class Processes(Talking):
    """Processes of a company."""

    @property
    def works_for(self) -> str:
        """Say who works this company now, as words in a sentence; empty where nobody does."""
        if self.store.is_sqlite:
            pid = holder(self.home)
            return "" if pid is None else f"the worker with process id {pid or 'unknown'}"
        at_work: Callable[..., list[str]] = PARTS.load("at work")
        names = at_work(self.store, within_s=self.settings.worker.stale_s)
        if len(names) > 1:
            return f"one of the workers {', '.join(names)}"
        return f"the worker {names[0]}" if names else ""

    @property
    def works_apart(self) -> bool:
        """Say whether `swarm up` works orders in a process of their own."""
        is_own = self.settings.worker.process == "own" and self.settings.worker.takes_orders
        return self.store.is_sqlite and is_own

    def seat(self, *, is_front: bool) -> "Seat":
        """Return the right to work: one worker a home, or many on a Postgres."""
        if self.store.is_sqlite:
            home_seat: Seat = PARTS.load("home seat")(self.home)
            return home_seat
        engine: Any = self.engine
        seat: Seat = PARTS.load("cluster seat")(
            store=self.store,
            engine=engine,
            reaper=self._reaper(engine),
            clock=self.clock,
            name=self.settings.worker.name,
            concurrency=self.concurrency,
            version=engine.version,
            is_front=is_front,
            takes_orders=self.settings.worker.takes_orders,
            stale_s=self.settings.worker.stale_s,
        )
        return seat

    def doorman(
        self,
        channels: Mapping[str, Channel],
        *,
        command: "Command",
        watch: "Watch",
        room: "asyncio.Semaphore | None" = None,
    ) -> "Doorman":
        """Return who listens to the channels, and keeps a worker while there is work.

        Args:
            channels: By name.
            command: Starts a worker, which then calls `lent_worker`.
            watch: Tells of commits; run by the caller.
            room: Holds as many workers as this machine has room for; None is no limit.

        Raises:
            ConfigError: With every mistake in the roles.
        """
        deaths = PARTS.load("deaths")(
            store=self.store, clock=self.clock, people=self.people, channels=channels
        )
        engine: Any = self.engine
        engine.let_wait()
        # Their faults are to be told at the start, and not by the first order.
        self.org  # noqa: B018
        doorman: Doorman = PARTS.load("doorman")(
            home=self.home,
            store=self.store,
            clock=self.clock,
            hosting=self.settings.hosting,
            channels=channels,
            make_front=self.front,
            is_quiet=PARTS.load("is quiet"),
            told=deaths.tell,
            command=command,
            watch=watch,
            monitor=self.monitor,
            room=room,
        )
        if self.monitor is not None:
            self.monitor.watch(PARTS.load("worker health")(doorman.worker))
        return doorman

    def lent_worker(self, lock: int, life: "Life", *, at_rest: Callable[[], None]) -> "Worker":
        """Return a worker that a doorman started.

        Args:
            lock: The open file of the home's lock, which the doorman holds too.
            life: Gives the doorman a sign of life.
            at_rest: Called when there was no work for as long as the settings say.
        """
        engine: Any = self.engine
        engine.end_at_rest(self.settings.worker.idle_s, at_rest)
        worker: Worker = PARTS.load("worker")(
            seat=PARTS.load("lent seat")(lock),
            home=self.home,
            company=self.company,
            channels={},
            make_front=self.front,
            pause=self.pause,
            close_models=self.close_models,
            life=life,
        )
        return worker

    def look(self) -> None:
        """Look for work that whoever listens enqueued; for a worker that a doorman started."""
        engine: Any = self.engine
        engine.look()

    def worker(self, channels: Mapping[str, Channel] | None = None) -> "Worker":
        """Return the worker of this home, with the channels it listens to.

        Raises:
            ConfigError: It is to take no orders, and no other process can.
        """
        takes_orders = self.settings.worker.takes_orders
        if not takes_orders and self.store.is_sqlite:
            raise ConfigError(
                "`--no-work` (worker.takes_orders) needs a Postgres: on one SQLite home the process "
                "that listens is the one that works."
            )
        worker: Worker = PARTS.load("worker")(
            seat=self.seat(is_front=bool(channels)),
            takes_orders=takes_orders,
            home=self.home,
            company=self.company,
            channels=channels or {},
            make_front=self.front,
            pause=self.pause,
            close_models=self.close_models,
            monitor=self.monitor,
        )
        return worker

    @cached_property
    def monitor(self) -> "Monitor | None":
        """Return what answers those who watch the worker; None where nothing is to listen."""
        config = self.settings.monitoring
        if not config.listen:
            return None
        vitals = PARTS.load("vitals")(
            store=self.store,
            clock=self.clock,
            version=__version__,
            reaped=None if self.store.is_sqlite else PARTS.load("reaped"),
        )
        monitor: Monitor = PARTS.load("monitor")(config, vitals=vitals, store=self.store)
        if self.shelter is not None:
            monitor.watch(PARTS.load("shelter health")(self.shelter, self.clock))
        return monitor
