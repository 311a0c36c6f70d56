"""What is the same in the settings of all rented servers."""

from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class CloudConfig(BaseModel):
    """Which servers are rented, and who may reach them."""

    model_config = ConfigDict(extra="forbid")

    seats: Literal["packed", "one"] = "packed"
    """`packed`: instances share servers, each in a container of its own. `one`: a server each."""
    types: tuple[str, ...] = ()
    """Types of server in the order of preference. Empty: the order of the price list in
    `deployments/`, then whatever the vendor sells, the cheapest first."""
    locations: tuple[str, ...] = ()
    """Places in the order of preference. Empty: the order of the price list in `deployments/`."""
    outside_eu: bool = False
    """Whether a place outside the European Union may be taken at all."""
    architecture: Literal["x86", "arm"] = "x86"
    """What the instance's image was built for."""
    ssh_from: tuple[str, ...] = ()
    """Networks that SSH is let in from, such as `203.0.113.7/32`: the operator's address. Nothing
    else is let in. Needed before a server is made."""
    ssh_public_key: Path | None = None
    """The operator's key. None: the farm makes one of its own and keeps it in its folder."""
    ssh_private_key: Path | None = None
    """Belongs to `ssh_public_key`; None leaves it to the SSH agent."""
    host_memory_mib: int = Field(default=512, ge=128)
    """Kept for the server itself."""
    cpu_overcommit: Decimal = Field(default=Decimal(8), ge=1)
    """How many processors of seats share one of the server: idle instances need next to none."""
    keep_empty: bool = False
    """Whether a server whose last instance went stays, and goes on costing."""
    ready_within_s: float = Field(default=420.0, gt=0)
    """From the call that makes a server until it takes instances."""
    poll_s: float = Field(default=2.0, gt=0)
    timeout_s: float = Field(default=60.0, gt=0)
    """Of one request to the vendor."""
    patience_s: float = Field(default=120.0, ge=0)
    """How long in all a vendor that asks for patience is waited for."""

    def room_cpus(self, cores: int) -> Decimal:
        """Return how many processors of seats a server with so many of its own takes."""
        return cores * (Decimal(1) if self.seats == "one" else self.cpu_overcommit)

    def room_mib(self, memory_mib: int) -> int:
        """Return how much memory of a server is left for seats."""
        return memory_mib - self.host_memory_mib

    def lets_in(self, version: Literal[4, 6]) -> bool:
        """Say whether any network that SSH is let in from has addresses of this version of IP."""
        return any(ip_network(each).version == version for each in self.ssh_from)

    @field_validator("ssh_from")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for each in value:
            try:
                # A vendor takes a network alone: an address becomes that of one machine.
                network = ip_network(each.strip())
            except ValueError as error:
                raise ValueError(
                    f"{each!r} is no network; write it like 203.0.113.7/32 or 2001:db8::/64"
                ) from error
            if network.prefixlen == 0:
                raise ValueError(f"{each!r} is everybody; name the network that you are in")
            found.append(str(network))
        return tuple(dict.fromkeys(found))
