"""The places where instances can live, by name."""

from swarm.core.registry import Registry

DRIVERS = Registry("farm driver", {"fake": "swarm.farm.fake:FakeDriver"})
