"""What one line of a price book says: prices per token, by bucket, tier, service and hour."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from swarm.core import usage_counts as buckets
from swarm.core.money import CostStatus
from swarm.core.usage_reading import STANDARD
from swarm.ledger.price_names import ONE_PROMPT_PRICE

AUDIO_SECOND = "audio_second"
"""The unit in which sound is billed by its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Prices per token."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    """None: such tokens cost `input`."""
    cache_write: Decimal | None = None
    """None: such tokens cost `input`. For five-minute caches; one-hour writes cost more."""
    cache_write_1h: Decimal | None = None
    """None: nobody knows what such tokens cost."""
    audio_input: Decimal | None = None
    """None: as `input` where a provider lists sound only where it differs, else not known."""
    audio_cache_read: Decimal | None = None
    audio_output: Decimal | None = None
    image_output: Decimal | None = None
    reasoning: Decimal | None = None
    """None: such tokens cost `output`."""


RATE_FIELDS = tuple(item.name for item in fields(Rates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier(Rates):
    """Prices that replace the usual ones for the whole call when its prompt is long."""

    above: int
    """In force where the prompt, cached parts included, has more tokens than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Rates):
    """Prices of one service tier: batch, flex, priority, fast."""

    tiers: tuple[Tier, ...] = ()
    """By rising `above`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Rates):
    """One line of the book, at one hour."""

    id: str
    """Names the book, its content and the line, so that a call can be priced again elsewhere."""
    model: str
    """Provider-qualified, as the line has it; the asked name may be an alias of it."""
    currency: str
    status: CostStatus
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    tiers: tuple[Tier, ...] = ()
    """By rising `above`."""
    services: Mapping[str, Service] = field(default_factory=dict)
    """By the name of the service tier; a tier that is not here has no known price."""
    units: Mapping[str, Decimal] = field(default_factory=dict)
    """What is billed by the piece: searches."""
    regions: Mapping[str, Decimal] = field(default_factory=dict)
    """Factors on all prices per token where the answer was computed in a chosen region."""
    other_hours: tuple[Rates, ...] = ()
    """What the line says of other hours of the day; a call may end in one of them."""
    is_free_of_services: bool = False
    """True where one price holds for whatever service tier: own hardware, a stated price."""
    valid_from: date
    """The day the line took effect, or was read. The first line of a model prices earlier calls
    too, because nothing nearer to them is known."""
    source: str

    def rates(self, prompt_tokens: int) -> "Price | Tier":
        """Return the prices in force for a prompt of that many tokens, cached parts included."""
        reached = [tier for tier in self.tiers if prompt_tokens > tier.above]
        return reached[-1] if reached else self

    def rates_of(self, service: str, prompt_tokens: int) -> "tuple[Rates, str] | None":
        """Return the prices of a service tier at a size of prompt, and where on the line they are.

        None where the line does not know that tier, or knows that long prompts cost more and not
        how much they do there.
        """
        table: Price | Service = self
        place = ""
        if service != STANDARD and not self.is_free_of_services:
            if service not in self.services:
                return None
            table, place = self.services[service], f"#{service}"
            if not table.tiers and self.rates(prompt_tokens) is not self:
                return None
        reached = [tier for tier in table.tiers if prompt_tokens > tier.above]
        return (reached[-1], f"{place}>{reached[-1].above}") if reached else (table, place)

    def rate(self, bucket: str, rates: Rates) -> Decimal | None:
        """Return the price of one token of a bucket, or None where nobody knows it.

        Args:
            bucket: One of `core.usage_counts`.
            rates: What `rates_of` returned.
        """
        if self.is_by_second:
            return None
        match bucket:
            case buckets.INPUT | buckets.TOOL_INPUT:
                return rates.input
            case buckets.OUTPUT:
                return rates.output
            case buckets.CACHE_READ:
                return self._or_usual(rates, "cache_read", rates.input)
            case buckets.CACHE_WRITE_5M:
                return self._or_usual(rates, "cache_write", rates.input)
            case buckets.CACHE_WRITE_1H:
                return rates.cache_write_1h
            case buckets.REASONING:
                return self._or_usual(rates, "reasoning", rates.output)
            case buckets.AUDIO_INPUT:
                usual = rates.input if self._has_one_prompt_price else None
                return self._or_usual(rates, "audio_input", usual)
            case buckets.AUDIO_CACHE_READ:
                usual = self.rate(buckets.CACHE_READ, rates) if self._has_one_prompt_price else None
                return self._or_usual(rates, "audio_cache_read", usual)
            case buckets.AUDIO_OUTPUT:
                return rates.audio_output
            case buckets.IMAGE_OUTPUT:
                return rates.image_output
            case _:
                return None

    @property
    def is_by_second(self) -> bool:
        """True where the model writes down sound, by whose length alone it is billed."""
        return AUDIO_SECOND in self.units

    @property
    def _has_one_prompt_price(self) -> bool:
        is_listed_apart = self.audio_input is not None
        return self.model.partition("/")[0] in ONE_PROMPT_PRICE and not is_listed_apart

    def _or_usual(self, rates: Rates, name: str, usual: Decimal | None) -> Decimal | None:
        """Return a rate; one that a service tier leaves out is known only if the line has none."""
        found: Decimal | None = getattr(rates, name)
        if found is not None:
            return found
        is_hidden = isinstance(rates, Service) and getattr(self, name) is not None
        return None if is_hidden else usual

    def tables(self, prompt_tokens: int) -> list[Rates]:
        """Return all prices that a prompt of at most that many tokens may come to."""
        tables: list[Rates] = [self, *self.other_hours, *self.services.values()]
        tiers = (*self.tiers, *(t for service in self.services.values() for t in service.tiers))
        return [*tables, *(tier for tier in tiers if prompt_tokens > tier.above)]


def is_price(text: Any) -> bool:
    """Say whether a line's text is a price above zero; zero counts as not known."""
    return isinstance(text, str) and bool(text.strip("0."))


def is_line(row: Mapping[str, Any]) -> bool:
    """Say whether a line prices a call: by both kinds of tokens, or by the second of sound."""
    has_tokens = is_price(row.get("input")) and is_price(row.get("output"))
    return has_tokens or is_price(row.get("units", {}).get(AUDIO_SECOND))


def rates_in(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prices that a line, tier, service or window names."""
    return {name: Decimal(row[name]) for name in RATE_FIELDS if is_price(row.get(name))}


def tiers_in(row: Mapping[str, Any]) -> tuple[Tier, ...]:
    """Return the tiers of a line or a service."""
    return tuple(Tier(above=tier["above"], **rates_in(tier)) for tier in row.get("tiers", ()))


def services_in(row: Mapping[str, Any]) -> Mapping[str, Service]:
    """Return the service tiers of a line, those that name both prices."""
    if "services" not in row:
        return {}
    return {
        name: Service(tiers=tiers_in(table), **rates_in(table))
        for name, table in row["services"].items()
        if is_price(table.get("input")) and is_price(table.get("output"))
    }


def numbers_in(row: Mapping[str, Any], key: str) -> Mapping[str, Decimal]:
    """Return named amounts of a line."""
    return {name: Decimal(text) for name, text in row[key].items()} if key in row else {}


def window_at(row: Mapping[str, Any], at: datetime) -> int | None:
    """Return which window of the day and week a moment is in; None for the usual prices."""
    if "windows" not in row:
        return None
    moment = at.astimezone(UTC)
    for index, window in enumerate(row["windows"]):
        days = window.get("weekdays")
        if days and moment.isoweekday() not in days:
            continue
        start, end = time.fromisoformat(window["from"]), time.fromisoformat(window["to"])
        clock = moment.time()
        is_inside = start <= clock < end if start < end else clock >= start or clock < end
        if is_inside:
            return index
    return None
