"""What a model call costs: a dated book of prices per token, and the company's own additions.

The book is package data, `pricebook.json`, one line per model and date; reading it opens no
connection. A model without a row has no price and says so: it never costs zero.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, localcontext
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.errors import ConfigError, SwarmError
from swarm.core.money import CostStatus, Money
from swarm.core.usage import Usage

BOOK = Path(__file__).with_name("pricebook.json")
FORMAT = 1
"""Version of the book's layout; a reader refuses any other."""

UNSEEN_TOKENS = 512
"""Prompt tokens a provider may add that no request shows: its chat template and its own words
about tools (Anthropic's take about 350)."""

OWN_HARDWARE = ("local", "fake", "ollama", "ollama_chat")
"""Providers that run here, so that a call costs electricity and nobody's bill."""

_PROVIDER_NAMES = {"cohere_chat": "cohere", "bedrock_converse": "bedrock"}
"""Two routes to one price list."""

_DATED = re.compile(r"^(?P<name>.+)[-@]20\d{2}-?[01]\d-?[0-3]\d$")
"""A snapshot by its day, `gpt-5-2025-08-07` or `claude-sonnet-4-5-20250929`. Shorter numbers
(`-2512`, `-0613`) stay: they tell generations with different prices apart."""

_EXACT = Context(prec=80, traps=[Inexact])
"""Sums and products of counts and rates fit in 80 digits; should one not, it fails loudly."""

_PerMillion = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9)]


class UnknownPrice(SwarmError):
    """Say that no row covers a model; the call is refused, or made and shown as `unpriced`."""

    def __init__(self, model: str, hint: str = "") -> None:
        super().__init__(
            f"No price is known for the model {model!r}{hint}: add it to company.yaml under "
            f"`prices:` with `input_per_million` and `output_per_million`, or set "
            f"SWARM_LLM__ALLOW_UNPRICED=true to use it with its cost shown as unpriced."
        )
        self.model = model


class PriceSetting(BaseModel):
    """A price the company states itself: `prices: {"openai/foo": {...}}` in company.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_per_million: _PerMillion
    """Per 1,000,000 prompt tokens."""
    output_per_million: _PerMillion
    """Per 1,000,000 generated tokens, reasoning included."""
    cache_read_per_million: _PerMillion | None = None
    """Per 1,000,000 prompt tokens read from a cache; the input price where it is left out."""
    cache_write_per_million: _PerMillion | None = None
    """Per 1,000,000 prompt tokens written to a cache; the input price where it is left out."""
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    status: Literal["paid", "notional"] = "paid"
    """`notional` where a subscription or own hardware covers the calls; only then may a price
    be zero."""

    @model_validator(mode="after")
    def _refuse_a_silent_zero(self) -> "PriceSetting":
        prices = (
            self.input_per_million,
            self.output_per_million,
            self.cache_read_per_million,
            self.cache_write_per_million,
        )
        if self.status == "paid" and 0 in prices:
            raise ValueError("a price of 0 needs `status: notional`: nothing that is paid is free")
        return self


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices that replace the usual ones for the whole call when its prompt is long."""

    above: int
    """In force where the prompt, cached parts included, has more tokens than this."""
    input: Decimal
    output: Decimal
    cache_read: Decimal | None
    cache_write: Decimal | None


@dataclass(frozen=True, slots=True)
class Price:
    """One line of the book. Prices are per token."""

    id: str
    """Names the book, its content and the line, so that a call can be priced again elsewhere."""
    model: str
    """Provider-qualified, as the line has it; the asked name may be an alias of it."""
    input: Decimal
    output: Decimal
    cache_read: Decimal | None
    """None: such tokens cost `input`."""
    cache_write: Decimal | None
    """None: such tokens cost `input`. For five-minute caches; one-hour writes cost more."""
    currency: str
    status: CostStatus
    max_input_tokens: int | None
    max_output_tokens: int | None
    tiers: tuple[Tier, ...]
    """By rising `above`."""
    valid_from: date
    """The day the line was read. The first line of a model prices earlier calls too, because
    nothing nearer to them is known."""
    source: str

    def rates(self, prompt_tokens: int) -> "Price | Tier":
        """Return the prices in force for a prompt of that many tokens, cached parts included."""
        reached = [tier for tier in self.tiers if prompt_tokens > tier.above]
        return reached[-1] if reached else self


class PriceBook:
    """Prices by model and date. Immutable; one instance serves all orders."""

    def __init__(
        self, document: Mapping[str, Any], *, id: str, overrides: Mapping[str, PriceSetting]
    ) -> None:
        """Take a parsed book; `load` reads one.

        Raises:
            ConfigError: The document is no book of `FORMAT`, or a stated price names no provider.
        """
        if document.get("format") != FORMAT or not isinstance(document.get("prices"), list):
            raise ConfigError(f"price book {id}: not a price book of format {FORMAT}")
        self.id = id
        self.currency = str(document["currency"])
        self.date = date.fromisoformat(document["date"])
        self._sources: Mapping[str, Mapping[str, str]] = document["sources"]
        if bare := next((model for model in overrides if not all(model.partition("/"))), None):
            raise ConfigError(f"company.yaml: prices: {bare!r}: write it as provider/model")
        self._overrides = {_canonical(model): setting for model, setting in overrides.items()}
        self._rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in document["prices"]:
            # A line that lacks a price, or has it at zero, would let a call pass as free.
            if _amount(row.get("input")) and _amount(row.get("output")):
                self._rows.setdefault(row["model"], []).append(row)
        for rows in self._rows.values():
            rows.sort(key=lambda row: str(row["valid_from"]))

    @classmethod
    def load(
        cls, path: Path | None = None, overrides: Mapping[str, PriceSetting] | None = None
    ) -> "PriceBook":
        """Read the book in the package, or another one, and lay the company's prices over it.

        Raises:
            ConfigError: The file is missing or no price book, or a stated price names no provider;
                the text names which.
        """
        path = path or BOOK
        try:
            data = path.read_bytes()
            document = json.loads(data)
            id = f"{document['id']}-{hashlib.sha256(data).hexdigest()[:8]}"
            return cls(document, id=id, overrides=overrides or {})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise ConfigError(f"price book {path}: cannot be read: {error!r}") from error

    def find(self, model: str, *, at: datetime) -> Price:
        """Return the price of a model at a moment.

        The company's own prices come first, then the book; in each, the name as it stands, then
        without the day of its snapshot. A bare name counts where one provider alone has it.

        Args:
            model: `provider/model`, or the bare name as a provider writes it in its answers.
            at: When the call is made, aware.

        Raises:
            UnknownPrice: No line covers the model, or a bare name fits several providers.
        """
        model = _canonical(model)
        names = tuple(_spellings(model))
        for name in names:
            if own := self._qualified(name, self._overrides):
                return self._stated(own)
        if _runs_here(model):
            return self.own_hardware(model)
        for name in names:
            if known := self._qualified(name, self._rows):
                return self._booked(known, at)
        raise UnknownPrice(model, self._hint(model))

    def find_answer(self, *, asked: str, answered: str, at: datetime) -> Price:
        """Return the price of the model that answered, which is the one that bills.

        A gateway names the answering model in its own words (`openai/gpt-oss-120b` at Groq), so
        that name is read as one of the asked provider's; other lists say nothing of its bill.

        Raises:
            UnknownPrice: No line covers the model that answered.
        """
        asked, answered = _canonical(asked), _canonical(answered)
        provider = self._provider_of(asked)
        if provider and not answered.startswith(f"{provider}/"):
            answered = f"{provider}/{answered}"
        return self.find(answered, at=at)

    def own_hardware(self, model: str) -> Price:
        """Return the price of a model that runs on the company's own machine: none, notional."""
        zero = Decimal(0)
        return Price(
            id=f"own-hardware:{model}",
            model=model,
            input=zero,
            output=zero,
            cache_read=None,
            cache_write=None,
            currency=self.currency,
            status=CostStatus.NOTIONAL,
            max_input_tokens=None,
            max_output_tokens=None,
            tiers=(),
            valid_from=self.date,
            source="runs on your own hardware",
        )

    def cost(self, usage: Usage, price: Price) -> Money:
        """Price what a call used, exactly, at the tier its whole prompt reaches.

        Raises:
            ValueError: A count is below zero, which would turn a cost into a refund.
        """
        counts = (
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
        )
        if min(counts) < 0:
            raise ValueError(f"a usage with a count below zero: {usage}")
        rates = price.rates(sum(counts[:3]))
        prices = (rates.input, *_cache_rates(rates), rates.output)
        with localcontext(_EXACT):
            parts = (count * rate for count, rate in zip(counts, prices, strict=True))
            return Money(sum(parts, Decimal(0)), price.currency)

    def worst_case(self, price: Price, *, prompt_bytes: int, max_output_tokens: int) -> Money:
        """Bound the cost of a call from above before it is made.

        A byte is at most one token in every byte-level tokenizer, so bytes bound tokens. The
        dearest of the prompt's rates is taken over all tiers the prompt could reach.

        Args:
            price: The line `find` returned for the model to be asked.
            prompt_bytes: Of the whole request as sent: messages, tools and schema, in UTF-8.
            max_output_tokens: The most the answer may have, reasoning included.
        """
        prompt_tokens = prompt_bytes + UNSEEN_TOKENS
        reachable: list[Price | Tier] = [
            price,
            *(tier for tier in price.tiers if prompt_tokens > tier.above),
        ]
        dearest = max(rate for rates in reachable for rate in (rates.input, *_cache_rates(rates)))
        output = max(rates.output for rates in reachable)
        with localcontext(_EXACT):
            return Money(prompt_tokens * dearest + max_output_tokens * output, price.currency)

    def models(self) -> list[str]:
        """Return the provider-qualified names that have a price, sorted."""
        return sorted({*self._rows, *self._overrides})

    @cached_property
    def _bare(self) -> Mapping[str, tuple[str, ...]]:
        """Bare names, each with the qualified ones it may mean."""
        names: dict[str, list[str]] = {}
        for qualified in self.models():
            names.setdefault(qualified.partition("/")[2], []).append(qualified)
        return MappingProxyType({bare: tuple(known) for bare, known in names.items()})

    @cached_property
    def _providers(self) -> frozenset[str]:
        return frozenset(name.partition("/")[0] for name in self.models())

    def _qualified(self, name: str, lines: Mapping[str, object]) -> str | None:
        if name in lines:
            return name
        if name.partition("/")[0] in self._providers:
            # `openai/gpt-oss-120b` asks OpenAI, even though only others have a price for it.
            return None
        meant = self._bare.get(name, ())
        return meant[0] if len(meant) == 1 and meant[0] in lines else None

    def _provider_of(self, model: str) -> str:
        """Return the first part of a model's full name, or nothing where no provider is known."""
        provider, slash, _ = model.partition("/")
        if provider in self._providers:
            return provider
        meant = {name for bare in _spellings(model) for name in self._bare.get(bare, ())}
        if len(meant) == 1:
            return meant.pop().partition("/")[0]
        return provider if slash else ""

    def _hint(self, model: str) -> str:
        if len(meant := self._bare.get(model, ())) > 1:
            return f" (which of {', '.join(meant)}?)"
        close = get_close_matches(model, self.models(), n=1, cutoff=0.8)
        return f" (did you mean {close[0]!r}?)" if close else ""

    def _stated(self, model: str) -> Price:
        setting = self._overrides[model]
        content = hashlib.sha256(setting.model_dump_json().encode()).hexdigest()[:8]
        return Price(
            id=f"company.yaml-{content}:{model}",
            model=model,
            input=_per_token(setting.input_per_million),
            output=_per_token(setting.output_per_million),
            cache_read=_per_token_or_none(setting.cache_read_per_million),
            cache_write=_per_token_or_none(setting.cache_write_per_million),
            currency=setting.currency,
            status=CostStatus(setting.status),
            max_input_tokens=None,
            max_output_tokens=None,
            tiers=(),
            valid_from=date.min,
            source="company.yaml: prices",
        )

    def _booked(self, model: str, at: datetime) -> Price:
        day = at.astimezone(UTC).date().isoformat()
        rows = self._rows[model]
        row = next((row for row in reversed(rows) if row["valid_from"] <= day), rows[0])
        source = self._sources[row["source"]]
        origin = f"{source['title']}, read {source['read']}"
        return Price(
            id=f"{self.id}:{model}@{row['valid_from']}",
            model=model,
            input=Decimal(row["input"]),
            output=Decimal(row["output"]),
            cache_read=_amount(row.get("cache_read")),
            cache_write=_amount(row.get("cache_write")),
            currency=self.currency,
            status=CostStatus.PAID,
            max_input_tokens=row.get("max_input_tokens"),
            max_output_tokens=row.get("max_output_tokens"),
            tiers=tuple(_tier(tier) for tier in row.get("tiers", ())),
            valid_from=date.fromisoformat(row["valid_from"]),
            source=f"{origin}, {row['page']}" if "page" in row else origin,
        )


def _canonical(model: str) -> str:
    provider, slash, name = model.partition("/")
    return f"{_PROVIDER_NAMES.get(provider, provider)}{slash}{name}"


def _spellings(model: str) -> Iterator[str]:
    yield model
    if dated := _DATED.match(model):
        yield dated["name"]


def _runs_here(model: str) -> bool:
    # Ollama serves models named `…-cloud` from its own machines, against a subscription.
    return model.partition("/")[0] in OWN_HARDWARE and not model.endswith(("-cloud", ":cloud"))


def _cache_rates(rates: Price | Tier) -> tuple[Decimal, Decimal]:
    """Return the read and write prices; a bucket without its own costs what input costs."""
    return (
        rates.input if rates.cache_read is None else rates.cache_read,
        rates.input if rates.cache_write is None else rates.cache_write,
    )


def _amount(text: str | None) -> Decimal | None:
    """Read a price; zero counts as not known."""
    amount = Decimal(text) if text is not None else None
    return amount if amount and amount > 0 else None


def _tier(row: Mapping[str, Any]) -> Tier:
    return Tier(
        above=row["above"],
        input=Decimal(row["input"]),
        output=Decimal(row["output"]),
        cache_read=_amount(row.get("cache_read")),
        cache_write=_amount(row.get("cache_write")),
    )


def _per_token(per_million: Decimal) -> Decimal:
    return per_million.scaleb(-6)


def _per_token_or_none(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else _per_token(per_million)
