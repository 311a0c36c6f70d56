"""What a model call costs: a dated book of prices per token, and the company's own additions.

The book is package data, `pricebook.json`, one line per model and date; reading it opens no
connection. A model without a row has no price and says so: it never costs zero. A company's own
dated books, `prices/*.json` in its home, are laid over it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_UP, Context, Decimal, Inexact, localcontext
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from swarm.core.errors import ConfigError, SwarmError
from swarm.core.money import CostStatus, Money
from swarm.core.usage import Usage
from swarm.core.usage_counts import (
    AUDIO_INPUT,
    CACHE_READ,
    CACHE_WRITE_1H,
    CACHE_WRITE_5M,
    INPUT,
    OUTPUT,
    TOOL_INPUT,
)
from swarm.ledger.price_documents import Header, Line, at_hours, price_of, read_book
from swarm.ledger.price_names import GATEWAYS, canonical, runs_here, spellings
from swarm.ledger.price_rates import (
    AUDIO_SECOND,
    RATE_FIELDS,
    Price,
    Rates,
    is_line,
    window_at,
)

BOOK = Path(__file__).with_name("pricebook.json")
FORMAT = 2
"""Version of the book's layout; a reader refuses any other but those it can read."""
_READABLE = (1, FORMAT)

UNSEEN_TOKENS = 512
"""Prompt tokens a provider may add that no request shows: its chat template and its own words
about tools (Anthropic's take about 350)."""

_EXACT = Context(prec=80, traps=[Inexact])
"""Sums and products of counts and rates fit in 80 digits; should one not, it fails loudly."""

_MAX_REMEMBERED = 4096
"""Names whose line is remembered; beyond it all are looked up again."""

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

    input_per_million: _PerMillion = Decimal(0)
    """Per 1,000,000 prompt tokens. To be stated, except where a minute of sound has a price."""
    output_per_million: _PerMillion = Decimal(0)
    """Per 1,000,000 generated tokens, reasoning included. As above."""
    audio_per_minute: Decimal | None = Field(default=None, ge=0, le=1_000, allow_inf_nan=False)
    """Per minute of sound that a model writes down; such a model is billed by nothing else."""
    cache_read_per_million: _PerMillion | None = None
    """Per 1,000,000 prompt tokens read from a cache; the input price where it is left out."""
    cache_write_per_million: _PerMillion | None = None
    """Per 1,000,000 prompt tokens written to a cache; the input price where it is left out."""
    cache_write_1h_per_million: _PerMillion | None = None
    """Per 1,000,000 prompt tokens written to a cache for an hour; where it is left out, the input
    price if no price of a cache write is named, else not known."""
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
            self.cache_write_1h_per_million,
        )
        if self.audio_per_minute is not None:
            if self.status == "paid" and self.audio_per_minute == 0:
                raise ValueError("a price of 0 needs `status: notional`: nothing paid is free")
            return self
        missing = {"input_per_million", "output_per_million"} - self.model_fields_set
        if missing:
            raise ValueError(f"{' and '.join(sorted(missing))}: to be stated")
        if self.status == "paid" and 0 in prices:
            raise ValueError("a price of 0 needs `status: notional`: nothing that is paid is free")
        return self


class PriceBook:
    """Prices by model and date. Immutable; one instance serves all orders."""

    def __init__(
        self,
        document: Mapping[str, Any],
        *,
        id: str,
        overrides: Mapping[str, PriceSetting],
        layers: Sequence[tuple[Mapping[str, Any], str]] = (),
    ) -> None:
        """Take a parsed book, and others to lay over it; `load` reads them.

        Of two lines for one model and day, that of the later book counts.

        Raises:
            ConfigError: The document is no book of `FORMAT`, or a stated price names no provider.
        """
        self.id = id
        self.currency = str(document.get("currency"))
        if bare := next((model for model in overrides if not all(model.partition("/"))), None):
            raise ConfigError(f"company.yaml: prices: {bare!r}: write it as provider/model")
        self._overrides = {canonical(model): setting for model, setting in overrides.items()}
        self._rows: dict[str, list[Line]] = {}
        self._aliases: dict[str, str] = {}
        for layer, name in ((document, id), *layers):
            self._add(layer, name)
        self.date = date.fromisoformat(document["date"])
        for rows in self._rows.values():
            if len(rows) > 1:
                rows.sort(key=lambda line: str(line.row["valid_from"]))
        self._known: dict[str, str | None] = {}
        self._prices: dict[tuple[str, str, str, int | None], Price] = {}

    def _add(self, document: Mapping[str, Any], id: str) -> None:
        if document.get("format") not in _READABLE or not isinstance(document.get("prices"), list):
            raise ConfigError(f"price book {id}: not a price book of format {FORMAT}")
        header = Header(id, str(document["currency"]), document["sources"])
        self._aliases |= document.get("aliases", {})
        for row in document["prices"]:
            # A line that lacks a price, or has it at zero, would let a call pass as free.
            if is_line(row):
                self._rows.setdefault(row["model"], []).append(Line(row, header))

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        overrides: Mapping[str, PriceSetting] | None = None,
        *,
        folder: Path | None = None,
    ) -> "PriceBook":
        """Read the book in the package, or another one, and lay the company's prices over it.

        Args:
            path: Another book than the package's.
            overrides: Prices of company.yaml; they win over every book.
            folder: Where the company's own books are, `*.json`; later names win. It may be missing.

        Raises:
            ConfigError: A file is missing or no price book, or a stated price names no provider;
                the text names which.
        """
        path = path or BOOK
        own = sorted(folder.glob("*.json")) if folder is not None else []
        (document, id), *layers = (read_book(book) for book in (path, *own))
        try:
            return cls(document, id=id, overrides=overrides or {}, layers=layers)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
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
        price = self.lookup(model, at=at)
        if price is None:
            model = canonical(model)
            raise UnknownPrice(model, self._hint(model))
        return price

    def lookup(self, model: str, *, at: datetime) -> Price | None:
        """Return the price of a model at a moment as `find` does, or None where there is none."""
        model = canonical(model)
        if model not in self._known:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[model] = self._resolved(model)
        known = self._known[model]
        if known in self._overrides:
            return self._stated(known)
        if runs_here(model):
            return self.own_hardware(model)
        return None if known is None else self._booked(known, at)

    def _resolved(self, model: str) -> str | None:
        """Return the name under which a model has a price; the company's own come first."""
        names = tuple(spellings(model))
        for name in names:
            if own := self._qualified(name, self._overrides):
                return own
        for name in names:
            if known := self._qualified(name, self._rows) or self._aliased(name):
                return known
        return None

    def _aliased(self, name: str) -> str | None:
        target = self._aliases.get(name)
        if target is None and name.partition("/")[0] not in self._providers:
            targets = {self._aliases[alias] for alias in self._bare_aliases.get(name, ())}
            target = targets.pop() if len(targets) == 1 else None
        return target if target in self._rows else None

    def find_answer(self, *, asked: str, answered: str, at: datetime) -> Price:
        """Return the price of the model that answered, which is the one that bills.

        A gateway names the answering model in its own words (`openai/gpt-oss-120b` at Groq), so
        that name is read as one of the asked provider's; other lists say nothing of its bill.

        Raises:
            UnknownPrice: No line covers the model that answered.
        """
        return self.find(self.answering(asked=asked, answered=answered), at=at)

    def answering(self, *, asked: str, answered: str) -> str:
        """Return the name of the model that answered, with the provider that was asked."""
        asked, answered = canonical(asked), canonical(answered)
        provider = self.provider_of(asked)
        if provider and not answered.startswith(f"{provider}/"):
            return f"{provider}/{answered}"
        return answered

    def own_hardware(self, model: str) -> Price:
        """Return the price of a model that runs on the company's own machine: none, notional."""
        nothing: dict[str, Any] = dict.fromkeys(RATE_FIELDS, Decimal(0))
        return Price(
            id=f"own-hardware:{model}",
            model=model,
            currency=self.currency,
            status=CostStatus.NOTIONAL,
            is_free_of_services=True,
            valid_from=self.date,
            source="runs on your own hardware",
            **nothing,
        )

    def cost(self, usage: Usage, price: Price) -> Money:
        """Price what a call used, exactly, at the tier its whole prompt reaches.

        Raises:
            ValueError: A count is below zero, which would turn a cost into a refund, or the line
                has no price for a bucket with tokens in it.
        """
        counts = {
            INPUT: usage.input_tokens,
            CACHE_READ: usage.cache_read_tokens,
            CACHE_WRITE_5M: usage.cache_write_tokens,
            CACHE_WRITE_1H: usage.cache_write_1h_tokens,
            AUDIO_INPUT: usage.audio_tokens,
            TOOL_INPUT: usage.tool_tokens,
            OUTPUT: usage.output_tokens,
        }
        if min(counts.values()) < 0:
            raise ValueError(f"a usage with a count below zero: {usage}")
        rates = price.rates(usage.prompt_tokens)
        total = Decimal(0)
        with localcontext(_EXACT):
            for bucket, tokens in counts.items():
                rate = price.rate(bucket, rates) if tokens else Decimal(0)
                if rate is None:
                    raise ValueError(f"{price.id} has no price for {bucket}")
                total += tokens * rate
        return Money(total, price.currency)

    def worst_case(
        self, price: Price, *, prompt_bytes: int, max_output_tokens: int, has_sound: bool = True
    ) -> Money:
        """Bound the cost of a call from above before it is made.

        A byte is at most one token in every byte-level tokenizer, so bytes bound tokens. The
        dearest of the prompt's rates is taken, over all that the provider may bill it as: read
        from a cache or written to one for an hour, at every size of prompt, in every service tier
        and region, at every hour.

        Args:
            price: The line `find` returned for the model to be asked.
            prompt_bytes: Of the whole request as sent: messages, tools and schema, in UTF-8.
            max_output_tokens: The most the answer may have, reasoning included.
            has_sound: Whether the prompt or the answer may hold sound, which costs more.

        Raises:
            UnknownPrice: The model only writes down sound, and is billed by its length.
        """
        if price.is_by_second:
            raise UnknownPrice(price.model, " by tokens: it only writes down sound")
        prompt_tokens = prompt_bytes + UNSEEN_TOKENS
        tables = price.tables(prompt_tokens)
        heard = ("audio_input", "audio_cache_read") if has_sound else ()
        spoken = ("audio_output", "image_output") if has_sound else ()
        prompt = ("input", "cache_read", "cache_write", "cache_write_1h", *heard)
        factor = max((Decimal(1), *price.regions.values()))
        with localcontext(_EXACT):
            dearest = _dearest(tables, prompt) * factor
            answer = _dearest(tables, ("output", "reasoning", *spoken)) * factor
            return Money(prompt_tokens * dearest + max_output_tokens * answer, price.currency)

    def models(self) -> list[str]:
        """Return the provider-qualified names that have a price, sorted."""
        return sorted({*self._rows, *self._overrides})

    def lines(self, model: str) -> list[Mapping[str, Any]]:
        """Return the dated lines of a model as the books have them, oldest first."""
        return [line.row for line in self._rows.get(model, ())]

    def aliases_of(self, model: str) -> list[str]:
        """Return the other names of a model, sorted."""
        return sorted(alias for alias, meant in self._aliases.items() if meant == model)

    def provider_of(self, model: str) -> str:
        """Return the first part of a model's full name, or nothing where no provider is known."""
        provider, slash, _ = model.partition("/")
        if provider in self._providers:
            return provider
        meant = {name for bare in spellings(model) for name in self._bare.get(bare, ())}
        if len(meant) == 1:
            return meant.pop().partition("/")[0]
        return provider if slash else ""

    @cached_property
    def _bare(self) -> Mapping[str, tuple[str, ...]]:
        """Bare names, each with the qualified ones it may mean."""
        return _by_bare_name({*self._rows, *self._overrides})

    @cached_property
    def _bare_aliases(self) -> Mapping[str, tuple[str, ...]]:
        # Gateways have everybody's models; a bare name is its maker's.
        makers = (a for a in self._aliases if a.partition("/")[0] not in GATEWAYS)
        return _by_bare_name(makers)

    @cached_property
    def _providers(self) -> frozenset[str]:
        return frozenset(name.partition("/")[0] for name in (*self._rows, *self._overrides))

    def _qualified(self, name: str, lines: Mapping[str, object]) -> str | None:
        if name in lines:
            return name
        if name.partition("/")[0] in self._providers:
            # `openai/gpt-oss-120b` asks OpenAI, even though only others have a price for it.
            return None
        meant = self._bare.get(name, ())
        return meant[0] if len(meant) == 1 and meant[0] in lines else None

    def _hint(self, model: str) -> str:
        if len(meant := self._bare.get(model, ())) > 1:
            return f" (which of {', '.join(meant)}?)"
        close = get_close_matches(model, self.models(), n=1, cutoff=0.8)
        return f" (did you mean {close[0]!r}?)" if close else ""

    def _stated(self, model: str) -> Price:
        setting = self._overrides[model]
        content = hashlib.sha256(setting.model_dump_json().encode()).hexdigest()[:8]
        fresh, answer = (
            _per_token(setting.input_per_million),
            _per_token(setting.output_per_million),
        )
        write, long = setting.cache_write_per_million, setting.cache_write_1h_per_million
        return Price(
            id=f"company.yaml-{content}:{model}",
            model=model,
            input=fresh,
            output=answer,
            cache_read=_per_token_or_none(setting.cache_read_per_million),
            cache_write=_per_token_or_none(write),
            cache_write_1h=fresh if write is None and long is None else _per_token_or_none(long),
            audio_input=fresh,
            audio_output=answer,
            image_output=answer,
            units=_per_second(setting.audio_per_minute),
            currency=setting.currency,
            status=CostStatus(setting.status),
            is_free_of_services=True,
            valid_from=date.min,
            source="company.yaml: prices",
        )

    def _booked(self, model: str, at: datetime) -> Price | None:
        day = at.astimezone(UTC).date().isoformat()
        lines = self._rows[model]
        line = next((item for item in reversed(lines) if item.row["valid_from"] <= day), lines[0])
        if line.row.get("valid_until", "9999-12-31") <= day:
            return None
        window = window_at(line.row, at)
        key = (line.book.id, model, line.row["valid_from"], window)
        if key not in self._prices:
            price = price_of(line)
            for index, rates in enumerate(price.other_hours if window is not None else ()):
                if index == window:
                    price = at_hours(price, rates, index)
            self._prices[key] = price
        return self._prices[key]


def _by_bare_name(names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    bare: dict[str, list[str]] = {}
    for name in sorted(names):
        bare.setdefault(name.partition("/")[2], []).append(name)
    return MappingProxyType({name: tuple(known) for name, known in bare.items()})


def _dearest(tables: Sequence[Rates], names: Sequence[str]) -> Decimal:
    """Return the highest rate of several kinds in several tables; unknown ones do not count."""

    def rates() -> Iterator[Decimal]:
        for table in tables:
            for name in names:
                rate = getattr(table, name)
                if rate is not None:
                    yield rate

    return max(rates())


def _per_second(per_minute: Decimal | None) -> Mapping[str, Decimal]:
    """Return the price of a second of sound, rounded up where a minute does not divide evenly."""
    if per_minute is None:
        return {}
    with localcontext() as context:
        context.prec = 60
        return {AUDIO_SECOND: (per_minute / 60).quantize(Decimal("1e-15"), ROUND_UP)}


def _per_token(per_million: Decimal) -> Decimal:
    return per_million.scaleb(-6)


def _per_token_or_none(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else _per_token(per_million)
