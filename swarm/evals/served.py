"""A customer's question as a recording holds it: what it rests on, and nobody's name.

Beside the order's own rows these are: what had been said in the conversation, the passages that the
answer was written with, what had been spent on the customer that day, and the hand-over that came
of it. The customer is replaced by a pseudonym before anything is written (`disguise.py`), in their
own words too; the requests and the ledger's lines are those of the pseudonym then.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.channels.bound import customer_id
from swarm.core import language as languages
from swarm.core.clock import iso, parse_iso
from swarm.core.errors import InvalidInput
from swarm.core.money import from_pico, plain
from swarm.core.order import OrderState
from swarm.evals.chats import Chats
from swarm.evals.disguise import PREFIX, Disguise, pseudonym_of, reached_at
from swarm.evals.lanes import Entry
from swarm.evals.manifest import CustomerFacts, HandoverFacts, PersonFacts
from swarm.evals.serving import LIMITS
from swarm.evals.told import Told, messages_of
from swarm.ledger.calls import digest_of_document
from swarm.org.serving import COMPACT_MATERIAL_SIGNS, serving_material
from swarm.runtime.customers import of_customers
from swarm.runtime.customers_cards import CLOSED
from swarm.runtime.customers_config import CustomersConfig
from swarm.runtime.customers_desk import wants_human
from swarm.runtime.customers_forget import FORGOTTEN
from swarm.runtime.customers_talk import HOUR, MAX_SIGNS, SHOWN_SIGNS, Side
from swarm.store.tables import (
    budgets,
    customer_turns,
    handovers,
    inbox,
    orders,
    people,
)

_SHOWN = (Side.CUSTOMER.value, Side.SUPPORT.value, Side.HUMAN.value)
_PASSAGE = re.compile(r"\[([kf]\d+)\] (.*)\n(`{3,})material\n")
_HEAD = "## Material of the company\n"


@dataclass(frozen=True, slots=True)
class Served:
    """One question and its answer, of somebody who is named nowhere."""

    order: Any
    state: OrderState
    calls: list[Any]
    requests: dict[int, Entry]
    outbox: list[Any]
    chats: Chats
    facts: CustomerFacts
    entries: tuple[Entry, ...]
    """The lanes `passage` and `turn`."""
    settings: Entry
    """Under `customers`."""


def read_served(
    connection: Connection,
    app: App,
    order: Any,
    state: OrderState,
    calls: Sequence[Any],
    requests: Mapping[int, Entry],
) -> Served:
    """Read what a customer's question and its answer come to without their name.

    Args:
        connection: To the company's database.
        app: The company.
        order: Its row.
        state: What the order knows.
        calls: Its lines of the ledger.
        requests: What each of them asked, by the line's id.

    Raises:
        InvalidInput: It cannot be recorded whole: forgotten, or its conversation is kept no more.
    """
    return _Reading(connection, app, order, state, calls, requests).read()


def check_kept(order_id: str, state: OrderState) -> None:
    """Refuse what a customer had forgotten.

    Raises:
        InvalidInput: It was.
    """
    if FORGOTTEN in (state.text, *state.memories):
        raise InvalidInput(f"{order_id}: its customer had it forgotten: no words are left.")


class _Reading:
    """One order being read."""

    def __init__(
        self,
        connection: Connection,
        app: App,
        order: Any,
        state: OrderState,
        calls: Sequence[Any],
        requests: Mapping[int, Entry],
    ) -> None:
        self._connection = connection
        self._config: CustomersConfig = app.settings.customers
        self._order, self._state = order, state
        self._calls, self._requests = calls, requests
        whose = (customer_turns.c.channel == order.channel,)
        query = sa.select(customer_turns).where(
            *whose, customer_turns.c.person_id == order.sender_id
        )
        turns = connection.execute(query.order_by(customer_turns.c.id)).all()
        of_order = [turn for turn in turns if turn.order_id == order.id]
        self._asked = [turn for turn in of_order if turn.side == Side.CUSTOMER.value]
        self._before = self._said_before(turns)
        self._handover = self._row(handovers, handovers.c.order_id == order.id)
        self._heard = self._row(inbox, inbox.c.order_id == order.id)
        self._person = self._row(
            people, people.c.channel == order.channel, people.c.platform_id == order.sender_id
        )
        self._passages = dict(_passages(state.memories[0])) if state.memories else {}
        self._messages = messages_of(connection, order.id, self._handover)
        self._replies = [turn.text for turn in turns if turn.order_id == order.id
                         and turn.side == Side.SUPPORT.value]  # fmt: skip
        self._check_conversation()
        self._hidden = self._disguise(app)

    def read(self) -> Served:
        calls, requests = self._in_disguise()
        state = self._disguised_state()
        order = SimpleNamespace(**{c.name: getattr(self._order, c.name) for c in orders.c})
        name = self._hidden.pseudonym
        order.sender_id = order.chat_id = name
        order.customer = customer_id(order.channel, name)
        order.thread_id = order.thread_id and "thread"
        order.update_id = "asked"
        order.reason = order.reason and self._hidden.text(order.reason)
        told = Told(order.id, self._messages, self._hidden)
        staff, cards = told.staff(self._connection)
        words = self._state.text[:MAX_SIGNS]
        sent = [*told.replies(self._replies)]
        sent += [row for card in cards for row in told.card(self._handover, words, card)]
        chats = Chats(
            heard=tuple(self._as_heard(order, state)),
            people=(self._customer(order), *staff),
            dropped=tuple(self._dropped()),
        )
        return Served(
            order, state, calls, requests, sent, chats, self._facts(),
            tuple(self._entries()), self._settings(),
        )  # fmt: skip

    def _row(self, table: sa.Table, *where: "sa.ColumnElement[bool]") -> Any:
        return self._connection.execute(sa.select(table).where(*where)).first()

    def _said_before(self, turns: Sequence[Any]) -> list[Any]:
        """Return what had been said when the answer was written, and counts for a limit."""
        first = self._asked[0].id if self._asked else 0
        placed = parse_iso(self._order.created_at)
        asked_at = min((row.started_at for row in self._calls), default=self._order.created_at)
        since = iso(placed - max(timedelta(hours=self._config.conversation_hours), HOUR))
        kept = []
        for turn in turns:
            # Words that came after the question wait for the next answer.
            is_asked = turn.side == Side.CUSTOMER.value
            is_late = turn.id > first if is_asked else turn.at > asked_at
            if turn.at > since and turn.order_id != self._order.id and not is_late:
                kept.append(turn)
        return kept

    def _check_conversation(self) -> None:
        """Hold what is kept of the conversation against what the answer was written with."""
        if not self._state.memories:
            return
        shown = [(t.side, t.text) for t in self._before if t.side in _SHOWN]
        words = "\n".join([self._state.text, *self._state.corrections])
        if self._material(self._passages, shown, words) != self._state.memories[0]:
            raise InvalidInput(
                f"{self._order.id}: its conversation is no longer kept as it was when the answer "
                "was written, so that no replay could come to the same."
            )

    def _material(
        self,
        passages: Mapping[str, tuple[str, str]],
        said: Sequence[tuple[str, str]],
        words: str,
    ) -> str:
        most = self._config.turns
        earlier = [(side, text[:SHOWN_SIGNS]) for side, text in said[-most:]] if most else []
        return serving_material(passages=passages, earlier=earlier, words=words)

    def _disguise(self, app: App) -> Disguise:
        order, person = self._order, self._person
        who = str(order.sender_id)
        said = [turn.text for turn in (*self._before, *self._asked) if turn.side in _SHOWN[:1]]
        own = [text for pair in self._passages.values() for text in pair]
        told = reached_at([self._state.text, *said]) - reached_at(own)
        told |= {who, order.chat_id}
        told |= {row.name for row in (person, self._handover) if row is not None}
        name = who if who.startswith(PREFIX) else pseudonym_of(app.home, order.customer or who)
        return Disguise(name, told, spared=self._house_words())

    def _house_words(self) -> Iterator[str]:
        """Give all texts around the customer's words: what is said to everybody names nobody."""
        yield serving_material(passages={}, earlier=[(side, "") for side in _SHOWN], words="")
        for request in self._requests.values():
            yield str(request["messages"][0]["content"])
            yield json.dumps(request.get("schema"))
        sources = [source for source, _ in self._passages.values()]
        for reply in self._replies:
            for said in (*self._answers(), *sources):
                reply = reply.replace(said, "") if said else reply
            yield reply

    def _answers(self) -> Iterator[str]:
        """Give what the models answered, as far as it is a reply."""
        for row in self._calls:
            for text in _texts(json.loads(row.answer or "null")):
                try:
                    found = json.loads(text)
                except ValueError:
                    continue
                if isinstance(found, dict) and isinstance(found.get("answer"), str):
                    yield found["answer"].strip()

    def _disguised_state(self) -> OrderState:
        hidden, state = self._hidden, self._state
        text = hidden.text(state.text)
        is_same = (
            len(text) <= MAX_SIGNS
            and wants_human(text) == wants_human(state.text)
            and languages.detect(text) == languages.detect(state.text)
        )
        if not is_same:
            raise InvalidInput(
                f"{self._order.id}: without the customer's name their words would be understood "
                "otherwise, so that no replay could come to the same."
            )
        memories = (self._new_material(),) if state.memories else ()
        more = {
            "text": text,
            "memories": memories,
            "corrections": tuple(map(hidden.text, state.corrections)),
            "answer": state.answer and hidden.text(state.answer),
        }
        return state.model_copy(update=more)

    def _new_material(self) -> str:
        hidden = self._hidden
        passages = {k: (hidden.text(s), hidden.text(t)) for k, (s, t) in self._passages.items()}
        said = [(t.side, hidden.text(t.text)) for t in self._before if t.side in _SHOWN]
        words = "\n".join(map(hidden.text, [self._state.text, *self._state.corrections]))
        return self._material(passages, said, words)

    def _in_disguise(self) -> tuple[list[Any], dict[int, Entry]]:
        """Return the calls, and what they asked, as if the pseudonym had written."""
        calls, requests = [], {}
        for row in self._calls:
            asked = self._requests[row.id]
            request = {**asked, "messages": [self._message(m) for m in asked["messages"]]}
            requests[row.id] = request
            answer = row.answer and json.dumps(self._hidden.within(json.loads(row.answer)))
            digest = digest_of_document(request) if request != asked else row.digest
            values = {**row._mapping, "digest": digest, "answer": answer}
            calls.append(SimpleNamespace(**values))
        return calls, requests

    def _message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if message["role"] == "system" or not self._state.memories:
            return message
        old, new = self._state.memories[0], self._new_material()
        most = COMPACT_MATERIAL_SIGNS
        for one, other in ((old, new), (old[-most:], new[-most:])):
            if message["content"] == one:
                return {**message, "content": other}
        found: Mapping[str, Any] = self._hidden.within(dict(message))
        return found

    def _as_heard(self, order: Any, state: OrderState) -> Iterator[Entry]:
        """Give the message that became the order; none where it had waited for another answer."""
        row = self._heard
        if row is None or not self._asked:
            return
        name = self._hidden.pseudonym
        body = json.loads(row.body)
        yield {
            "lane": "inbound", "row": row.id, "at": row.handled_at, "received_at": row.received_at,
            "kind": "text", "channel": order.channel, "account": order.account,
            "update_id": order.update_id, "chat_id": name, "thread_id": order.thread_id,
            "sender_id": name, "sender_name": name, "message_id": None, "reply_to": None,
            "text": self._hidden.text(self._asked[-1].text), "language": body.get("language") or "",
            "origin": order.origin, "customer": order.customer, "is_private": True,
            "is_addressed": True, "is_forwarded": False, "outcome": row.outcome or "",
        }  # fmt: skip

    def _customer(self, order: Any) -> PersonFacts:
        name = self._hidden.pseudonym
        language = self._person.language if self._person is not None else None
        return PersonFacts(
            channel=order.channel, platform_id=name, name=name, role="customer", chat_id=name,
            language=language,
        )  # fmt: skip

    def _facts(self) -> CustomerFacts:
        spent, by_all = self._spent()
        hour = iso(parse_iso(self._order.created_at) - HOUR)
        counted = sa.select(sa.func.count()).select_from(handovers)
        asked_before = handovers.c.asked_at.between(hour, self._order.created_at)
        cards = self._connection.execute(counted.where(asked_before)).scalar() or 0
        at = self._order.created_at
        waits = self._row(
            handovers, handovers.c.channel == self._order.channel,
            handovers.c.person_id == self._order.sender_id, handovers.c.asked_at < at,
            sa.or_(handovers.c.state != CLOSED, handovers.c.closed_at > at),
        )  # fmt: skip
        return CustomerFacts(
            spent=plain(spent), spent_by_all=plain(by_all), cards=int(cards),
            waiting=self._handed(waits), handover=self._handed(self._handover),
        )  # fmt: skip

    def _handed(self, row: Any) -> HandoverFacts | None:
        if row is None:
            return None
        # What was written later is no part of this answer.
        words = self._state.text[:MAX_SIGNS] if row is self._handover else ""
        hidden = self._hidden
        return HandoverFacts(id=row.id, reason=hidden.text(row.reason), words=hidden.text(words))

    def _spent(self) -> tuple[Decimal, Decimal]:
        """Return what bounded the answer: spent on the customer that day, and on all of them."""
        placed, config = parse_iso(self._order.created_at), self._config
        midnight = datetime.combine(placed.astimezone(UTC).date(), time(), UTC)
        of_day = (
            orders.c.created_at >= iso(midnight), orders.c.created_at < self._order.created_at,
            of_customers(),
        )  # fmt: skip
        mine = (orders.c.channel == self._order.channel,
                orders.c.sender_id == self._order.sender_id)  # fmt: skip
        spent, by_all = self._sum(*of_day, *mine), self._sum(*of_day)
        granted = self._granted()
        left = min(config.person_day_budget - spent, config.day_budget - by_all)
        if granted is not None and min(self._answer_budget(), left) != granted:
            # Other answers were still at work, or voice notes paid for: what it came to is known.
            spent = by_all = max(config.person_day_budget - granted, Decimal(0))
            if self._answer_budget() == granted:
                spent = by_all = Decimal(0)
        return spent, by_all

    def _sum(self, *where: "sa.ColumnElement[bool]") -> Decimal:
        query = (
            sa.select(sa.func.sum(budgets.c.spent_pico))
            .select_from(orders)
            .join(budgets, budgets.c.scope == sa.literal("order:") + orders.c.id)
            .where(*where)
        )
        return from_pico(int(self._connection.execute(query).scalar() or 0))

    def _granted(self) -> Decimal | None:
        scope = budgets.c.scope == f"order:{self._order.id}"
        row = self._row(budgets, scope)
        return None if row is None or row.limit_pico is None else from_pico(row.limit_pico)

    def _answer_budget(self) -> Decimal:
        """Return the most that an answer could cost then; it may have been lowered since."""
        return max(self._config.answer_budget, self._granted() or Decimal(0))

    def _settings(self) -> Entry:
        document: Entry = self._config.model_dump(mode="json", include=set(LIMITS))
        return document | {"answer_budget": plain(self._answer_budget())}

    def _entries(self) -> Iterator[Entry]:
        hidden = self._hidden
        for label, (source, text) in self._passages.items():
            yield {
                "lane": "passage", "label": label, "source": hidden.text(source),
                "text": hidden.text(text),
            }  # fmt: skip
        for turn in self._before:
            text = hidden.text(turn.text)[:SHOWN_SIGNS] if turn.side in _SHOWN else ""
            yield {"lane": "turn", "side": turn.side, "at": turn.at, "text": text}
        waited = self._asked[:-1] if self._heard is not None else self._asked
        for turn in waited:
            text = hidden.text(turn.text)
            yield {
                "lane": "turn", "side": turn.side, "at": turn.at, "text": text, "is_asked": True,
            }  # fmt: skip

    def _dropped(self) -> Iterator[str]:
        yield "the customer's name, number and addresses: a pseudonym stands for them"
        if any(json.loads(turn.files) for turn in self._asked):
            yield "the customer's files: what Support was told of them stands in the words"
        if any(turn.note for turn in self._asked):
            yield "the word back of what was heard in a voice note"


def _passages(material: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Give source and text of each passage that a material holds, by label."""
    rest = material.removeprefix(_HEAD)
    while (found := _PASSAGE.match(rest)) is not None:
        label, source, fence = found.groups()
        text, _, rest = rest[found.end() :].partition(f"\n{fence}\n")
        yield label, (source, text)
        rest = rest.removeprefix("\n")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
