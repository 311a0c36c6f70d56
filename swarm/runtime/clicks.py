"""What pressed buttons do. Rights, the person, the time and what was shown are looked at anew."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from swarm.core.clock import iso
from swarm.core.errors import Conflict
from swarm.core.message import Signal, SignalKind
from swarm.core.origin import Origin
from swarm.runtime import asides, commands, customers_handover, deciding, understanding
from swarm.runtime.buttons import Press, is_open, press, reopen
from swarm.runtime.people import Right
from swarm.runtime.phrases import say
from swarm.runtime.turn import Turn
from swarm.store.tables import outbox

MOST_BUTTONS = 99
"""Highest number that is taken for a button."""

Do = Callable[[Turn, Press], None]


def click(turn: Turn) -> None:
    """Do what the pressed button stands for.

    Raises:
        Conflict, InvalidInput: It cannot be done; nothing was changed.
    """
    message = turn.message
    found = press(
        turn.connection,
        turn.desks.clock,
        message.data,
        channel=message.channel,
        chat_id=message.chat_id,
        person_id=turn.person.platform_id,
    )
    turn.order_id = found.order_id
    DOINGS[found.do](turn, found)
    if found.do not in OPENERS and message.message_id is not None:
        turn.signals.append(
            Signal(SignalKind.UNBUTTON, message.chat_id, message_id=message.message_id)
        )


def press_by_number(turn: Turn, text: str) -> bool:
    """Take a bare number for the button of that number, on the newest card here that has several.

    Returns False where it means no button: then the text is what it is. Where the message answers
    another one, only the buttons of that one count.
    """
    picked = understanding.pick(text, MOST_BUTTONS)
    if picked is None or picked.reason:
        return False
    card = _numbered_card(turn)
    if card is None or card.ask_id is not None:
        # What is asked is answered by its own rules, which also take a number.
        return False
    keys = [key for row in json.loads(card.buttons) for key in row]
    if len(keys) < 2 or picked.number > len(keys):
        return False
    token = str(keys[picked.number - 1]["token"])
    if turn.message.reply_to is None and not is_open(turn.connection, turn.desks.clock, token):
        # The card is settled: the number is about something else.
        return False
    turn.message = replace(turn.message, data=token, message_id=card.sent_id)
    click(turn)
    return True


def _numbered_card(turn: Turn) -> Any:
    """Return the message whose buttons a number may mean: the answered one, or the newest with any."""
    message = turn.message
    where = [
        outbox.c.channel == message.channel,
        outbox.c.chat_id == message.chat_id,
        outbox.c.state == "sent",
        outbox.c.buttons != "[]",
    ]
    if message.reply_to is not None:
        where.append(outbox.c.sent_id == message.reply_to)
    elif message.thread_id is not None and message.thread_id != message.message_id:
        where.append(outbox.c.thread_id == message.thread_id)
    query = sa.select(outbox).where(*where).order_by(outbox.c.sent_at.desc(), outbox.c.id.desc())
    return turn.connection.execute(query.limit(1)).first()


def _approve(turn: Turn, found: Press) -> None:
    turn.need(Right.APPROVE)
    ask = deciding.check_shown(turn, found.ask_id or "", found.digest)
    signs = found.more.get("signs")
    deciding.approve(turn, ask.id, signs=str(signs) if signs else None)


def _edit(turn: Turn, found: Press) -> None:
    _ask_why(turn, found, "edit", "what_different")


def _reject(turn: Turn, found: Press) -> None:
    _ask_why(turn, found, "reject", "why_reject")


def _ask_why(turn: Turn, found: Press, kind: str, key: str) -> None:
    """Ask for the words that the button needs; until they come nothing is decided."""
    turn.need(Right.APPROVE)
    ask = deciding.check_shown(turn, found.ask_id or "", found.digest)
    reopen(turn.connection, found.token)
    turn.open_dialogue(kind, order_id=ask.order_id, ask_id=ask.id)
    turn.speak(key, lang=turn.language_of(ask.order_id), order=ask.order_id)


def _rework(turn: Turn, found: Press) -> None:
    turn.need(Right.APPROVE)
    order_id = _delivered(turn, found)
    reopen(turn.connection, found.token)
    turn.open_dialogue("rework", order_id=order_id)
    turn.speak("what_different", lang=turn.language_of(order_id), order=order_id)


def _accept(turn: Turn, found: Press) -> None:
    turn.need(Right.APPROVE)
    deciding.accept(turn, _delivered(turn, found))


def _delivered(turn: Turn, found: Press) -> str:
    """Return the order of a card that shows its newest delivery.

    Raises:
        Conflict: It is no longer the newest.
    """
    row = turn.order(found.order_id or "")
    if row is None or row.segment != found.more.get("segment"):
        raise Conflict("A newer result took the place of this one: see /status.")
    return str(row.id)


def _cost(turn: Turn, found: Press) -> None:
    reopen(turn.connection, found.token)
    commands.cost(turn, found.order_id or "")


def _choose(turn: Turn, found: Press) -> None:
    turn.need(Right.ANSWER)
    ask = deciding.check_shown(turn, found.ask_id or "", found.digest)
    deciding.choose(turn, ask, found.number or 0)


def _assume(turn: Turn, found: Press) -> None:
    turn.need(Right.ANSWER)
    ids = {str(ask_id) for ask_id in found.more.get("ask_ids", [])}
    waiting = deciding.open_asks(turn, found.order_id or "")
    deciding.answer(turn, [ask for ask in waiting if ask.id in ids], deciding.ASSUME)


def _resume_order(turn: Turn, found: Press) -> None:
    deciding.resume(turn, _same_segment(turn, found))


def _cancel(turn: Turn, found: Press) -> None:
    deciding.cancel(turn, _same_segment(turn, found))


def _same_segment(turn: Turn, found: Press) -> str:
    row = turn.order(found.order_id or "")
    if row is None or row.segment != found.more.get("segment"):
        raise Conflict("The order moved on since: see /status.")
    return str(row.id)


def _resend(turn: Turn, found: Press) -> None:
    """Send a doubtful message again, as a new one: a person said so."""
    turn.need(Right.READ)
    row = turn.connection.execute(
        sa.select(outbox).where(outbox.c.id == int(found.more["outbox"]))
    ).one()
    if row.state != "unknown":
        raise Conflict("This was settled already.")
    values = dict(row._mapping)
    now = iso(turn.desks.clock.now())
    del values["id"]
    values |= {
        "dedupe_key": f"{row.dedupe_key}/again{row.tries}",
        "state": "pending",
        "not_before": now,
        "created_at": now,
        "sent_at": None,
        "sent_id": None,
    }
    turn.connection.execute(outbox.insert().values(**values))
    _close_doubt(turn, row.id, "sent again")
    turn.speak("sent_again")


def _arrived(turn: Turn, found: Press) -> None:
    turn.need(Right.READ)
    _close_doubt(turn, int(found.more["outbox"]), "arrived, a person says")
    turn.speak("good")


def _close_doubt(turn: Turn, outbox_id: int, error: str) -> None:
    turn.connection.execute(
        outbox.update()
        .where(outbox.c.id == outbox_id, outbox.c.state == "unknown")
        .values(error=f"{error} ({turn.person.identity})")
    )


def _as_order(turn: Turn, found: Press) -> None:
    origin = Origin.WEB if found.more.get("is_foreign") else None
    notes = str(found.more.get("notes") or "")
    asides.order_heard(turn, str(found.more["text"]), notes, origin=origin)


def _as_edit(turn: Turn, found: Press) -> None:
    deciding.reject(turn, found.ask_id or "", str(found.more["text"]))


def _as_answer(turn: Turn, found: Press) -> None:
    waiting = deciding.open_asks(turn, found.order_id or "")
    questions = [ask for ask in waiting if ask.kind == "question"]
    deciding.answer(turn, questions, str(found.more["text"]))


def _as_rework(turn: Turn, found: Press) -> None:
    deciding.rework(turn, found.order_id or "", str(found.more["text"]))


def _voice_fix(turn: Turn, found: Press) -> None:
    """Let the next words be the order, instead of what was heard."""
    turn.need(Right.ORDER)
    reopen(turn.connection, found.token)
    turn.open_dialogue("voice", notes=str(found.more.get("notes") or ""))
    turn.speak("voice_say")


def _resume_company(turn: Turn, found: Press) -> None:
    commands.resume(turn, "")


DOINGS: Mapping[str, Do] = {
    "approve": _approve,
    "edit": _edit,
    "reject": _reject,
    "rework": _rework,
    "accept": _accept,
    "cost": _cost,
    "choose": _choose,
    "assume": _assume,
    "resume_order": _resume_order,
    "cancel": _cancel,
    "resend": _resend,
    "arrived": _arrived,
    "as_order": _as_order,
    "as_edit": _as_edit,
    "as_answer": _as_answer,
    "as_rework": _as_rework,
    "voice_fix": _voice_fix,
    "resume": _resume_company,
    "customer_answer": customers_handover.press_answer,
    "customer_take_over": customers_handover.press_take_over,
    "customer_give_back": customers_handover.press_give_back,
    "customer_order": customers_handover.press_order,
}
"""Each thing a button can stand for."""

OPENERS = frozenset(
    {"edit", "reject", "rework", "cost", "voice_fix", "customer_answer", "customer_order"}
)
"""What only opens something: its card keeps its buttons."""


def noted(text: str, turn: Turn, *, is_refusal: bool = False) -> Signal:
    """Return the hint that ends the wait of whoever pressed."""
    return Signal(
        SignalKind.CLICK,
        turn.message.chat_id,
        click_id=turn.message.click_id,
        text=text,
        is_refusal=is_refusal,
    )


def thanks(turn: Turn) -> Signal:
    """Return the hint for a press that did what it should."""
    return noted(say("good", turn.lang), turn)
