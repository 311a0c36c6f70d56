"""Fix what the host costs from a start on: what the operator says, joined with the price list."""

from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal

from swarm.core.money import CostStatus
from swarm.ledger.hosting.prices import Hole, HostPrice, HostPrices, Wanted
from swarm.ledger.hosting.terms import UNSET, HostingConfig, Terms

_ZERO = Decimal(0)
_HOURS_OF_A_MONTH = 730
"""Where an address is priced by the hour and its server by the month, or the other way round."""


def fix(
    config: HostingConfig,
    *,
    at: datetime,
    cpus: Decimal,
    memory_gib: Decimal,
    prices: Callable[[], HostPrices] = HostPrices.load,
) -> Terms:
    """Return what the host costs from now on.

    Args:
        config: What the operator says.
        at: Now.
        cpus: Processors counted on this machine.
        memory_gib: Memory found on it.
        prices: Loads the price list; asked only where the operator gave no price.
    """
    since = at if config.since is None else datetime.combine(config.since, time(0), UTC)
    base = Terms(
        provider=config.provider, server_type=config.server_type, share=config.share,
        cpus=config.cpus or cpus, memory_gib=config.memory_gib or memory_gib, cpu_part=config.cpu_part,
        task_cpus=config.task_cpus, task_memory_mib=config.task_memory_mib,
        is_always=_is_always(config), valid_from=since, reason=UNSET,
    )  # fmt: skip
    if config.price_month is not None:
        return base.model_copy(
            update={
                "month_price": config.price_month, "currency": config.currency, "tax": config.tax,
                "status": _status(config), "reason": None,
            }
        )  # fmt: skip
    if config.provider is None:
        return base
    if config.provider == "own":
        return base.model_copy(update={"reason": "own hardware: set hosting.price_month"})
    return _listed(config, base, prices(), at)


def _is_always(config: HostingConfig) -> bool:
    return config.billed == "existence" if config.billed else config.provider != "own"


def _status(config: HostingConfig) -> CostStatus:
    is_paid = config.provider != "own" if config.is_paid is None else config.is_paid
    return CostStatus.PAID if is_paid else CostStatus.NOTIONAL


def _listed(config: HostingConfig, base: Terms, prices: HostPrices, at: datetime) -> Terms:
    """Take the price of the machine, and of its address, from the list."""
    assert config.provider is not None
    wanted = Wanted(config.provider, "server", config.server_type, config.location, base.valid_from)
    row = prices.find(wanted, at)
    if isinstance(row, Hole):
        return base.model_copy(update={"reason": f"{row.reason}, or set hosting.price_month"})
    month, hour = row.monthly, None if row.monthly is not None else row.hourly
    if config.ipv4:
        address = prices.find(
            Wanted(config.provider, "ipv4", None, config.location, base.valid_from), at
        )
        if isinstance(address, Hole) or (address.currency, address.tax) != (row.currency, row.tax):
            why = (
                address.reason if isinstance(address, Hole) else "its address has another currency"
            )
            return base.model_copy(update={"reason": why})
        month, hour = _with(month, address), _hourly(hour, address)
    return base.model_copy(
        update={
            "month_price": month, "hour_price": hour, "currency": row.currency, "tax": row.tax,
            "status": _status(config), "reason": None, "price_id": row.id,
            "cpus": config.cpus or row.vcpus or base.cpus,
            "memory_gib": config.memory_gib or row.memory_gib or base.memory_gib,
        }
    )  # fmt: skip


def _with(month: Decimal | None, address: HostPrice) -> Decimal | None:
    if month is None:
        return None
    extra = (
        address.monthly
        if address.monthly is not None
        else (address.hourly or _ZERO) * _HOURS_OF_A_MONTH
    )
    return month + extra


def _hourly(hour: Decimal | None, address: HostPrice) -> Decimal | None:
    if hour is None:
        return None
    return hour + (
        address.hourly
        if address.hourly is not None
        else (address.monthly or _ZERO) / _HOURS_OF_A_MONTH
    )
