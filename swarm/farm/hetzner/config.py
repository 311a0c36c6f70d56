"""The settings of the driver `hetzner`."""

from pydantic import SecretStr

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
