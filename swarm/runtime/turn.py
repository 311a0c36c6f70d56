"""One message in the hands of the company: who says it, what it may be about, and how to reply."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.clock import Clock, iso
from swarm.core.errors import InvalidInput
from swarm.core.ids import Ids
from swarm.core.message import Button, InboundMessage, OutboundKind, OutboundMessage, Signal
from swarm.core.origin import Origin
from swarm.ledger.approvals import Signer
from swarm.memory.base import Memory
from swarm.runtime.buttons import Keyboard
from swarm.runtime.customers import Service
from swarm.runtime.documents import Documents
from swarm.runtime.inbox import order_of_message
from swarm.runtime.intake import Intake
from swarm.runtime.office import Office
from swarm.runtime.outbox import put
from swarm.runtime.pairing import Pairing
from swarm.runtime.pausing import Pause
from swarm.runtime.people import ORIGINS, People, Person, Right
from swarm.runtime.phrases import say
from swarm.runtime.quiet_desk import QuietDesk
from swarm.store.tables import asks, dialogues, order_notes, orders, sent_messages

DIALOGUE_FOR = timedelta(hours=12)


@dataclass(frozen=True)
class Desks:
    """What a message may be brought to; each desk acts within the connection it is given."""

    clock: Clock
    ids: Ids
    home: Path
    people: People
    pairing: Pairing
    pause: Pause
    office: Callable[[Connection], Office]
    intake: Callable[[Connection], Intake]
    documents: Callable[[Connection], Documents]
    memory: Callable[[Connection], Memory]
    roles: Callable[[], Sequence[tuple[str, str]]]
    """Name and title of each role of the company."""
    service: Service
    """How customers are served."""
    groups: frozenset[str] = frozenset()
    """Chats of several people in which the company listens."""
    quiet: QuietDesk | None = None
    """Who sleeps when; None where nobody's night is known."""
    hears_voice: bool = False
    """Whether an engine writes voice notes down before they are brought here."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What came of a message."""

    outcome: str
    order_id: str | None = None
    signals: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What the next words of a person are about."""

    kind: str
    order_id: str | None
    ask_id: str | None
    body: dict[str, Any]


@dataclass
class Turn:
    """Handle one message within one transaction."""

    desks: Desks
    connection: Connection
    message: InboundMessage
    row_id: int
    person: Person
    order_id: str | None = None
    """The order that this came to be about."""
    signals: list[Signal] = field(default_factory=list)
    """Hints for the platform, given after the commit."""
    _replies: int = 0

    @property
    def lang(self) -> str | None:
        """Return the language the person is spoken to in, where no order says otherwise."""
        return self.message.language or self.person.language

    @property
    def office(self) -> Office:
        """Return the office, acting within this turn."""
        return self.desks.office(self.connection)

    @property
    def documents(self) -> Documents:
        """Return the reader of orders, within this turn."""
        return self.desks.documents(self.connection)

    @property
    def signer(self) -> Signer:
        """Return who signs: the platform's immutable id, and the name beside it."""
        return Signer(self.person.identity, self.name)

    @property
    def name(self) -> str:
        """Return how the person is called on records."""
        return self.message.sender_name or self.person.name or self.person.platform_id

    def need(self, right: Right) -> None:
        """Refuse what the person's role may not do, by the table as it is at this moment.

        Raises:
            InvalidInput: The right is not theirs.
        """
        if not self.person.may(right):
            raise InvalidInput(say("may_not", self.lang, role=self.person.role.value))

    def speak(self, key: str, *, lang: str | None = None, **facts: Any) -> None:
        """Reply with a phrase."""
        self.say(say(key, lang or self.lang, **facts))

    def say(
        self,
        text: str,
        *,
        buttons: tuple[tuple[Button, ...], ...] = (),
        order_id: str | None = None,
        ask_id: str | None = None,
        kind: OutboundKind = OutboundKind.ANSWER,
        card: str | None = None,
        files: tuple[str, ...] = (),
    ) -> None:
        """Queue a reply where the message came from."""
        self._replies += 1
        put(
            self.connection,
            dedupe_key=f"reply/{self.row_id}/{self._replies}",
            message=OutboundMessage(
                channel=self.message.channel,
                chat_id=self.message.chat_id,
                thread_id=self.message.thread_id,
                kind=kind,
                text=text,
                order_id=order_id or self.order_id,
                buttons=buttons,
                ask_id=ask_id,
                card=card,
                files=files,
                reply_to=None if self.message.is_private else self.message.message_id,
            ),
            now=iso(self.desks.clock.now()),
        )

    def keyboard(self, card: str) -> Keyboard:
        """Return buttons that this person alone may press."""
        return Keyboard(
            self.connection,
            self.desks.clock,
            card=f"{card}/{self.row_id}",
            channel=self.message.channel,
            chat_id=self.message.chat_id,
            person_id=self.person.platform_id,
        )

    def place(self, text: str, *, origin: Origin | None = None, customer: str | None = None) -> str:
        """Take an order.

        `origin` says whose words it is, where they are not this person's own; `customer` is the
        one customer whom it serves.
        """
        self.need(Right.ORDER)
        message = InboundMessage(
            channel=self.message.channel,
            account=self.message.account,
            update_id=self.message.update_id,
            chat_id=self.message.chat_id,
            thread_id=self.message.thread_id,
            sender_id=self.message.sender_id,
            text=text,
            received_at=self.message.received_at,
            origin=origin or ORIGINS[self.person.role],
            customer=customer,
        )
        order_id = self.desks.intake(self.connection).place(message)
        self.order_id = order_id
        key = "taken_paused" if self.desks.pause.is_set(self.connection) else "taken"
        self.say(say(key, self.lang, order=order_id), order_id=order_id)
        return order_id

    def here(self) -> str | None:
        """Return the order that the message is about by its place: a reply, or a topic."""
        message = self.message
        if message.reply_to is not None:
            where = {
                "channel": message.channel,
                "chat_id": message.chat_id,
                "message_id": message.reply_to,
            }
            sent = self.sent(message.reply_to)
            found = sent.order_id if sent is not None else None
            return found or order_of_message(self.connection, **where)
        if message.thread_id is None:
            return None
        known = self.connection.execute(
            sa.select(orders.c.id)
            .where(
                orders.c.channel == message.channel,
                orders.c.chat_id == message.chat_id,
                orders.c.thread_id == message.thread_id,
                orders.c.status.not_in(["accepted", "cancelled"]),
            )
            .limit(2)
        ).all()
        # In a topic of several orders the place says nothing.
        return str(known[0].id) if len(known) == 1 else None

    def sent(self, message_id: str) -> Any:
        """Return what we know of a message of ours by the platform's id of it."""
        return self.connection.execute(
            sa.select(sent_messages).where(
                sent_messages.c.channel == self.message.channel,
                sent_messages.c.chat_id == self.message.chat_id,
                sent_messages.c.message_id == message_id,
            )
        ).first()

    def waiting(self, order_id: str | None = None) -> Sequence[Any]:
        """Return the open asks of this chat, or of one order, oldest first."""
        query = (
            sa.select(asks)
            .join(orders, orders.c.id == asks.c.order_id)
            .where(asks.c.state == "open")
            .order_by(asks.c.created_at, asks.c.id)
        )
        if order_id is not None:
            query = query.where(asks.c.order_id == order_id)
        else:
            query = query.where(
                orders.c.channel == self.message.channel, orders.c.chat_id == self.message.chat_id
            )
        return self.connection.execute(query).all()

    def order(self, order_id: str) -> Any:
        """Return an order's row, or None."""
        query = sa.select(orders).where(orders.c.id == order_id)
        return self.connection.execute(query).first()

    def language_of(self, order_id: str) -> str | None:
        """Return the language an order is answered in."""
        row = self.order(order_id)
        language = json.loads(row.state).get("language") if row is not None else None
        return str(language) if language else self.lang

    def dialogue(self) -> Dialogue | None:
        """Return what this person's next words here are about, if they were asked."""
        row = self._open_dialogue()
        if row is None:
            return None
        return Dialogue(row.kind, row.order_id, row.ask_id, json.loads(row.body))

    def _open_dialogue(self) -> Any:
        """Return the row of what was asked here, or of the one thing asked anywhere in the chat.

        The latter where every message of the chat itself opens a thread of its own: people answer
        beside the thread in which they were asked.
        """
        is_good = dialogues.c.expires_at > iso(self.desks.clock.now())
        found = self.connection.execute(sa.select(dialogues).where(*self._whose(), is_good)).all()
        here = [row for row in found if row.thread_id == (self.message.thread_id or "")]
        if here:
            return here[0]
        opens_thread = self.message.thread_id is not None and (
            self.message.thread_id == self.message.message_id
        )
        return found[0] if opens_thread and len(found) == 1 else None

    def open_dialogue(
        self, kind: str, *, order_id: str | None = None, ask_id: str | None = None, **body: Any
    ) -> None:
        """Let the next words of this person here be about something."""
        self.close_dialogue()
        self.connection.execute(
            dialogues.insert().values(
                channel=self.message.channel,
                chat_id=self.message.chat_id,
                thread_id=self.message.thread_id or "",
                person_id=self.person.platform_id,
                kind=kind,
                order_id=order_id,
                ask_id=ask_id,
                body=json.dumps(body),
                expires_at=iso(self.desks.clock.now() + DIALOGUE_FOR),
            )
        )

    def close_dialogue(self) -> None:
        """Let the next words be what they are."""
        row = self._open_dialogue()
        places = {self.message.thread_id or ""} | ({row.thread_id} if row is not None else set())
        self.connection.execute(
            dialogues.delete().where(*self._whose(), dialogues.c.thread_id.in_(places))
        )

    def _whose(self) -> tuple[Any, ...]:
        return (
            dialogues.c.channel == self.message.channel,
            dialogues.c.chat_id == self.message.chat_id,
            dialogues.c.person_id == self.person.platform_id,
        )

    def note(self, order_id: str, text: str) -> None:
        """Keep what a person said of an order for the next time it is planned."""
        self.connection.execute(
            order_notes.insert().values(
                order_id=order_id,
                at=iso(self.desks.clock.now()),
                by=self.person.identity,
                text=text,
            )
        )

    def with_notes(self, order_id: str, reason: str) -> str:
        """Return a reason with the notes that were kept for it; they are used up."""
        query = (order_notes.c.order_id == order_id, order_notes.c.taken_at.is_(None))
        rows = self.connection.execute(
            sa.select(order_notes.c.text).where(*query).order_by(order_notes.c.id)
        )
        kept = [row.text for row in rows]
        self.connection.execute(
            order_notes.update().where(*query).values(taken_at=iso(self.desks.clock.now()))
        )
        return "\n".join([reason, *kept])
