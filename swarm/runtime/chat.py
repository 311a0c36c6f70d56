"""What people mean, and what is done about it: deterministic rules, one transaction a message.

The rules, in their order: who is this; a button; a command; what was asked of them just now; a
reply to a message of ours, or the topic of an order; the one thing that waits here; a question
about an order; and otherwise an order. Where two readings are both likely, the person is asked by
two buttons, and nothing is done until they say.
"""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import is_for_customers
from swarm.core.clock import iso
from swarm.core.errors import Conflict, InvalidInput, SwarmError
from swarm.core.message import (
    InboundKind,
    InboundMessage,
    OutboundKind,
    OutboundMessage,
    Signal,
)
from swarm.core.order import OrderStatus
from swarm.core.text import clean_text, shorten
from swarm.runtime import (
    asides,
    clicks,
    commands,
    customers_handover,
    deciding,
    notes,
    understanding,
)
from swarm.runtime.customers_desk import CustomersDesk
from swarm.runtime.outbox import put
from swarm.runtime.people import PersonRole, Right
from swarm.runtime.phrases import say
from swarm.runtime.turn import Desks, Dialogue, Handled, Turn
from swarm.runtime.understanding import About
from swarm.store.tables import orders


class Chat:
    """Handle what is heard; each call is part of the caller's transaction."""

    def __init__(self, desks: Desks) -> None:
        self.desks = desks
        self._customers = CustomersDesk(desks)

    def is_welcome(self, connection: Connection, message: InboundMessage) -> bool:
        """Return whether a person's files are to be fetched."""
        if is_for_customers(message.channel):
            return self._customers.may_bring(connection, message)
        person = self.desks.people.find(connection, message.channel, message.sender_id)
        is_open = message.is_private or message.chat_id in self.desks.groups
        return person is not None and person.may(Right.ORDER) and is_open

    def handle(self, connection: Connection, row_id: int, message: InboundMessage) -> Handled:
        """Do what a message asks for.

        Raises:
            SwarmError: It cannot be done, and the text says why; nothing was changed.
        """
        if is_for_customers(message.channel):
            # Before anything else is asked: nothing below this line ever acts for a customer.
            return self._customers.handle(connection, row_id, message)
        person = self.desks.people.find(connection, message.channel, message.sender_id)
        if person is None:
            return self._stranger(connection, row_id, message)
        turn = Turn(self.desks, connection, message, row_id, person)
        private_chat = message.chat_id if message.is_private else None
        self.desks.people.seen(
            connection,
            person,
            name=message.sender_name,
            chat_id=private_chat,
            lang=message.language,
        )
        if not message.is_private and message.chat_id not in self.desks.groups:
            return self._closed_group(turn)
        if person.role is PersonRole.CUSTOMER:
            turn.speak("customer")
            return Handled("a customer, on the company's own channel")
        outcome = self._known(turn)
        return Handled(outcome, turn.order_id, tuple(turn.signals))

    def refuse(
        self, connection: Connection, row_id: int, message: InboundMessage, error: SwarmError
    ) -> Handled:
        """Tell a person why what they asked for was not done."""
        if is_for_customers(message.channel):
            # Why is the company's own matter.
            self._say(connection, row_id, message, say("customer_sorry", message.language))
            return Handled(f"refused: {error}")
        signals: tuple[Signal, ...] = ()
        if message.kind is InboundKind.CALLBACK:
            person = self.desks.people.find(connection, message.channel, message.sender_id)
            if person is not None:
                turn = Turn(self.desks, connection, message, row_id, person)
                signals = (clicks.noted(str(error), turn, is_refusal=True),)
        else:
            self._say(connection, row_id, message, str(error))
        return Handled(f"refused: {error}", None, signals)

    def local(self, connection: Connection, row_id: int, message: InboundMessage) -> Handled:
        """Take an order of this machine's own user: each line is one."""
        order_id = self.desks.intake(connection).place(message)
        return Handled("an order", order_id)

    def broke(self, connection: Connection, row_id: int, message: InboundMessage) -> None:
        """Tell a person that something inside broke."""
        key = "customer_sorry" if is_for_customers(message.channel) else "broke"
        self._say(connection, row_id, message, say(key, message.language))

    def _say(self, connection: Connection, row_id: int, message: InboundMessage, text: str) -> None:
        put(
            connection,
            dedupe_key=f"reply/{row_id}/refused",
            message=OutboundMessage(
                channel=message.channel,
                chat_id=message.chat_id,
                thread_id=message.thread_id,
                kind=OutboundKind.ANSWER,
                text=text,
            ),
            now=iso(self.desks.clock.now()),
        )

    def _stranger(self, connection: Connection, row_id: int, message: InboundMessage) -> Handled:
        """Let in who has a code; tell others theirs, in private alone; do nothing else for them."""
        if message.kind is not InboundKind.TEXT or not message.is_private:
            return Handled("a stranger, left alone")
        text = message.text.strip()
        code = text.removeprefix("/start").strip()
        person = self.desks.pairing.redeem(connection, code, message)
        if person is not None:
            welcome = say("welcome", message.language, role=person.role.value)
            self._say(connection, row_id, message, welcome)
            return Handled(f"let in as {person.role.value}")
        new = self.desks.pairing.ask(connection, message)
        if new is None:
            return Handled("a stranger, told nothing")
        self._say(connection, row_id, message, say("stranger", message.language, code=new))
        return Handled("a stranger, shown a code")

    def _closed_group(self, turn: Turn) -> Handled:
        """Do nothing in a group that nobody allowed; tell the founder who tries how to."""
        is_try = turn.message.is_addressed and turn.message.text.startswith("/")
        if turn.person.may(Right.STOP) and is_try:
            turn.speak("group_closed", chat=turn.message.chat_id, channel=turn.message.channel)
        return Handled("a group that is not listened to")

    def _known(self, turn: Turn) -> str:
        kind = turn.message.kind
        if kind is InboundKind.CALLBACK:
            clicks.click(turn)
            turn.signals.insert(0, clicks.thanks(turn))
            return "a click"
        if kind is InboundKind.REACTION:
            return asides.sign(turn)
        is_ours = (
            turn.message.is_addressed or turn.here() is not None or turn.dialogue() is not None
        ) or asides.is_of_album(turn)
        if not is_ours:
            return "not meant for us"
        if kind is InboundKind.EDIT:
            return asides.edit(turn)
        if kind is InboundKind.VOICE:
            return asides.voice(turn)
        if kind is InboundKind.FILE:
            return asides.file(turn)
        return self._text(turn, clean_text(turn.message.text).strip())

    def _text(self, turn: Turn, text: str) -> str:
        if not text:
            return "nothing"
        if text.startswith("/"):
            return f"command {commands.run(turn, text)}"
        served = customers_handover.replied_to(turn)
        if served is not None:
            customers_handover.send_words(turn, served.id, text)
            return "an answer to a customer"
        if understanding.is_stop(text) and turn.person.may(Right.STOP):
            commands.pause(turn, "")
            return "command pause"
        ordered = understanding.new_order(text)
        if ordered is not None:
            turn.close_dialogue()
            turn.place(ordered)
            return "an order, named so"
        dialogue = turn.dialogue()
        if dialogue is not None:
            return self._said(turn, dialogue, text)
        if turn.message.is_forwarded:
            self._offer(turn, "forwarded", ("as_order", {"text": text, "is_foreign": True}))
            return "somebody else's words"
        if clicks.press_by_number(turn, text):
            return "a button, by its number"
        here = turn.here()
        if here is not None:
            return self._about(turn, here, text)
        return self._loose(turn, text)

    def _said(self, turn: Turn, dialogue: Dialogue, text: str) -> str:
        """Take the words that were asked for."""
        turn.close_dialogue()
        if dialogue.kind in ("edit", "reject"):
            deciding.check_shown(turn, dialogue.ask_id or "", None)
            deciding.reject(turn, dialogue.ask_id or "", text)
        elif dialogue.kind == "rework":
            deciding.rework(turn, dialogue.order_id or "", text)
        elif dialogue.kind == "voice":
            asides.order_heard(turn, text, str(dialogue.body.get("notes") or ""))
        elif dialogue.kind == "file":
            asides.order_with_file(turn, text, dialogue.body)
        elif dialogue.kind == "customer":
            customers_handover.send_words(turn, str(dialogue.body["handover"]), text)
        return f"the words for {dialogue.kind}"

    def _about(self, turn: Turn, order_id: str, text: str) -> str:
        """Take words that are about one order by their place."""
        turn.order_id = order_id
        row = turn.order(order_id)
        waiting = list(turn.waiting(order_id))
        sent = turn.sent(turn.message.reply_to) if turn.message.reply_to else None
        if sent is not None and sent.ask_id is not None:
            waiting = [ask for ask in waiting if ask.id == sent.ask_id]
            if not waiting:
                raise Conflict(
                    "That was settled already, or a newer revision took its place: see /inbox."
                )
        if waiting:
            return self._waiting(turn, waiting, text, is_certain=True)
        if self._question(turn, order_id, text):
            return "a question about an order"
        if row.status == OrderStatus.DELIVERED.value:
            return self._on_delivery(turn, order_id, text)
        if OrderStatus(row.status).is_final:
            turn.place(text)
            return "an order, in reply to one that is over"
        notes.take(turn, order_id, text)
        return "a note"

    def _on_delivery(self, turn: Turn, order_id: str, text: str) -> str:
        if understanding.is_yes(text):
            deciding.accept(turn, order_id)
            return "accepted"
        if understanding.is_no(text):
            turn.need(Right.APPROVE)
            turn.open_dialogue("rework", order_id=order_id)
            turn.speak("what_different", lang=turn.language_of(order_id), order=order_id)
            return "a no, asked why"
        if understanding.is_greeting(text):
            turn.speak("good")
            return "a courtesy"
        deciding.rework(turn, order_id, understanding.refusal(text) or text)
        return "a correction of a result"

    def _waiting(self, turn: Turn, found: list[Any], text: str, *, is_certain: bool) -> str:
        """Take words while something waits; `is_certain` where their place says that they are meant."""
        kinds = {ask.kind for ask in found}
        if kinds == {"question"}:
            return self._on_questions(turn, found, text, is_certain=is_certain)
        if len(found) > 1:
            lines = "\n".join(f"• {a.id} ({a.order_id}): {shorten(a.text, 60)}" for a in found)
            turn.speak("which", list=lines)
            return "unclear among several"
        ask = found[0]
        if ask.kind == "choice":
            return self._on_choice(turn, ask, text, is_certain=is_certain)
        if ask.kind == "question":
            return self._on_questions(turn, found, text, is_certain=is_certain)
        return self._on_signature(turn, ask, text, is_certain=is_certain)

    def _on_questions(self, turn: Turn, found: list[Any], text: str, *, is_certain: bool) -> str:
        if not is_certain and self._question(turn, found[0].order_id, text):
            return "a question about an order"
        deciding.answer(turn, found, text)
        return "an answer"

    def _on_choice(self, turn: Turn, ask: Any, text: str, *, is_certain: bool) -> str:
        options = [str(option) for option in json.loads(ask.options)]
        picked = understanding.pick(text, len(options))
        if picked is not None:
            deciding.choose(turn, ask, picked.number, picked.reason)
            return "a choice"
        named = [n for n, o in enumerate(options, start=1) if _same(o, text)]
        if len(named) == 1:
            deciding.choose(turn, ask, named[0])
            return "a choice, by its words"
        if understanding.pick(text, 99) is not None:
            raise InvalidInput(say("or_reply", turn.lang, count=len(options)))
        if is_certain:
            deciding.answer(turn, [ask], text)
            return "an answer instead of a choice"
        return self._loose_order(turn, ask, text)

    def _on_signature(self, turn: Turn, ask: Any, text: str, *, is_certain: bool) -> str:
        picked = understanding.pick(text, 3 if ask.kind == "approval" else 2)
        if understanding.is_yes(text) or (picked is not None and picked.number == 1):
            deciding.approve(turn, ask.id)
            return "approved"
        reason = understanding.refusal(text)
        if reason is not None:
            deciding.reject(turn, ask.id, reason)
            return "refused, with a reason"
        if understanding.is_no(text) or picked is not None:
            turn.need(Right.APPROVE)
            kind = "edit" if picked is not None and picked.number == 2 else "reject"
            turn.open_dialogue(kind, order_id=ask.order_id, ask_id=ask.id)
            key = "what_different" if kind == "edit" else "why_reject"
            turn.speak(key, lang=turn.language_of(ask.order_id), order=ask.order_id)
            return "a no, asked why"
        if self._question(turn, ask.order_id, text):
            return "a question about an order"
        if is_certain or understanding.is_correction(text):
            deciding.reject(turn, ask.id, text)
            return "a correction"
        return self._loose_order(turn, ask, text)

    def _loose_order(self, turn: Turn, ask: Any, text: str) -> str:
        """Ask which of two readings is meant."""
        lang = turn.language_of(ask.order_id)
        key = "as_edit" if ask.kind in ("approval", "signature") else "as_answer"
        action = {"order_id": ask.order_id, "ask_id": ask.id, "text": text}
        self._offer(
            turn,
            "unclear",
            (key, action),
            ("as_order", {"text": text}),
            order=ask.order_id,
            lang=lang,
        )
        return "unclear, asked"

    def _offer(self, turn: Turn, key: str, *ways: tuple[str, dict[str, Any]], **facts: Any) -> None:
        """Reply with a phrase and one button for each way to take the words."""
        lang = facts.pop("lang", None) or turn.lang
        keys = turn.keyboard("offer")
        rows = tuple((keys.button(say(do, lang), do, **action),) for do, action in ways)
        turn.say(say(key, lang, **facts), buttons=rows, kind=OutboundKind.DECISION)

    def _loose(self, turn: Turn, text: str) -> str:
        """Take words that no place ties to anything."""
        found = list(turn.waiting())
        # A word cannot be about what was not delivered yet.
        waiting = [ask for ask in found if ask.shown_at is not None]
        is_word = understanding.is_yes(text) or understanding.is_no(text)
        if found and not waiting and (is_word or understanding.pick(text, 99) is not None):
            turn.speak("not_shown")
            return "a word on what was not shown yet"
        if waiting and not understanding.is_greeting(text):
            newest = waiting[-1].order_id
            orders_waiting = {ask.order_id for ask in waiting}
            if len(orders_waiting) == 1:
                return self._waiting(turn, waiting, text, is_certain=False)
            is_word = understanding.is_yes(text) or understanding.is_no(text)
            if is_word or understanding.pick(text, 9) is not None:
                lines = "\n".join(
                    f"• {a.id} ({a.order_id}): {shorten(a.text, 60)}" for a in waiting
                )
                turn.speak("which", list=lines)
                return "unclear among several"
            if self._question(turn, newest, text):
                return "a question about an order"
        if understanding.is_greeting(text):
            turn.speak("greeting")
            return "a courtesy"
        return self._maybe_about_last(turn, text)

    def _maybe_about_last(self, turn: Turn, text: str) -> str:
        """Take short words as being about the newest order here; all else is an order."""
        last = turn.connection.execute(
            sa.select(orders.c.id, orders.c.status)
            .where(
                orders.c.channel == turn.message.channel,
                orders.c.chat_id == turn.message.chat_id,
                orders.c.status.not_in(["accepted", "cancelled"]),
            )
            .order_by(orders.c.created_at.desc())
            .limit(1)
        ).first()
        if last is not None:
            if self._question(turn, last.id, text):
                return "a question about an order"
            is_word = understanding.is_yes(text) or understanding.is_no(text)
            if last.status == OrderStatus.DELIVERED.value and is_word:
                return self._on_delivery(turn, last.id, text)
        turn.place(text)
        return "an order"

    def _question(self, turn: Turn, order_id: str, text: str) -> bool:
        """Answer a question that the books answer; False where it is none."""
        about = understanding.about(text)
        if about is About.COST:
            commands.cost(turn, order_id)
        elif about is About.STATUS:
            commands.status_of(turn, order_id)
        return about is not None


def _same(option: str, text: str) -> bool:
    return understanding.plain(option) == understanding.plain(text) != ""
