"""How the farm's settings are written: `farm:` in company.yaml, `SWARM_FARM__…` in the environment.

Each driver's model stands in the driver's own light module and has a field here under its name.
"""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from swarm.farm.docker.config import DockerConfig
from swarm.farm.fake_config import FakeConfig
from swarm.farm.hetzner.config import HetznerConfig
from swarm.farm.kubernetes.config import KubernetesConfig
from swarm.farm.scaleway.config import ScalewayConfig


class FarmConfig(BaseModel):
    """Where instances are started, and how large."""

    model_config = ConfigDict(extra="forbid")

    driver: str = "docker"
    """Where `swarm farm up` starts an instance when `--driver` is not given."""
    image: str = "swarm"
    memory_mib: int = Field(default=512, ge=128)
    """The most memory an instance may take."""
    cpus: Decimal = Field(default=Decimal(1), gt=0)
    pids: int = Field(default=256, ge=32)
    healthy_within_s: float = Field(default=120.0, gt=0)
    backup_recipient: str | None = None
    """An age recipient (`age1…`): backups are encrypted for it. The key itself stays elsewhere."""
    docker: DockerConfig = Field(default_factory=DockerConfig)
    hetzner: HetznerConfig = Field(default_factory=HetznerConfig)
    scaleway: ScalewayConfig = Field(default_factory=ScalewayConfig)
    kubernetes: KubernetesConfig = Field(default_factory=KubernetesConfig)
    fake: FakeConfig = Field(default_factory=FakeConfig)
