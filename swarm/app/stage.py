"""What stands in for the world outside."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm.ledger.prices import PriceBook
from swarm.llm.base import LLM
from swarm.runtime.engine import Engine
from swarm.runtime.pausing import Pause
from swarm.runtime.recalling import Recaller
from swarm.store.database import Store
from swarm.tools.base import Tool

if TYPE_CHECKING:
    from swarm.ledger.baseline.frozen import BaselineBook


@dataclass(frozen=True)
class Stage:
    """What stands in for the world outside while an order is played again."""

    llm: LLM
    is_own_hardware: Callable[[str], bool]
    recaller: Recaller
    wrap: Callable[[Tool], Tool]
    """Return what stands in for a tool, or the tool itself."""
    new_nonce: Callable[[], str]
    prices: PriceBook | None = None
    """The price book of the day; None is this version's."""
    baselines: "Callable[[BaselineBook], BaselineBook] | None" = None
    """Return what stands in for the book of human baselines; None is the book itself."""
    mcp_tools: frozenset[str] = frozenset()
    """Tools of MCP servers that are offered; no server is started for them."""
    has_sandbox: bool = False
    """Whether commands really run."""
    open_store: Callable[[str], Store] = Store
    engine: Engine | None = None
    """An engine that stands already; None makes one."""
    make_pause: Callable[[Store], Pause] = Pause
    """Return the stop button, which every model call passes before it is on the books."""
