"""The settings of the driver `scaleway`."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from swarm.farm.cloud.config import CloudConfig


class ScalewayConfig(CloudConfig):
    """Which project of Scaleway servers are rented in."""

    access_key: str | None = None
    """`SCW` and 17 signs. Not a secret by itself."""
    secret_key: SecretStr | None = None
    """The API key's secret half: a UUID."""
    project: str | None = None
    """Id of the project: a UUID."""
    api_url: str = "https://api.scaleway.com"
    os_image: str = "debian_bookworm"
    """The label of a server's system image; the cloud-init template is made for Debian."""
    disk_gb: int = Field(default=20, ge=10)
    """Of the system disk: on the server where its type has that much, else a block volume."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.ssh_from and not self.lets_in(4):
            raise ValueError(
                "a server here has an IPv4 address alone: name your IPv4 network in ssh_from, such as "
                "203.0.113.7/32"
            )
        return self
