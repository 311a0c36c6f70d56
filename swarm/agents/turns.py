"""What the calls of one step came to, as the model, the graph and a colleague get it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from swarm.core.chat import ToolCall
from swarm.core.mark import CLEAN, Mark
from swarm.core.origin import Origin
from swarm.ledger.approvals import SignatureRequest
from swarm.tools.base import AskPerson, Handoff


@dataclass(frozen=True, slots=True)
class Handed:
    """What a colleague's sub-task came to: words, or an outcome that ends this task too."""

    told: str = ""
    mark: Mark = CLEAN
    outcome: Any = None


Delegation = Callable[[Handoff, str, Mark], Awaitable[Handed]]
"""Give a sub-task to a colleague under a node name, with the mark of who asks."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one call came to, as the model reads it."""

    call: ToolCall
    content: str
    is_fault: bool
    delivered: tuple[str, ...] = ()
    origin: Origin = Origin.TEAM
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What the calls of one step came to; with `blocked` or `requests` the later ones wait."""

    results: tuple[CallResult, ...] = ()
    blocked: AskPerson | None = None
    ask_node: str = ""
    """Names the question among those of the order; its answer comes back under it."""
    requests: tuple[SignatureRequest, ...] = ()
    """Calls that wait for a signature."""
    outcome_of_colleague: Any = None
    """An outcome that ends this task too: the colleague waits for a person."""
    stopped: str = ""
    """Why the attempt ends here, or nothing."""

    @property
    def delivered(self) -> tuple[str, ...]:
        """Paths declared deliverables."""
        return tuple(path for result in self.results for path in result.delivered)

    @property
    def has_fault(self) -> bool:
        """True where the model must mend a call."""
        return any(result.is_fault for result in self.results)

    @property
    def summary(self) -> str:
        """Words of the last delivery, or nothing."""
        return next((r.content for r in reversed(self.results) if r.delivered), "")
