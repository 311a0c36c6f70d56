"""A customer's question in a replay: the conversation as it stood, and what it must come to.

What the answer was written with is put into the order as it was found when it was recorded; the
company's knowledge may have changed a hundred times since, and is in no cassette but for that.
Limits, budgets, the answer and the hand-over are the company's own doing again.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.core import language as languages
from swarm.core.clock import iso, parse_iso
from swarm.core.message import InboundMessage
from swarm.core.money import from_pico, plain, to_pico
from swarm.core.order import OrderState, OrderStatus
from swarm.core.origin import Origin
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.manifest import HandoverFacts
from swarm.ledger import budget
from swarm.llm.cassette import NOTHING, Miss, difference
from swarm.org.serving import serving_material
from swarm.runtime import records
from swarm.runtime.customers_cards import CLOSED, OPEN
from swarm.runtime.customers_desk import place
from swarm.runtime.customers_talk import Side, Talk
from swarm.store.tables import budgets, handovers, orders

LIMITS = (
    "role", "burst", "per_hour", "total_per_hour", "answer_budget", "person_day_budget",
    "day_budget", "cards_per_hour", "turns", "conversation_hours", "taken_hours",
)  # fmt: skip
"""Settings of customers that bound an answer; all others say how they are reached."""
NONE, MOST = Decimal(0), Decimal(1_000_000)
"""What a day may have cost: no budget of customers is larger, and a database adds no more."""
OTHERS = "others"
"""Who stands for all customers but the one who asks."""
ELSEWHERE = "-"
"""What answered earlier messages: orders of which the cassette tells nothing."""


class Counter:
    """The counter at which one recorded customer stands."""

    def __init__(self, app: App, cassette: Cassette) -> None:
        """Take a company that is not at work yet, and a customer's cassette."""
        assert cassette.manifest.customer is not None, "no customer's question"
        self._app = app
        self._cassette = cassette
        self._facts = cassette.manifest.customer
        self._order: Entry = cassette.manifest.order
        self._at = parse_iso(self._order["created_at"])

    def open(self) -> None:
        """Let the day be as it was when the question came."""
        self._app.store.write(self._open)

    def _open(self, connection: Connection) -> None:
        facts, who = self._facts, self._order["sender_id"]
        spent, by_all = Decimal(facts.spent), Decimal(facts.spent_by_all)
        self._spend(connection, "earlier mine", who, min(spent, MOST))
        self._spend(connection, "earlier others", OTHERS, min(max(by_all - spent, NONE), MOST))
        for number in range(facts.cards):
            self._hand_over(connection, f"past {number}", f"{OTHERS}-{number}", state=CLOSED)
        if facts.waiting is not None:
            self._hand_over(connection, facts.waiting.id, who, reason=facts.waiting.reason)
        talk = Talk(connection, self._order["channel"], who)
        for turn in self._cassette.lane("turn"):
            is_before = turn["side"] == Side.CUSTOMER.value and not turn.get("is_asked")
            talk.add(
                Side(turn["side"]),
                turn["text"],
                at=parse_iso(turn["at"]),
                order_id=ELSEWHERE if is_before else None,
            )

    def _spend(self, connection: Connection, order_id: str, who: str, amount: Decimal) -> None:
        """Let answers of earlier that day have cost something."""
        if not amount:
            return
        told = ("channel", "account", "chat_id", "thread_id", "origin")
        connection.execute(
            orders.insert().values(
                **{name: self._order[name] for name in told},
                id=order_id, created_at=iso(self._at), update_id=order_id, sender_id=who,
                status=OrderStatus.DELIVERED.value, segment=0, is_auto_signed=False,
                state=OrderState(text="(earlier)", origin=Origin.CUSTOMER).model_dump_json(),
            )
        )  # fmt: skip
        scope, settings = budget.order_scope(order_id), self._app.settings
        budget.open_scope(connection, scope, limit=amount, currency=settings.currency)
        known = budgets.update().where(budgets.c.scope == scope)
        connection.execute(known.values(spent_pico=to_pico(amount)))

    def _hand_over(
        self, connection: Connection, key: str, who: str, *, state: str = OPEN, reason: str = ""
    ) -> None:
        order, at = self._order, iso(self._at)
        connection.execute(
            handovers.insert().values(
                id=key, channel=order["channel"], account=order["account"], chat_id=who,
                thread_id=None, person_id=who, name=who, state=state, reason=reason, words="",
                asked_at=at, touched_at=at, closed_at=at if state == CLOSED else None,
            )
        )  # fmt: skip

    def place(self) -> Miss | None:
        """Take in what had waited for the answer before it; return why it was not taken."""
        if self._app.store.write(self._place) is not None:
            return None
        return Miss("budget", 0, "budget", "limit", str(self._order["budget"]), NOTHING)

    def _place(self, connection: Connection) -> str | None:
        order = self._order
        talk = Talk(connection, order["channel"], order["sender_id"])
        message = InboundMessage(
            **{name: order[name] for name in _SAME}, received_at=self._at, text=order["text"]
        )
        turns = [row.id for row in talk.unanswered()]
        return place(self._app.service, connection, message, turns=turns)

    def give(self) -> None:
        """Give the order what was found for it: as a second run of it would meet it."""
        self._app.store.write(self._give)

    def _give(self, connection: Connection) -> None:
        passages = {e["label"]: (e["source"], e["text"]) for e in self._cassette.lane("passage")}
        row = connection.execute(sa.select(orders).where(orders.c.id == self._order["id"])).first()
        if row is None:
            return
        state = records.read_state(row.state)
        config = self._app.settings.customers
        earlier = Talk(connection, row.channel, row.sender_id).earlier(
            limit=config.turns, since=datetime.min.replace(tzinfo=self._at.tzinfo), but_of=row.id
        )
        words = "\n".join([state.text, *state.corrections])
        material = serving_material(passages=passages, earlier=earlier, words=words)
        found = {
            "memories": (material,),
            "recalled": tuple(f"{label} {source}" for label, (source, _) in passages.items()),
            "language": languages.detect(state.text),
        }
        state = state.model_copy(update=found)
        by_id = orders.update().where(orders.c.id == row.id)
        connection.execute(by_id.values(state=state.model_dump_json()))

    def differences(self) -> Iterator[Miss]:
        """Give what bounded the answer otherwise, and a hand-over that is not the recorded one."""
        limit, rows = self._app.store.read(self._came_to)
        recorded = self._order["budget"]
        if not any(word["act"] == "budget" for word in self._cassette.lane("founder")):
            got = NOTHING if limit is None else plain(limit)
            if found := difference("budget", 0, {"limit": recorded}, {"limit": got}):
                yield found
        told = self._facts.handover
        got_over = [HandoverFacts(id=r.id, reason=r.reason, words=r.words) for r in rows]
        then, now = ([h.model_dump() for h in hs] for hs in ([told] if told else [], got_over))
        if found := difference("hand-over", 0, {"asked": then}, {"asked": now}):
            yield found

    def _came_to(self, connection: Connection) -> tuple[Decimal | None, list[Any]]:
        of_order = self._order["id"]
        query = sa.select(budgets.c.limit_pico).where(budgets.c.scope == f"order:{of_order}")
        limit = connection.execute(query).scalar()
        rows = connection.execute(sa.select(handovers).where(handovers.c.order_id == of_order))
        return None if limit is None else from_pico(limit), list(rows)


_SAME = ("channel", "account", "update_id", "chat_id", "thread_id", "sender_id")
