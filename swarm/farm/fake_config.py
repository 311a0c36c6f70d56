"""What can be set of a farm that costs nothing."""

from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class FakeConfig(BaseModel):
    """A place without machines, for tests and for trying the commands out."""

    model_config = ConfigDict(extra="forbid")

    folder: Path | None = None
    """Where its things are kept between processes; None keeps them in this one."""
    hourly: dict[int, Decimal] = Field(
        default_factory=lambda: {512: Decimal("0.006"), 2048: Decimal("0.02")}
    )
    """Price of an hour by the size in MiB of memory."""
    currency: str = "EUR"
