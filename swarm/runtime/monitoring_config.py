"""Where an instance may be watched from outside."""

from pydantic import BaseModel, ConfigDict, Field


class MonitoringConfig(BaseModel):
    """Where `/healthz`, `/readyz` and `/metrics` are answered; nothing listens without an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(default="", pattern=r"^$|^[^\s/]+:\d{1,5}$")
    """`HOST:PORT`, such as `127.0.0.1:9464`. Whoever reaches it can read what the company spends."""
