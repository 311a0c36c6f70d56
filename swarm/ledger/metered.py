"""The only way to a model: reserve, write the intent, call, charge, and only then let it be read.

A call is known by (order, node, seq). Its answer is stored with the charge; asked again, the
stored answer is returned and no provider hears of it.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.clock import Clock
from swarm.core.errors import BadAnswer, ModelError, SwarmError, Transient
from swarm.core.money import CostStatus
from swarm.ledger.book import Attempt, Book, Caller, CallKey, Charge, Quote, canonical, digest_of
from swarm.ledger.prices import Price, PriceBook, UnknownPrice
from swarm.llm.base import LLM, LLMConfig


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Which adapter serves a model, and whether it may be asked without a price."""

    llm: LLM
    is_own_hardware: bool


class Metered:
    """Ask models, with every attempt on the books."""

    def __init__(
        self,
        *,
        book: Book,
        prices: PriceBook,
        access: Callable[[str], ModelAccess],
        config: LLMConfig,
        clock: Clock,
        currency: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._book = book
        self._prices = prices
        self._access = access
        self._config = config
        self._clock = clock
        self._currency = currency
        self._jitter = jitter
        self._in_flight = 0
        self._quiet = asyncio.Event()
        self._is_closing = False

    def access(self, model: str) -> ModelAccess:
        """Return the adapter of a model and what is allowed with it."""
        return self._access(model)

    async def call(self, key: CallKey, request: ModelRequest, caller: Caller) -> RawAnswer:
        """Return the answer to `request`, from the ledger if this call was ever answered.

        Raises:
            LimitExceeded: A budget does not cover the worst case; nothing was asked.
            Transient: All tries failed, with the fallback model's too.
            Refused, BadAnswer: As the adapter says.
            UnknownPrice: The model has no price and the founder has not allowed that.
            Cancelled: The order was cancelled, or another worker owns it now.
        """
        fallback = self._config.fallback
        try:
            return await self._call_model(key, request, caller)
        except Transient:
            if not fallback or fallback == request.model:
                raise
        return await self._call_model(key, replace(request, model=fallback), caller)

    async def drain(self, grace_s: float) -> None:
        """Start no more calls, and let those in flight end, at most for `grace_s` seconds.

        A call that is cut off is an intent without an answer: paid for, perhaps, and lost.
        """
        self._is_closing = True
        if self._in_flight:
            self._quiet.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), grace_s)

    async def _call_model(self, key: CallKey, request: ModelRequest, caller: Caller) -> RawAnswer:
        text = canonical(request)
        quote = self._quote(request, text)
        for tries in range(1, self._config.max_attempts + 1):
            if self._is_closing:
                # The process ends; the next one takes this call up from its intent.
                await asyncio.Event().wait()
            opened = await self._book.open(
                key, request, caller, quote=quote, digest=digest_of(text)
            )
            if isinstance(opened, RawAnswer):
                return opened
            self._in_flight += 1
            try:
                answer = await self._ask(request)
                return await self._book.settle(opened, answer, self._charge(opened, answer))
            except Transient as error:
                await self._book.fail(opened, error)
                pause = self._pause(error, tries)
                if pause is None:
                    raise
            except ModelError as error:
                await self._book.fail(opened, error)
                raise
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._quiet.set()
            await asyncio.sleep(pause)
        raise AssertionError("the last try raises or returns")

    async def _ask(self, request: ModelRequest) -> RawAnswer:
        try:
            return await self._access(request.model).llm.complete(
                request,
                timeout_s=self._config.timeout_s,
                idle_timeout_s=self._config.idle_timeout_s,
            )
        except SwarmError as error:
            if isinstance(error, ModelError):
                raise
            raise BadAnswer(str(error), kind="adapter") from error

    def _quote(self, request: ModelRequest, text: str) -> Quote:
        """Bound the price of the call from above; bytes bound the tokens of any tokenizer."""
        try:
            price = self._prices.find(request.model, at=self._clock.now())
        except UnknownPrice:
            if self._access(request.model).is_own_hardware or self._config.allow_unpriced:
                return Quote(price=None, worst=Decimal(0), currency=self._currency)
            raise
        worst = self._prices.worst_case(
            price, prompt_bytes=len(text.encode()), max_output_tokens=request.max_output_tokens
        )
        in_company = self._book.to_company(worst.amount, worst.currency)
        return Quote(price=price, worst=in_company, currency=price.currency)

    def _charge(self, attempt: Attempt, answer: RawAnswer) -> Charge:
        if answer.reported_cost is not None:
            reported = _decimal(answer.reported_cost)
            if reported is not None:
                return Charge(reported, "USD", CostStatus.PAID, "reported by the provider")
        price = self._price_of_answer(attempt, answer)
        if answer.usage is None or price is None:
            return Charge.unknown(attempt.quote.currency)
        cost = self._prices.cost(answer.usage, price)
        return Charge(cost.amount, cost.currency, price.status, price.id)

    def _price_of_answer(self, attempt: Attempt, answer: RawAnswer) -> Price | None:
        """Return the row of the model that answered, which is the one that bills."""
        if answer.model == attempt.model:
            return attempt.quote.price
        try:
            return self._prices.find_answer(
                asked=attempt.model, answered=answer.model, at=self._clock.now()
            )
        except UnknownPrice:
            # An alias the book does not list: the asked model's row is the nearest.
            return attempt.quote.price

    def _pause(self, error: Transient, tries: int) -> float | None:
        """Return how long to wait before the next try, or None to give up."""
        if tries >= self._config.max_attempts:
            return None
        if error.retry_after_s is not None:
            too_long = error.retry_after_s > self._config.max_backoff_s
            return None if too_long else error.retry_after_s
        ceiling: float = min(
            self._config.backoff_s * 2.0 ** (tries - 1), self._config.max_backoff_s
        )
        return ceiling * (0.5 + self._jitter() / 2)


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and value >= 0 else None
