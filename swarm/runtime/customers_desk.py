"""What a customer's message is, and what is done about it; nothing here acts for anybody else.

A customer may ask, may ask for a human, and may have it all forgotten. There are no other commands
and no buttons. Limits are
looked at before anything else: what is beyond them costs a row, and no model is asked.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import customer_id
from swarm.core.clock import iso
from swarm.core.errors import Conflict
from swarm.core.message import (
    InboundKind,
    InboundMessage,
    OutboundKind,
    OutboundMessage,
    Signal,
    SignalKind,
)
from swarm.core.order import OrderStatus
from swarm.core.origin import Origin
from swarm.core.text import clean_text, shorten
from swarm.runtime.customers import Service, granted
from swarm.runtime.customers_cards import TAKEN, current
from swarm.runtime.customers_files import bring_along, listed, may_bring
from swarm.runtime.customers_forget import forget
from swarm.runtime.customers_handover import Handovers
from swarm.runtime.customers_talk import MAX_SIGNS, Pace, Side, Talk
from swarm.runtime.intake import Wish
from swarm.runtime.outbox import put
from swarm.runtime.people import Person
from swarm.runtime.phrases import say
from swarm.runtime.turn import Desks, Handled
from swarm.store.tables import orders

_HUMAN = re.compile(
    r"\b(talk|speak|chat|write)\b.{0,20}\b(to|with)\b.{0,15}\b(human|person|agent|someone|employee)\b|"
    r"\b(need|want|get|connect|transfer|give|reach)\b.{0,20}\b(human|real person|live agent)\b|"
    r"\b(parler|parlez|discuter|écrire|échanger)\b.{0,20}\b(à|avec)\b.{0,15}"
    r"\b(humain|humaine|personne|conseiller|conseillère|quelqu)|"
    r"\b(veux|voudrais|besoin|joindre|passez)\b.{0,20}\b(humain|humaine|vraie personne|conseiller)\b",
    re.IGNORECASE,
)
YES = frozenset({"yes", "y", "oui", "o", "ok"})
"""What a customer writes behind `/forget` to say that they mean it."""
HEARD_SIGNS = 300
"""Most of a voice note's words that is written back to its sender."""
_SHORT = 120
"""Longest text that is taken for a plain wish for a human; a longer one says why, and is read."""


def menu() -> tuple[tuple[str, str], ...]:
    """Return the commands of a customer's chat for the platform's menu."""
    return (
        ("human", "talk to a person"),
        ("help", "what this is"),
        ("forget", "have this conversation deleted"),
    )


def wants_human(text: str) -> bool:
    """Return whether a short text plainly asks for a person."""
    return len(text) <= _SHORT and bool(_HUMAN.search(text))


class CustomersDesk:
    """Handle what is heard on channels of customers, as part of the caller's transaction."""

    def __init__(self, desks: Desks) -> None:
        self._desks = desks

    def may_bring(self, connection: Connection, message: InboundMessage) -> bool:
        """Return whether a customer's files, or their voice note, are to be fetched."""
        return may_bring(self._desks.service, connection, message)

    def handle(self, connection: Connection, row_id: int, message: InboundMessage) -> Handled:
        """Do what a customer's message asks for, as far as a customer may ask for anything."""
        if message.kind is InboundKind.CALLBACK:
            # No button was ever made for them: whatever this one is, it is another's.
            note = Signal(SignalKind.CLICK, message.chat_id, click_id=message.click_id)
            return Handled("a button, and none is a customer's", None, (note,))
        is_said = message.kind in (InboundKind.TEXT, InboundKind.VOICE, InboundKind.FILE)
        if not message.is_private or not is_said or not message.sender_id:
            return Handled(f"a customer's {message.kind.value}, left alone")
        person = self._desks.people.welcomed(connection, message)
        if person is None:
            return Handled("a customer who was shown the door")
        hears = self._desks.hears_voice
        serving = _Serving(self._desks.service, connection, row_id, message, person, hears=hears)
        return serving.handle()


class _Serving:
    """One message of one customer."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        row_id: int,
        message: InboundMessage,
        person: Person,
        *,
        hears: bool,
    ) -> None:
        self._service = service
        self._hears = hears
        self._connection = connection
        self._row_id = row_id
        self._message = message
        self._person = person
        self._talk = Talk(connection, message.channel, message.sender_id)
        self._handovers = Handovers(service, connection)
        self._lang = message.language or person.language
        self._replies = 0

    def handle(self) -> Handled:
        at = self._message.received_at
        pace = self._talk.pace(self._service.config, at=at)
        if pace is Pace.SILENT:
            return Handled("beyond the limits, and told so before")
        if pace is Pace.TELL:
            self._talk.add(Side.LIMIT, "", at=at)
            self._speak("customer_slow")
            return Handled("beyond the limits, told so")
        text = clean_text(self._message.text).strip()[:MAX_SIGNS]
        if self._message.kind is InboundKind.VOICE:
            return self._voice(text)
        if self._message.kind is InboundKind.FILE:
            return self._file(text)
        if text.startswith("/"):
            return self._command(text)
        if not text:
            self._talk.add(Side.COMMAND, "(nothing)", at=at)
            self._speak("customer_words_only")
            return Handled("no words")
        if wants_human(text):
            self._talk.add(Side.COMMAND, text, at=at)
            return self._human(text)
        return self._words(text)

    def _voice(self, text: str) -> Handled:
        """Take a note's words as a question; no command is heard in them."""
        at, note = self._message.received_at, self._message.data or None
        if text:
            self._speak("customer_heard", text=shorten(text, HEARD_SIGNS))
            if not wants_human(text):
                return self._words(text, note=note)
            self._talk.add(Side.COMMAND, text, at=at, note=note)
            return self._human(text)
        self._talk.add(Side.COMMAND, "(voice)", at=at, note=note)
        if not self._hears:
            self._speak("customer_no_voice")
        elif any(file.refused for file in self._message.files):
            self._speak("customer_voice_bad")
        else:
            self._speak("customer_voice_empty" if note else "customer_spent")
        return Handled("a voice note without words")

    def _file(self, text: str) -> Handled:
        """Keep files as data of this conversation, and ask Support about them."""
        files = [file for file in self._message.files if file.path is not None]
        if len(files) < len(self._message.files):
            most = self._service.config.file_mib
            self._speak("customer_file_refused" if most else "customer_words_only", mib=most)
        if not files:
            self._talk.add(Side.COMMAND, "(file)", at=self._message.received_at)
            return Handled("no file that is taken")
        # The caption keeps its place, however much the files are said to hold.
        words = f"{text}\n{self._message.data}".strip()[:MAX_SIGNS]
        return self._words(words, files=listed(files))

    def _command(self, text: str) -> Handled:
        name = text.split()[0].removeprefix("/").partition("@")[0].lower()
        self._talk.add(Side.COMMAND, text, at=self._message.received_at)
        if name == "human":
            said = text.partition(" ")[2].strip()
            return self._human(said)
        if name == "forget":
            return self._forget(text.partition(" ")[2].strip().lower())
        known = {"start": "customer_start", "help": "customer_help"}
        self._speak(known.get(name, "customer_no_command"))
        return Handled(f"a customer's command {name}" if name in known else "no command of theirs")

    def _forget(self, word: str) -> Handled:
        """Delete the conversation, once its customer has said that they mean it."""
        if word not in YES:
            self._speak("customer_forget")
            return Handled("asked whether to forget")
        try:
            forget(
                self._service,
                self._connection,
                channel=self._message.channel,
                person_id=self._message.sender_id,
                by=None,
                up_to=self._row_id,
            )
        except Conflict:
            self._speak("customer_forget_later")
            return Handled("not forgotten while an answer is written")
        self._speak("customer_forgotten")
        return Handled("forgotten")

    def _human(self, said: str) -> Handled:
        """Bring in a human, because the customer wants one."""
        before = [row.text for row in self._talk.recent_words(limit=3)]
        is_new = self._ask(reason="they ask for a person", words="\n".join([*before, said]).strip())
        self._speak("customer_handed" if is_new else "customer_handed_already")
        return Handled("handed over to a human")

    def _ask(self, *, reason: str, words: str) -> bool:
        return self._handovers.ask(
            self._reply(""),
            person=self._person,
            words=words or "(they wrote nothing yet)",
            account=self._message.account,
            reason=reason,
        )

    def _words(
        self, text: str, *, files: Sequence[dict[str, Any]] = (), note: str | None = None
    ) -> Handled:
        at = self._message.received_at
        row = current(self._connection, self._message.channel, self._message.sender_id)
        if row is not None and row.state == TAKEN:
            if not self._handovers.give_back_if_silent(row, now=at):
                self._talk.add(Side.CUSTOMER, text, at=at, order_id=row.id, files=files, note=note)
                paths = tuple(str(file["path"]) for file in files)
                self._handovers.relay(row, text, key=f"said/{self._row_id}", files=paths)
                return Handled("for the human who has taken over")
        elif row is not None:
            self._handovers.add_words(row, text)
        self._talk.add(Side.CUSTOMER, text, at=at, files=files, note=note)
        if self._is_busy():
            # Answered together with whatever else is said until then: one answer, one cost.
            return Handled("waits for the answer before it", None, (self._typing(),))
        return self._place()

    def _is_busy(self) -> bool:
        """Return whether an answer to this person is being written."""
        moving = [status.value for status in OrderStatus if status.is_moving]
        query = sa.select(orders.c.id).where(
            orders.c.channel == self._message.channel,
            orders.c.sender_id == self._message.sender_id,
            orders.c.status.in_(moving),
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def _place(self) -> Handled:
        # With what an order that was stopped left unanswered.
        rest = self._talk.unanswered()
        words = "\n".join(row.text for row in rest)[-MAX_SIGNS:]
        order_id = place(
            self._service,
            self._connection,
            replace(self._message, text=words),
            turns=[row.id for row in rest],
        )
        if order_id is None:
            at = self._message.received_at
            if not self._talk.was_limited(at=at):
                self._talk.add(Side.LIMIT, "", at=at)
                self._speak("customer_spent")
            return Handled("the day's money for it is used up")
        return Handled("a customer's question", order_id, (self._typing(),))

    def _typing(self) -> Signal:
        return Signal(SignalKind.TYPING, self._message.chat_id, thread_id=self._message.thread_id)

    def _speak(self, key: str, **facts: Any) -> None:
        self._replies += 1
        put(
            self._connection,
            dedupe_key=f"reply/{self._row_id}/{self._replies}",
            message=self._reply(say(key, self._lang, company=self._service.company, **facts)),
            now=iso(self._service.clock.now()),
        )

    def _reply(self, text: str) -> OutboundMessage:
        return OutboundMessage(
            channel=self._message.channel,
            chat_id=self._message.chat_id,
            thread_id=self._message.thread_id,
            kind=OutboundKind.ANSWER,
            text=text,
        )


def place(
    service: Service, connection: Connection, message: InboundMessage, *, turns: list[int]
) -> str | None:
    """Take a customer's words as an order of its own small budget; None where none is left today."""
    grant = granted(
        connection,
        service.config,
        channel=message.channel,
        person_id=message.sender_id,
        now=service.clock.now(),
    )
    talk = Talk(connection, message.channel, message.sender_id)
    if grant <= 0:
        # Never answered: a later order must not take it for what is still to be done.
        talk.give(turns, "-")
        return None
    ordered = replace(
        message,
        # Whatever the channel said: words from here are a customer's.
        origin=Origin.CUSTOMER,
        customer=customer_id(message.channel, message.sender_id),
        kind=InboundKind.TEXT,
        files=(),
    )
    order_id = service.intake(connection).place(ordered, Wish(budget=grant))
    talk.give(turns, order_id)
    bring_along(service, connection, turns, order_id)
    return order_id


def place_rest(service: Service, connection: Connection, order: Any) -> None:
    """Let what a customer said while an answer was written become the next order."""
    talk = Talk(connection, order.channel, order.sender_id)
    rest = talk.unanswered()
    if not rest:
        return
    message = InboundMessage(
        channel=order.channel,
        account=_account(connection, order.id),
        update_id=f"turn-{rest[-1].id}",
        chat_id=order.chat_id,
        thread_id=order.thread_id,
        sender_id=order.sender_id,
        text="\n".join(row.text for row in rest)[:MAX_SIGNS],
        received_at=service.clock.now(),
    )
    place(service, connection, message, turns=[row.id for row in rest])


def _account(connection: Connection, order_id: str) -> str:
    query = sa.select(orders.c.account).where(orders.c.id == order_id)
    return str(connection.execute(query).scalar_one())
