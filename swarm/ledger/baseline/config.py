"""Whom the company's work is compared with."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

ANY_CONTRACT = "any"


class BaselineConfig(BaseModel):
    """Whom the work is compared with. Environment: `SWARM_BASELINE__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    country: str = ""
    """Two letters, or `EU`; empty takes the one whose money the company counts in, else `EU`."""
    contract: str = ANY_CONTRACT
    """`salaried`, `freelance`, `agency`, or `any` of them."""
    rate: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)
    """What an hour costs here, in `currency`; wins over the table."""
    currency: str = Field(default="", pattern="^([A-Z]{3})?$")
    """Of `rate`; empty is the company's."""
