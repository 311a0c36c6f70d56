"""A call that is out comes to its end on the books, though its run is given up meanwhile."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import Transient
from swarm.ledger.book import Book, CallKey
from swarm.ledger.metered import Metered, ModelAccess
from swarm.ledger.prices import PriceBook
from swarm.llm.base import Capabilities, LLMConfig
from swarm.llm.fake import answer
from swarm.store.database import Store
from swarm.store.tables import ledger
from tests.ledger.test_metered_costs import CALLER, GPT, ORDER, Noon, prepared, store

__all__ = ["prepared", "store"]

REQUEST = ModelRequest(GPT, ({"role": "user", "content": "-"},), max_output_tokens=100)
KEY = CallKey(ORDER, "frame/0", 0)


class Held:
    """A provider that answers when it is let."""

    def __init__(self, *, error: Transient | None = None) -> None:
        self.asked = asyncio.Event()
        self.let = asyncio.Event()
        self.count = 0
        self._error = error

    async def complete(self, request: ModelRequest, **_: float) -> RawAnswer:
        self.count += 1
        self.asked.set()
        await self.let.wait()
        if self._error is not None:
            raise self._error
        return answer("ok", usage=None, model=request.model)

    def capabilities(self, _: str) -> Capabilities:
        return Capabilities(native_tools=True, native_schema=True, max_output_tokens=100)

    async def close(self) -> None:
        return None


def metered_of(store: Store, llm: Held) -> Metered:
    return Metered(
        book=Book(store=store, clock=Noon(), currency="USD", rates={}, day_limit=Decimal(50)),
        prices=PriceBook.load(),
        access=lambda _: ModelAccess(llm, is_own_hardware=False),
        config=LLMConfig(max_attempts=1),
        clock=Noon(),
        currency="USD",
    )


def rows_of(store: Store) -> list[Any]:
    query = sa.select(ledger.c.state, ledger.c.error_kind).order_by(ledger.c.id)
    return store.read(lambda c: [tuple(row) for row in c.execute(query)])


async def given_up(metered: Metered, llm: Held) -> None:
    """Begin a call, and give up the run that waits for it."""
    run = asyncio.create_task(metered.call(KEY, REQUEST, CALLER))
    await llm.asked.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_the_answer_of_a_run_that_was_given_up_is_kept_and_not_asked_for_again(
    store: Store,
) -> None:
    llm = Held()
    metered = metered_of(store, llm)
    await given_up(metered, llm)
    heir = metered_of(store, llm)
    llm.let.set()
    await metered.drain(5)
    assert rows_of(store) == [("used", None)]
    assert (await heir.call(KEY, REQUEST, CALLER)).body == answer("ok", usage=None, model=GPT).body
    assert llm.count == 1


async def test_the_failure_of_a_run_that_was_given_up_is_written_down(store: Store) -> None:
    llm = Held(error=Transient("gone", kind="connection", is_billed_unknown=True))
    metered = metered_of(store, llm)
    await given_up(metered, llm)
    llm.let.set()
    await metered.drain(5)
    assert rows_of(store) == [("failed", "connection")]


async def test_a_stop_waits_no_longer_than_it_is_told(store: Store) -> None:
    llm = Held()
    metered = metered_of(store, llm)
    run = asyncio.create_task(metered.call(KEY, REQUEST, CALLER))
    await llm.asked.wait()
    await asyncio.wait_for(metered.drain(0.01), 5)
    with pytest.raises(asyncio.CancelledError):
        await run
    assert rows_of(store) == [("intent", None)]
