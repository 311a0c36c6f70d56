"""What a report must be told: what is earned, and what subscriptions cost."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Price = Annotated[Decimal, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]


class ReportConfig(BaseModel):
    """Prices in the company's currency. Environment: `SWARM_REPORT__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    price_per_month: _Price | None = None
    """What one instance earns in a month; None leaves the margin out."""
    price_per_order: dict[str, _Price] = Field(default_factory=dict)
    """What an accepted order earns, by kind of order: `software: 300`."""
    subscriptions: dict[str, _Price] = Field(default_factory=dict)
    """What a provider's subscription costs a month, by provider: `anthropic: 100`. Calls it covers
    are `notional`; this is what is really paid for them."""
