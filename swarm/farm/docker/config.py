"""What can be set about instances in containers."""

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DockerConfig(BaseModel):
    """A Docker engine. Environment: `SWARM_FARM__DOCKER__<FIELD>`.

    The price is that of the whole machine; a seat costs its part of the memory and processors. Unset,
    it is what `hosting:` says of the machine this home is on.
    """

    model_config = ConfigDict(extra="forbid")

    program: str = "docker"
    """The client; Docker's own, or one that takes its words."""
    host: str | None = None
    """The engine, as `unix:///run/docker.sock`; unset: what DOCKER_HOST or the client's context say."""
    allow_remote: bool = False
    """True lets instances be started on another machine's engine: whoever holds that engine can read
    every secret of every instance."""
    publish: int | None = Field(default=None, ge=1, le=65535)
    """Port inside an instance that is to be heard on this machine's loopback; unset: none is opened,
    since chats need none. Where no setting of the instance names it, `/healthz`, `/readyz` and
    `/metrics` are answered there."""
    price_month: Decimal | None = Field(default=None, ge=0)
    """What the machine costs a month."""
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    """Of `price_month`."""
    tax: Literal["net", "gross"] = "net"
    is_paid: bool = False
    """True where the price is money that leaves; own hardware is notional."""
    cpus: Decimal | None = Field(default=None, gt=0)
    """Processors of the machine; unset: as the engine counts them."""
    memory_gib: Decimal | None = Field(default=None, gt=0)
    """Memory of the machine; unset: as the engine finds it."""
    cpu_part: Decimal = Field(default=Decimal("0.5"), ge=0, le=1)
    """The part of the price that is for processors; the rest is for memory."""
