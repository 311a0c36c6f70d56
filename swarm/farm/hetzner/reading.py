"""What there is at Hetzner: offers, servers, and all that carries the farm's label."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any, TypeVar

from swarm.farm.base import (
    FARM,
    GENERATION,
    INSTANCE,
    MANAGED_BY,
    OWNER,
    SWARM,
    Action,
    Intent,
    Kind,
    PlaceRefused,
    Price,
    Resource,
    Site,
    labels_of,
)
from swarm.farm.cloud.diary import Diary
from swarm.farm.cloud.machines import (
    Found,
    Machine,
    MachineState,
    Offer,
    Wanted,
    is_ours,
)
from swarm.farm.cloud.pacing import paced
from swarm.farm.cloud.price_list import price_list
from swarm.farm.hetzner.config import HetznerConfig
from swarm.farm.hetzner.refusals import translated

if TYPE_CHECKING:
    from hcloud import Client
    from hcloud.primary_ips import BoundPrimaryIP
    from hcloud.servers import BoundServer

T = TypeVar("T")
_STATES = {"running": MachineState.RUNNING, "off": MachineState.OFF}
_HOURS = Decimal(730)


class HetznerReading:
    """Read one project."""

    name = "hetzner"

    def __init__(self, site: Site, config: HetznerConfig) -> None:
        """Connect nothing; the client is made with the first request."""
        self._site = site
        self._config = config
        self._diary = Diary(site, self.name)
        self._addresses: dict[str, Price] = {}
        """The price of an IPv4 address by location, as read last."""
        self._volume_gb: Price | None = None
        self._currency = ""
        """In which the project is billed, as read last."""

    async def offers(self) -> list[Offer]:
        """Return what is for sale, with prices of now; what is no longer sold is left out."""
        return await self._do(self._read_offers)

    def _read_offers(self) -> list[Offer]:
        client = self._client
        countries = {each.name: each.country for each in client.locations.get_all()}
        pricing = client.request("GET", "/pricing")["pricing"]
        currency, today = str(pricing["currency"]), self._site.clock.now().date()
        self._currency = currency
        source = f"{self._config.api_endpoint}/pricing"

        def price(hourly: Any, monthly: Any) -> Price:
            return Price(
                Decimal(hourly["net"]) if hourly else None, Decimal(monthly["net"]), currency,
                source=source, read=today,
            )  # fmt: skip

        self._addresses = {
            row["location"]: price(row["price_hourly"], row["price_monthly"])
            for kind in pricing["primary_ips"] if kind["type"] == "ipv4" for row in kind["prices"]
        }  # fmt: skip
        self._volume_gb = price(None, pricing["volume"]["price_per_gb_month"])
        found = []
        for kind in client.server_types.get_all():
            sold = {place.location.name: place for place in kind.locations or []}
            for row in kind.prices or []:
                place = sold.get(row["location"])
                # Where the API says no places, a price in one means that it is sold there.
                is_unsaid = kind.locations is None
                # The client's public name of this warns that it is on its way out.
                ends = place.deprecation if place else kind.data_model._deprecation
                if (place is None and not is_unsaid) or _is_over(ends, self._site.clock.now()):
                    continue
                found.append(
                    Offer(
                        str(kind.name), row["location"], countries.get(row["location"]) or "",
                        int(kind.cores or 0), int(Decimal(str(kind.memory)) * 1024),
                        str(kind.architecture), price(row["price_hourly"], row["price_monthly"]),
                        is_available=place is None or place.available is not False,
                    )
                )  # fmt: skip
        return found

    def extras(self, offer: Offer) -> list[Price]:
        """Return the price of the address."""
        return [self._address_price(offer.location)] if self._config.ipv4 else []

    def _address_price(self, location: str) -> Price:
        """Return the price of an address, from the dated list where the API says none."""
        listed = price_list(self.name).extras["ipv4"]
        if (found := self._addresses.get(location)) is not None:
            return found
        if self._currency in ("", listed.currency):
            return listed
        return Price.unknown(
            f"hetzner says no price of an address in {location}", self._currency
        )  # fmt: skip

    async def find(self, name: str) -> Machine | None:
        """Return the server of that name, whoever made it."""
        found = await self._do(lambda: self._client.servers.get_by_name(name))
        return None if found is None else self._machine(found)

    async def machines(self) -> list[Machine]:
        """Return this farm's servers."""
        found = await self._do(lambda: self._client.servers.get_all(label_selector=self._ours))
        return [self._machine(server) for server in found]

    async def resources(self) -> list[Resource]:
        """Return all that carries this farm's label, addresses and volumes of its servers too."""
        return await self._do(self._read_resources)

    def _read_resources(self) -> list[Resource]:
        if not self._currency:
            self._read_offers()
        servers = self._client.servers.get_all(label_selector=self._ours)
        numbers = {server.id for server in servers}
        found = [self._of_server(server) for server in servers]
        for address in self._client.primary_ips.get_all():
            is_mine = address.assignee_id in numbers and address.auto_delete
            if address.type == "ipv4" and (is_mine or is_ours(address.labels or {}, self._site)):
                server = next((s for s in servers if s.id == address.assignee_id), None)
                found.append(self._of_address(address, server if is_mine else None))
        found += [
            self._of_volume(volume)
            for volume in self._client.volumes.get_all(label_selector=self._ours)
        ]
        for kind, things in (
            (Kind.FIREWALL, self._client.firewalls.get_all(label_selector=self._ours)),
            (Kind.KEY, self._client.ssh_keys.get_all(label_selector=self._ours)),
        ):
            found += [_resource(kind, thing) for thing in things]
        return found

    def _of_server(self, server: BoundServer) -> Resource:
        machine = self._machine(server)
        return _resource(
            Kind.SERVER, server, type=machine.type, location=machine.location, price=machine.price,
            is_running=machine.state is not MachineState.OFF,
        )  # fmt: skip

    def _of_address(self, address: BoundPrimaryIP, server: BoundServer | None) -> Resource:
        """Return an address; one that comes and goes with a server has that server's labels."""
        place = str(address.location.name) if address.location else ""
        found = _resource(
            Kind.IPV4, address, location=place, price=self._address_price(place),
            parent=str(address.assignee_id) if address.assignee_id is not None else None,
        )  # fmt: skip
        if server is None:
            return found
        labels = server.labels or {}
        return replace(
            found, name=f"{server.name}-ipv4", instance=labels.get(INSTANCE, ""),
            generation=labels.get(GENERATION, ""), owner=labels.get(OWNER, ""),
        )  # fmt: skip

    def _of_volume(self, volume: Any) -> Resource:
        size = Decimal(str(volume.size))
        each = self._volume_gb
        monthly = each.monthly * size if each is not None and each.monthly is not None else None
        price = (
            Price.unknown("the price of a volume was not read")
            if each is None or monthly is None
            else replace(each, monthly=monthly, hourly=monthly / _HOURS)
        )
        return _resource(
            Kind.VOLUME, volume, location=str(volume.location.name), size_gb=size, price=price,
            parent=str(volume.server.id) if volume.server is not None else None,
        )  # fmt: skip

    @cached_property
    def _client(self) -> Client:
        from hcloud import Client

        if self._config.token is None:
            raise PlaceRefused(
                "farm.hetzner.token is not set: make a token with the right to read and write in "
                "the project's security page of the Hetzner console"
            )
        client = Client(
            self._config.token.get_secret_value(), api_endpoint=self._config.api_endpoint,
            application_name="swarm", poll_interval=self._config.poll_s,
            poll_max_retries=int(self._config.ready_within_s / self._config.poll_s) + 1,
        )  # fmt: skip
        # The client's own patience follows no header; see `pacing`. It has no public door for this.
        for scheme in ("https://", "http://"):
            client._client._session.mount(scheme, paced("hetzner", self._config))
        client._client._session.trust_env = False
        return client

    async def _do(self, work: Callable[[], T]) -> T:
        """Run the vendor's client, which blocks, beside the loop; say its errors in our words."""
        try:
            return await asyncio.to_thread(work)
        except Exception as error:
            said = translated(error)
            if said is error:
                raise
            raise said from error

    @property
    def _ours(self) -> str:
        return f"{MANAGED_BY}={SWARM},{FARM}={self._site.farm}"

    def _machine(self, server: BoundServer) -> Machine:
        kind, place = server.server_type, place_of(server)
        prices = {row["location"]: row for row in (kind.prices if kind else None) or []}
        row = prices.get(place)
        if row is None:
            price = Price.unknown(
                f"hetzner says no price of {kind.name if kind else 'it'} in {place}"
            )
        elif not self._currency:
            # A server says its price without saying of what; `resources` has read that.
            price = Price.unknown("the project's currency was not read")
        else:
            price = Price(
                Decimal(row["price_hourly"]["net"]), Decimal(row["price_monthly"]["net"]),
                self._currency, source=f"{self._config.api_endpoint}/servers",
                read=self._site.clock.now().date(),
            )  # fmt: skip
        return Machine(
            str(server.id), str(server.name), server.labels or {},
            _STATES.get(str(server.status), MachineState.STARTING), str(kind.name) if kind else "",
            place, _address(server, by_ipv4=self._config.lets_in(4) or not self._config.ssh_from),
            server.created, int(kind.cores or 0) if kind else 0,
            int(Decimal(str(kind.memory)) * 1024) if kind else 0, price,
        )  # fmt: skip

    def _shared(self, kind: Kind, name: str, wanted: Wanted) -> Intent:
        return Intent("", "", wanted.generation, self.name, Action.CREATE, kind, name)

    def _shared_labels(self, wanted: Wanted) -> dict[str, str]:
        return labels_of(self._site, instance="", generation=wanted.generation, owner="")

    def _intent(
        self, kind: Kind, name: str, wanted: Wanted, *, location: str, type: str | None = None,
        price: Price | None = None, parent: str | None = None, size: Offer | Machine | None = None,
    ) -> Intent:  # fmt: skip
        return Intent(
            wanted.instance, wanted.owner, wanted.generation, self.name, Action.CREATE, kind, name,
            type=type, location=location, price=price, parent=parent,
            cpus=self._config.room_cpus(size.cores) if size is not None else None,
            memory_mib=self._config.room_mib(size.memory_mib) if size is not None else None,
        )  # fmt: skip

    def _address_intent(self, wanted: Wanted, location: str) -> Intent:
        return self._intent(
            Kind.IPV4, f"{wanted.name}-ipv4", wanted, location=location,
            price=self._address_price(location), parent=wanted.name,
        )  # fmt: skip


def found_of(thing: Any) -> Found:
    """Return a thing of the API in the farm's words."""
    return Found(str(thing.id), str(thing.name), thing.labels or {}, thing.created)


def _resource(kind: Kind, thing: Any, **more: Any) -> Resource:
    labels = thing.labels or {}
    return Resource(
        kind, str(thing.id), str(thing.name), labels.get(INSTANCE, ""), labels.get(GENERATION, ""),
        labels.get(OWNER, ""), created_at=thing.created, **more,
    )  # fmt: skip


def _address(server: BoundServer, *, by_ipv4: bool) -> str:
    """Return where a server is reached; by IPv6 where the operator is let in by that alone."""
    net = server.public_net
    if net is not None and net.ipv4 is not None and (by_ipv4 or net.ipv6 is None):
        return str(net.ipv4.ip)
    if net is not None and net.ipv6 is not None:
        # The network is the server's; its image takes the first address in it.
        return str(IPv6Network(str(net.ipv6.ip))[1])
    return ""


def place_of(server: BoundServer) -> str:
    """Return the name of a server's location."""
    return str(server.location.name) if server.location else ""


def _is_over(deprecation: Any, now: datetime) -> bool:
    """Say whether a type can no longer be ordered."""
    return deprecation is not None and deprecation.unavailable_after <= now
