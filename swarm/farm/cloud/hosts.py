"""Servers: which one is rented, how it comes to trust us, and when it is given back."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarm.core.errors import ConfigError, Conflict
from swarm.farm.base import (
    GENERATION,
    InstanceSpec,
    NoCapacity,
    PlaceRefused,
    Price,
    Resource,
    Site,
    labels_of,
)
from swarm.farm.cloud.config import CloudConfig
from swarm.farm.cloud.diary import Diary
from swarm.farm.cloud.keys import operator_key, papers_of, write_papers
from swarm.farm.cloud.machines import (
    EU,
    PAID,
    Broken,
    Cloud,
    Machine,
    MachineState,
    NoHost,
    Offer,
    SoldOut,
    Wanted,
    is_ours,
    sums,
)
from swarm.farm.cloud.packing import Seat
from swarm.farm.cloud.price_list import price_list
from swarm.farm.cloud.seats import Seats, TokenExpired
from swarm.farm.cloud.ssh import Reach
from swarm.farm.cloud.user_data import render

MOST_BROKEN = 3
"""How many servers that do not run are paid for before it is left to a person."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A server that exists, and how it is reached."""

    machine: Machine
    reach: Reach
    is_enrolled: bool


@dataclass(frozen=True, slots=True)
class Hosts:
    """The servers of one farm at one vendor."""

    site: Site
    config: CloudConfig
    cloud: Cloud
    diary: Diary
    seats: Seats

    # -- what to rent

    def ranked(self, offers: Sequence[Offer]) -> list[Offer]:
        """Return what may be rented, in the order in which it is tried: type by type, place by place.

        Raises:
            ConfigError: Nothing of what is sold is allowed by the settings.
        """
        known_ones = price_list(self.cloud.name)
        types = list(self.config.types or known_ones.types)
        places = list(self.config.locations or known_ones.locations)
        allowed = [
            offer for offer in offers
            if (self.config.outside_eu or offer.country in EU)
            and offer.architecture == self.config.architecture
            and (not self.config.types or offer.type in types)
            and (not self.config.locations or offer.location in places)
        ]  # fmt: skip
        if not allowed:
            inside = "" if self.config.outside_eu else " in the European Union"
            raise ConfigError(
                f"{self.cloud.name} sells none of the wanted types{inside}: farm."
                f"{self.cloud.name}.types, .locations and .architecture allow nothing of "
                f"{', '.join(sorted({offer.type for offer in offers})[:12]) or 'what it sells'}"
            )

        def rank(offer: Offer) -> tuple[int, object, str, int, str]:
            known = offer.type in types
            price = offer.price.monthly or offer.price.hourly
            by_type = types.index(offer.type) if known else len(types)
            by_price = 0 if known or price is None else price
            by_place = places.index(offer.location) if offer.location in places else len(places)
            return by_type, by_price, offer.type, by_place, offer.location

        return sorted(allowed, key=rank)

    def whole_price(self, offer: Offer) -> Price:
        """Return what a server costs with what is always made for it."""
        return sums([offer.price, *self.cloud.extras(offer)])

    async def new_name(self, seats: Sequence[Seat]) -> str:
        """Return the first free name of a shared server."""
        taken = {machine.name for machine in await self.cloud.machines()}
        taken |= {seat.host for seat in seats}
        number = 1
        while (name := f"swarm-{self.site.farm}-host{number}") in taken:
            number += 1
        return name

    # -- making

    async def ensure(
        self, name: str, spec: InstanceSpec, offers: Sequence[Offer], *, holds: Sequence[str]
    ) -> Standing:
        """Return the server of that name: running, enrolled, made if need be.

        `holds` names the instances that live on it by the journal. A server that holds any is never
        made anew, whatever the vendor shows: their homes are on it.

        Raises:
            NoCapacity: Nothing of what is wanted is to be had now.
            NotHealthy: It did not get ready in time.
            PlaceRefused: It holds instances, and is not there or cannot be reached from here.
        """
        machine = await self.cloud.find(name)
        if machine is not None:
            self._check_ours(machine)
        is_lost = machine is not None and self._is_lost(machine)
        if holds and (machine is None or is_lost):
            what = "cannot be reached with what this folder holds" if machine else "is not there"
            raise PlaceRefused(
                f"{self.cloud.name}'s server {name} holds {', '.join(holds)} and {what}. Look at the "
                f"vendor's console, and whether {self.site.folder} is whole; `swarm farm rm` gives "
                "these instances up"
            )
        if machine is not None and is_lost:
            self.site.say(f"{name} was left half-made and cannot be finished; it is made anew")
            await self.end(machine)
            machine = None
        if machine is None:
            machine = await self._make(name, spec, offers)
        elif machine.state is not MachineState.RUNNING or not self._is_enrolled(name):
            machine = await self._woken(machine, spec, offers, holds=holds)
        else:
            # The operator may be elsewhere than when it was made.
            await self.cloud.admit(machine, self.config.ssh_from)
        try:
            reach = await self._enrolled(machine)
        except TokenExpired as error:
            self.site.say(f"{error}; it is made anew")
            await self.end(machine)
            machine = await self._make(name, spec, offers)
            reach = await self._enrolled(machine)
        return Standing(machine, reach, is_enrolled=True)

    async def _enrolled(self, machine: Machine) -> Reach:
        reach = self._reach(machine)
        await self.seats.enrol(
            machine, papers_of(self.site.folder, machine.name), reach,
            within_s=self.config.ready_within_s,
        )  # fmt: skip
        return reach

    async def _woken(
        self, machine: Machine, spec: InstanceSpec, offers: Sequence[Offer], *, holds: Sequence[str]
    ) -> Machine:
        wanted = None if self._is_enrolled(machine.name) else self._wanted(machine.name, spec)
        try:
            return await self.cloud.wake(machine, wanted)
        except Broken as error:
            if holds:
                raise PlaceRefused(
                    f"{error}. It holds {', '.join(holds)}, so it is left as it is: look at the "
                    "vendor's console, and say the same again"
                ) from error
            self.site.say(f"{error}; it is made anew")
            await self.end(machine)
            return await self._make(machine.name, spec, offers)

    async def _make(self, name: str, spec: InstanceSpec, offers: Sequence[Offer]) -> Machine:
        wanted = self._wanted(name, spec)
        tried: list[str] = []
        broken: list[str] = []
        for offer in offers:
            if len(broken) == MOST_BROKEN:
                break
            if not offer.is_available:
                tried.append(f"{offer.type} in {offer.location}")
                continue
            self.site.say(f"{self.cloud.name}: {offer.type} in {offer.location} is asked for")
            try:
                return await self.cloud.make(wanted, offer)
            except SoldOut as gone:
                self.site.say(str(gone))
            except Broken as error:
                self.site.say(f"{error}; it is given back")
                if not isinstance(error, NoHost):
                    broken.append(str(error))
                if (machine := await self.cloud.find(name)) is not None:
                    await self.cloud.end(machine)
            tried.append(f"{offer.type} in {offer.location}")
        rented = (
            f"{len(broken)} were made, did not run and were given back, which may be billed as an hour "
            f"each ({'; '.join(broken)})" if broken else "Nothing was rented"
        )  # fmt: skip
        raise NoCapacity(
            f"{self.cloud.name} has no server for {spec.name} now; asked for: {', '.join(tried)}. "
            f"{rented}. Try later, or add to farm.{self.cloud.name}.types and .locations"
        )

    def _wanted(self, name: str, spec: InstanceSpec) -> Wanted:
        papers = write_papers(self.site.folder, name)
        public, _ = operator_key(self.config, self.site.folder)
        is_shared = self.config.seats == "packed"
        instance, owner = ("", "") if is_shared else (spec.name, spec.owner)
        return Wanted(
            name, instance, owner, spec.generation,
            labels_of(self.site, instance=instance, generation=spec.generation, owner=owner),
            render(self.cloud.name, host=name, papers=papers, public_key=public), public,
            self.config.ssh_from,
        )  # fmt: skip

    def _check_ours(self, machine: Machine) -> None:
        if not is_ours(machine.labels, self.site):
            raise Conflict(
                f"{self.cloud.name} has a server {machine.name!r} that this farm did not make; "
                "rename or delete it there, or choose another name"
            )

    def _is_lost(self, machine: Machine) -> bool:
        """Say whether a server of ours can never be used from here."""
        return machine.state is MachineState.BROKEN or (
            not papers_of(self.site.folder, machine.name).is_complete
        )

    def _is_enrolled(self, name: str) -> bool:
        return papers_of(self.site.folder, name).is_enrolled

    def _reach(self, machine: Machine) -> Reach:
        _, private = operator_key(self.config, self.site.folder)
        papers = papers_of(self.site.folder, machine.name)
        return Reach(machine.name, machine.address, papers.known_hosts, private)

    async def standing(self, name: str) -> Standing | None:
        """Return a server of ours as it is; None where there is none."""
        machine = await self.cloud.find(name)
        if machine is None or not is_ours(machine.labels, self.site):
            return None
        return Standing(machine, self._reach(machine), self._is_enrolled(name))

    # -- ending

    async def end_if_empty(
        self, name: str, seats: Sequence[Seat], *, generation: str | None = None
    ) -> None:
        """Give a server back on which nobody sits; with `generation`, only one that this run made."""
        if any(seat.host == name for seat in seats):
            return
        machine = await self.cloud.find(name)
        if machine is not None and is_ours(machine.labels, self.site):
            if generation is not None and machine.labels.get(GENERATION) != generation:
                return
            if generation is None and self.config.keep_empty:
                return
            await self.end(machine)
            return
        # A run that died may have left an address without its server, or an open entry.
        for resource in await self.cloud.resources():
            is_loose = resource.parent is None and resource.kind in PAID
            if is_loose and resource.name in parts_of(name):
                await self.cloud.remove(resource)
        await self.diary.close_ended(kinds=PAID, names=parts_of(name))
        papers_of(self.site.folder, name).forget()
        await self.cloud.tidy()

    async def end(self, machine: Machine) -> None:
        """Give a server back, and say what goes on costing."""
        for left in await self.cloud.end(machine):
            self.site.say(
                f"{left.kind} {left.name} is not this farm's and goes on costing {_a_day(left)}"
            )
        await self.diary.close_ended(kinds=PAID, names=parts_of(machine.name))
        papers_of(self.site.folder, machine.name).forget()
        await self.cloud.tidy()


def parts_of(name: str) -> set[str]:
    """Return the names, in the journal, of a server and of what is billed beside it."""
    return {name, f"{name}-ipv4", f"{name}-disk"}


def _a_day(resource: Resource) -> str:
    per_day = resource.price.per_day if resource.price is not None else None
    if per_day is None or resource.price is None:
        return "an unknown amount"
    return f"{per_day:.4f} {resource.price.currency} per day"
