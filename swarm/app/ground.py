"""The ground a company stands on: its home, its database, its engine, its record."""

import os
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swarm.app.parts import ENGINES, PARTS
from swarm.app.stage import Stage
from swarm.core.clock import Clock, SystemClock
from swarm.core.ids import Ids, RandomIds
from swarm.llm.base import LLM
from swarm.runtime.engine import Engine, Lanes
from swarm.settings import Environment, make_home
from swarm.store.audit import AuditChain
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.database import Store

if TYPE_CHECKING:
    from swarm.runtime.reaper import Reaper

SHARED_POLL_S = 0.5
"""How often a worker looks for new orders on a Postgres while there are any, in seconds, unless the
settings say."""


class Ground:
    """One company, opened from its home. Parts are made when they are first needed."""

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        stage: Stage | None = None,
    ) -> None:
        """Take what the company is made of.

        Args:
            environment: Home and settings.
            clock: Tells the time; the machine's by default.
            ids: Make identifiers; random by default.
            stage: Stands in for models, tools and memory where an order is played again.
        """
        self._stage = stage
        self.environment = environment
        self.settings = environment.settings
        self.home = environment.home
        self.clock: Clock = clock or SystemClock()
        self.ids: Ids = ids or RandomIds()
        self._llms: dict[str, LLM] = {}

    @cached_property
    def store(self) -> Store:
        """Return the company's database."""
        url = self.environment.database_url
        if self._stage is not None:
            return self._stage.open_store(url)
        return Store(url, company=self.settings.company)

    @cached_property
    def owner(self) -> Store:
        """Return the database by the role that owns its tables; most often it is the same one."""
        url = self.environment.owner_url
        is_same = url == self.environment.database_url
        return self.store if is_same else Store(url, company=self.settings.company)

    @cached_property
    def audit(self) -> AuditChain:
        """Return the audit chain, with the key that signs its heads."""
        key = AuditKey.load_or_create(self.home / KEY_FILE)
        return AuditChain(clock=self.clock, key=key)

    @cached_property
    def engine(self) -> Engine:
        """Return the durable engine."""
        if self._stage is not None and self._stage.engine is not None:
            return self._stage.engine
        engine: Engine = ENGINES.load("dbos")(
            self.store,
            executor_id=self._executor_id() if self.store.is_sqlite else "",
            poll_s=self._poll_s,
            concurrency=self.concurrency,
            lanes=Lanes(
                per_lane=self.settings.worker.per_person, in_all=self.settings.worker.in_all
            ),
        )
        if self.store.is_sqlite:
            own: Any = engine
            own.after_death(lambda name: self._reaper(own).take_over(name))
        return engine

    @property
    def concurrency(self) -> int:
        """Return how many orders this process works at the same time."""
        return self.settings.worker.concurrency or self.settings.limits.parallel_orders

    @property
    def _poll_s(self) -> float:
        limits = self.settings.limits
        # Every look of every worker is a query of one server: unless told, fewer of them.
        is_told = self.store.is_sqlite or "poll_s" in limits.model_fields_set
        return limits.poll_s if is_told else SHARED_POLL_S

    def _reaper(self, engine: Any) -> "Reaper":
        """Return who sees to what dead workers left."""
        reaper: Reaper = PARTS.load("reaper")(
            store=self.store,
            engine=engine,
            clock=self.clock,
            ids=self.ids,
            stale_s=self.settings.worker.stale_s,
            version=engine.version,
        )
        return reaper

    def _executor_id(self) -> str:
        """Return this home's name for its worker, the same over restarts."""
        path = self.home / "executor-id"
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            make_home(self.home)
            fresh = f"home-{uuid.uuid4().hex[:12]}"
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(fresh, encoding="ascii")
            try:
                # A link fails where another process was first, a rename would not.
                path.hardlink_to(temporary)
            except FileExistsError:
                return path.read_text(encoding="ascii").strip()
            finally:
                temporary.unlink()
            return fresh

    def close(self) -> None:
        """Let go of the database."""
        for name in ("store", "owner"):
            if name in self.__dict__:
                getattr(self, name).close()
