"""Hetzner Cloud in the farm's words, through the vendor's client."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarm.farm.base import (
    GENERATION,
    INSTANCE,
    OWNER,
    Action,
    Intent,
    Kind,
    PlaceRefused,
    Resource,
    labels_of,
)
from swarm.farm.cloud.diary import deleting
from swarm.farm.cloud.machines import (
    Broken,
    Found,
    Machine,
    NoHost,
    Offer,
    SoldOut,
    Wanted,
    is_ours,
)
from swarm.farm.hetzner.reading import HetznerReading, found_of, place_of

if TYPE_CHECKING:
    from hcloud.actions import BoundAction
    from hcloud.firewalls import FirewallRule
    from hcloud.servers import BoundServer

SSH_PORT = "22"
MADE, STARTED = "create_server", "start_server"
"""The vendor's words for what a server goes through until it runs."""
STARTS = 3
"""How often a server that stays off is switched on, before it is taken for broken."""


class HetznerCloud(HetznerReading):
    """One project."""

    async def make(self, wanted: Wanted, offer: Offer) -> Machine:
        """Make key, firewall and server, each journalled first. Raises SoldOut, Broken, Conflict."""
        key = await self._key(wanted)
        wall = await self._wall(wanted)
        intent = self._intent(
            Kind.SERVER, wanted.name, wanted, type=offer.type, location=offer.location,
            price=offer.price, size=offer,
        )  # fmt: skip

        async def look() -> Found | None:
            server = await self._do(lambda: self._client.servers.get_by_name(wanted.name))
            return None if server is None else found_of(server)

        async def make() -> Found:
            return await self._create(wanted, offer, key, wall)

        found = await self._diary.ensure(intent, look=look, make=make)
        server = await self._running(int(found.id), wanted.name, wanted)
        await self._note_address(server, wanted)
        return self._machine(server)

    async def _create(self, wanted: Wanted, offer: Offer, key: str, wall: int) -> Found:
        """Ask for the server. What it is to be is in one call, so there is no half-made one."""
        from hcloud.firewalls import Firewall
        from hcloud.images import Image
        from hcloud.locations import Location
        from hcloud.server_types import ServerType
        from hcloud.servers import ServerCreatePublicNetwork
        from hcloud.ssh_keys import SSHKey

        def create() -> Found:
            made = self._client.servers.create(
                wanted.name, ServerType(name=offer.type), Image(name=self._config.os_image),
                ssh_keys=[SSHKey(name=key)], firewalls=[Firewall(id=wall)],
                user_data=wanted.user_data, labels=dict(wanted.labels),
                location=Location(name=offer.location), start_after_create=True,
                public_net=ServerCreatePublicNetwork(
                    enable_ipv4=self._config.ipv4, enable_ipv6=True
                ),
            )  # fmt: skip
            return found_of(made.server)

        if not self._config.ipv4:
            return await self._do(create)
        # The same call makes the address, which is billed by itself.
        intent = self._address_intent(wanted, offer.location)
        address = await self._diary.open_entry(intent) or await self._site.journal.intend(intent)
        try:
            return await self._do(create)
        except (SoldOut, PlaceRefused) as error:
            await self._site.journal.undone(address, why=str(error))
            raise

    async def _running(self, number: int, name: str, wanted: Wanted | None) -> BoundServer:
        """Wait until a server runs; one that stands still is switched on. Raises Broken."""
        until = self._site.clock.monotonic() + self._config.ready_within_s
        starts = 0
        while True:
            server = await self._do(lambda: self._client.servers.get_by_id(number))
            if server.status == "running":
                await self._diary.settle(Action.START, Kind.SERVER, name, str(number))
                return server
            actions = await self._do(server.get_actions)
            is_busy = any(action.status == "running" for action in actions)
            is_still = server.status == "off" and not is_busy
            # Its state follows the end of a start by a moment.
            failed = None if is_busy or server.status == "starting" else _failed(actions)
            if failed is not None and (not is_still or starts >= STARTS or failed.command == MADE):
                said = failed.error
                why = said["message"] if said else "no reason given"
                raise Broken(f"{name}: {failed.command} failed at hetzner: {why}")
            if is_still and starts >= STARTS:
                raise Broken(f"{name} was switched on {starts} times at hetzner and is off")
            if is_still:
                starts += 1
                await self._power_on(server, wanted)
            if self._site.clock.monotonic() >= until:
                raise Broken(
                    f"{name} did not run within {self._config.ready_within_s:.0f} s "
                    f"(hetzner says {server.status})"
                )
            await asyncio.sleep(self._config.poll_s)

    async def _power_on(self, server: BoundServer, wanted: Wanted | None) -> None:
        labels = wanted.labels if wanted else server.labels or {}
        intent = Intent(
            labels.get(INSTANCE, ""), labels.get(OWNER, ""), labels.get(GENERATION, ""), self.name,
            Action.START, Kind.SERVER, str(server.name),
        )  # fmt: skip
        entry = await self._diary.open_entry(intent) or await self._site.journal.intend(intent)
        try:
            await self._do(server.power_on)
        except SoldOut as refused:
            await self._site.journal.undone(entry, why=str(refused))
            raise NoHost(f"{server.name} does not start: {refused}") from refused
        await self._site.journal.done(entry, resource_id=str(server.id))

    async def _note_address(self, server: BoundServer, wanted: Wanted) -> None:
        """Note the address that came with a server; one whose run died is noted now."""
        address = server.public_net.primary_ipv4 if server.public_net else None
        if address is None:
            return
        intent = self._address_intent(wanted, place_of(server))
        found = Found(
            str(address.id), intent.name, labels_of(self._site, instance="", generation="", owner=""),
            server.created,
        )  # fmt: skip
        await self._diary.take(intent, found)

    async def _key(self, wanted: Wanted) -> str:
        """Return the name of the operator's key in the project, which may know it by another name."""
        digest = hashlib.sha256(wanted.public_key.encode()).hexdigest()[:8]
        name = f"swarm-{self._site.farm}-{digest}"
        labels = self._shared_labels(wanted)
        listed = await self._do(self._client.ssh_keys.get_all)
        for each in listed:
            if " ".join(str(each.public_key).split()[:2]) == wanted.public_key:
                if is_ours(each.labels or {}, self._site):
                    await self._diary.take(self._shared(Kind.KEY, name, wanted), found_of(each))
                return str(each.name)

        async def look() -> Found | None:
            key = await self._do(lambda: self._client.ssh_keys.get_by_name(name))
            return None if key is None else found_of(key)

        async def make() -> Found:
            return await self._do(
                lambda: found_of(
                    self._client.ssh_keys.create(name, wanted.public_key, labels=labels)
                )
            )

        found = await self._diary.ensure(
            self._shared(Kind.KEY, name, wanted), look=look, make=make
        )  # fmt: skip
        return found.name

    async def _wall(self, wanted: Wanted) -> int:
        """Return the id of the firewall: nothing comes in but SSH from the operator."""
        name, labels = self._wall_name, self._shared_labels(wanted)

        async def look() -> Found | None:
            return await self._let_in(wanted.sources)

        async def make() -> Found:
            return await self._do(
                lambda: found_of(
                    self._client.firewalls.create(
                        name,
                        rules=_rules(wanted.sources),
                        labels=labels,  # type: ignore[arg-type]  # a mistake of theirs
                    ).firewall
                )
            )

        found = await self._diary.ensure(
            self._shared(Kind.FIREWALL, name, wanted), look=look, make=make
        )  # fmt: skip
        return int(found.id)

    @property
    def _wall_name(self) -> str:
        return f"swarm-{self._site.farm}"

    async def admit(self, machine: Machine, sources: Sequence[str]) -> None:
        """Let SSH in from these networks alone; the farm's servers have one firewall."""
        await self._let_in(sources)

    async def _let_in(self, sources: Sequence[str]) -> Found | None:
        """Return the firewall, if it is there; ours lets SSH in from these networks alone."""

        def let_in() -> Found | None:
            wall = self._client.firewalls.get_by_name(self._wall_name)
            if wall is None:
                return None
            now = [
                (r.direction, r.protocol, r.port, sorted(r.source_ips)) for r in wall.rules or []
            ]
            wanted = [("in", "tcp", SSH_PORT, sorted(sources))]
            if is_ours(wall.labels or {}, self._site) and now != wanted:
                for action in wall.set_rules(_rules(sources)):
                    action.wait_until_finished()
            return found_of(wall)

        return await self._do(let_in)

    async def wake(self, machine: Machine, wanted: Wanted | None) -> Machine:
        """Wait for what a dead run began, switch on what is off. Raises Broken."""
        if wanted is not None:
            await self._diary.take(
                self._intent(
                    Kind.SERVER, machine.name, wanted, type=machine.type, location=machine.location,
                    price=machine.price, size=machine,
                ),
                Found(machine.id, machine.name, machine.labels, machine.created_at),
            )  # fmt: skip
        server = await self._running(int(machine.id), machine.name, wanted)
        if wanted is not None:
            await self._note_address(server, wanted)
        return self._machine(server)

    async def end(self, machine: Machine) -> list[Resource]:
        """Delete a server, its addresses and this farm's volumes; return what goes on costing."""
        hanging = [each for each in await self.resources() if each.parent == machine.id]
        hanging += await self._strangers(machine)
        ours = [each for each in hanging if each.generation]
        await self._end_server(machine)
        for each in ours:
            # An address that is not deleted with its server stays and costs.
            await self.remove(each)
        return [each for each in hanging if not each.generation]

    async def _end_server(self, machine: Machine) -> None:
        labels = machine.labels

        def delete() -> None:
            server = self._client.servers.get_by_name(machine.name)
            if server is not None and str(server.id) == machine.id:
                _unless_gone(lambda: server.delete().wait_until_finished())

        intent = deleting(
            self.name, Kind.SERVER, machine.name, instance=labels.get(INSTANCE, ""),
            owner=labels.get(OWNER, ""), generation=labels.get(GENERATION, ""),
            price=machine.price,
        )  # fmt: skip
        await self._diary.end(intent, machine.id, lambda: self._do(delete))

    async def remove(self, resource: Resource) -> None:
        """Delete one resource that is not a server; what is gone already is fine."""
        kinds: dict[Kind, Any] = {
            Kind.IPV4: self._client.primary_ips, Kind.VOLUME: self._client.volumes,
            Kind.FIREWALL: self._client.firewalls, Kind.KEY: self._client.ssh_keys,
        }  # fmt: skip
        vendor = kinds[resource.kind]

        def delete() -> None:
            found = next((each for each in vendor.get_all() if str(each.id) == resource.id), None)
            if found is None:
                return
            if resource.kind is Kind.VOLUME and found.server is not None:
                found.detach().wait_until_finished()
            _unless_gone(found.delete)

        intent = deleting(
            self.name, resource.kind, resource.name, instance=resource.instance,
            owner=resource.owner, generation=resource.generation, price=resource.price,
            size_gb=resource.size_gb,
        )  # fmt: skip
        await self._diary.end(intent, resource.id, lambda: self._do(delete))

    async def tidy(self) -> None:
        """Remove key and firewall once there is no server of this farm."""
        if await self.machines():
            return
        for resource in await self.resources():
            if resource.kind in (Kind.KEY, Kind.FIREWALL):
                # Somebody may have put a server of theirs behind it.
                with suppress(PlaceRefused):
                    await self.remove(resource)
        await self._diary.close_ended(kinds=(Kind.KEY, Kind.FIREWALL))

    async def _strangers(self, machine: Machine) -> list[Resource]:
        """Return what hangs on a server, costs, outlives it, and is not this farm's."""

        def read() -> list[Resource]:
            number = int(machine.id)
            found = [
                self._of_volume(volume) for volume in self._client.volumes.get_all()
                if volume.server is not None and volume.server.id == number
                and not is_ours(volume.labels or {}, self._site)
            ]  # fmt: skip
            found += [
                self._of_address(address, None) for address in self._client.primary_ips.get_all()
                if address.assignee_id == number and address.type == "ipv4"
                and not address.auto_delete and not is_ours(address.labels or {}, self._site)
            ]  # fmt: skip
            return [replace(each, generation="") for each in found]

        return await self._do(read)


def _rules(sources: Sequence[str]) -> list[FirewallRule]:
    from hcloud.firewalls import FirewallRule

    about = "SSH from the operator"
    return [FirewallRule("in", "tcp", sorted(sources), port=SSH_PORT, description=about)]


def _unless_gone(delete: Callable[[], object]) -> None:
    """Delete something; the vendor may have been first, as with an address and its server."""
    from hcloud import APIException

    try:
        delete()
    except APIException as error:
        if error.code != "not_found":
            raise


def _failed(actions: list[BoundAction]) -> BoundAction | None:
    """Return the last thing that was to bring a server up, where that failed.

    What else failed in a server's life, or failed before it was tried again, says nothing of today.
    """
    mine = [each for each in actions if each.command in (MADE, STARTED)]
    last = max(mine, key=lambda each: each.id or 0, default=None)
    return last if last is not None and last.status == "error" else None
