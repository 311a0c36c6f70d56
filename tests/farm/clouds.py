"""Both vendors behind one face, for tests that hold for both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from swarm.core.errors import SwarmError
from swarm.farm.cloud.driver import CloudDriver
from swarm.farm.cloud.ssh import Shell
from swarm.farm.hetzner.config import HetznerConfig
from swarm.farm.hetzner.driver import HetznerDriver
from swarm.farm.scaleway.config import ScalewayConfig
from swarm.farm.scaleway.driver import ScalewayDriver
from tests.farm.machines import OPERATOR, SECRETS, MemoryJournal, site, spec
from tests.servers.cloud import CloudServer, Killed
from tests.servers.hetzner import TOKEN, HetznerServer
from tests.servers.hosts import Booted, Host, HostsShell
from tests.servers.scaleway import ACCESS_KEY, PROJECT, SECRET_KEY, ScalewayServer

VENDORS = ("hetzner", "scaleway")


@dataclass
class Place:
    """A vendor with nothing in it, the operator's folder and journal, and the servers behind SSH."""

    vendor: str
    cloud: Any
    folder: Path
    journal: MemoryJournal
    shell: HostsShell
    said: list[str] = field(default_factory=list)
    over: Shell | None = None
    """What reaches the servers instead of `shell`."""

    def driver(self, **settings: Any) -> CloudDriver:
        """Return a driver as a new process makes it."""
        words = {"ssh_from": (OPERATOR,), "poll_s": 0.002, "patience_s": 2.0} | settings
        made_at = site(self.folder, self.journal, self.said)
        if self.vendor == "hetzner":
            config = HetznerConfig(
                **{"token": SecretStr(TOKEN), "api_endpoint": self.cloud.api} | words
            )
            return HetznerDriver(made_at, config, shell=self.over or self.shell)
        keys = {
            "access_key": ACCESS_KEY, "secret_key": SecretStr(SECRET_KEY), "project": PROJECT,
            "api_url": self.cloud.url,
        }  # fmt: skip
        return ScalewayDriver(
            made_at, ScalewayConfig(**keys | words), shell=self.over or self.shell
        )

    async def attempt(self, **settings: Any) -> bool:
        """Create an instance until it is up or the process dies; say whether it died."""
        try:
            await self.driver(**settings).create(spec(), SECRETS)
        except (Killed, SwarmError):
            assert self.cloud.life.is_dead
        return bool(self.cloud.life.is_dead)

    def servers(self) -> list[Any]:
        """Return the servers that exist."""
        found = self.cloud.world.servers if self.vendor == "hetzner" else self.cloud.servers
        return list(found.values())

    def ever(self) -> list[str]:
        """Return the names of the servers that were ever made."""
        return list(self.cloud.world.ever if self.vendor == "hetzner" else self.cloud.ever)

    def leftovers(self) -> list[Any]:
        """Return all that exists."""
        if self.vendor == "hetzner":
            world = self.cloud.world
            kinds = (world.servers, world.addresses, world.keys, world.firewalls, world.volumes)
        else:
            cloud = self.cloud
            kinds = (cloud.servers, cloud.ips, cloud.groups, cloud.volumes)  # type: ignore[assignment]
        return [thing for kind in kinds for thing in kind.values()]

    def sells_out(self, *types: str) -> None:
        """Let types be sold out everywhere, which shows when one is asked for."""
        for row in self.types().values():
            if not types or row.name in types:
                places = row.locations if self.vendor == "hetzner" else row.zones
                row.sold_out |= set(places)

    def types(self) -> dict[str, Any]:
        """Return what is for sale."""
        found: dict[str, Any] = (
            self.cloud.world.types if self.vendor == "hetzner" else self.cloud.types
        )
        return found

    @property
    def create_path(self) -> str:
        """What a server is asked for at."""
        return "/v1/servers" if self.vendor == "hetzner" else r"/instance/v1/zones/[^/]+/servers"

    def user_data(self) -> str:
        """Return what the only server was told."""
        (server,) = self.servers()
        return str(server.user_data if self.vendor == "hetzner" else server.user_data_at_boot)

    def host(self) -> Host:
        """Return the only server that was reached."""
        (host,) = self.shell.hosts.values()
        return host

    def bill(self) -> dict[str, Decimal]:
        """Return what was spent, by kind."""
        found: dict[str, Decimal] = self.cloud.bill()
        return found


@contextmanager
def place(vendor: str, folder: Path) -> Iterator[Place]:
    """Open a vendor."""
    cloud: CloudServer = HetznerServer() if vendor == "hetzner" else ScalewayServer()

    def booted(address: str) -> Booted | None:
        for server in made.servers():
            if vendor == "hetzner" and any(each.ip == address for each in server.addresses):
                return Booted(str(server.id), server.user_data, server.status == "running")
            if vendor == "scaleway" and any(each.address == address for each in server.ips):
                return Booted(server.id, server.user_data_at_boot, server.state == "running")
        return None

    with cloud:
        made = Place(
            vendor, cloud, folder, MemoryJournal(cloud.life), HostsShell(booted, life=cloud.life)
        )
        yield made
