"""The farm's verbs on Scaleway."""

from swarm.farm.base import Site
from swarm.farm.cloud.driver import CloudDriver
from swarm.farm.cloud.ssh import Shell
from swarm.farm.scaleway.cloud import ScalewayCloud
from swarm.farm.scaleway.config import ScalewayConfig


class ScalewayDriver(CloudDriver):
    """Start and stop instances on servers of Scaleway."""

    def __init__(self, site: Site, config: ScalewayConfig, *, shell: Shell | None = None) -> None:
        """Connect nothing; `shell` reaches the servers."""
        super().__init__(site, config, ScalewayCloud(site, config), shell=shell)
