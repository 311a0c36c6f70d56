"""What can be set about workers, most of it for those who share a Postgres."""

import re
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

_RATE = re.compile(r"([1-9][0-9]{0,5})/(?:([0-9]{1,5}(?:\.[0-9]{1,3})?)?(s|min|h))")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
MOST_RATE = 1_000


class Rate(NamedTuple):
    """So many calls may begin in any stretch of so many seconds."""

    calls: int
    period_s: float

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `10/2s`, `60/min` or `500/h`.

        Raises:
            ValueError: It is none of these.
        """
        found = _RATE.fullmatch(text.strip())
        period = float(found[2] or 1) * _SECONDS[found[3]] if found else 0.0
        if found is None or period <= 0 or int(found[1]) > MOST_RATE:
            raise ValueError(
                f"{text!r} is no rate: write calls by time, as 10/2s, 60/min or 500/h, with at "
                f"most {MOST_RATE} calls"
            )
        return cls(int(found[1]), period)


class WorkerConfig(BaseModel):
    """How this process works orders. Environment: `SWARM_WORKER__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$|^$")
    """On Postgres: what this worker is called, unique among those at work. Empty takes the host's
    name and the first free number."""
    process: Literal["own", "same"] = "own"
    """On SQLite: whether `swarm up` works orders in a process of their own, which is there while there
    is work, or in the one that listens."""
    idle_s: float = Field(default=30.0, ge=0.1)
    """After how many seconds without work a process of its own ends."""
    nice: int = Field(default=2, ge=0, le=19)
    """How far a process of its own stands back behind the one that listens, as `nice` counts. Far
    back, it would be put aside in the middle of a write that the other waits for."""
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Orders it works at the same time; None takes `limits.parallel_orders`."""
    takes_orders: bool = True
    """False lets `swarm up` listen and send only, while `swarm worker` works elsewhere."""
    per_person: int | None = Field(default=None, ge=1)
    """On Postgres: orders of one person at the same time, over all workers; None is no limit."""
    in_all: int | None = Field(default=None, ge=1)
    """On Postgres: orders at the same time, over all workers; None is no limit."""
    stale_s: float = Field(default=6.0, ge=1)
    """After how many seconds without a sign of life a worker's orders go to others."""
    database_wait_s: float = Field(default=60.0, ge=0)
    """How long a start waits for a database that cannot be reached, in seconds."""
    rates: dict[str, str] = Field(default_factory=dict)
    """Model calls that may begin, by provider (`openai: 60/min`), over all workers together."""

    @field_validator("rates")
    @classmethod
    def _readable(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            Rate.parse(text)
        return value
