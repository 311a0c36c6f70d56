"""What a unit of list price under a subscription really cost: its fee over what it covered."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.money import CostStatus
from swarm.ledger.reports.sums import provider_of, sums_by_day


def spread(
    connection: Connection, fees: Mapping[str, Decimal], *, currency: str
) -> dict[tuple[str, str, str], Decimal]:
    """Return the factor on list prices by provider, month and currency.

    Args:
        connection: Only read from.
        fees: What each provider's subscription costs a calendar month.
        currency: Of the fees; usage listed in another one cannot be set against them.
    """
    days = sums_by_day.c
    month = sa.func.substr(days.day, 1, 7)
    query = (
        sa.select(month, days.model, sa.cast(sa.func.sum(days.listed_pico), sa.BigInteger))
        .where(days.cost_status == CostStatus.NOTIONAL.value, days.currency == currency)
        .group_by(month, days.model)
    )
    listed: dict[tuple[str, str, str], int] = {}
    for found, model, pico in connection.execute(query):
        key = (provider_of(model), found, currency)
        listed[key] = listed.get(key, 0) + pico
    return {
        key: _factor(fees[key[0]], pico) for key, pico in listed.items() if key[0] in fees and pico
    }


def _factor(fee: Decimal, pico: int) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (fee.scaleb(12) / pico).quantize(Decimal("1e-24"), ROUND_HALF_EVEN)
