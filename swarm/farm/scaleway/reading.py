"""What there is at Scaleway: offers, servers, and all that carries the farm's tags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from swarm.farm.base import (
    FARM,
    GENERATION,
    INSTANCE,
    MANAGED_BY,
    OWNER,
    SWARM,
    Action,
    EntryState,
    Intent,
    Kind,
    Price,
    Resource,
    Site,
    labels_of,
)
from swarm.farm.cloud.diary import Diary, deleting
from swarm.farm.cloud.machines import Found, Machine, MachineState, Offer, Wanted
from swarm.farm.cloud.price_list import price_list
from swarm.farm.scaleway.api import (
    A_PAGE,
    Blocks,
    Instances,
    all_of,
    clients,
    translated,
)
from swarm.farm.scaleway.config import ScalewayConfig

if TYPE_CHECKING:
    from scaleway.instance.v1 import Server, ServerType

T = TypeVar("T")
GB = 10**9
MIB = 1024**2
SSH_PORT = 22
LOCAL, BLOCK = "l_ssd", "sbs_volume"
USER_DATA = "cloud-init"
_NAME = "name"
"""A tag for what has no name of its own: an address, a block volume."""
_STATES = {
    "running": MachineState.RUNNING,
    "stopped": MachineState.OFF,
    "stopped in place": MachineState.OFF,
}
_ARCH = {"x86_64": "x86", "arm64": "arm"}


class ScalewayReading:
    """Read one project, in the zones of the settings."""

    name = "scaleway"

    def __init__(self, site: Site, config: ScalewayConfig) -> None:
        """Connect nothing; the client is made with the first request."""
        self._site = site
        self._config = config
        self._diary = Diary(site, self.name)
        self._local: dict[tuple[str, str], int] = {}
        """Bytes of local disk by type and zone, as read last."""
        self._sold: dict[tuple[str, str], Offer] = {}
        """What is for sale by type and zone, as read last."""

    @property
    def _zones(self) -> list[str]:
        return list(self._config.locations or price_list(self.name).locations)

    async def offers(self) -> list[Offer]:
        """Return what is for sale, with prices of now; what is no longer sold is left out."""
        return [offer for zone in self._zones for offer in await self._do(self._offers_in, zone)]

    def _offers_in(self, zone: str) -> list[Offer]:
        rows: dict[str, ServerType] = {}
        page = 1
        while more := self._instances.list_servers_types(zone=zone, page=page).servers:
            rows |= more
            page += 1
            if len(more) < A_PAGE:
                break
        stock = self._instances.get_server_types_availability(zone=zone, per_page=A_PAGE).servers
        today = self._site.clock.now().date()
        source = f"{self._config.api_url}/instance/v1/zones/{zone}/products/servers"
        found = []
        for name, row in rows.items():
            if row.end_of_service or row.gpu:
                continue
            constraint = row.volumes_constraint
            self._local[name, zone] = int(constraint.max_size) if constraint else 0
            known = stock.get(name)
            offer = Offer(
                name, zone, zone[:2].upper(), int(row.ncpus), int(row.ram) // MIB,
                _ARCH.get(str(row.arch), str(row.arch)),
                # The client reads the price as a float; its shortest form is what was sent.
                Price(Decimal(str(row.hourly_price)), None, "EUR", source=source, read=today),
                is_available=known is None or str(known.availability) != "shortage",
            )  # fmt: skip
            self._sold[name, zone] = offer
            found.append(offer)
        return found

    def extras(self, offer: Offer) -> list[Price]:
        """Return the prices of the address and the disk, from the dated list."""
        return [price_list(self.name).extras["ipv4"], self._disk_price(self._disk_kind(offer))]

    def _disk_kind(self, offer: Offer) -> str:
        local = self._local.get((offer.type, offer.location), 0)
        return LOCAL if local >= self._config.disk_gb * GB else BLOCK

    def _disk_price(self, kind: str) -> Price:
        each = price_list(self.name).extras[kind]
        assert each.hourly is not None, "the list has a price by the hour"
        return replace(each, hourly=each.hourly * self._config.disk_gb)

    async def find(self, name: str) -> Machine | None:
        """Return the oldest server of that name, this farm's first."""
        found = [server for zone in self._zones for server in await self._named(name, zone)]
        found.sort(key=lambda server: (not self._is_mine(server), _age(server)))
        return self._machine(found[0]) if found else None

    async def machines(self) -> list[Machine]:
        """Return this farm's servers."""
        found = await self._mine()
        if found and not self._sold:
            # The API says the size of a type, not of a server.
            await self.offers()
        return [self._machine(server) for server in found]

    async def _mine(self) -> list[Server]:
        def read(zone: str) -> list[Server]:

            return all_of(
                lambda page: (
                    self._instances.list_servers(
                        zone=zone, tags=self._ours, page=page, per_page=A_PAGE
                    ).servers
                )
            )

        return [server for zone in self._zones for server in await self._do(read, zone)]

    async def _named(self, name: str, zone: str) -> list[Server]:
        def read() -> list[Server]:
            # The vendor's filter takes every name that has this one in it.
            return [
                server for server in all_of(
                    lambda page: self._instances.list_servers(
                        zone=zone, name=name, page=page, per_page=A_PAGE
                    ).servers
                )
                if server.name == name
            ]  # fmt: skip

        return sorted(await self._do(read), key=_age)

    def _addresses_of(self, name: str, zone: str) -> list[Found]:

        rows = all_of(
            lambda page: (
                self._instances.list_ips(
                    zone=zone, tags=[*self._ours, f"{_NAME}={name}"], page=page, per_page=A_PAGE
                ).ips
            )
        )
        return [Found(each.id, name, labels_in(each.tags)) for each in rows]

    async def resources(self) -> list[Resource]:
        """Return all that carries this farm's label, addresses and disks of its servers too."""
        servers = await self._mine()
        found = [self._of_server(server) for server in servers]
        found += await self._all_addresses()
        found += await self._disks(servers)
        return found + await self._groups()

    async def _all_addresses(self) -> list[Resource]:
        def read(zone: str) -> list[Any]:

            return all_of(
                lambda page: (
                    self._instances.list_ips(
                        zone=zone, tags=self._ours, page=page, per_page=A_PAGE
                    ).ips
                )
            )

        found = []
        for zone in self._zones:
            for ip in await self._do(read, zone):
                labels = labels_in(ip.tags)
                name = labels.get(_NAME, str(ip.address))
                parent = ip.server.id if ip.server is not None else None
                found.append(self._of_address(Found(ip.id, name, labels), zone, parent))
        return found

    async def _disks(self, servers: Iterable[Server]) -> list[Resource]:
        """Return the disks of servers, and those that the journal knows and that are still there."""
        found = {
            volume.id: self._of_disk(
                volume.id, server.name, labels_in(server.tags), str(server.zone),
                str(volume.volume_type), parent=server.id,
            )
            for server in servers for volume in server.volumes.values()
        }  # fmt: skip
        ended = set()
        entries = await self._site.journal.entries(provider=self.name)
        for entry in entries:
            if entry.intent.action is Action.DELETE and entry.state is EntryState.DONE:
                ended.add(entry.resource_id)
        for entry in entries:
            of = entry.intent
            is_one = of.kind is Kind.VOLUME and of.action in (Action.CREATE, Action.ADOPT)
            key = entry.resource_id
            if not is_one or not key or key in ended or key in found or of.location is None:
                continue
            if await self._do(self._has_volume, key, of.location):
                labels = {INSTANCE: of.instance, GENERATION: of.generation, OWNER: of.owner}
                host = of.name.removesuffix("-disk")
                found[key] = self._of_disk(key, host, labels, of.location, of.type or BLOCK)
        return list(found.values())

    def _has_volume(self, volume: str, zone: str) -> bool:
        from scaleway import ScalewayException

        for get in (self._instances.get_volume, self._blocks.get_volume):
            try:
                get(volume_id=volume, zone=zone)
            except ScalewayException as error:
                if error.status_code != 404:
                    raise
            else:
                return True
        return False

    async def _groups(self) -> list[Resource]:
        def read(zone: str) -> list[Any]:

            return all_of(
                lambda page: (
                    self._instances.list_security_groups(
                        zone=zone, tags=self._ours, page=page, per_page=A_PAGE
                    ).security_groups
                )
            )

        return [
            Resource(
                Kind.FIREWALL, group.id, f"{group.name}-{zone}", "",
                labels_in(group.tags).get(GENERATION, ""), "", location=zone,
                created_at=group.creation_date,
            )
            for zone in self._zones for group in await self._do(read, zone)
        ]  # fmt: skip

    def _of_server(self, server: Server) -> Resource:
        labels, machine = labels_in(server.tags), self._machine(server)
        return Resource(
            Kind.SERVER, server.id, server.name, labels.get(INSTANCE, ""),
            labels.get(GENERATION, ""), labels.get(OWNER, ""), type=machine.type,
            location=machine.location, price=machine.price, created_at=server.creation_date,
            is_running=str(server.state) == "running",
        )  # fmt: skip

    def _of_address(self, found: Found, zone: str, parent: str | None) -> Resource:
        labels = found.labels
        return Resource(
            Kind.IPV4, found.id, found.name, labels.get(INSTANCE, ""), labels.get(GENERATION, ""),
            labels.get(OWNER, ""), location=zone, parent=parent,
            price=price_list(self.name).extras["ipv4"],
        )  # fmt: skip

    def _of_disk(
        self, key: str, host: str, labels: dict[str, str], zone: str, kind: str, *,
        parent: str | None = None,
    ) -> Resource:  # fmt: skip
        return Resource(
            Kind.VOLUME, key, f"{host}-disk", labels.get(INSTANCE, ""), labels.get(GENERATION, ""),
            labels.get(OWNER, ""), type=kind, location=zone, parent=parent,
            size_gb=Decimal(self._config.disk_gb), price=self._disk_price(kind),
        )  # fmt: skip

    @cached_property
    def _clients(self) -> tuple[Instances, Blocks]:

        return clients(self._config)

    @property
    def _instances(self) -> Instances:
        return self._clients[0]

    @property
    def _blocks(self) -> Blocks:
        return self._clients[1]

    async def _do(self, work: Callable[..., T], *words: Any) -> T:
        """Run the vendor's client, which blocks, beside the loop; say its errors in our words."""
        try:
            return await asyncio.to_thread(work, *words)
        except Exception as error:
            said = translated(error)
            if said is error:
                raise
            raise said from error

    def _get(self, machine: Machine) -> Server | None:
        from scaleway import ScalewayException

        try:
            return self._instances.get_server(server_id=machine.id, zone=machine.location).server
        except ScalewayException as error:
            if error.status_code == 404:
                return None
            raise

    @property
    def _ours(self) -> list[str]:
        return [f"{MANAGED_BY}={SWARM}", f"{FARM}={self._site.farm}"]

    def _is_mine(self, server: Server) -> bool:
        return set(self._ours) <= set(server.tags)

    def _machine(self, server: Server) -> Machine:
        zone = str(server.zone)
        address = next((str(ip.address) for ip in server.public_ips), "")
        listed = {(each.type, each.location): each for each in price_list(self.name).offers}
        key = (server.commercial_type, zone)
        offer = self._sold.get(key) or listed.get(key)
        price = offer.price if offer else Price.unknown(
            f"{server.commercial_type} in {zone} is no longer sold, and is not in "
            "deployments/scaleway/prices.yaml"
        )  # fmt: skip
        cores, memory = (offer.cores, offer.memory_mib) if offer else (0, 0)
        return Machine(
            server.id, server.name, labels_in(server.tags),
            _STATES.get(str(server.state), MachineState.STARTING), server.commercial_type, zone,
            address, server.creation_date, cores, memory, price,
        )  # fmt: skip

    @staticmethod
    def _tags(labels: Any) -> list[str]:
        return [f"{key}={value}" for key, value in labels.items()]

    def _shared(self, kind: Kind, name: str, wanted: Wanted) -> Intent:
        return Intent("", "", wanted.generation, self.name, Action.CREATE, kind, name)

    def _shared_labels(self, wanted: Wanted) -> dict[str, str]:
        return labels_of(self._site, instance="", generation=wanted.generation, owner="")

    def _intent(
        self, kind: Kind, name: str, wanted: Wanted, *, location: str, type: str | None = None,
        price: Price | None = None, parent: str | None = None, size_gb: Decimal | None = None,
        size: Offer | Machine | None = None,
    ) -> Intent:  # fmt: skip
        return Intent(
            wanted.instance, wanted.owner, wanted.generation, self.name, Action.CREATE, kind, name,
            type=type, location=location, price=price, parent=parent, size_gb=size_gb,
            cpus=self._config.room_cpus(size.cores) if size and size.cores else None,
            memory_mib=self._config.room_mib(size.memory_mib) if size and size.memory_mib else None,
        )  # fmt: skip

    def _address_intent(self, wanted: Wanted, zone: str) -> Intent:
        return self._intent(
            Kind.IPV4, f"{wanted.name}-ipv4", wanted, location=zone, parent=wanted.name,
            price=price_list(self.name).extras["ipv4"],
        )  # fmt: skip

    def _disk_intent(self, wanted: Wanted, zone: str, kind: str) -> Intent:
        return self._intent(
            Kind.VOLUME, f"{wanted.name}-disk", wanted, location=zone, type=kind,
            parent=wanted.name, size_gb=Decimal(self._config.disk_gb),
            price=self._disk_price(kind),
        )  # fmt: skip

    def _deleting(self, kind: Kind, name: str, labels: Any, *, price: Price | None) -> Intent:
        return deleting(
            self.name, kind, name, instance=labels.get(INSTANCE, ""), owner=labels.get(OWNER, ""),
            generation=labels.get(GENERATION, ""), price=price,
        )  # fmt: skip


def _age(server: Server) -> tuple[str, str]:
    return str(server.creation_date or ""), server.id


def found_of(server: Server) -> Found:
    """Return a server in the farm's words."""
    return Found(server.id, server.name, labels_in(server.tags), server.creation_date)


def labels_in(tags: Iterable[str]) -> dict[str, str]:
    """Return labels that were written as tags."""
    return dict(tag.split("=", 1) for tag in tags if "=" in tag)
