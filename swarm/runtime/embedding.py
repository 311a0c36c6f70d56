"""Vectors for memories, paid for by the order that recalls them."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from swarm.core.errors import ConfigError, LimitExceeded, Refused
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.metered import Metered
from swarm.ledger.prices import UnknownPrice
from swarm.llm.vectors import read_vectors, vectors_request


@dataclass(frozen=True, slots=True)
class _Payer:
    order_id: str
    node: str
    caller: Caller
    loop: asyncio.AbstractEventLoop


_PAYER: ContextVar[_Payer | None] = ContextVar("swarm_embedding_payer", default=None)


@contextmanager
def paid_by(order_id: str, node: str, caller: Caller) -> Iterator[None]:
    """Let what is recalled inside ask for vectors on an order's account."""
    payer = _Payer(order_id, node, caller, asyncio.get_running_loop())
    token = _PAYER.set(payer)
    try:
        yield
    finally:
        _PAYER.reset(token)


def digest_of(model: str, texts: Sequence[str]) -> str:
    """Return what names a call for vectors of these texts."""
    return hashlib.sha256("\0".join((model, *texts)).encode()).hexdigest()[:16]


async def ask_again(metered: Metered, model: str, texts: Sequence[str], *, digest: str) -> None:
    """Make a call for vectors once more, for whoever pays here, under the name that it had.

    Raises:
        As `Metered.call` does.
    """
    payer = _PAYER.get()
    if payer is not None:
        key = CallKey(payer.order_id, f"{payer.node}/embed/{digest}", 0)
        await metered.call(key, vectors_request(model, texts), payer.caller)


class MeteredEmbedder:
    """Turn texts into vectors by a metered model call.

    Memory works in threads; the call itself is made on the loop of the order, as all others.
    """

    def __init__(self, model: str, metered: Callable[[], Metered]) -> None:
        self.model = model
        self._metered = metered

    @property
    def is_paid(self) -> bool:
        """Whether an order pays for a call made here and now."""
        return _PAYER.get() is not None

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector for each text. Called from a thread, never from the order's loop.

        Raises:
            ModelError: No vectors now: the provider failed, no order pays, or its budget is spent.
            Cancelled: The order stopped.
        """
        payer = _PAYER.get()
        if payer is None:
            raise Refused("no order pays for vectors here", kind="unpaid")
        # Named by what is asked, so that a second run over other memories is another call.
        key = CallKey(payer.order_id, f"{payer.node}/embed/{digest_of(self.model, texts)}", 0)
        request = vectors_request(self.model, texts)
        call = self._metered().call(key, request, payer.caller)
        try:
            answer = asyncio.run_coroutine_threadsafe(call, payer.loop).result()
        except (LimitExceeded, UnknownPrice, ConfigError) as error:
            # Recall is a help, no duty: the order's own next call meets the limit by itself.
            raise Refused(str(error), kind="budget") from error
        return read_vectors(answer, count=len(texts))
