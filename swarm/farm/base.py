"""What a farm driver does. Every verb may be repeated with the same outcome."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from swarm.core.money import Money


class InstanceState(StrEnum):
    """Where an instance stands."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What to start, for whom."""

    name: str
    """Unique in the farm; it is the idempotency key."""
    owner: str
    image: str
    memory_mib: int = 512


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as the place reports it."""

    name: str
    owner: str
    state: InstanceState


class Driver(Protocol):
    """Start and stop instances in one kind of place."""

    name: str

    async def price(self, spec: InstanceSpec) -> Money:
        """Return the price of one hour."""

    async def create(self, spec: InstanceSpec) -> Instance:
        """Create and start it; an existing one of that name and owner is returned as it is.

        Raises:
            Conflict: The name belongs to another owner.
        """

    async def list(self) -> list[Instance]:
        """Return all instances this farm made."""

    async def start(self, name: str) -> None:
        """Start it. Raises NotFound."""

    async def stop(self, name: str) -> None:
        """Stop it, keeping its data. Raises NotFound."""

    async def logs(self, name: str, *, lines: int = 100) -> str:
        """Return the last lines it wrote. Raises NotFound."""

    async def destroy(self, name: str) -> None:
        """Remove it and its data; an unknown name is already destroyed."""
