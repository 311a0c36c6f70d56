"""The only way to a model: reserve, write the intent, call, charge, and only then let it be read.

A call is known by (order, node, seq). Its answer is stored with the charge; asked again, the
stored answer is returned and no provider hears of it.
"""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.clock import Clock
from swarm.core.errors import BadAnswer, ModelError, SwarmError, Transient
from swarm.core.lane import LANE, lane_of
from swarm.core.usage_counts import amount
from swarm.core.usage_reading import has_known_shape
from swarm.ledger.book import Attempt, Book, Caller, CallKey, Charge, Quote, canonical
from swarm.ledger.prices import PriceBook, UnknownPrice
from swarm.ledger.pricing import price_usage
from swarm.ledger.usage_estimate import estimated_parts
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
        self._calls: set[asyncio.Task[RawAnswer]] = set()
        """Those that are out, and those whose answer is being stored."""
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
        if not self._calls:
            return
        _, late = await asyncio.wait(self._calls, timeout=grace_s)
        for call in late:
            call.cancel()
        if late:
            await asyncio.wait(late)

    async def _call_model(self, key: CallKey, request: ModelRequest, caller: Caller) -> RawAnswer:
        LANE.set(lane_of(key.order_id, key.node, key.seq))
        text = canonical(request)
        quote = self._quote(request, text)
        for tries in range(1, self._config.max_attempts + 1):
            if self._is_closing:
                # The process ends; the next one takes this call up from its intent.
                await asyncio.Event().wait()
            opened = await self._book.open(key, request, caller, quote=quote, text=text)
            if isinstance(opened, RawAnswer):
                return opened
            await self._turn(request)
            try:
                return await self._kept(self._answered(opened, request))
            except Transient as error:
                pause = self._pause(error, tries)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the last try raises or returns")

    async def _turn(self, request: ModelRequest) -> None:
        """Wait until the call may begin; a run that is given up meanwhile makes none."""

    async def _kept(self, work: Coroutine[Any, Any, RawAnswer]) -> RawAnswer:
        """Let a call come to its end though nobody waits for it any more: it is paid for.

        A run is given up where its worker lost the database for long, say. What its call comes to
        is on the books all the same, and whoever goes on with the order finds it there.
        """
        call = asyncio.get_running_loop().create_task(work)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.shield(call)

    async def _answered(self, attempt: Attempt, request: ModelRequest) -> RawAnswer:
        """Ask, and write down what comes of it."""
        try:
            answer = await self._ask(request)
            return await self._book.settle(attempt, answer, self._charge(attempt, answer))
        except ModelError as error:
            await self._book.fail(attempt, error)
            raise

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
        if not self._book.binds(price.status):
            return Quote(price=price, worst=Decimal(0), currency=price.currency)
        worst = self._prices.worst_case(
            price,
            prompt_bytes=len(text.encode()),
            max_output_tokens=request.max_output_tokens,
            has_sound=_has_more_than_text(request),
        )
        in_company = self._book.to_company(worst.amount, worst.currency)
        return Quote(price=price, worst=in_company, currency=price.currency)

    def _charge(self, attempt: Attempt, answer: RawAnswer) -> Charge:
        """Price an answer by the model that gave it, as of the moment it was asked for."""
        tier = answer.body.get("service_tier")
        model = self._billing_model(attempt, answer)
        provider = self._prices.provider_of(model)
        call = price_usage(
            self._prices,
            provider=provider,
            model=model,
            usage=_told(answer),
            at=attempt.started_at,
            tier=tier if isinstance(tier, str) else None,
            reported=amount(answer.reported_cost),
            asked=attempt.model,
        )
        parts = [part.as_json() for part in call.parts]
        if not parts:
            parts = estimated_parts(
                attempt.quote.price, prompt_bytes=attempt.prompt_bytes, answer=answer
            )
        return Charge(
            amount=call.amount or Decimal(0),
            currency=call.currency if call.amount is not None else attempt.quote.currency,
            status=call.status,
            price_id=call.price_id,
            usage=call.usage,
            provider=provider or None,
            service_tier=call.service_tier,
            parts=json.dumps(parts) if parts else None,
            listed=call.listed,
            listed_currency=call.listed_currency or call.currency,
        )

    def _billing_model(self, attempt: Attempt, answer: RawAnswer) -> str:
        """Return the name of the model that answered, which is the one that bills.

        Where the book does not list it, it is taken for an alias: the asked model is the nearest.
        """
        if answer.model == attempt.model:
            return attempt.model
        name = self._prices.answering(asked=attempt.model, answered=answer.model)
        is_listed = self._prices.lookup(name, at=attempt.started_at) is not None
        return name if is_listed else attempt.model

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


def _told(answer: RawAnswer) -> Mapping[str, Any]:
    """Return what an answer says of its usage: in the provider's words, or in the adapter's count.

    An adapter that reads a provider's words for us is believed where we do not know them.
    """
    counted = answer.usage
    if counted is None or has_known_shape(answer.raw_usage):
        return answer.raw_usage
    written = counted.cache_write_tokens + counted.cache_write_1h_tokens
    return {
        "input_tokens": counted.input_tokens + counted.audio_tokens + counted.tool_tokens,
        "cache_read_input_tokens": counted.cache_read_tokens,
        "cache_creation_input_tokens": written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counted.cache_write_tokens,
            "ephemeral_1h_input_tokens": counted.cache_write_1h_tokens,
        },
        "output_tokens": counted.output_tokens,
        "output_tokens_details": {"thinking_tokens": counted.reasoning_tokens},
    }


def _has_more_than_text(request: ModelRequest) -> bool:
    """Say whether a prompt holds anything but text, which may cost more by the token."""
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, list) and any(
            not isinstance(part, dict) or part.get("type") != "text" for part in content
        ):
            return True
    return False
