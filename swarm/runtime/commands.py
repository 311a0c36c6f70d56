"""The commands of the chat. Few, short, and each also said in plain words elsewhere."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from swarm.core.clock import iso
from swarm.core.document import OrderDocument
from swarm.core.errors import InvalidInput
from swarm.core.message import OutboundKind
from swarm.core.money import CostStatus, from_pico, plain
from swarm.core.order import OrderStatus
from swarm.core.registry import nearest
from swarm.core.text import shorten
from swarm.ledger.reports.sums import sums_by_order
from swarm.memory.base import Viewer
from swarm.runtime import customers_handover, deciding
from swarm.runtime.cards import receipt_line
from swarm.runtime.customers import of_customers
from swarm.runtime.people import Right
from swarm.runtime.phrases import say, status
from swarm.runtime.quiet_words import described, quiet
from swarm.runtime.turn import Turn
from swarm.store.tables import orders

LISTED = 10
"""Orders and memories that one answer lists."""


class Command(NamedTuple):
    """One command: what it does with the words after it."""

    run: Callable[[Turn, str], None]
    help: str
    usage: str = ""


def order(turn: Turn, words: str) -> None:
    """Take an order."""
    if not words.strip():
        raise InvalidInput(say("name_it", turn.lang, usage="/order TEXT"))
    turn.close_dialogue()
    turn.place(words)


def status_of(turn: Turn, words: str) -> None:
    """Say where one order stands, or the newest ones."""
    turn.need(Right.READ)
    named = words.split()[:1]
    order_id = named[0] if named else turn.here()
    if order_id:
        document = turn.documents.order(order_id)
        turn.order_id = document.id
        turn.say("\n".join(_lines(turn, document)), order_id=document.id)
        return
    newest = (
        sa.select(orders.c.id, orders.c.status, orders.c.state)
        # Customers' questions are many, and are in `/report`; who waits for a human is in `/inbox`.
        .where(sa.not_(of_customers()))
        .order_by(orders.c.created_at.desc(), orders.c.id)
    )
    lines = [_line(turn, row) for row in turn.connection.execute(newest.limit(LISTED))]
    if turn.desks.pause.is_set(turn.connection):
        lines.insert(0, say("paused", turn.lang))
    if turn.desks.quiet is not None:
        person = turn.person
        habit = turn.desks.quiet.of(turn.connection, person.channel, person.platform_id)
        if habit.zone is not None:
            lines = [*(lines or [say("no_orders", turn.lang)]), "", described(habit, turn.lang)]
    turn.say("\n".join(lines) or say("no_orders", turn.lang))


def inbox(turn: Turn, words: str) -> None:
    """Show what waits, each as a fresh card."""
    turn.need(Right.READ)
    waiting = turn.connection.execute(
        sa.select(orders.c.id)
        .where(orders.c.status == OrderStatus.WAITING.value)
        .order_by(orders.c.created_at)
        .limit(LISTED)
    ).scalars()
    found = list(waiting)
    served = customers_handover.show_waiting(turn)
    if not found and not served:
        turn.speak("nothing_waits")
    for order_id in found:
        turn.say(order_id, order_id=order_id, card="waiting", kind=OutboundKind.DECISION)


def approve(turn: Turn, words: str) -> None:
    """Sign what is named, or the one thing that waits."""
    turn.need(Right.APPROVE)
    deciding.approve(turn, words.split()[0] if words else _only(turn, "/approve ID", _SIGNED))


def reject(turn: Turn, words: str) -> None:
    """Refuse what is named, with a reason."""
    turn.need(Right.APPROVE)
    target, _, reason = words.partition(" ")
    if not reason.strip():
        raise InvalidInput(say("name_it", turn.lang, usage="/reject ID REASON"))
    deciding.reject(turn, target, reason)


def cancel(turn: Turn, words: str) -> None:
    """Stop an order, the one named or the only one that is not over."""
    turn.need(Right.CANCEL)
    target = words.split()[0] if words else turn.here()
    if target is None:
        over = [s.value for s in OrderStatus if s.is_final]
        rows = turn.connection.execute(
            sa.select(orders.c.id)
            .where(
                orders.c.status.not_in(over),
                orders.c.channel == turn.message.channel,
                orders.c.chat_id == turn.message.chat_id,
            )
            .limit(2)
        ).all()
        if len(rows) != 1:
            raise InvalidInput(say("name_it", turn.lang, usage="/cancel ID"))
        target = rows[0].id
    deciding.cancel(turn, target)


def cost(turn: Turn, words: str) -> None:
    """Say what an order cost so far; without a name, what all of them did."""
    turn.need(Right.COST)
    named = words.split()[:1]
    target = named[0] if named else turn.here()
    if target is None:
        report(turn, "")
        return
    document = turn.documents.order(target)
    turn.order_id = document.id
    lines = [say("spent", document.language, order=document.id, text=receipt_line(document))]
    for role in document.receipt.by_role:
        lines.append(f"• {role.role} ({role.model}): {plain(role.amount)} {role.currency}")
    turn.say("\n".join(lines), order_id=document.id)


def report(turn: Turn, words: str) -> None:
    """Sum up the last week."""
    turn.need(Right.COST)
    # Sums that the database keeps itself: a message is handled within a write, and must not hold
    # up all others while every order is read.
    is_new = orders.c.created_at >= iso(turn.desks.clock.now() - timedelta(days=7))
    by_status = sa.select(orders.c.status, sa.func.count()).where(is_new).group_by(orders.c.status)
    counts = {name: int(count) for name, count in turn.connection.execute(by_status)}
    spent = turn.connection.execute(
        sa.select(
            sums_by_order.c.currency,
            sa.func.sum(sums_by_order.c.cost_pico),
            sa.func.max(
                sa.case((sums_by_order.c.cost_status == CostStatus.UNPRICED.value, 1), else_=0)
            ),
        )
        .join(orders, orders.c.id == sums_by_order.c.order_id)
        .where(is_new)
        .group_by(sums_by_order.c.currency)
        .order_by(sums_by_order.c.currency)
    ).all()
    at_least = "≥ " if any(is_bound for _, _, is_bound in spent) else ""
    total = ", ".join(
        f"{at_least}{plain(from_pico(int(pico)))} {currency}" for currency, pico, _ in spent
    )
    head = f"7 d: {sum(counts.values())} orders, {total or '0'}"
    lines = [f"• {count} {status(name, turn.lang)}" for name, count in sorted(counts.items())]
    for item in turn.office.budgets():
        if item.limit is not None:
            lines.append(
                f"• {item.scope}: {plain(item.spent)} / {plain(item.limit)} {item.currency}"
            )
    turn.say("\n".join([head, *lines]))


def memory(turn: Turn, words: str) -> None:
    """Show what the company remembers of some words, or the newest of all."""
    turn.need(Right.MEMORY)
    desk = turn.desks.memory(turn.connection)
    viewer = Viewer(role="", is_owner=True)
    if words:
        found = [*desk.recall(words, limit=LISTED, viewer=viewer)]
        lines = [f"• {item.id} {shorten(item.text, 300)} ({item.age})" for item in found]
    else:
        newest = desk.list(limit=LISTED, viewer=viewer)
        lines = [f"• {item.id} {shorten(item.text, 300)}" for item in newest]
    turn.say("\n".join(lines) or "—")


def team(turn: Turn, words: str) -> None:
    """Say who works here."""
    turn.need(Right.READ)
    turn.say("\n".join(f"• {name}: {title}" for name, title in turn.desks.roles()))


def pause(turn: Turn, words: str) -> None:
    """Press the stop button."""
    turn.need(Right.STOP)
    turn.desks.pause.press(turn.connection, by=turn.person.identity)
    keys = turn.keyboard("pause")
    turn.say(
        say("paused", turn.lang),
        buttons=((keys.button(say("resume", turn.lang), "resume"),),),
        kind=OutboundKind.DECISION,
    )


def resume(turn: Turn, words: str) -> None:
    """Let the company go on, or an order that stands still."""
    if words:
        deciding.resume(turn, words.split()[0])
        return
    turn.need(Right.STOP)
    turn.desks.pause.release(turn.connection)
    turn.speak("resumed")


def never_mind(turn: Turn, words: str) -> None:
    """Leave a dialogue."""
    turn.close_dialogue()
    turn.speak("never_mind")


def show_help(turn: Turn, words: str) -> None:
    """List the commands."""
    lines = [f"/{name} {c.usage}".rstrip() + f": {c.help}" for name, c in COMMANDS.items()]
    turn.say("\n".join([say("greeting", turn.lang), "", *lines]))


def start(turn: Turn, words: str) -> None:
    """Greet who is known already."""
    turn.speak("welcome", role=turn.person.role.value)


COMMANDS: Mapping[str, Command] = {
    "order": Command(order, "give an order; plain text does it too", "TEXT"),
    "status": Command(status_of, "where orders stand", "[ID]"),
    "inbox": Command(inbox, "what waits for you"),
    "approve": Command(approve, "sign a plan or a call", "[ID]"),
    "reject": Command(reject, "refuse it, with a reason", "ID REASON"),
    "cancel": Command(cancel, "stop an order", "[ID]"),
    "cost": Command(cost, "what it cost so far", "[ID]"),
    "report": Command(report, "the last seven days"),
    "memory": Command(memory, "what the company remembers", "[WORDS]"),
    "team": Command(team, "who works here"),
    "pause": Command(pause, "stop: nothing new starts"),
    "resume": Command(resume, "go on", "[ID]"),
    "quiet": Command(quiet, "when to leave you alone", "[22-7 Europe/Paris|off]"),
    "help": Command(show_help, "this list"),
}
"""The menu, in its order. A platform shows fifty at most; a dozen is what a thumb finds."""

HIDDEN: Mapping[str, Command] = {
    "start": Command(start, ""),
    "stop": Command(pause, ""),
    "never_mind": Command(never_mind, ""),
    "accept": Command(lambda turn, words: deciding.accept(turn, words.strip()), ""),
}

_SIGNED = ("approval", "signature")


def menu() -> tuple[tuple[str, str], ...]:
    """Return the commands for a platform's menu."""
    return tuple((name, command.help) for name, command in COMMANDS.items())


def run(turn: Turn, text: str) -> str:
    """Run the command of a text and return its name.

    Raises:
        InvalidInput: There is no such command; the nearest is named.
        SwarmError: As the command says; nothing was changed.
    """
    word, _, words = text.partition(" ")
    name = word.removeprefix("/").lower()
    command = COMMANDS.get(name) or HIDDEN.get(name)
    if command is None:
        raise InvalidInput(
            say("no_command", turn.lang, name=shorten(word, 40)) + nearest(name, COMMANDS)
        )
    command.run(turn, words.strip())
    return name


def _only(turn: Turn, usage: str, kinds: tuple[str, ...]) -> str:
    """Return the one thing here that waits for such a word."""
    here = turn.here()
    found = [ask for ask in turn.waiting(here) if ask.kind in kinds]
    if not found and here is None:
        raise InvalidInput(say("nothing_waits", turn.lang))
    if len(found) != 1:
        raise InvalidInput(say("name_it", turn.lang, usage=usage))
    return str(found[0].id)


def _line(turn: Turn, row: Any) -> str:
    state = json.loads(row.state)
    what = shorten((state.get("frame") or {}).get("goal") or state["text"], 80)
    return f"• {row.id} {status(row.status, turn.lang)}: {what}"


def _lines(turn: Turn, document: OrderDocument) -> list[str]:
    lang = document.language or turn.lang
    reason = document.reason.text if document.reason else ""
    where = status(document.status.value, lang)
    lines = [say("ended", lang, order=document.id, status=where, reason=reason).strip()]
    if document.goal:
        lines.append(say("goal", lang, goal=shorten(document.goal, 500)))
    for task in document.plan.tasks if document.plan else []:
        lines.append(f"• {task.id} {task.role}: {shorten(task.title, 60)} ({task.status.value})")
    if turn.person.may(Right.COST):
        lines.append(say("spent", lang, order=document.id, text=receipt_line(document)))
    return lines
