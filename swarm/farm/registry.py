"""The places where instances can live, by name."""

from swarm.core.registry import Registry

DRIVERS = Registry(
    "farm driver",
    {
        "docker": "swarm.farm.docker.driver:DockerDriver",
        "fake": "swarm.farm.fake:FakeDriver",
        "hetzner": "swarm.farm.hetzner.driver:HetznerDriver",
        "scaleway": "swarm.farm.scaleway.driver:ScalewayDriver",
    },
)
"""Each is made as `Class(site, config)`, with its part of `FarmConfig`."""
