"""Cards: what a person decides on, on one screen, with a button for each way it can go."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import is_for_customers
from swarm.core.clock import Clock, iso, parse_iso
from swarm.core.document import OrderDocument
from swarm.core.message import Button, OutboundKind, OutboundMessage
from swarm.core.money import CostStatus, from_pico, plain
from swarm.core.text import shorten
from swarm.ledger.budget import order_scope
from swarm.runtime.buttons import Keyboard, digest_of
from swarm.runtime.documents import Documents
from swarm.runtime.outbox import LONG, put
from swarm.runtime.people import People, Right
from swarm.runtime.phrases import say, status
from swarm.store.tables import approvals, asks, budgets, orders

LABEL_SIGNS = 40
"""Longest text on a button that a phone shows whole."""
OPTION_SIGNS = 600
"""Longest option written out in the message, above its button."""

_QUOTES = "\u2032" * 3
"""What stands where a text has three backticks."""


class Cards:
    """Write cards for one company; each call is part of the caller's transaction."""

    def __init__(
        self,
        *,
        clock: Clock,
        people: People,
        documents: Callable[[Connection], Documents],
    ) -> None:
        self._clock = clock
        self._people = people
        self._documents = documents

    def dress(self, connection: Connection, message: OutboundMessage) -> Sequence[OutboundMessage]:
        """Write the cards that take the place of a plain word on an order."""
        if message.order_id is None:
            return [message]
        order = connection.execute(sa.select(orders).where(orders.c.id == message.order_id)).one()
        if message.card == "waiting":
            return self._waiting(connection, order, message)
        document = self._documents(connection).order(order.id)
        if message.card == "delivered":
            if order.status != "delivered":
                return []
            return [self.delivered(connection, order, document, message)]
        return [self._ended(connection, order, document, message)]

    def _waiting(
        self, connection: Connection, order: Any, message: OutboundMessage
    ) -> list[OutboundMessage]:
        """Write one card for each thing that waits; plain questions share one."""
        rows = connection.execute(
            sa.select(asks)
            .where(asks.c.order_id == order.id, asks.c.state == "open")
            .order_by(asks.c.created_at, asks.c.id)
        ).all()
        document = self._documents(connection).order(order.id)
        plain_ones = [row for row in rows if row.kind == "question"]
        cards = []
        if plain_ones:
            cards.append(self.questions(connection, order, plain_ones, message))
        for row in rows:
            if row.kind == "approval":
                cards.append(self.plan(connection, order, document, row, message))
            elif row.kind == "signature":
                cards.append(self.signature(connection, order, row, message))
            elif row.kind == "choice":
                cards.append(self.choice(connection, order, row, message))
        return cards

    def plan(
        self,
        connection: Connection,
        order: Any,
        document: OrderDocument,
        ask: Any,
        message: OutboundMessage,
    ) -> OutboundMessage:
        """Write the card that a plan is signed on."""
        lang = document.language
        assert document.plan is not None
        keys = self._keys(connection, order, ask.id, message)
        action = {
            "order_id": order.id,
            "ask_id": ask.id,
            "revision": document.plan.revision,
            "digest": digest_of(ask.text),
        }
        buttons = (
            (
                keys.button(say("approve", lang), "approve", **action),
                keys.button(say("edit", lang), "edit", **action),
                keys.button(say("reject", lang), "reject", **action),
            ),
        )
        lines = self._plan_lines(connection, order, document)
        lines += ["", say("reply_plan", lang)]
        return replace(message, text="\n".join(lines), buttons=buttons, ask_id=ask.id, files=())

    def _plan_lines(self, connection: Connection, order: Any, document: OrderDocument) -> list[str]:
        lang, plan = document.language, document.plan
        assert plan is not None
        lines = [
            f"**{say('plan', lang, order=order.id, revision=plan.revision + 1)}**",
            say("goal", lang, goal=_prose(document.goal or "")),
            "",
            _prose(plan.approach),
        ]
        for task in plan.tasks:
            after = f" ← {', '.join(task.depends_on)}" if task.depends_on else ""
            lines.append(
                f"• {task.id} **{task.role}**: {_prose(task.title)} → `{task.deliverable}`{after}"
            )
        lines.append("")
        cost = document.forecast
        if cost is not None and cost.low is not None and cost.high is not None:
            span = {"low": rounded(cost.low), "high": rounded(cost.high), "currency": cost.currency}
            lines.append(say("forecast", lang, **span))
        else:
            lines.append(say("forecast_unknown", lang))
        lines += self._budget_line(connection, order, lang)
        if document.baseline is not None:
            hours = document.baseline.hours
            band = {"low": plain(hours.p10), "high": plain(hours.p90), "likely": plain(hours.p50)}
            lines.append(say("baseline", lang, **band))
        person = self._people.find(connection, order.channel, order.sender_id)
        may_sign = person is not None and person.may(Right.APPROVE)
        name = person.name if person is not None and may_sign else "founder"
        lines.append(say("signs", lang, name=name or "founder"))
        return lines

    def _budget_line(self, connection: Connection, order: Any, lang: str | None) -> list[str]:
        row = connection.execute(
            sa.select(budgets).where(budgets.c.scope == order_scope(order.id))
        ).first()
        if row is None or row.limit_pico is None:
            return []
        left = from_pico(max(row.limit_pico - row.spent_pico - row.reserved_pico, 0))
        facts = {"left": rounded(left), "limit": rounded(from_pico(row.limit_pico))}
        return [say("budget_left", lang, currency=row.currency, **facts)]

    def questions(
        self, connection: Connection, order: Any, found: Sequence[Any], message: OutboundMessage
    ) -> OutboundMessage:
        """Write the card of one question, or of several that one reply may answer."""
        lang = self._language(connection, order)
        lines = [say("asks", lang, who=found[0].asked_by, order=order.id)]
        if len(found) == 1:
            lines += [_prose(found[0].text), "", say("reply_answer", lang)]
        else:
            lines += [f"{n}. {_prose(row.text)}" for n, row in enumerate(found, start=1)]
            lines += ["", say("reply_answers", lang)]
        ids = [row.id for row in found]
        keys = self._keys(connection, order, "+".join(ids), message)
        button = keys.button(say("you_decide", lang), "assume", order_id=order.id, ask_ids=ids)
        ask_id = ids[0] if len(ids) == 1 else None
        return replace(
            message, text="\n".join(lines), buttons=((button,),), ask_id=ask_id, files=()
        )

    def choice(
        self, connection: Connection, order: Any, ask: Any, message: OutboundMessage
    ) -> OutboundMessage:
        """Write the card of a choice: one button for each option."""
        lang = self._language(connection, order)
        options = [str(option) for option in json.loads(ask.options)]
        lines = [say("asks", lang, who=ask.asked_by, order=order.id), _prose(ask.text), ""]
        lines += [
            f"{n}. {shorten(_prose(o), OPTION_SIGNS)}" for n, o in enumerate(options, start=1)
        ]
        lines += ["", say("or_reply", lang, count=len(options))]
        keys = self._keys(connection, order, ask.id, message)
        digest = digest_of(ask.text + ask.options)
        buttons = tuple(
            (
                keys.button(
                    shorten(f"{n}. {option}", LABEL_SIGNS),
                    "choose",
                    order_id=order.id,
                    ask_id=ask.id,
                    number=n,
                    digest=digest,
                ),
            )
            for n, option in enumerate(options, start=1)
        )
        return replace(message, text="\n".join(lines), buttons=buttons, ask_id=ask.id, files=())

    def signature(
        self, connection: Connection, order: Any, ask: Any, message: OutboundMessage
    ) -> OutboundMessage:
        """Write the card of one call that needs a signature: what is shown is what runs."""
        lang = self._language(connection, order)
        wanted = connection.execute(
            sa.select(approvals).where(approvals.c.ask_id == ask.id, approvals.c.state == "open")
        ).first()
        files = tuple(path for path in message.files if Path(path).stem == ask.id)
        text = ask.text
        if len(text) > LONG:
            name = f"{ask.id}.txt"
            text = f"{text[:1_000]}\n{say('in_file', lang, count=f'{len(ask.text):,}', file=name)}"
        lines = [say("signature", lang, who=ask.asked_by, order=order.id), _verbatim(text)]
        until = wanted.expires_at if wanted is not None else None
        if until is not None:
            lines.append(say("until", lang, until=f"{parse_iso(until):%Y-%m-%d %H:%M} UTC"))
        keys = self._keys(connection, order, ask.id, message, until=until)
        action = {
            "order_id": order.id,
            "ask_id": ask.id,
            "digest": digest_of(ask.text),
            "signs": wanted.digest if wanted is not None else None,
        }
        buttons = (
            (
                keys.button(say("approve", lang), "approve", **action),
                keys.button(say("reject", lang), "reject", **action),
            ),
        )
        return replace(message, text="\n".join(lines), buttons=buttons, ask_id=ask.id, files=files)

    def delivered(
        self,
        connection: Connection,
        order: Any,
        document: OrderDocument,
        message: OutboundMessage,
    ) -> OutboundMessage:
        """Write the card of a delivery: the answer, its files, the receipt in a line."""
        lang = document.language
        lines = [f"**{say('delivered', lang, order=order.id)}**", document.answer or ""]
        for task in document.plan.tasks if document.plan else []:
            if task.status.value == "rejected" and task.review is not None:
                why = "; ".join(task.review.reasons)
                lines.append(say("disputed", lang, text=f"{task.id}: {why}"))
        root = Path(document.workspace)
        files = tuple(str(path) for a in document.artifacts if (path := root / a.path).is_file())
        if document.artifacts:
            lines += ["", say("files", lang)]
            lines += [f"• `{a.path}` ({a.bytes:,} B, {a.role})" for a in document.artifacts]
        lines += ["", say("receipt", lang, text=receipt_line(document))]
        keys = self._keys(connection, order, f"result/{order.segment}", message)
        action = {"order_id": order.id, "segment": order.segment}
        buttons: tuple[tuple[Button, ...], ...] = (
            (
                keys.button(say("accept", lang), "accept", **action),
                keys.button(say("rework", lang), "rework", **action),
            ),
            (keys.button(say("show_cost", lang), "cost", **action),),
        )
        return replace(message, text="\n".join(lines), buttons=buttons, files=files)

    def _ended(
        self,
        connection: Connection,
        order: Any,
        document: OrderDocument,
        message: OutboundMessage,
    ) -> OutboundMessage:
        lang = document.language
        reason = document.reason.text if document.reason else ""
        facts = {"order": order.id, "status": status(message.card or order.status, lang)}
        text = say("ended", lang, reason=reason, **facts)
        if order.status not in ("parked", "failed"):
            return replace(message, text=text)
        keys = self._keys(connection, order, f"ended/{order.segment}", message)
        action = {"order_id": order.id, "segment": order.segment}
        buttons = (
            (
                keys.button(say("retry", lang), "resume_order", **action),
                keys.button(say("cancel_order", lang), "cancel", **action),
            ),
        )
        # It stands still until somebody says so.
        return replace(message, text=text, buttons=buttons, kind=OutboundKind.DECISION)

    def doubt(self, connection: Connection, row: Any) -> None:
        """Queue the question whether an `unknown` message is to be sent again."""
        if row.dedupe_key.startswith("doubt/"):
            return
        if is_for_customers(row.channel):
            self._doubt_of_customer(connection, row)
            return
        order = None
        if row.order_id is not None:
            order = connection.execute(sa.select(orders).where(orders.c.id == row.order_id)).first()
        lang = self._language(connection, order) if order is not None else None
        card = f"doubt/{row.id}/{row.tries}"
        keys = Keyboard(
            connection,
            self._clock,
            card=card,
            channel=row.channel,
            chat_id=row.chat_id,
            person_id=None,
        )
        buttons = (
            (
                keys.button(say("send_again", lang), "resend", outbox=row.id),
                keys.button(say("is_here", lang), "arrived", outbox=row.id),
            ),
        )
        message = OutboundMessage(
            channel=row.channel,
            chat_id=row.chat_id,
            thread_id=row.thread_id,
            kind=OutboundKind.DECISION,
            text=say("doubt", lang, text=shorten(row.body, 200)),
            buttons=buttons,
        )
        put(connection, dedupe_key=card, message=message, now=iso(self._clock.now()))

    def _doubt_of_customer(self, connection: Connection, row: Any) -> None:
        """Ask the founders: whether it is sent again is no customer's to say."""
        for person in self._people.founders(connection):
            card = f"doubt/{row.id}/{row.tries}/{person.id}"
            keys = Keyboard(
                connection,
                self._clock,
                card=card,
                channel=person.channel,
                chat_id=person.chat_id or "",
                person_id=person.platform_id,
            )
            buttons = (
                (
                    keys.button(say("send_again", person.language), "resend", outbox=row.id),
                    keys.button(say("is_here", person.language), "arrived", outbox=row.id),
                ),
            )
            message = OutboundMessage(
                channel=person.channel,
                chat_id=person.chat_id or "",
                thread_id=None,
                kind=OutboundKind.DECISION,
                text=say(
                    "doubt_customer",
                    person.language,
                    channel=row.channel,
                    text=_prose(shorten(row.body, 200)),
                ),
                buttons=buttons,
            )
            put(connection, dedupe_key=card, message=message, now=iso(self._clock.now()))

    def _keys(
        self,
        connection: Connection,
        order: Any,
        about: str,
        message: OutboundMessage,
        *,
        until: str | None = None,
    ) -> Keyboard:
        """Return a keyboard for the person who ordered, where they may sign; else for the rights."""
        person = self._people.find(connection, order.channel, order.sender_id)
        is_theirs = person is not None and person.may(Right.APPROVE)
        return Keyboard(
            connection,
            self._clock,
            card=f"{order.id}/{order.segment}/{about}",
            channel=message.channel,
            chat_id=message.chat_id,
            person_id=order.sender_id if is_theirs else None,
            until=until,
        )

    def _language(self, connection: Connection, order: Any) -> str | None:
        language = json.loads(order.state).get("language")
        return str(language) if language else None


def receipt_line(document: OrderDocument) -> str:
    """Return what an order cost, in one line; a lower bound says so."""
    paper = document.receipt
    cost = paper.model_cost
    at_least = "≥ " if cost.status is CostStatus.UNPRICED else ""
    notional = " (notional)" if cost.status is CostStatus.NOTIONAL else ""
    seconds = int(paper.wall_s)
    took = f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
    return (
        f"{at_least}{rounded(cost.amount)} {cost.currency}{notional}, {paper.calls} calls, {took}"
    )


def rounded(amount: Decimal) -> str:
    """Round for the eye; what is below a hundredth keeps two digits that say something."""
    if amount == 0 or abs(amount) >= 1:
        return plain(amount.quantize(Decimal("0.01")))
    return plain(Decimal(f"{amount:.2g}"))


def _prose(text: str) -> str:
    """Take out what would format the card itself: these are a model's words."""
    return text.replace("```", _QUOTES).replace("**", "").replace("](", "] (").strip()


def _verbatim(text: str) -> str:
    """Fence a text that must be read as it is; a fence within it cannot end ours."""
    return f"```\n{text.replace('```', _QUOTES)}\n```"
