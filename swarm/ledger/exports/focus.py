"""Make FOCUS 1.2 charges of ledger rows: one for each priced part of a call.

Where the parts are known, a charge is a bucket of tokens at its price; else it is the call as one
request. `BilledCost` is what is owed: the provider's own figure, or the book's; for calls that a
subscription or own hardware covers it is 0. `ListCost` is the book's price. `EffectiveCost` is what is
owed, and of a subscription its fee spread over what it covered. No negotiated prices are known, so
`ContractedCost` is the list price.

FOCUS allows no null in its costs, nor in the prices of usage. A charge whose cost nobody knows has 0
there and says so itself: in `x_Unpriced` and in its description.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from swarm.core.clock import parse_iso
from swarm.core.money import PICO, CostStatus, from_pico
from swarm.ledger.book import FAILED, INTENT, SUPERSEDED
from swarm.ledger.exports.focus_columns import SERVICE_CATEGORY, SERVICE_SUBCATEGORY
from swarm.ledger.price_names import runs_here

TOKENS, REQUESTS = "Tokens", "Requests"
CALL = "call"
"""The meter of a call that was not billed by its tokens."""
REPORTED = "reported"
COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_tokens",
    "tool_tokens",
    "output_tokens",
)
ZERO = Decimal(0)

Charge = dict[str, Any]

NO_COMMITMENT = {
    f"CommitmentDiscount{name}": None
    for name in ("Category", "Id", "Name", "Quantity", "Status", "Type", "Unit")
}
"""A subscription is none in the sense of FOCUS: nobody tells how much of it a call uses up."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose books they are."""

    name: str
    spread: Mapping[tuple[str, str, str], Decimal] = field(default_factory=dict)
    """What a unit of list price under a provider's subscription really cost, by provider, month
    (`2026-11`) and currency."""


@dataclass(frozen=True, slots=True)
class _Part:
    meter: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    listed: Decimal
    """Exactly `quantity` times `unit_price`."""
    cost: Decimal
    """What the ledger charged for it."""
    is_known: bool
    model: str
    price_id: str


def charges(row: Any, account: Account) -> Iterator[Charge]:
    """Yield the charges of one ledger row; their ledger costs add up to the row's."""
    shared = _shared(row, account)
    for part in _parts(row):
        yield shared | _charge(row, part, account)


def _parts(row: Any) -> list[_Part]:
    cost = from_pico(row.cost_pico)
    parts = _known_parts(row)
    rest = cost - sum((part.cost for part in parts), ZERO)
    # The ledger rounds a call up to 1e-12; the last part takes that up. More than that is no
    # rounding: the parts are not what was charged, and the call stands as one.
    if not parts or abs(rest) >= PICO:
        return [_whole(row, cost)]
    last = parts[-1]
    return [*parts[:-1], _with_cost(last, last.cost + rest)]


def _known_parts(row: Any) -> list[_Part]:
    try:
        documents = json.loads(row.parts) if row.parts else []
        return [_part(row, item) for item in documents if item["bucket"] != REPORTED]
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return []


def _part(row: Any, item: Mapping[str, Any]) -> _Part:
    is_known = item["unit_price"] is not None and item["amount"] is not None
    price = Decimal(item["unit_price"]) if is_known else ZERO
    quantity = Decimal(item["quantity"])
    model = str(item.get("model") or row.answered_model or row.model)
    bucket = str(item["bucket"])
    return _Part(
        meter=bucket,
        quantity=quantity,
        unit=TOKENS if bucket in TOKEN_METERS else REQUESTS,
        unit_price=price,
        listed=price * quantity,
        cost=Decimal(item["amount"]) if is_known else ZERO,
        is_known=is_known,
        model=model,
        price_id=str(item.get("price_id") or _no_price(row)),
    )


TOKEN_METERS = frozenset(
    (
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "audio_input",
        "audio_cache_read",
        "tool_input",
        "output",
        "reasoning",
        "audio_output",
        "image_output",
        "video_output",
    )
)


def _whole(row: Any, cost: Decimal) -> _Part:
    listed = cost
    if row.listed_pico is not None and (row.listed_currency or row.currency) == row.currency:
        listed = from_pico(row.listed_pico)
    return _Part(
        meter=CALL,
        quantity=Decimal(1),
        unit=REQUESTS,
        unit_price=listed,
        listed=listed,
        cost=cost,
        is_known=row.cost_status != CostStatus.UNPRICED.value,
        model=row.answered_model or row.model,
        price_id=row.price_id or _no_price(row),
    )


def _with_cost(part: _Part, cost: Decimal) -> _Part:
    return _Part(
        part.meter,
        part.quantity,
        part.unit,
        part.unit_price,
        part.listed,
        cost,
        part.is_known,
        part.model,
        part.price_id,
    )


def _no_price(row: Any) -> str:
    return "unpriced" if row.cost_status == CostStatus.UNPRICED.value else "nothing-owed"


def _shared(row: Any, account: Account) -> Charge:
    """Return what all charges of a call have in common."""
    start = parse_iso(row.started_at).replace(microsecond=0)
    end = parse_iso(row.ended_at) if row.ended_at else start
    provider = _provider(row)
    month = start.replace(day=1, hour=0, minute=0, second=0)
    tier = row.service_tier
    return {
        **NO_COMMITMENT,
        "BillingAccountId": account.name,
        "BillingAccountName": account.name,
        "BillingCurrency": row.currency,
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": start,
        # Exclusive, and never empty, even where a clock ran backwards.
        "ChargePeriodEnd": max(end, start).replace(microsecond=0) + timedelta(seconds=1),
        "InvoiceId": None,
        "InvoiceIssuerName": account.name if runs_here(row.model) else provider,
        "PricingCategory": "Standard" if row.cost_status != "notional" else "Other",
        "PricingCurrency": row.currency,
        "ProviderName": provider,
        "ServiceCategory": SERVICE_CATEGORY,
        "ServiceName": f"{provider} models",
        "ServiceSubcategory": SERVICE_SUBCATEGORY,
        "SkuPriceDetails": None if tier is None else _json({"x_ServiceTier": tier}),
        "Tags": _json(_tags(row, account)),
        "x_CostStatus": row.cost_status,
        "x_LedgerId": str(row.id),
        "x_AttemptState": row.state,
        "x_AnsweredModel": row.answered_model,
    }


def _charge(row: Any, part: _Part, account: Account) -> Charge:
    """Return what one part of a call says for itself."""
    is_unpriced = row.cost_status == CostStatus.UNPRICED.value and not part.is_known
    is_notional = row.cost_status == CostStatus.NOTIONAL.value
    billed = ZERO if is_notional else part.cost
    sku = f"{_provider(row)}/{_bare(part.model)}/{part.meter}"
    consumed, unit = _consumed(row, part)
    effective = _spread(row, part, account) if is_notional else billed
    return {
        "BilledCost": billed,
        "ChargeDescription": _description(row, part, is_unpriced=is_unpriced),
        "ConsumedQuantity": consumed,
        "ConsumedUnit": unit,
        "ContractedCost": part.listed,
        "ContractedUnitPrice": part.unit_price,
        "EffectiveCost": effective,
        "ListCost": part.listed,
        "ListUnitPrice": part.unit_price,
        "PricingCurrencyContractedUnitPrice": part.unit_price,
        "PricingCurrencyEffectiveCost": effective,
        "PricingCurrencyListUnitPrice": part.unit_price,
        "PricingQuantity": part.quantity,
        "PricingUnit": part.unit,
        "PublisherName": _publisher(row, part.model),
        "SkuId": sku,
        "SkuMeter": part.meter,
        "SkuPriceId": f"{sku}@{part.price_id}",
        "x_Unpriced": is_unpriced,
        "x_LedgerCost": part.cost,
    }


def _consumed(row: Any, part: _Part) -> tuple[Decimal, str]:
    if part.unit == TOKENS or part.meter != CALL:
        return part.quantity, part.unit
    tokens = sum(getattr(row, name) or 0 for name in COUNTS)
    return (Decimal(tokens), TOKENS) if tokens else (part.quantity, part.unit)


def _spread(row: Any, part: _Part, account: Account) -> Decimal:
    key = (_provider(row), row.started_at[:7], row.currency)
    return (part.listed * account.spread.get(key, ZERO)).quantize(PICO, ROUND_HALF_EVEN)


def _description(row: Any, part: _Part, *, is_unpriced: bool) -> str:
    text = f"{part.meter} of {part.model} for {row.role}"
    if row.state == INTENT:
        return f"{text}: asked, never answered; unpriced, the provider may have billed it"
    if is_unpriced:
        return f"{text}: unpriced, nobody knows what it cost"
    if row.state == FAILED:
        return f"{text}: failed ({row.error_kind or 'no reason'}), nothing is owed"
    if row.state == SUPERSEDED:
        return f"{text}: answered twice, this one was not used"
    if row.cost_status == CostStatus.NOTIONAL.value:
        return f"{text}: covered by a subscription or own hardware, nothing is owed for it"
    return text


def _provider(row: Any) -> str:
    return str(row.provider or row.model.partition("/")[0] or "unknown")


def _bare(model: str) -> str:
    return model.partition("/")[2] or model


def _publisher(row: Any, model: str) -> str:
    """Return who made a model: a gateway names it between its own name and the model's."""
    parts = model.split("/")
    return parts[1] if len(parts) > 2 else _provider(row)


def _tags(row: Any, account: Account) -> dict[str, str]:
    tags = {"order": row.order_id, "agent": row.role, "instance": account.name}
    return tags | ({"task": row.task_id} if row.task_id else {})


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def moment(value: datetime) -> str:
    """Write a moment as FOCUS does, to the second."""
    return value.replace(tzinfo=None, microsecond=0).isoformat() + "Z"
