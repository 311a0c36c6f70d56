"""Scaleway in the farm's words, through the vendor's client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from swarm.core.errors import SwarmError
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
    Resource,
    labels_of,
)
from swarm.farm.cloud.diary import deleting
from swarm.farm.cloud.machines import (
    Broken,
    Found,
    Machine,
    MachineState,
    NoHost,
    Offer,
    SoldOut,
    Wanted,
)
from swarm.farm.cloud.price_list import price_list
from swarm.farm.scaleway.api import (
    A_PAGE,
    Missing,
    all_of,
    given,
)
from swarm.farm.scaleway.reading import ScalewayReading, found_of, labels_in

if TYPE_CHECKING:
    from scaleway.instance.v1 import Server

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


class ScalewayCloud(ScalewayReading):
    """One project, in the zones of the settings."""

    async def make(self, wanted: Wanted, offer: Offer) -> Machine:
        """Make group, address and server, tell it its user data, switch it on; each journalled first.

        Raises:
            SoldOut: Not of this type in this zone; the address made for it is gone again.
            Broken: It does not start.
        """
        zone = offer.location
        await self._sweep(wanted.name, keep=zone)
        group = await self._group(wanted, zone)
        address = await self._address(wanted, zone)
        try:
            server = await self._server(wanted, offer, group, address)
        except SoldOut:
            await self._sweep(wanted.name, keep="")
            raise
        # Of two runs at the same moment each may have reserved an address; one of them waits in vain.
        for spare in await self._left(wanted.name):
            if spare.id not in {each.id for each in server.public_ips}:
                await self.remove(spare)
        return await self._finish(server, wanted)

    async def admit(self, machine: Machine, sources: Sequence[str]) -> None:
        """Let SSH in from these networks alone, in the zone of a server of ours."""
        for group in await self._groups():
            if group.location == machine.location:
                await self._do(self._set_rules, group.id, machine.location, sorted(sources))

    async def wake(self, machine: Machine, wanted: Wanted | None) -> Machine:
        """Finish what a dead run began, switch on what is off. Raises Broken."""
        server = await self._do(self._get, machine)
        if server is None:
            raise Broken(f"{machine.name} is gone")
        if wanted is not None:
            await self._diary.take(
                self._intent(
                    Kind.SERVER, machine.name, wanted, type=machine.type, location=machine.location,
                    price=machine.price, size=machine,
                ),
                Found(machine.id, machine.name, machine.labels, machine.created_at),
            )  # fmt: skip
            for address in server.public_ips:
                found = Found(address.id, f"{machine.name}-ipv4", labels_in(address.tags))
                await self._diary.take(self._address_intent(wanted, machine.location), found)
        return await self._finish(server, wanted)

    async def _finish(self, server: Server, wanted: Wanted | None) -> Machine:
        """Bring a server, wherever its making stands, to where it runs."""
        if wanted is not None:
            await self._note_disks(server, wanted)
            if str(server.state) == "stopped":
                # Before the first start: cloud-init looks once.
                await self._do(self._tell, server, wanted.user_data.encode())
        until = self._site.clock.monotonic() + self._config.ready_within_s
        starts = 0
        while str(server.state) != "running":
            if str(server.state) in ("stopped", "stopped in place"):
                if starts:
                    why = server.state_detail or "no reason given"
                    raise Broken(f"{server.name} does not start at scaleway: {why}")
                await self._power_on(server, wanted)
                starts += 1
            if self._site.clock.monotonic() >= until:
                raise Broken(
                    f"{server.name} did not run within {self._config.ready_within_s:.0f} s "
                    f"(scaleway says {server.state})"
                )
            await asyncio.sleep(self._config.poll_s)
            found = await self._do(self._get, self._machine(server))
            if found is None:
                raise Broken(f"{server.name} is gone")
            server = found
        await self._diary.settle(Action.START, Kind.SERVER, server.name, server.id)
        return self._machine(server)

    async def _group(self, wanted: Wanted, zone: str) -> str:
        """Return the security group of a zone: nothing comes in but SSH from the operator."""
        from scaleway.instance.v1 import SecurityGroupPolicy

        name = f"swarm-{self._site.farm}"
        tags = self._tags(self._shared_labels(wanted))

        def read() -> list[Found]:
            listed = all_of(
                lambda page: self._instances.list_security_groups(
                    zone=zone, tags=[f"{MANAGED_BY}={SWARM}", f"{FARM}={self._site.farm}"],
                    page=page, per_page=A_PAGE,
                ).security_groups
            )  # fmt: skip
            return [
                Found(each.id, each.name, labels_in(each.tags), each.creation_date)
                for each in listed
            ]

        def make() -> Found:
            made = self._instances.create_security_group(
                zone=zone, name=name, description="SSH from the operator, and nothing else",
                stateful=True, project=self._config.project, tags=tags,
                inbound_default_policy=SecurityGroupPolicy.DROP,
                outbound_default_policy=SecurityGroupPolicy.ACCEPT, enable_default_security=True,
            ).security_group  # fmt: skip
            group = given(made)
            return Found(group.id, group.name, labels_in(group.tags), group.creation_date)

        # Each zone has its own group; the journal tells them apart by name.
        intent = replace(self._shared(Kind.FIREWALL, f"{name}-{zone}", wanted), location=zone)
        found = await self._only(
            intent, read, make, lambda each: self._instances.delete_security_group(
                security_group_id=each.id, zone=zone
            ),
        )  # fmt: skip
        await self._do(self._set_rules, found.id, zone, sorted(wanted.sources))
        return found.id

    def _set_rules(self, group: str, zone: str, sources: list[str]) -> None:
        from scaleway.instance.v1 import (
            SecurityGroupRuleAction,
            SecurityGroupRuleDirection,
            SecurityGroupRuleProtocol,
            SetSecurityGroupRulesRequestRule,
        )

        now = self._instances.list_security_group_rules(security_group_id=group, zone=zone).rules
        editable = [
            (str(rule.action), str(rule.direction), str(rule.ip_range), rule.dest_port_from)
            for rule in now if rule.editable
        ]  # fmt: skip
        if sorted(editable) == [("accept", "inbound", source, SSH_PORT) for source in sources]:
            return
        rules = [
            SetSecurityGroupRulesRequestRule(
                SecurityGroupRuleAction.ACCEPT, SecurityGroupRuleProtocol.TCP,
                SecurityGroupRuleDirection.INBOUND, source, position,
                dest_port_from=SSH_PORT, dest_port_to=SSH_PORT, editable=True,
            )
            for position, source in enumerate(sources, start=1)
        ]  # fmt: skip
        self._instances.set_security_group_rules(security_group_id=group, zone=zone, rules=rules)

    async def _address(self, wanted: Wanted, zone: str) -> str:
        """Return the address that waits for the server."""
        from scaleway.instance.v1 import IpType

        name = f"{wanted.name}-ipv4"
        tags = [*self._tags(wanted.labels), f"{_NAME}={name}"]

        def make() -> Found:
            made = self._instances.create_ip(
                zone=zone, project=self._config.project, tags=tags, type_=IpType.ROUTED_IPV4
            ).ip
            address = given(made)
            return Found(address.id, name, labels_in(address.tags))

        found = await self._only(
            self._address_intent(wanted, zone), lambda: self._addresses_of(name, zone), make,
            lambda each: self._instances.delete_ip(ip=each.id, zone=zone),
        )  # fmt: skip
        return found.id

    async def _server(self, wanted: Wanted, offer: Offer, group: str, address: str) -> Server:
        from scaleway.instance.v1 import VolumeServerTemplate, VolumeVolumeType

        zone, kind = offer.location, self._disk_kind(offer)
        disk = self._disk_intent(wanted, zone, kind)
        tags = self._tags(wanted.labels)

        def create() -> Found:
            made = self._instances.create_server(
                zone=zone, commercial_type=offer.type, name=wanted.name,
                dynamic_ip_required=False, image=self._config.os_image, public_ips=[address],
                volumes={
                    "0": VolumeServerTemplate(
                        VolumeVolumeType(kind), name=f"{wanted.name}-disk", boot=True,
                        size=self._config.disk_gb * GB,
                    )
                },
                project=self._config.project, tags=tags, security_group=group,
            ).server  # fmt: skip
            return found_of(given(made))

        async def make() -> Found:
            # The same call makes the disk, which is billed by itself.
            entry = await self._diary.open_entry(disk) or await self._site.journal.intend(disk)
            try:
                return await self._do(create)
            except SoldOut as error:
                await self._site.journal.undone(entry, why=str(error))
                raise

        intent = self._intent(
            Kind.SERVER, wanted.name, wanted, type=offer.type, location=zone, price=offer.price,
            size=offer,
        )  # fmt: skip
        found = await self._ensure_only(
            intent, lambda: self._found_servers(wanted.name, zone), make,
            lambda each: self._discard(each, zone),
        )  # fmt: skip
        return await self._do(
            lambda: given(self._instances.get_server(server_id=found.id, zone=zone).server)
        )

    async def _found_servers(self, name: str, zone: str) -> list[Found]:
        return [found_of(server) for server in await self._named(name, zone)]

    async def _discard(self, found: Found, zone: str) -> None:
        """Delete the younger of two servers that were made at the same moment; it never ran."""

        def delete() -> None:
            server = self._instances.get_server(server_id=found.id, zone=zone).server
            self._instances.delete_server(server_id=found.id, zone=zone)
            for volume in (server.volumes if server else {}).values():
                self._delete_volume(volume.id, zone)

        await self._do(delete)

    async def _only(
        self, intent: Intent, read: Callable[[], list[Found]], make: Callable[[], Found],
        discard: Callable[[Found], object],
    ) -> Found:  # fmt: skip
        async def listed() -> list[Found]:
            return await self._do(read)

        async def made() -> Found:
            return await self._do(make)

        async def gone(found: Found) -> None:
            # Another run may have swept it up already.
            await self._unless_gone(lambda: discard(found))

        return await self._ensure_only(intent, listed, made, gone)

    async def _ensure_only(
        self, intent: Intent, read: Callable[[], Awaitable[list[Found]]],
        make: Callable[[], Awaitable[Found]], discard: Callable[[Found], Awaitable[None]],
    ) -> Found:  # fmt: skip
        """Ensure exactly one thing where names are not unique: of two, the older stays."""

        async def look() -> Found | None:
            found = sorted(await read(), key=lambda each: (str(each.at or ""), each.id))
            return found[0] if found else None

        async def make_one() -> Found:
            made = await make()
            first = await look()
            if first is not None and first.id != made.id:
                await discard(made)
                return first
            return made

        return await self._diary.ensure(intent, look=look, make=make_one)

    async def _note_disks(self, server: Server, wanted: Wanted) -> None:
        """Note the disk that came with a server, and tag one that outlives it."""
        for volume in server.volumes.values():
            kind = str(volume.volume_type)
            intent = self._disk_intent(wanted, str(server.zone), kind)
            labels = labels_of(self._site, instance="", generation="", owner="")
            await self._diary.take(
                intent, Found(volume.id, intent.name, labels, server.creation_date)
            )
            if kind == BLOCK:
                tags = [*self._tags(wanted.labels), f"{_NAME}={intent.name}"]
                await self._do(self._tag, volume.id, str(server.zone), tags)

    def _tag(self, volume: str, zone: str, tags: list[str]) -> None:
        now = self._blocks.get_volume(volume_id=volume, zone=zone)
        if sorted(now.tags) != sorted(tags):
            self._blocks.update_volume(volume_id=volume, zone=zone, tags=tags)

    def _tell(self, server: Server, text: bytes) -> None:
        """Give a server its user data; what is there already is left."""
        zone = str(server.zone)
        keys = self._instances.list_server_user_data(server_id=server.id, zone=zone).user_data
        if USER_DATA in keys:
            now = self._instances.get_server_user_data(server.id, USER_DATA, zone=zone)
            if now.content == text:
                return
        self._instances.set_server_user_data(server.id, USER_DATA, text, zone=zone)

    async def _power_on(self, server: Server, wanted: Wanted | None) -> None:
        from scaleway.instance.v1 import ServerAction

        labels = wanted.labels if wanted else labels_in(server.tags)
        intent = Intent(
            labels.get(INSTANCE, ""), labels.get(OWNER, ""), labels.get(GENERATION, ""), self.name,
            Action.START, Kind.SERVER, server.name,
        )  # fmt: skip
        entry = await self._diary.open_entry(intent) or await self._site.journal.intend(intent)
        try:
            await self._do(
                lambda: self._instances.server_action(
                    server_id=server.id, zone=str(server.zone), action=ServerAction.POWERON
                )
            )
        except SoldOut as refused:
            # The vendor looks for a host with the first start; what was made for it is to go.
            await self._site.journal.undone(entry, why=str(refused))
            raise NoHost(f"{server.name} does not start: {refused}") from refused
        except PlaceRefused as refused:
            # Another run may have switched it on between our look and our call.
            now = await self._do(self._get, self._machine(server))
            if now is None or str(now.state) == "stopped":
                await self._site.journal.undone(entry, why=str(refused))
                raise
        await self._site.journal.done(entry, resource_id=server.id)

    async def end(self, machine: Machine) -> list[Resource]:
        """Delete a server, its address and its disks; return what goes on costing."""
        server = await self._do(self._get, machine)
        parts = (f"{machine.name}-ipv4", f"{machine.name}-disk")
        # One that is ending already may be gone by now, and what hung on it hangs on nothing.
        hanging = [
            each for each in await self.resources()
            if each.parent == machine.id or (each.parent is None and each.name in parts)
        ]  # fmt: skip
        foreign: list[Resource] = []
        if server is not None:
            known = {each.id for each in hanging}
            foreign = [
                Resource(
                    Kind.IPV4, ip.id, str(ip.address), "", "", "", location=machine.location,
                    parent=machine.id, price=price_list(self.name).extras["ipv4"],
                )
                for ip in server.public_ips if ip.id not in known and not ip.dynamic
            ]  # fmt: skip
        await self._diary.end(
            self._deleting(Kind.SERVER, machine.name, machine.labels, price=machine.price),
            machine.id, lambda: self._end_server(machine),
        )  # fmt: skip
        for each in hanging:
            await self.remove(each)
        return foreign

    async def _end_server(self, machine: Machine) -> None:
        from scaleway.instance.v1 import ServerAction

        until = self._site.clock.monotonic() + self._config.ready_within_s
        while (server := await self._do(self._get, machine)) is not None:
            state = str(server.state)
            if state == "stopped":
                await self._do(
                    lambda: self._instances.delete_server(
                        server_id=machine.id, zone=machine.location
                    )
                )
                return
            if state in ("running", "stopped in place"):
                await self._do(
                    lambda: self._instances.server_action(
                        server_id=machine.id,
                        zone=machine.location,
                        action=ServerAction.TERMINATE,
                    )
                )
            if self._site.clock.monotonic() >= until:
                raise SwarmError(f"scaleway does not end {machine.name}; say the same again later")
            await asyncio.sleep(self._config.poll_s)

    async def remove(self, resource: Resource) -> None:
        """Delete one resource that is not a server; what is gone already is fine."""
        zone = resource.location or self._zones[0]

        def delete() -> None:
            if resource.kind is Kind.IPV4:
                self._instances.delete_ip(ip=resource.id, zone=zone)
            elif resource.kind is Kind.FIREWALL:
                self._instances.delete_security_group(security_group_id=resource.id, zone=zone)
            else:
                self._delete_volume(resource.id, zone)

        intent = deleting(
            self.name, resource.kind, resource.name, instance=resource.instance,
            owner=resource.owner, generation=resource.generation, price=resource.price,
            size_gb=resource.size_gb,
        )  # fmt: skip
        await self._diary.end(intent, resource.id, lambda: self._unless_gone(delete))

    async def _unless_gone(self, work: Callable[[], object]) -> None:

        with suppress(Missing):
            await self._do(work)

    def _delete_volume(self, volume: str, zone: str) -> None:
        """Delete a disk in whichever of the two places it is."""
        from scaleway import ScalewayException

        for delete in (self._instances.delete_volume, self._blocks.delete_volume):
            try:
                delete(volume_id=volume, zone=zone)
            except ScalewayException as error:
                if error.status_code != 404:
                    raise
            else:
                return

    async def tidy(self) -> None:
        """Remove the security groups once there is no server of this farm."""
        if await self.machines():
            return
        for resource in await self._groups():
            # Somebody may have put a server of theirs behind it.
            with suppress(PlaceRefused):
                await self.remove(resource)
        await self._diary.close_ended(kinds=(Kind.FIREWALL,))

    async def _sweep(self, name: str, *, keep: str) -> None:
        """End what an earlier try for this server left in other zones: an address, a disk."""
        for resource in await self._left(name):
            if resource.location != keep:
                await self.remove(resource)

    async def _left(self, name: str) -> list[Resource]:
        """Return addresses and disks of a server by the journal, where they still are."""
        found: list[Resource] = []
        seen: set[str] = set()
        for entry in await self._site.journal.entries(provider=self.name):
            of = entry.intent
            if of.action is not Action.CREATE or of.location is None:
                continue
            if of.kind is Kind.IPV4 and of.name == f"{name}-ipv4" and of.location not in seen:
                seen.add(of.location)
                for each in await self._do(self._addresses_of, of.name, of.location):
                    found.append(self._of_address(each, of.location, None))
        return found
