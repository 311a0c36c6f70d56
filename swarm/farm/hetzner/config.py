"""The settings of the driver `hetzner`."""

from typing import Self

from pydantic import SecretStr, model_validator

from swarm.farm.cloud.config import CloudConfig


class HetznerConfig(CloudConfig):
    """Which project of Hetzner Cloud servers are rented in."""

    token: SecretStr | None = None
    """An API token of the project, with the right to read and write."""
    api_endpoint: str = "https://api.hetzner.cloud/v1"
    os_image: str = "debian-12"
    """The system image of a server; the cloud-init template is made for Debian."""
    ipv4: bool = True
    """Whether a server has an IPv4 address, which costs; without one it is reached by IPv6 alone."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.ipv4 and self.ssh_from and not self.lets_in(6):
            raise ValueError(
                "without ipv4 a server is reached by IPv6 alone: name your IPv6 network in ssh_from, "
                "such as 2001:db8::/64, or leave ipv4 on"
            )
        return self
