"""What a company is made of, handed to whoever works for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from swarm.agents.agent import Limits
from swarm.agents.hands import Rules
from swarm.core.clock import Clock
from swarm.core.ids import Ids
from swarm.core.registry import Registry
from swarm.core.role import Role
from swarm.ledger.book import Book
from swarm.ledger.budget import BudgetConfig
from swarm.ledger.effects import EffectBook
from swarm.ledger.hosting.terms import HostingConfig
from swarm.ledger.metered import Metered
from swarm.ledger.prices import PriceBook
from swarm.memory.base import Memory
from swarm.org.loader import Org
from swarm.runtime.engine import Engine
from swarm.runtime.metering import Meter
from swarm.runtime.recalling import Recaller
from swarm.sandbox.base import Sandbox
from swarm.store.database import Store
from swarm.tools.base import Tool

if TYPE_CHECKING:
    from swarm.ledger.baseline.frozen import BaselineBook
    from swarm.org.graph import OrderWalk, TaskWalk
    from swarm.runtime.customers import Service
    from swarm.tools.http import WebClient
    from swarm.tools.skills import SkillShelf

GRAPHS = Registry(
    "graph", {"order": "swarm.org.graph:OrderWalk", "task": "swarm.org.graph:TaskWalk"}
)
"""Loaded on first use: LangGraph costs a second of a start."""


SKILLS_S = 60.0
"""How long the list of skills in prompts is good for, in seconds."""


class LimitsConfig(BaseModel):
    """How far one order may go. Environment: `SWARM_LIMITS__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    steps: int = Field(default=25, ge=1)
    """Model calls of one attempt at a task."""
    task_s: float = Field(default=3600, gt=0)
    """Longest attempt at a task, in seconds."""
    delegations: int = Field(default=20, ge=0)
    """Sub-tasks and questions that the roles of one order may hand to colleagues."""
    depth: int = Field(default=3, ge=0)
    """How deep sub-tasks may nest."""
    parallel_orders: int = Field(default=50, ge=1)
    """Orders one worker works at the same time."""
    poll_s: float = Field(default=0.2, gt=0)
    """How often a worker looks for new work, in seconds."""


@dataclass(frozen=True)
class Kit:
    """What tools work with, besides the workspace."""

    choose_sandbox: Callable[[], Awaitable[Sandbox | None]]
    """Finds a sandbox that holds on this machine; asked once, at the first task."""
    web: "WebClient | None" = None
    skills: "SkillShelf | None" = None
    clock: Clock | None = None
    """Tells how old the list of skills is; None reads it anew each time."""
    _chosen: "list[asyncio.Task[Sandbox | None]]" = field(default_factory=list)
    _summary: list[tuple[float, str]] = field(default_factory=list)

    async def sandbox(self) -> Sandbox | None:
        """Return where commands run; None where no sandbox holds."""
        if not self._chosen:
            self._chosen.append(asyncio.ensure_future(self.choose_sandbox()))
        return await asyncio.shield(self._chosen[0])

    async def skill_lines(self) -> str:
        """Return the skills that may be loaded, a line each, as they were at most a minute ago.

        Reading and checking all of them takes milliseconds; what is loaded is checked again then.
        """
        if self.skills is None:
            return ""
        now = self.clock.monotonic() if self.clock else None
        if now is None or not self._summary or now - self._summary[0][0] > SKILLS_S:
            fresh = await asyncio.to_thread(self.skills.summary)
            self._summary[:] = [(now or 0.0, fresh)]
        return self._summary[0][1]


@dataclass(frozen=True)
class Company:
    """One company at work."""

    home: Path
    currency: str
    store: Store
    engine: Engine
    clock: Clock
    ids: Ids
    org: Org
    metered: Metered
    book: Book
    prices: PriceBook
    effects: EffectBook
    memory: Memory
    recaller: Recaller
    budget: BudgetConfig
    hosting: HostingConfig
    limits: LimitsConfig
    default_model: Callable[[], str]
    """The company's model; looked up on first use, since looking may ask a local server."""
    load_tools: Callable[[Role], Awaitable[Mapping[str, Tool]]]
    load_baselines: Callable[[], "BaselineBook"]
    """Makes the book of human baselines; its figures are read at the first plan."""
    rules: Rules
    kit: Kit
    to_company: Callable[[Decimal, str], Decimal]
    service: "Service | None" = None
    """How customers are served."""

    def workspace(self, order_id: str) -> Path:
        """Return the folder of an order's files."""
        return self.home / "workspace" / order_id

    def model_of(self, role: Role) -> str:
        """Return the model a role thinks with."""
        return role.model or self.default_model()

    @property
    def agent_limits(self) -> Limits:
        """Return how far one attempt may go."""
        return Limits(steps=self.limits.steps, seconds=self.limits.task_s)

    @cached_property
    def baselines(self) -> "BaselineBook":
        """Return the book of human baselines."""
        return self.load_baselines()

    @cached_property
    def meter(self) -> Meter:
        """Return what counts the machine's use by this process."""
        return Meter(self.clock)

    @cached_property
    def order_walk(self) -> "OrderWalk":
        """Return the path of an order."""
        walk: OrderWalk = _walk("order")
        return walk

    @cached_property
    def task_walk(self) -> "TaskWalk":
        """Return the path of a task."""
        walk: TaskWalk = _walk("task")
        return walk


@cache
def _walk(name: str) -> Any:
    """Compile a graph once in a process: it holds nothing of any company."""
    return GRAPHS.load(name)()
