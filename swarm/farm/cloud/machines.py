"""What a vendor's API does for the farm, in the farm's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from swarm.core.errors import SwarmError
from swarm.farm.base import FARM, MANAGED_BY, SWARM, Kind, NoPlace, Price, Resource, Site

EU = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
"""Member states, ISO 3166-1."""


class MachineState(StrEnum):
    """Where a server stands."""

    STARTING = "starting"
    RUNNING = "running"
    OFF = "off"
    BROKEN = "broken"
    """It will never run: its making failed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A type of server in a place, as it is sold now."""

    type: str
    location: str
    country: str
    cores: int
    memory_mib: int
    architecture: str
    """`x86` or `arm`."""
    price: Price
    is_available: bool = True
    """False where the vendor says that it is sold out now."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One server."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: MachineState
    type: str
    location: str
    address: str
    """Where SSH is heard; empty while it has none."""
    created_at: datetime | None
    cores: int = 0
    memory_mib: int = 0
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new server is to be."""

    name: str
    """Unique in the vendor's project: the idempotency key."""
    instance: str
    """Empty for a server that several instances share."""
    owner: str
    generation: str
    labels: Mapping[str, str]
    user_data: str
    """Without a long-lived secret."""
    public_key: str
    """The operator's, in OpenSSH's form."""
    sources: Sequence[str]
    """Networks from which SSH is let in."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something that exists at the vendor."""

    id: str
    name: str
    labels: Mapping[str, str]
    at: datetime | None = None
    """When it was made there."""


class Lost(NoPlace):
    """The line broke: whether the request was worked is not known."""


class SoldOut(SwarmError):
    """The vendor has none of this type in this place now, or no longer sells it there."""


class Broken(SwarmError):
    """A server that was made will never run; the vendor said so."""


class NoHost(Broken):
    """A server that was made finds nothing to run on: the vendor is sold out after all."""


class Taken(SwarmError):
    """Something with that name exists already."""


class Cloud(Protocol):
    """One vendor's project. Every verb raises PlaceError where the vendor refuses or is away."""

    name: str

    async def offers(self) -> list[Offer]:
        """Return what is for sale, with prices of now; what is no longer sold is left out."""

    async def find(self, name: str) -> Machine | None:
        """Return the server of that name, whoever made it."""

    async def machines(self) -> list[Machine]:
        """Return this farm's servers."""

    async def make(self, wanted: Wanted, offer: Offer) -> Machine:
        """Make the server and what belongs to it, each thing journalled first; return it running.

        What is there already of this name and our label is taken, so that a run that died is
        finished.

        Raises:
            SoldOut: Not of this type in this place.
            Broken: It was made and will not run; it is still there.
            Conflict: Something that is not this farm's has the name.
        """

    async def wake(self, machine: Machine, wanted: Wanted | None) -> Machine:
        """Finish what a dead run left half-made, switch on what is off; return it running.

        Args:
            machine: One of ours.
            wanted: What it was to be; None where it is enrolled and needs no user data any more.

        Raises:
            Broken: It will not run.
        """

    async def admit(self, machine: Machine, sources: Sequence[str]) -> None:
        """Let SSH in to a server of ours from these networks, and from no others any more."""

    async def end(self, machine: Machine) -> list[Resource]:
        """Delete a server and all that was made for it; return what goes on costing, with prices."""

    async def resources(self) -> list[Resource]:
        """Return all that carries this farm's label, addresses and volumes of its servers too."""

    async def remove(self, resource: Resource) -> None:
        """Delete one resource that is not a server; what is gone already is fine."""

    async def tidy(self) -> None:
        """Remove what costs nothing and is needed only while there are servers, if there are none."""

    def extras(self, offer: Offer) -> list[Price]:
        """Return the prices of what is made for each server besides: its address, its disk."""


def is_ours(labels: Mapping[str, str], site: Site) -> bool:
    """Say whether a thing was made for this farm."""
    return labels.get(MANAGED_BY) == SWARM and labels.get(FARM) == site.farm


def share_of(price: Price, *, memory: Decimal, cpu: Decimal) -> Price:
    """Return the part of a server's price that a seat takes.

    Half of a server's price is its memory's and half its processors', as the hosting meter divides it.

    Args:
        price: The server's.
        memory: The seat's part of the memory that seats may take, 0 to 1.
        cpu: The same of the processors.
    """
    part = (min(memory, Decimal(1)) + min(cpu, Decimal(1))) / 2

    def cut(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else (amount * part).quantize(Decimal("1e-12"))

    return Price(
        cut(price.hourly), cut(price.monthly), price.currency, tax=price.tax, status=price.status,
        source=price.source, read=price.read, reason=price.reason,
    )  # fmt: skip


def sums(prices: Sequence[Price | None]) -> Price:
    """Return what several things cost together; unknown where one is, or where they cannot be added."""
    known = [price for price in prices if price is not None]
    assert known, "at least the server has a price"
    for price in known:
        if price.hourly is None and price.monthly is None:
            return price
    first = known[0]
    if kinds := {(each.currency, each.tax) for each in known} - {(first.currency, first.tax)}:
        parts = " and ".join(sorted(f"{currency} {tax}" for currency, tax in kinds))
        return Price.unknown(
            f"the server's price is in {first.currency} {first.tax}, and that of what is made with "
            f"it in {parts}", first.currency,
        )  # fmt: skip
    hourly = [price.hourly for price in known if price.hourly is not None]
    monthly = [price.monthly for price in known if price.monthly is not None]
    # A part with one of the two amounts alone leaves the other sum without meaning.
    return Price(
        sum(hourly, Decimal(0)) if len(hourly) == len(known) else None,
        sum(monthly, Decimal(0)) if len(monthly) == len(known) else None,
        first.currency, tax=first.tax, status=first.status, source=first.source, read=first.read,
    )  # fmt: skip


PAID = (Kind.SERVER, Kind.IPV4, Kind.VOLUME, Kind.SNAPSHOT)
