"""What the host of this company costs, as its operator says, fixed when the company starts."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.money import CostStatus

UNSET = "what the host costs is not known: set `hosting:` in company.yaml"
HOUR_S = 3600


class HostingConfig(BaseModel):
    """The machine the company runs on. Environment: `SWARM_HOSTING__<FIELD>`.

    Without a provider and without a price, hosting is `unpriced`, never zero.
    """

    model_config = ConfigDict(extra="forbid")

    provider: Literal["hetzner", "scaleway", "own"] | None = None
    server_type: str | None = None
    location: str | None = None
    ipv4: bool = False
    """True adds the address's own price, where the price list has it."""
    price_month: Decimal | None = Field(default=None, ge=0)
    """What the machine costs a month; goes before the price list."""
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    """Of `price_month`."""
    tax: Literal["net", "gross"] = "net"
    """Of `price_month`."""
    is_paid: bool | None = None
    """Whether the price is money that leaves; unset: yes for a provider, no for own hardware, whose
    price is then notional."""
    share: Decimal = Field(default=Decimal(1), gt=0, le=1)
    """The part of the machine that is this company's, such as 0.1 for one of ten."""
    cpus: Decimal | None = Field(default=None, gt=0)
    """Processors of the machine; unset: of its type, else as counted."""
    memory_gib: Decimal | None = Field(default=None, gt=0)
    cpu_part: Decimal = Field(default=Decimal("0.5"), ge=0, le=1)
    """The part of the price that is for processors; the rest is for memory."""
    task_cpus: Decimal = Field(default=Decimal(0), ge=0)
    """Processors kept for each task at work; a task is charged what it used, or this if it is more."""
    task_memory_mib: int = Field(default=0, ge=0)
    since: date | None = None
    """First day the machine was rented; unset: the day the company first started with these terms.
    It is also the day of the order, whose prices hold."""
    billed: Literal["existence", "uptime"] | None = None
    """Whether the machine costs while the company does not run; unset: `existence` for a provider,
    `uptime` for own hardware."""

    @model_validator(mode="after")
    def _names_its_owner(self) -> "HostingConfig":
        if self.provider is None and (self.server_type or self.price_month is not None):
            raise ValueError("say the provider too: hetzner, scaleway or own")
        return self


class Terms(BaseModel):
    """What the host costs from a day on; kept with the journal, so that old work keeps its price."""

    model_config = ConfigDict(frozen=True)

    provider: str | None = None
    server_type: str | None = None
    month_price: Decimal | None = None
    """Of the whole machine, for a calendar month."""
    hour_price: Decimal | None = None
    """Where there is no price by the month."""
    currency: str = "EUR"
    tax: str = "net"
    status: CostStatus = CostStatus.UNPRICED
    share: Decimal = Decimal(1)
    cpus: Decimal = Decimal(1)
    memory_gib: Decimal = Decimal(1)
    cpu_part: Decimal = Decimal("0.5")
    task_cpus: Decimal = Decimal(0)
    task_memory_mib: int = 0
    is_always: bool = True
    """True where the machine costs while the company does not run."""
    valid_from: datetime
    price_id: str | None = None
    reason: str | None = None
    """Why there is no price, or nothing."""
