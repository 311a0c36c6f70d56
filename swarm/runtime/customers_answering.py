"""A customer's question worked to its reply: one role, one decision, no tools.

The way is short on purpose. Whoever reads a stranger's words here can do nothing but write a reply
to that same stranger, from what the company wrote down for its customers, or call a human. So a
model that obeys every word of an attacker gives away nothing that its prompt does not hold, and
the prompt holds no other customer's word, no order, no cost and no file.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy.engine import Connection

from swarm.agents.decide import decide
from swarm.agents.mind import Mind
from swarm.channels.bound import customer_id
from swarm.core import language as languages
from swarm.core.clock import iso
from swarm.core.errors import Cancelled, SwarmError
from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.order import OrderState, OrderStatus, Reason, ReasonKind, TaskState, TaskStatus
from swarm.ledger.book import Caller, release_holds
from swarm.ledger.hosting.books import write_usage
from swarm.memory.base import MemoryKind, Recalled, Scope, Viewer
from swarm.org.serving import (
    Reply,
    ReplyKind,
    read_reply,
    reply_schema,
    serving_material,
    serving_messages,
)
from swarm.runtime import records
from swarm.runtime.company import Company
from swarm.runtime.customers import Service
from swarm.runtime.customers_desk import place_rest
from swarm.runtime.customers_handover import Handovers
from swarm.runtime.customers_talk import Side, Talk
from swarm.runtime.outbox import put
from swarm.runtime.people import PersonRole
from swarm.runtime.phrases import say
from swarm.runtime.tasks import reason_of

log = structlog.get_logger("swarm.customers")

TASK = "t1"
"""The one task of such an order."""
PASSAGES = 4
FACTS = 3
LOOKED_AT = 60
"""Memories that are looked through for those a customer may hear."""
_BROKE = "Something inside Swarm broke; the trace is in the log. `swarm resume` tries again."


async def answer_customer(company: Company, order: records.Claimed) -> None:
    """Work a customer's order to its end. May be run again at any time, by any worker."""
    assert company.service is not None, "an order of a customer needs who serves customers"
    desk = ReplyDesk(company, company.service, order)
    reply: Reply | None = None
    reason: Reason | None = None
    try:
        if not await desk.begin():
            return
        with company.meter.working(order.id, TASK, order.segment):
            reply = await desk.reply()
    except Cancelled:
        return
    except SwarmError as error:
        reason = reason_of(error)
    except Exception:
        log.exception("a reply broke", order=order.id)
        reason = Reason(kind=ReasonKind.WORK, text=_BROKE)
    finally:
        company.book.forget(order.id)
    try:
        await desk.close(reply, reason)
    except Cancelled:
        return


def may_hear(item: Recalled, *, role: str, customer: str) -> bool:
    """Return whether a customer may be told of a memory.

    That is what is kept of this one customer; and facts of the company which a person has made
    public for the role that serves, by naming it in the audience. A memory without an audience is
    for everybody in the company, and so for nobody outside of it.
    """
    if item.scope is Scope.CUSTOMER:
        return item.scope_id == customer
    is_public = item.scope is Scope.COMPANY and role in item.audience
    return is_public and item.kind is MemoryKind.FACT and not item.is_quarantined


class ReplyDesk:
    """The steps of one reply."""

    def __init__(self, company: Company, service: Service, order: records.Claimed) -> None:
        self._company = company
        self._service = service
        self._order = order
        self._customer = customer_id(order.channel, order.sender_id)
        self.state: OrderState = order.state

    async def begin(self) -> bool:
        """Take the task into this run's hands; False where the order has moved on."""
        order = self._order
        return await self._company.store.awrite(
            lambda c: records.claim_task(c, order.id, order.segment, TASK, order.token)
        )

    async def reply(self) -> Reply:
        """Ask the role for its reply.

        Raises:
            SwarmError: There is none: a budget, a provider, an answer that fits nothing.
        """
        company, order = self._company, self._order
        role = company.org.role(self._service.config.role)
        passages = await self._gathered(role.name)
        state = self.state
        mind = Mind(
            metered=company.metered,
            role=role,
            model=company.model_of(role),
            order_id=order.id,
            node=f"{TASK}/{state.revision}.{state.retry}/w0",
            caller=Caller(role.name, TASK, order.token, task_limit=role.budget),
        )
        messages = serving_messages(
            role,
            company=self._service.company,
            language=state.language,
            material=state.memories[0],
            is_compact=mind.capabilities.compact_prompts,
        )
        found = await decide(
            mind,
            messages,
            name="reply",
            schema=reply_schema(),
            read=lambda document: read_reply(document, labels=list(passages)),
        )
        sources = tuple(dict.fromkeys(passages[label] for label in found.sources))
        return found.model_copy(update={"sources": sources})

    async def _gathered(self, role: str) -> Mapping[str, str]:
        """Put the material of the reply into the order's state; return the sources by label.

        It is stored before the model is asked, so that a second run asks the same.
        """
        if not self.state.memories:
            shown = await self._found(role)
            earlier = await self._company.store.aread(self._earlier)
            words = "\n".join([self.state.text, *self.state.corrections])
            material = serving_material(passages=shown, earlier=earlier, words=words)
            labels = tuple(f"{label} {source}" for label, (source, _) in shown.items())
            self.state = self.state.model_copy(
                update={
                    "memories": (material,),
                    "recalled": labels,
                    "language": languages.detect(self.state.text),
                }
            )
            await self._company.store.awrite(
                lambda c: records.advance(c, self._order, state=self.state.model_dump_json())
            )
        pairs = (label.partition(" ") for label in self.state.recalled)
        return {label: source for label, _, source in pairs}

    async def _found(self, role: str) -> dict[str, tuple[str, str]]:
        """Return what the company wrote down on the question, by label."""
        asked = await self._company.store.aread(self._question)
        passages = await asyncio.to_thread(self._service.knowledge().find, asked, limit=PASSAGES)
        # By words alone: vectors of memories would be paid for with this customer's money.
        items = await asyncio.to_thread(
            self._company.memory.recall,
            asked,
            limit=LOOKED_AT,
            viewer=Viewer(role, customer=self._customer),
        )
        facts = [i for i in items if may_hear(i, role=role, customer=self._customer)][:FACTS]
        found = {f"k{n}": (p.source, p.text) for n, p in enumerate(passages, start=1)}
        notes = {f"f{n}": (_source(item), item.text) for n, item in enumerate(facts, start=1)}
        return found | notes

    def _question(self, connection: Connection) -> str:
        """Return what is looked up: the words now, and those before, which they may lean on."""
        said = [text for side, text in self._earlier(connection) if side == Side.CUSTOMER.value]
        return "\n".join([self.state.text, *said[-1:]])

    def _earlier(self, connection: Connection) -> list[tuple[str, str]]:
        return self._talk(connection).earlier(
            limit=self._service.config.turns, since=self._since, but_of=self._order.id
        )

    @property
    def _since(self) -> datetime:
        """Return when the conversation began at the earliest."""
        hours = self._service.config.conversation_hours
        return self._company.clock.now() - timedelta(hours=hours)

    def _talk(self, connection: Connection) -> Talk:
        return Talk(connection, self._order.channel, self._order.sender_id)

    async def close(self, reply: Reply | None, reason: Reason | None) -> None:
        """End the order: its state, the reply, and a human where one is needed, in one commit."""
        company, order = self._company, self._order
        now = company.clock.now()
        used = company.meter.rows(order.id)
        status = _status(reason)

        def work(connection: Connection) -> None:
            text = self._written(connection, reply)
            state = self.state.model_copy(update={"answer": text if reply is not None else None})
            self._save_task(connection, text, reason)
            records.advance(
                connection,
                order,
                state=state.model_dump_json(),
                status=status.value,
                reason=reason.model_dump_json() if reason else None,
                owner=None,
                delivered_at=iso(now) if reply is not None else None,
            )
            release_holds(connection, order.id)
            self._hand_over(connection, reply, reason)
            self._talk(connection).add(Side.SUPPORT, text, at=now, order_id=order.id)
            self._tell(connection, text)
            place_rest(self._service, connection, order)
            write_usage(connection, used)

        await company.store.awrite(work)
        company.meter.written(used)

    def _save_task(self, connection: Connection, text: str, reason: Reason | None) -> None:
        status = TaskStatus.ACCEPTED if reason is None else TaskStatus.FAILED
        task = TaskState(
            status=status, attempts=1, summary=text, reason=reason, mark=self.state.mark
        )
        records.save_task(connection, self._order.id, TASK, self._order.token, task)

    def _written(self, connection: Connection, reply: Reply | None) -> str:
        """Write what the customer reads: who speaks, the answer, its sources, and what follows."""
        lang = self._language(connection)
        company = self._service.company
        parts = []
        if not self._talk(connection).was_answered(since=self._since):
            parts.append(say("customer_is_ai", lang, company=company))
        if reply is None:
            parts.append(say("customer_sorry", lang))
        else:
            is_bare = reply.kind is ReplyKind.UNKNOWN and not reply.answer
            parts.append(say("customer_unknown", lang) if is_bare else reply.answer)
        if reply is not None and reply.sources:
            parts.append(say("customer_sources", lang, sources="; ".join(reply.sources)))
        if reply is None or reply.needs_human:
            parts.append(say("customer_handed", lang, company=company))
        return "\n\n".join(part for part in parts if part)

    def _language(self, connection: Connection) -> str | None:
        """Return the language of the question, else of the customer's own app."""
        person = self._service.people.find(connection, self._order.channel, self._order.sender_id)
        return self.state.language or (person.language if person is not None else None)

    def _hand_over(
        self, connection: Connection, reply: Reply | None, reason: Reason | None
    ) -> None:
        if reply is not None and not reply.needs_human:
            return
        people = self._service.people
        person = people.find(connection, self._order.channel, self._order.sender_id)
        if person is None or person.role is not PersonRole.CUSTOMER:
            return  # Shown the door since.
        why = reply.reason if reply is not None else reason.text if reason is not None else ""
        Handovers(self._service, connection).ask(
            self._message(""),
            person=person,
            words=self.state.text,
            account=records.find(connection, self._order.id).account,
            reason=why or "Support does not know",
            order_id=self._order.id,
        )

    def _tell(self, connection: Connection, text: str) -> None:
        put(
            connection,
            # One reply for each segment, however often it is run.
            dedupe_key=f"{self._order.id}/{self._order.segment}/reply",
            message=self._message(text),
            now=iso(self._company.clock.now()),
        )

    def _message(self, text: str) -> OutboundMessage:
        return OutboundMessage(
            channel=self._order.channel,
            chat_id=self._order.chat_id,
            thread_id=self._order.thread_id,
            kind=OutboundKind.ANSWER,
            text=text,
        )


def _status(reason: Reason | None) -> OrderStatus:
    if reason is None:
        return OrderStatus.DELIVERED
    return OrderStatus.FAILED if reason.kind is ReasonKind.WORK else OrderStatus.PARKED


def _source(item: Recalled) -> str:
    return item.source or ("what you told us" if item.scope is Scope.CUSTOMER else "our notes")
