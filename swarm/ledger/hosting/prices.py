"""What rented machines cost: a dated list, and what else can be handed in as one.

A row says for which orders and for which hours it holds, since providers change prices in both
ways: for everybody from a day on (`used_from`), or for new orders alone (`ordered_from`). Looking a
price up never guesses: no row, or several that differ, is no price, with a sentence.

Our list is package data, `hostprices.json`; each row names its source and the day it was read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest

LIST = Path(__file__).with_name("hostprices.json")
FORMAT = 1
PROVIDERS = ("hetzner", "scaleway", "own")
READ_API = {
    "hetzner": "hand in the answer of `GET https://api.hetzner.cloud/v1/pricing` with --prices FILE",
    "scaleway": "write the price of your console into a list for --prices FILE",
    "own": "write `price_month` (what the machine costs you a month) into the `created` event",
}
"""What to do where the list has a hole, by provider."""


class HostPrice(BaseModel):
    """One line of the list. Amounts are per unit: a machine, an address, a gigabyte, a terabyte."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    kind: str
    type: str = ""
    """Name of the size, in lower case; empty where there is one kind only."""
    locations: tuple[str, ...] = ()
    """Where it holds; empty means everywhere."""
    hourly: Decimal | None = Field(default=None, ge=0)
    monthly: Decimal | None = Field(default=None, ge=0)
    """With `hourly`, the most that one calendar month costs; alone, what a whole month costs."""
    per_unit: Decimal | None = Field(default=None, ge=0)
    """Of what is counted and not timed, such as a terabyte."""
    percent: Decimal | None = Field(default=None, ge=0)
    """Of the server's own price, such as backups."""
    included: Decimal = Field(default=Decimal(0), ge=0)
    """Units that cost nothing, per server and month."""
    billed_per: Literal["hour", "minute"] = "hour"
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    tax: Literal["net", "gross"] = "net"
    used_from: date | None = None
    """First day (UTC) whose hours cost this; None is always."""
    used_until: date | None = None
    """First day (UTC) whose hours no longer do."""
    ordered_from: date | None = None
    """First day whose orders (or rescales) get this price."""
    ordered_until: date | None = None
    vcpus: Decimal | None = Field(default=None, gt=0)
    memory_gib: Decimal | None = Field(default=None, gt=0)
    source: str = ""
    read: date | None = None
    """The day somebody read the source."""

    @model_validator(mode="after")
    def _says_a_price(self) -> "HostPrice":
        if (
            self.hourly is None
            and self.monthly is None
            and self.per_unit is None
            and self.percent is None
        ):
            raise ValueError("a row needs hourly, monthly, per_unit or percent")
        return self

    @cached_property
    def id(self) -> str:
        """Name the row for good: what it is for, and a digest of all that it says."""
        content = self.model_dump_json(exclude={"source", "read"})
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return "/".join(
            [
                self.provider,
                *([self.kind] if self.kind != self.type else []),
                self.type or "-",
                digest,
            ]
        )

    def holds(self, *, ordered_at: datetime, at: datetime) -> bool:
        """Say whether the row prices the hours at one moment of what was ordered at another."""
        return _within(ordered_at, self.ordered_from, self.ordered_until) and _within(
            at, self.used_from, self.used_until
        )

    @property
    def edges(self) -> tuple[datetime, ...]:
        """Return the moments at which hours begin or cease to cost this."""
        return tuple(_midnight(day) for day in (self.used_from, self.used_until) if day)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)


def _within(moment: datetime, first: date | None, beyond: date | None) -> bool:
    return (first is None or moment >= _midnight(first)) and (
        beyond is None or moment < _midnight(beyond)
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a price is looked for."""

    provider: str
    kind: str
    type: str | None
    location: str | None
    ordered_at: datetime


@dataclass(frozen=True, slots=True)
class Hole:
    """No price, and why."""

    reason: str


class HostPrices:
    """A list of prices, looked up by what was ordered where and when."""

    def __init__(self, rows: Sequence[HostPrice], *, name: str = "the list given") -> None:
        self.rows = tuple(rows)
        self.name = name
        self._found: dict[tuple[str, str, str], list[HostPrice]] = {}
        for row in self.rows:
            self._found.setdefault((row.provider, row.kind, row.type), []).append(row)

    @classmethod
    def load(cls) -> "HostPrices":
        """Return the list that comes with this version."""
        return cls.parse(LIST.read_text(encoding="utf-8"), name="the list of this version")

    @classmethod
    def parse(cls, text: str, *, name: str, tax: str = "net") -> "HostPrices":
        """Read a list in our format, or the answer of Hetzner's `GET /pricing`.

        Args:
            text: JSON.
            name: What to call it in messages.
            tax: Which of the two prices to take from an answer that has both.

        Raises:
            InvalidInput: It is neither, or a row has a fault; each is named.
        """
        try:
            document = json.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{name}: no JSON ({error}).") from error
        if isinstance(document, dict) and isinstance(document.get("pricing"), dict):
            return cls(_of_hetzner(document["pricing"], tax=tax, name=name), name=name)
        rows = (
            document.get("rows", document.get("prices")) if isinstance(document, dict) else document
        )
        if not isinstance(rows, list):
            raise InvalidInput(
                f'{name}: write {{"rows": [{{"provider": "hetzner", "kind": "server", "type": "cx33", '
                '"hourly": "0.0104", "monthly": "6.49", …}]}, or hand in the answer of '
                "Hetzner's GET /pricing."
            )
        return cls(
            [_row(item, number, name) for number, item in enumerate(rows, start=1)], name=name
        )

    def over(self, base: "HostPrices") -> "HostPrices":
        """Return both lists together; where this one has rows for a thing, they alone count."""
        own = set(self._found)
        kept = [row for row in base.rows if (row.provider, row.kind, row.type) not in own]
        return HostPrices([*self.rows, *kept], name=f"{self.name} and {base.name}")

    def rows_for(self, wanted: Wanted) -> list[HostPrice]:
        """Return the rows of a thing at its place, whenever they hold."""
        rows = self._found.get((wanted.provider, wanted.kind, (wanted.type or "").lower()), [])
        place = (wanted.location or "").lower()
        if not place:
            return rows
        return [row for row in rows if not row.locations or _is_at(place, row.locations)]

    def find(self, wanted: Wanted, at: datetime) -> HostPrice | Hole:
        """Return the price of an hour at `at`, or why there is none."""
        if not wanted.provider:
            return Hole(
                "whose machine it is, is not said: add a provider to the events, or --provider"
            )
        if wanted.provider not in PROVIDERS:
            known = nearest(wanted.provider, PROVIDERS)
            return Hole(f"no rules are known for the provider {wanted.provider!r}{known}")
        rows = [r for r in self.rows_for(wanted) if r.holds(ordered_at=wanted.ordered_at, at=at)]
        if not rows:
            return Hole(self._why(wanted, at))
        prices = {(r.hourly, r.monthly, r.per_unit, r.percent, r.currency, r.tax) for r in rows}
        if len(prices) > 1:
            places = ", ".join(
                sorted({place for r in rows for place in r.locations}) or ["several rows"]
            )
            return Hole(f"{_thing(wanted)} has several prices ({places}): say the location")
        return rows[0]

    def _why(self, wanted: Wanted, at: datetime) -> str:
        known = sorted(
            {t for p, k, t in self._found if (p, k) == (wanted.provider, wanted.kind) and t}
        )
        what, help_text = _thing(wanted), READ_API[wanted.provider]
        if wanted.type and wanted.type.lower() not in known:
            return f"{what} is not in {self.name}{nearest(wanted.type.lower(), known)}; {help_text}"
        if not wanted.type and known:
            return f"the size of the {wanted.kind} is not said; add its type, such as {known[0]!r}"
        if wanted.location and not self.rows_for(wanted):
            return f"{what} has no price at {wanted.location!r} in {self.name}; {help_text}"
        return (
            f"{what} ordered on {wanted.ordered_at:%Y-%m-%d} has no price for {at:%Y-%m-%d} in "
            f"{self.name}; {help_text}"
        )


def _thing(wanted: Wanted) -> str:
    return " ".join(part for part in (wanted.provider, wanted.kind, wanted.type) if part)


def _is_at(place: str, locations: tuple[str, ...]) -> bool:
    """Match `fsn1` with the datacenter `fsn1-dc14`, and `fr-par-1` with `par1`."""
    short = place.removeprefix("fr-").removeprefix("nl-").removeprefix("pl-").replace("-", "")
    names = {place, place.partition("-dc")[0], short}
    return any(location.lower() in names for location in locations)


def _row(item: Any, number: int, name: str) -> HostPrice:
    if isinstance(item, dict):
        item = {str(k): v for k, v in item.items() if k != "id"}
        for key in ("type", "provider", "kind"):
            if isinstance(item.get(key), str):
                item[key] = item[key].lower()
    try:
        return HostPrice.model_validate(item)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'row'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)[:5]
        )
        raise InvalidInput(f"{name}: row {number}: {faults}.") from error


def _of_hetzner(pricing: Mapping[str, Any], *, tax: str, name: str) -> list[HostPrice]:
    """Turn Hetzner's own price list into rows without dates: it holds for whoever fetched it."""
    currency = str(pricing.get("currency") or "EUR")
    base = {"provider": "hetzner", "currency": currency, "tax": tax, "source": "GET /pricing"}

    def at_places(kind: str, type_: str, places: Any) -> list[dict[str, Any]]:
        return [
            {
                **base, "kind": kind, "type": type_, "locations": [place["location"]],
                "hourly": _of(place.get("price_hourly"), tax),
                "monthly": _of(place.get("price_monthly"), tax),
            }
            for place in places or []
        ]  # fmt: skip

    rows: list[dict[str, Any]] = []
    try:
        for server in pricing.get("server_types") or []:
            rows += at_places("server", server["name"], server.get("prices"))
            rows += _traffic(base, server, tax)
        for address in pricing.get("primary_ips") or []:
            rows += at_places(address["type"], "", address.get("prices"))
        for kind, key in (("volume", "volume"), ("snapshot", "image")):
            if price := _of((pricing.get(key) or {}).get("price_per_gb_month"), tax):
                rows.append({**base, "kind": kind, "monthly": price})
        if percent := (pricing.get("server_backup") or {}).get("percentage"):
            rows.append({**base, "kind": "backup", "percent": percent})
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidInput(f"{name}: not the answer of GET /pricing ({error!r}).") from error
    rows = [
        row
        for row in rows
        if any(row.get(k) is not None for k in ("hourly", "monthly", "per_unit", "percent"))
    ]
    return [_row(row, number, name) for number, row in enumerate(rows, start=1)]


def _traffic(base: Mapping[str, Any], server: Mapping[str, Any], tax: str) -> list[dict[str, Any]]:
    return [
        {
            **base, "kind": "traffic", "type": server["name"], "locations": [place["location"]],
            "per_unit": _of(place.get("price_per_tb_traffic"), tax),
            "included": Decimal(place.get("included_traffic") or 0) / 1024**4,
        }
        for place in server.get("prices") or []
        if place.get("price_per_tb_traffic")
    ]  # fmt: skip


def _of(price: Any, tax: str) -> str | None:
    """Return the net or the gross one of two prices."""
    value = price.get(tax) if isinstance(price, dict) else None
    return None if value is None else str(value)
