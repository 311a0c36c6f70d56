"""What of the company's memory enters a prompt: little, as data where it must be, and on the books."""

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Protocol

from swarm.core.mark import CLEAN, Mark
from swarm.core.origin import Origin
from swarm.ledger.book import CallKey
from swarm.ledger.effects import Actor, EffectBook, EffectRecord
from swarm.memory.base import PLAIN, Detail, Memory, Scope, Viewer
from swarm.memory.shown import render
from swarm.runtime.noted import is_note

MAX_TOKENS = 1_200
"""Most that memory brings into one prompt."""
MAX_ITEMS = 5
BEFORE = -1
"""The step under which a recall stands in the books: before the first call of its node."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was recalled for one prompt."""

    lines: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    mark: Mark = CLEAN


NOTHING = Remembered()


def of_customer(customer: str | None) -> Detail:
    """Return whom a memory of an order belongs to: its one customer, or the company."""
    return PLAIN if customer is None else Detail(Scope.CUSTOMER, customer)


class Recaller(Protocol):
    """Bring what is remembered into a prompt."""

    async def recall(
        self, query: str, viewer: Viewer, *, language: str | None, but_of: str, node: str
    ) -> Remembered:
        """Look up what is nearest to a text, without what the order itself left there.

        Args:
            query: The order or the brief.
            viewer: For whom; it sees no other customer's.
            language: ISO 639-1 code in which ages are written.
            but_of: The order whose own memories are left out.
            node: For whose prompt.
        """


class MemoryRecaller:
    """Recall from the company's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(
        self, query: str, viewer: Viewer, *, language: str | None, but_of: str, node: str
    ) -> Remembered:
        """Look up what is nearest to a text, without what the order itself left there."""
        found = await asyncio.to_thread(
            self._memory.recall,
            query,
            limit=MAX_ITEMS,
            viewer=viewer,
            max_tokens=MAX_TOKENS,
            language=language,
        )
        items = [item for item in found if item.order_id != but_of]
        mark = CLEAN
        for item in items:
            mark = mark.after(item.reads_as, is_private=True)
        text = render(items, language=language or "en")
        return Remembered((text,) if text else (), tuple(item.id for item in items), mark)


async def recall_once(
    recaller: Recaller,
    query: str,
    viewer: Viewer,
    *,
    language: str | None,
    books: EffectBook,
    key: CallKey,
    actor: Actor,
    said: tuple[str, ...] = (),
) -> Remembered:
    """Recall for a node, or return what was recalled for it before: a second run sees the same.

    What people `said` of the order meanwhile stands beside it, and is kept with it.
    """
    known = await books.result(key, 0)
    if known is not None:
        stored = json.loads(known)
        is_private = bool(stored["ids"])
        mark = Mark(origins=tuple(map(Origin, stored["origins"])), is_private=is_private)
        return Remembered(tuple(stored["lines"]), tuple(stored["ids"]), mark)
    found = await recaller.recall(
        query, viewer, language=language, but_of=key.order_id, node=key.node
    )
    if not any(map(is_note, found.lines)):
        # Of an order that is played again, they are among what was recalled.
        found = replace(found, lines=(*found.lines, *said))
    if not found.ids and not found.lines:
        return NOTHING
    result = {"lines": found.lines, "ids": found.ids, "origins": found.mark.origins}
    record = EffectRecord(
        position=0,
        tool="recall",
        arguments=json.dumps({"ids": found.ids}),
        decision="allow",
        rule="memory for the prompt",
        result=json.dumps(result, ensure_ascii=False),
    )
    await books.write(key, [record], actor)
    return found
