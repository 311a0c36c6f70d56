"""Play a recorded order again: the app as in production, with a stage for a world.

Stable for callers: `replay(cassette, home, ...) -> Replay`. All further arguments have defaults that
play strictly: nothing is asked live, nothing is put in, nothing is watched.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from swarm.app import App, Stage
from swarm.core.clock import parse_iso
from swarm.core.document import OrderDocument
from swarm.core.message import InboundMessage
from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.evals import comparing
from swarm.evals.cassette import Cassette, Entry, check_playable
from swarm.evals.digests import ledger_digest, row_digest, used_digest
from swarm.evals.following import Follower, open_asks
from swarm.evals.homes import StatusLook, fleeting_store
from swarm.evals.house import House
from swarm.evals.serving import Counter
from swarm.evals.sockets import SocketRefused, no_sockets
from swarm.evals.spoken import hear_again
from swarm.evals.stage import (
    RecordedBaselines,
    RecordedTools,
    ReplayClock,
    ReplayIds,
)
from swarm.evals.surroundings import (
    LiveModels,
    digests_of,
    environment_of,
    is_own,
    models_of,
    prices_of,
    write_home,
)
from swarm.evals.vectors import recaller_of
from swarm.evals.words import answer_with
from swarm.ledger.baseline.frozen import BaselineBook
from swarm.ledger.book import USED
from swarm.llm.cassette import Miss, RecordedCall, Watch, shown
from swarm.runtime.intake import Wish
from swarm.runtime.recalling import BEFORE
from swarm.store.prepared import Prepared
from swarm.store.tables import effects, ledger, outbox

__all__ = ["Replay", "SocketRefused", "no_sockets", "replay"]

T = TypeVar("T")

LOOK_S = 0.004
STUCK_S = 120.0
"""How long an order may stay without a halt; nothing in a replay waits for anybody."""
SAME, DIFFERS, STOPPED = "same", "differs", "stopped"


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of playing one cassette."""

    order: str
    status: str
    """How the order ended now."""
    recorded_status: str
    calls: int
    misses: list[Miss]
    leftover: list[str]
    ledger_sha256: str
    recorded_ledger_sha256: str
    document: OrderDocument
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the deliverables, by path."""
    messages: list[dict[str, str]] = field(default_factory=list)
    """What the company sent: `key`, `kind`, `text`."""
    faults: int = 0
    """How many faults were put in and met."""
    unused_faults: int = 0
    is_stopped: bool = False
    """Whether a person stopped it before its end."""
    stopped_before: str | None = None
    """The call that a person stopped it before: its number and its place."""
    replaced: list[Miss] = field(default_factory=list)
    """What was asked live, since the recording had it otherwise."""

    @property
    def is_same(self) -> bool:
        """Whether all came out as it was recorded.

        With faults put in, the ledger holds the failed attempts beside the recorded ones; all else
        must be as recorded.
        """
        return (
            not self.misses
            and not self.leftover
            and not self.is_stopped
            and not self.unused_faults
            and self.status == self.recorded_status
            and self.ledger_sha256 == self.recorded_ledger_sha256
        )

    @property
    def verdict(self) -> str:
        """Return `same`, `differs` or `stopped`."""
        return STOPPED if self.is_stopped else SAME if self.is_same else DIFFERS

    def as_document(self) -> dict[str, Any]:
        """Return it as programs read it; the same for two replays of one cassette."""
        return {
            "order": self.order,
            "status": self.verdict,
            "ended": self.status,
            "recorded": self.recorded_status,
            "calls": self.calls,
            "misses": [asdict(miss) for miss in self.misses],
            "leftover": self.leftover,
            "faults": self.faults,
            "stopped_before": self.stopped_before,
            "ledger_sha256": self.ledger_sha256,
            "recorded_ledger_sha256": self.recorded_ledger_sha256,
            "files": self.files,
            "messages": self.messages,
            "receipt": self.document.receipt.model_dump(mode="json"),
        }


async def replay(
    cassette: Cassette,
    home: Path,
    *,
    has_live_tools: bool = False,
    put_in: Mapping[int, Sequence[str]] | None = None,
    watch: Watch | None = None,
    live: LiveModels | None = None,
    look: Callable[[App], None] | None = None,
    house: House | None = None,
) -> Replay:
    """Play a cassette in an empty folder.

    Args:
        cassette: What was recorded.
        home: Becomes the company's home; role files that lie in it already count before the
            cassette's own.
        has_live_tools: Run commands and look at pages for real.
        put_in: Faults of the provider before recorded calls; see `faults.parse`.
        watch: Sees each call before it is served, and may stop there.
        live: Answers the calls that are not recorded; what it answered is in the replay's ledger.
        look: Is given the app when all is over, before its home is let go.
        house: Lends its database and its engine; `home` is its fresh home. Without one, both are
            made for this order alone.

    Raises:
        InvalidInput: The cassette's settings or prices are none of this version's, or it was
            imported and holds no order.
    """
    check_playable(cassette)
    player = _Player(
        cassette,
        home,
        has_live_tools=has_live_tools,
        put_in=put_in or {},
        watch=watch,
        live=live,
        house=house,
    )
    try:
        played = await player.play()
        if look is not None:
            look(player.app)
        return played
    finally:
        player.app.close()


class _Player:
    """One order on its stage."""

    def __init__(
        self,
        cassette: Cassette,
        home: Path,
        *,
        has_live_tools: bool,
        put_in: Mapping[int, Sequence[str]],
        watch: Watch | None,
        live: LiveModels | None,
        house: House | None,
    ) -> None:
        self._cassette = cassette
        self._house = house
        manifest = cassette.manifest
        self._order_id: str = manifest.order["id"]
        self._clock = ReplayClock(parse_iso(manifest.order["created_at"]))
        handed = manifest.customer.handover if manifest.customer else None
        handover = handed.id if handed else ""
        ids = ReplayIds(self._order_id, manifest.asks, handover=handover)
        self._follower = Follower(cassette, self._clock)
        self._tools = RecordedTools(cassette)
        self._tools.hold = self._follower.hold if self._follower.is_needed else None
        self._put_in = put_in
        calls = len(cassette.lane("model"))
        self._beyond = sum(len(names) for number, names in put_in.items() if number > calls)
        """Faults before calls that the recording does not have."""
        self._llm = models_of(
            cassette,
            self._clock,
            put_in,
            None if watch is None else self._noting(watch),
            live,
            self._follower,
        )
        self._words = [] if self._follower.is_needed else cassette.lane("founder")
        self._missed: list[Miss] = []
        self._stopped_before: str | None = None
        environment = environment_of(cassette, home)
        write_home(home, cassette, is_in_house=house is not None)
        self.app = App(
            environment,
            clock=self._clock,
            ids=ids,
            stage=Stage(
                llm=self._llm,
                is_own_hardware=lambda model: is_own(cassette, model, live),
                recaller=recaller_of(cassette, lambda: self.app.company.metered),
                wrap=self._tools.wrap_foreign if has_live_tools else self._tools.wrap,
                new_nonce=ids.nonce,
                prices=prices_of(cassette, environment.settings, live),
                baselines=lambda book: cast(BaselineBook, RecordedBaselines(book, cassette)),
                mcp_tools=frozenset(manifest.mcp.offered),
                has_sandbox=has_live_tools,
                open_store=house.open_store if house else fleeting_store,
                engine=house.engine if house else None,
                make_pause=self._follower.make_pause,
            ),
        )

    async def play(self) -> Replay:
        """Place the order, let it be worked, and say the founder's words where they were said."""
        if self._house is None:
            self.app.initialise()
        # Work that lies there when the engine starts is taken up at once.
        await self._aside(self._follower.place, self.app, self._place)
        # In a task of its own: the moment of its answers is nobody else's.
        await asyncio.create_task(hear_again(self.app, self._cassette))
        until = asyncio.Event()
        ready = asyncio.Event()
        work = asyncio.create_task(self.app.worker().run(until, ready=ready.set))
        try:
            await _first_of(work, ready)
            if self._follower.is_needed:
                await self._follower.follow(self.app, self._is_lost)
                return self._result()
            while await self._halted():
                if not await self._aside(self._speak):
                    break
        finally:
            until.set()
            await work
        return self._result()

    async def _aside(self, act: Callable[..., T], *arguments: Any) -> T:
        """Do what a person or a channel does: on a thread of its own where it may have to wait."""
        if self._house is not None and self._house.never_waits:
            return act(*arguments)
        return await asyncio.to_thread(act, *arguments)

    def _noting(self, watch: Watch) -> Watch:
        """Return a watch that also notes where it stopped."""

        async def see(call: RecordedCall, number: int) -> bool:
            goes_on = await watch(call, number)
            if not goes_on and self._stopped_before is None:
                self._stopped_before = f"call {number}, {call.lane.partition(' ')[2]}"
            return goes_on

        return see

    def _place(self) -> None:
        order = self._cassette.manifest.order
        message = InboundMessage(
            channel=order["channel"],
            account=order["account"],
            update_id=order["update_id"],
            chat_id=order["chat_id"],
            thread_id=order["thread_id"],
            sender_id=order["sender_id"],
            text=order["text"],
            received_at=parse_iso(order["created_at"]),
            origin=Origin(order["origin"]),
            customer=order["customer"],
        )
        limit = order.get("budget")
        wish = Wish(
            budget=Decimal(limit) if limit else None, is_auto_signed=bool(order["is_auto_signed"])
        )
        self.app.intake.place(message, wish)

    async def _halted(self) -> bool:
        """Wait until the order stands still, or nothing can help any more."""
        async with asyncio.timeout(STUCK_S):
            if self._house is not None:
                await self._house.engine.halted(self._is_moving)
            else:
                await self._looked()
        return not self._is_lost()

    def _is_lost(self) -> bool:
        """Say whether the replay went another way, or was stopped."""
        return bool(self._llm.misses or self._tools.misses or self._llm.is_stopped)

    def _is_moving(self) -> bool:
        return self.app.documents.status(self._order_id).is_moving

    async def _looked(self) -> None:
        """Look at the order's row until it stands still."""
        look = StatusLook(self.app.home, self._order_id)
        try:
            while look.status().is_moving:  # noqa: ASYNC110  # what is awaited is a row
                await asyncio.sleep(LOOK_S)
        finally:
            look.close()

    def _speak(self) -> bool:
        """Say what the founder said at this halt; False where nothing is left to be said."""
        status = self.app.documents.status(self._order_id)
        if status is OrderStatus.WAITING:
            return self._answer_all()
        if status in (OrderStatus.PARKED, OrderStatus.FAILED) and (word := self._next("resume")):
            self._clock.set_base(parse_iso(word["at"]))
            self.app.office.resume(self._order_id)
            return True
        if status is OrderStatus.DELIVERED and (word := self._next("rework")):
            self.app.office.reject(self._order_id, word["reason"], by=word.get("by") or "founder")
            return True
        if status is OrderStatus.DELIVERED and (word := self._next("accept")):
            self._clock.set_base(parse_iso(word["at"]))
            self.app.office.accept(self._order_id, by=word["by"], sign=word["sign"])
        return False

    def _next(self, act: str) -> Entry | None:
        word = next((word for word in self._words if word["act"] == act), None)
        if word is not None:
            self._words.remove(word)
        return word

    def _answer_all(self) -> bool:
        is_said = False
        for row in self.app.store.read(lambda c: open_asks(c, self._order_id)):
            word = self._word_for(row)
            if word is None:
                if not self._is_left_waiting():
                    lane = f"{self._order_id} {row.node} {row.seq}"
                    self._missed.append(Miss(lane, 0, "", row.kind, "(nothing)", shown(row.text)))
                    return False
                continue
            if word["shown_at"]:
                self._clock.set_base(parse_iso(word["shown_at"]))
            self.app.office.inbox(self._order_id)
            self._clock.set_base(parse_iso(word["at"]))
            answer_with(self.app.office, row, word)
            is_said = True
        return is_said

    def _is_left_waiting(self) -> bool:
        """Say whether the recording ends here: what is open was open then."""
        return self._cassette.manifest.status == OrderStatus.WAITING.value

    def _word_for(self, row: Any) -> Entry | None:
        place = (row.kind, row.node, row.seq)
        for word in self._words:
            if (word["act"], word.get("node"), word.get("seq")) == place:
                self._words.remove(word)
                return word
        return None

    def _result(self) -> Replay:
        manifest = self._cassette.manifest
        document = self.app.documents.order(self._order_id)
        rows, tool_rows, sent = self.app.store.read(self._rows)
        digest = cache(row_digest)
        misses = [*self._llm.misses, *self._tools.misses, *self._missed, *self._follower.misses]
        leftover = [*self._llm.leftover, *self._follower.leftover]
        leftover += [f"founder: {word['act']}" for word in self._words]
        unused = self._llm.unused_faults + self._beyond
        met = sum(map(len, self._put_in.values())) - unused
        is_other_way = misses or leftover or self._llm.is_stopped or self._llm.replaced
        if not is_other_way:
            # Where the way was another one, all that follows is too, and says nothing more.
            misses = list(self._differences(rows, tool_rows, sent, digest, has_faults=bool(met)))
        states = (USED,) if met else ()
        recorded = used_digest(self._cassette.lane("model")) if met else manifest.ledger_sha256
        return Replay(
            order=self._order_id,
            status=document.status.value,
            recorded_status=manifest.status,
            calls=self._llm.served,
            misses=misses,
            leftover=leftover,
            ledger_sha256=ledger_digest(
                rows, digest=digest, **({"states": states} if states else {})
            ),
            recorded_ledger_sha256=recorded,
            document=document,
            files={file.path: file.sha256 for file in document.artifacts},
            messages=[{"key": r.dedupe_key, "kind": r.kind, "text": r.body} for r in sent],
            faults=met,
            unused_faults=unused,
            is_stopped=self._llm.is_stopped,
            stopped_before=self._stopped_before,
            replaced=self._llm.replaced,
        )

    def _rows(self, connection: sa.Connection) -> tuple[list[Any], list[Any], list[Any]]:
        key = {"of_order": self._order_id}
        rows, tool_rows, sent = (query.all(connection, key) for query in _OF_ORDER)
        if self._cassette.manifest.customer is not None:
            # What a customer and the staff are told belongs to the conversation, not to the order.
            sent = connection.execute(sa.select(outbox).order_by(outbox.c.id)).all()
        return list(rows), [row._asdict() for row in tool_rows], list(sent)

    def _differences(
        self,
        rows: Sequence[Any],
        tool_rows: Sequence[Any],
        sent: Sequence[Any],
        digest: Callable[[Any], str],
        *,
        has_faults: bool,
    ) -> Iterator[Miss]:
        cassette = self._cassette
        yield from comparing.tools(cassette, tool_rows)
        if not has_faults:
            yield from comparing.calls(cassette, rows, digest=digest)
            yield from comparing.messages(cassette, sent)
            if cassette.manifest.customer is not None:
                yield from Counter(self.app, cassette).differences()
        yield from comparing.files(
            cassette, digests_of(self.app.home / "workspace" / self._order_id)
        )


# Written once: building a statement costs more than running it.
_ORDER: sa.BindParameter[str] = sa.bindparam("of_order")
_OF_ORDER = (
    Prepared(sa.select(ledger).where(ledger.c.order_id == _ORDER)),
    Prepared(sa.select(effects).where(effects.c.order_id == _ORDER, effects.c.seq != BEFORE)),
    Prepared(sa.select(outbox).where(outbox.c.order_id == _ORDER).order_by(outbox.c.id)),
)


async def _first_of(work: "asyncio.Task[None]", ready: asyncio.Event) -> None:
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()
