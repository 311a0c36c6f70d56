"""A person's word on an order, from whichever way it came: a button, a command, a reply."""

import json
from typing import Any

import sqlalchemy as sa

from swarm.core.errors import Conflict, InvalidInput
from swarm.core.text import shorten
from swarm.runtime.buttons import digest_of
from swarm.runtime.people import Right
from swarm.runtime.phrases import say
from swarm.runtime.turn import Turn
from swarm.runtime.understanding import numbered_answers
from swarm.store.tables import asks

ASSUME = "No answer: decide yourself, and say what you assumed."


def approve(turn: Turn, target: str, *, signs: str | None = None) -> None:
    """Sign a plan or a call; `signs` is the digest of the call that was shown."""
    turn.need(Right.APPROVE)
    order_id = turn.office.approve(target, by=turn.name, signer=turn.signer, digest=signs)
    turn.order_id = order_id
    turn.speak("approved", lang=turn.language_of(order_id), order=order_id)


def reject(turn: Turn, target: str, reason: str) -> None:
    """Refuse a plan, a call or a result; what is a plan or a result is planned anew."""
    turn.need(Right.APPROVE)
    found = open_asks(turn, target)
    is_call = bool(found) and all(ask.kind == "signature" for ask in found)
    if not is_call:
        reason = turn.with_notes(found[0].order_id if found else target, reason)
    order_id = turn.office.reject(target, reason, by=turn.name, signer=turn.signer)
    turn.order_id = order_id
    key = "refused_call" if is_call else "new_revision"
    turn.speak(key, lang=turn.language_of(order_id), order=order_id)


def rework(turn: Turn, order_id: str, reason: str) -> None:
    """Send a delivered order back to work."""
    turn.need(Right.APPROVE)
    turn.office.reject(
        order_id, turn.with_notes(order_id, reason), by=turn.name, signer=turn.signer
    )
    turn.order_id = order_id
    turn.speak("reworked", lang=turn.language_of(order_id), order=order_id)


def accept(turn: Turn, order_id: str) -> None:
    """Take responsibility for a result, by name."""
    turn.need(Right.APPROVE)
    turn.office.accept(order_id, by=turn.name, sign=turn.name, signer=turn.signer)
    turn.order_id = order_id
    turn.speak("accepted", lang=turn.language_of(order_id), order=order_id)


def cancel(turn: Turn, order_id: str) -> None:
    """Stop an order before its next step."""
    turn.need(Right.CANCEL)
    turn.office.cancel(order_id, by=turn.name, signer=turn.signer)
    turn.order_id = order_id
    turn.speak("cancelled", lang=turn.language_of(order_id), order=order_id)


def resume(turn: Turn, order_id: str) -> None:
    """Let a parked or failed order go on."""
    turn.need(Right.APPROVE)
    turn.office.resume(order_id, signer=turn.signer)
    turn.order_id = order_id
    turn.speak("resumed_order", lang=turn.language_of(order_id), order=order_id)


def choose(turn: Turn, ask: Any, number: int, reason: str = "") -> None:
    """Choose an option by its number."""
    turn.need(Right.ANSWER)
    options = json.loads(ask.options)
    if not 1 <= number <= len(options):
        raise InvalidInput(say("no_such_number", turn.lang, number=number))
    order_id = turn.office.choose(ask.id, number, by=turn.name, reason=reason, signer=turn.signer)
    turn.order_id = order_id
    option = shorten(str(options[number - 1]), 80)
    lang = turn.language_of(order_id)
    turn.speak("chosen", lang=lang, order=order_id, option=option)


def answer(turn: Turn, found: list[Any], text: str) -> None:
    """Answer one question, or several at once: a numbered line each, or one text for all."""
    turn.need(Right.ANSWER)
    if not found:
        raise Conflict(say("nothing_waits", turn.lang))
    each = numbered_answers(text, len(found))
    for number, ask in enumerate(found):
        words = each[number] if each else text
        turn.office.answer(ask.id, words, by=turn.name, signer=turn.signer)
    order_id = found[0].order_id
    turn.order_id = order_id
    lang = turn.language_of(order_id)
    left = len(turn.waiting(order_id))
    if left:
        turn.speak("answered_part", lang=lang, order=order_id, count=left)
    else:
        turn.speak("answered", lang=lang, order=order_id)


def check_shown(turn: Turn, ask_id: str, digest: str | None) -> Any:
    """Return an open ask that is still what a card showed.

    Raises:
        Conflict: It is no longer open, or says something else by now.
    """
    ask = next((row for row in open_asks(turn, ask_id) if row.id == ask_id), None)
    if ask is None:
        raise Conflict("This was settled already, or a newer revision took its place: see /inbox.")
    shown = ask.text + ask.options if ask.kind == "choice" else ask.text
    if digest is not None and digest_of(shown) != digest:
        raise Conflict("This is not what the card showed: see /inbox. Nothing was changed.")
    return ask


def open_asks(turn: Turn, target: str) -> list[Any]:
    """Return what is open of an order, or the one ask that is named."""
    is_meant = sa.or_(asks.c.id == target, asks.c.order_id == target)
    query = sa.select(asks).where(is_meant, asks.c.state == "open").order_by(asks.c.created_at)
    return list(turn.connection.execute(query).all())
