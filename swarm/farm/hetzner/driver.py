"""The farm's verbs on Hetzner Cloud."""

from swarm.farm.base import Site
from swarm.farm.cloud.driver import CloudDriver
from swarm.farm.cloud.ssh import Shell
from swarm.farm.hetzner.cloud import HetznerCloud
from swarm.farm.hetzner.config import HetznerConfig


class HetznerDriver(CloudDriver):
    """Start and stop instances on servers of Hetzner Cloud."""

    def __init__(self, site: Site, config: HetznerConfig, *, shell: Shell | None = None) -> None:
        """Connect nothing; `shell` reaches the servers."""
        super().__init__(site, config, HetznerCloud(site, config), shell=shell)
