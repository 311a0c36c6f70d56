"""The verbs of a farm on rented servers, over one vendor's API."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from swarm.core.errors import ConfigError, Conflict, InvalidInput, NotFound, SwarmError
from swarm.farm.base import (
    Action,
    EntryState,
    Instance,
    InstanceSpec,
    InstanceState,
    Intent,
    Kind,
    Listing,
    NoCapacity,
    NoPlace,
    NotHealthy,
    PlaceError,
    PlaceRefused,
    Price,
    Ran,
    Resource,
    Secrets,
    Site,
    check_name,
)
from swarm.farm.cloud.config import CloudConfig
from swarm.farm.cloud.diary import Diary, deleting
from swarm.farm.cloud.hosts import Hosts, Standing
from swarm.farm.cloud.keeping import Keeping
from swarm.farm.cloud.machines import Cloud, Machine, Offer, share_of
from swarm.farm.cloud.packing import Room, Seat, is_seated, place, seats_of
from swarm.farm.cloud.price_list import price_list
from swarm.farm.cloud.seats import Seats, Sitting
from swarm.farm.cloud.ssh import Shell, SshShell

PLACINGS = 20
"""How often a seat is placed anew because somebody else took the room; then something is wrong."""


@dataclass(frozen=True, slots=True)
class _Seated:
    """A seat with its server."""

    seat: Seat
    standing: Standing


class CloudDriver:
    """Start and stop instances on the servers of one vendor."""

    def __init__(
        self, site: Site, config: CloudConfig, cloud: Cloud, *, shell: Shell | None = None,
    ) -> None:  # fmt: skip
        """Connect nothing. `shell` reaches the servers; by default the system's SSH client does."""
        self.name = cloud.name
        self._site = site
        self._config = config
        self._cloud = cloud
        self._diary = Diary(site, cloud.name)
        self._seats = Seats(site, shell or SshShell(), poll_s=config.poll_s)
        self._hosts = Hosts(site, config, cloud, self._diary, self._seats)
        self._keeping = Keeping(site, cloud.name, self._seats)

    # -- the verbs

    async def price(self, spec: InstanceSpec) -> Price:
        """Return what the instance will cost: its server, or its part of one, and the address.

        Raises:
            InvalidInput: No size is large enough.
        """
        try:
            offer = (await self._offers(spec))[0]
        except NoPlace:
            # Nothing can be rented now, but what it costs can be said, with the day of the list.
            offer = self._fitting(spec, price_list(self.name).offers)[0]
        whole = self._hosts.whole_price(offer)
        if self._config.seats == "one":
            return whole
        room = self._room_of(offer)
        return share_of(
            whole, memory=Decimal(spec.memory_mib) / room.memory_mib, cpu=spec.cpus / room.cpus
        )

    async def create(self, spec: InstanceSpec, secrets: Secrets) -> Instance:
        """Create and start it and wait until it is healthy. See `base.Driver.create`."""
        check_name(spec.name)
        if not self._config.ssh_from:
            raise ConfigError(
                f"farm.{self.name}.ssh_from is not set: write the network that you reach servers "
                "from, such as 203.0.113.7/32; nothing else will be let in"
            )
        known = await self._seat(spec.name)
        if known is not None and known.owner != spec.owner:
            raise Conflict(
                f"the name {spec.name!r} belongs to {known.owner or 'somebody else'}; choose another"
            )
        try:
            # One that sits has its server, whatever is sold today.
            offers = [] if known is not None and known.is_taken else await self._offers(spec)
            seated = await self._seated(spec, offers)
            sitting = await self._settle(seated, spec, secrets)
        except (NoCapacity, NotHealthy, PlaceRefused) as error:
            await self._rolled_back(spec, error)
            raise
        return self._instance(seated.standing.machine, sitting, seated.seat)

    async def start(self, name: str) -> None:
        """Start it. Raises NotFound, PlaceError."""
        await self._switch(name, Action.START)

    async def stop(self, name: str) -> None:
        """Stop it, keeping its data; the server goes on costing. Raises NotFound, PlaceError."""
        await self._switch(name, Action.STOP)

    async def logs(self, name: str, *, lines: int = 100) -> str:
        """Return the last lines it wrote. Raises NotFound, PlaceError."""
        found = await self._where(name)
        return await self._seats.logs(found.standing.reach, name, lines=lines)

    async def destroy(self, name: str, *, generation: str | None = None) -> None:
        """Remove it, its data and, with the last instance, its server. Raises PlaceError."""
        seat = await self._seat(name)
        if seat is not None and generation not in (None, seat.generation):
            return
        if seat is not None:
            await self._unseat(seat)
        # A run that died may have ended the seat and not its server; the journal remembers where.
        for host in await self._hosts_of(name):
            await self._hosts.end_if_empty(host, await self._all_seats(), generation=generation)

    async def run(self, name: str, words: Sequence[str]) -> Ran:
        """Run a command inside a running instance, as its user. Raises NotFound, PlaceError."""
        found = await self._where(name)
        return await self._keeping.run(found.standing.reach, name, words)

    async def save(self, name: str, target: Path) -> None:
        """Write the instance's home as one archive, consistent while it runs. Raises NotFound."""
        found = await self._where(name)
        await self._keeping.save(found.standing.reach, name, target)

    async def load(self, name: str, source: Path) -> None:
        """Put an archive's content in place of the home of a stopped instance. Raises NotFound."""
        found = await self._where(name)
        await self._keeping.load(found.standing.reach, name, source)

    async def upgrade(self, name: str, image: str, *, generation: str, within_s: float) -> Instance:
        """Run another image on the same home; the old one runs again where the new gets not well."""
        found = await self._where(name)
        sitting = await self._keeping.upgrade(
            found.standing.reach, found.seat, image, generation=generation, within_s=within_s
        )
        return self._instance(found.standing.machine, sitting, await self._seat(name))

    # -- placing

    async def _offers(self, spec: InstanceSpec) -> list[Offer]:
        """Return what may be rented for an instance, in the order in which it is tried."""
        return self._fitting(spec, await self._cloud.offers())

    def _fitting(self, spec: InstanceSpec, sold: Sequence[Offer]) -> list[Offer]:
        offers = self._hosts.ranked(sold)
        fitting = [
            offer for offer in offers
            if self._room_of(offer).memory_mib >= spec.memory_mib
            and self._room_of(offer).cpus >= spec.cpus
        ]  # fmt: skip
        if not fitting:
            largest = max((self._room_of(offer).memory_mib for offer in offers), default=0)
            raise InvalidInput(
                f"no wanted type of {self.name} has room for {spec.memory_mib} MiB of memory and "
                f"{spec.cpus} processors beside the server's own needs; the largest has "
                f"{largest} MiB. Set farm.{self.name}.types and .locations, or ask for less"
            )
        return fitting

    def _room_of(self, sized: Offer | Machine) -> Room:
        name = sized.name if isinstance(sized, Machine) else ""
        of = self._config
        return Room(name, of.room_mib(sized.memory_mib), of.room_cpus(sized.cores))

    async def _seated(self, spec: InstanceSpec, offers: list[Offer]) -> _Seated:
        """Place the seat, in the journal first, and return it with its server running."""
        for _ in range(PLACINGS):
            seat = await self._seat(spec.name) or await self._intend_seat(spec)
            seats = await self._all_seats()
            holds = [each.instance for each in seats if each.host == seat.host and each.is_taken]
            standing = await self._hosts.ensure(seat.host, spec, offers, holds=holds)
            room = self._room_of(standing.machine)
            if seat.is_taken or is_seated(seat, await self._all_seats(), room):
                return _Seated(seat, standing)
            # Another run placed a seat at the same moment, and was first.
            await self._site.journal.undone(seat.entry, why=f"{seat.host} is full")
        raise NoCapacity(f"no server of {self.name} kept room for {spec.name}; say it again")

    async def _intend_seat(self, spec: InstanceSpec) -> Seat:
        seats = await self._all_seats()
        host = f"swarm-{self._site.farm}-{spec.name}"
        if self._config.seats == "packed":
            rooms = [self._room_of(machine) for machine in await self._cloud.machines()]
            host = place(
                seats, rooms, memory_mib=spec.memory_mib, cpus=spec.cpus
            ) or await self._hosts.new_name(seats)  # fmt: skip
        await self._site.journal.intend(
            Intent(
                spec.name, spec.owner, spec.generation, self.name, Action.CREATE, Kind.CONTAINER,
                spec.name, parent=host, cpus=spec.cpus, memory_mib=spec.memory_mib,
            )
        )  # fmt: skip
        found = await self._seat(spec.name)
        assert found is not None, "it was just written down"
        return found

    async def _settle(self, seated: _Seated, spec: InstanceSpec, secrets: Secrets) -> Sitting:
        """Start the instance on its server and wait until it is well."""
        reach = seated.standing.reach
        await self._seats.put(reach, spec, secrets)
        sitting = await self._seats.healthy(reach, spec.name, within_s=spec.healthy_within_s)
        if not seated.seat.is_taken:
            await self._site.journal.done(seated.seat.entry, resource_id=sitting.id)
        # A roll-back that could not be ended began to remove it.
        if (entry := await self._diary.open_entry(self._ending(seated.seat))) is not None:
            await self._site.journal.undone(entry, why="it was started again")
        return sitting

    def _ending(self, seat: Seat) -> Intent:
        return deleting(
            self.name, Kind.CONTAINER, seat.instance, instance=seat.instance, owner=seat.owner,
            generation=seat.generation, parent=seat.host,
        )  # fmt: skip

    async def _rolled_back(self, spec: InstanceSpec, error: SwarmError) -> None:
        """Roll back; where that cannot be done now, say so with what went wrong first.

        Raises:
            NoPlace: Something may be left; the same command again goes on from there.
            PlaceRefused: The same, and again will not help by itself.
        """
        try:
            await self._roll_back(spec)
        except SwarmError as left:
            kind = PlaceRefused if isinstance(left, PlaceRefused) else NoPlace
            raise kind(
                f"{error}. What was begun could not be ended now: {left}. The same command "
                f"again goes on, `swarm farm rm {spec.name}` ends it"
            ) from error

    async def _roll_back(self, spec: InstanceSpec) -> None:
        """End what this run made: the seat, and the server if nobody else sits on it."""
        seat = await self._seat(spec.name)
        if seat is not None and seat.generation == spec.generation and not seat.is_taken:
            await self._unseat(seat)
            await self._hosts.end_if_empty(
                seat.host, await self._all_seats(), generation=spec.generation
            )

    # -- one seat

    async def _all_seats(self) -> list[Seat]:
        return seats_of(await self._site.journal.entries(provider=self.name))

    async def _seat(self, name: str) -> Seat | None:
        return next((seat for seat in await self._all_seats() if seat.instance == name), None)

    async def _hosts_of(self, name: str) -> list[str]:
        """Return the servers that an instance ever had a seat on."""
        entries = await self._site.journal.entries(provider=self.name, instance=name)
        hosts = [e.intent.parent for e in entries if e.intent.kind is Kind.CONTAINER]
        return sorted({host for host in hosts if host})

    async def _where(self, name: str) -> _Seated:
        """Return a seat with its server. Raises NotFound, NoPlace."""
        seat = await self._seat(name)
        standing = await self._hosts.standing(seat.host) if seat is not None else None
        if seat is None or standing is None:
            raise NotFound(f"no instance {name!r} on {self.name}; `swarm farm ls` shows what is")
        return _Seated(seat, standing)

    async def _switch(self, name: str, action: Action) -> None:
        found = await self._where(name)
        reach = found.standing.reach
        sitting = await self._seats.find(reach, name)
        if sitting is None:
            raise NotFound(f"{name} is not on {found.seat.host} any more; create it again")
        is_on = sitting.state is not InstanceState.STOPPED
        seat = found.seat
        intent = Intent(
            name, seat.owner, seat.generation, self.name, action, Kind.CONTAINER, name,
            parent=seat.host,
        )  # fmt: skip
        if is_on == (action is Action.START):
            # Said again. A run that died between the call and its note left an open entry.
            entry = await self._diary.open_entry(intent)
        else:
            entry = await self._site.journal.intend(intent)
            verb = self._seats.start if action is Action.START else self._seats.stop
            await verb(reach, name)
        if entry is not None:
            await self._site.journal.done(entry, resource_id=sitting.id)

    async def _unseat(self, seat: Seat) -> None:
        """Remove an instance from its server, wherever its making stood."""
        await self._keeping.forget(seat)
        standing = await self._hosts.standing(seat.host)
        intent = self._ending(seat)
        if standing is not None and standing.is_enrolled:
            entry = await self._diary.open_entry(intent) or await self._site.journal.intend(intent)
            try:
                await self._seats.remove(standing.reach, seat.instance)
            except PlaceError:
                # A server nobody else sits on is deleted with everything on it, whether it answers,
                # refuses our key or shows another one.
                others = [s for s in await self._all_seats() if s.host == seat.host]
                if [s.instance for s in others] != [seat.instance] or self._config.keep_empty:
                    raise
            await self._site.journal.done(entry, resource_id=seat.entry.resource_id)
        elif seat.is_taken:
            entry = await self._diary.open_entry(intent) or await self._site.journal.intend(intent)
            await self._site.journal.done(entry, resource_id=seat.entry.resource_id)
        if seat.entry.state is EntryState.INTENDED:
            await self._site.journal.undone(seat.entry, why="rolled back")

    async def _look(self, machine: Machine) -> list[Sitting]:
        standing = await self._hosts.standing(machine.name)
        if standing is None or not standing.is_enrolled:
            return []
        try:
            return await self._seats.look(standing.reach)
        except NoPlace as error:
            self._site.say(str(error))
            return []

    def _instance(self, machine: Machine, sitting: Sitting, seat: Seat | None) -> Instance:
        resource = Resource(
            Kind.CONTAINER, sitting.id, sitting.instance, sitting.instance, sitting.generation,
            sitting.owner, parent=machine.id,
            is_running=sitting.state is not InstanceState.STOPPED,
            created_at=seat.entry.ended_at if seat else None,
        )  # fmt: skip
        return Instance(
            sitting.instance, sitting.owner, sitting.state, sitting.generation, sitting.image,
            sitting.image_id, host=machine.name, since=sitting.since, detail=sitting.detail,
            resources=(resource,),
        )  # fmt: skip

    # Last, because inside this class the word means the method from here on.
    async def list(self) -> Listing:
        """Return all that carries this farm's label. Raises PlaceError."""
        resources = await self._cloud.resources()
        if self._config.keep_empty:
            resources = [replace(each, is_kept=True) for each in resources]
        seats = {seat.instance: seat for seat in await self._all_seats()}
        machines = {machine.name: machine for machine in await self._cloud.machines()}
        instances: dict[str, Instance] = {}
        for machine in machines.values():
            for sitting in await self._look(machine):
                if sitting.instance not in instances:
                    seat = seats.get(sitting.instance)
                    instances[sitting.instance] = self._instance(machine, sitting, seat)
        for seat in seats.values():
            if seat.instance not in instances:
                instances[seat.instance] = _unseen(seat, machines.get(seat.host))
        for instance in instances.values():
            resources += [each for each in instance.resources if each not in resources]
        return Listing(tuple(instances[name] for name in sorted(instances)), tuple(resources))


def _unseen(seat: Seat, machine: Machine | None) -> Instance:
    """Return an instance that the journal knows and no server shows."""
    if machine is None:
        detail = f"its server {seat.host} does not exist"
    else:
        detail = f"its server {seat.host} does not show it"
    return Instance(
        seat.instance, seat.owner, InstanceState.BROKEN, seat.generation, host=seat.host,
        detail=detail,
    )  # fmt: skip
