"""One customer forgotten: their words, their files and what was remembered of them are deleted.

What stays is what the company owes others: amounts in the ledger, the fact that so many messages
came within this hour, and the numbers of updates, without which a platform that brings a message
again would bring the conversation back.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import customer_id, is_for_customers
from swarm.core.clock import iso
from swarm.core.errors import Conflict
from swarm.core.order import OrderState, OrderStatus
from swarm.ledger.book import release_holds
from swarm.memory.forgetting import forget_customer
from swarm.runtime import inbox as box
from swarm.runtime.customers import Service
from swarm.runtime.customers_talk import HEARD, HOUR, Side
from swarm.runtime.incoming import FOLDER
from swarm.store.tables import (
    customer_turns,
    handovers,
    inbox,
    labels,
    ledger,
    orders,
    outbox,
    people,
    tasks,
)

FORGOTTEN = "(forgotten)"
"""What stands where a customer's words stood."""
_BATCH = 200
"""Ids named in one statement: a database takes so many parameters and no more."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted of one customer."""

    messages: int
    files: int
    memories: tuple[str, ...]
    orders: tuple[str, ...]
    """Answers whose words are gone; their amounts stay."""
    handovers: tuple[str, ...]
    internal_orders: tuple[str, ...]
    """Orders that the company's own people opened about it, and that still quote the customer."""


def forget(
    service: Service,
    connection: Connection,
    *,
    channel: str,
    person_id: str,
    by: str | None,
    up_to: int | None = None,
) -> Forgotten:
    """Delete what one customer wrote and was told, as part of the caller's transaction.

    Args:
        service: Whose customer it is.
        connection: The transaction.
        channel: A channel of customers.
        person_id: The platform's id of the customer.
        by: The person of the company who does it, as `channel:id`; None for the customer.
        up_to: Number of the update that asks for it; what came later stays.

    Raises:
        Conflict: An answer to them is being written; nothing was changed.
    """
    assert is_for_customers(channel), "nobody else's conversation is forgotten this way"
    # Rows of the chain are never deleted: who was forgotten is not written into it again.
    digest = hashlib.sha256(customer_id(channel, person_id).encode()).hexdigest()
    actor = by or f"customer {digest[:16]}"
    found = _Forgetting(service, connection, channel, person_id, actor).run(up_to)
    service.audit.append(
        connection,
        kind="customer_forgotten",
        order_id=None,
        actor=actor,
        initiator=None,
        approver=actor,
        body={
            "customer_sha256": digest,
            "messages": found.messages,
            "files": found.files,
            "memories": len(found.memories),
            "orders": list(found.orders),
        },
    )
    return found


class _Forgetting:
    """The parts of it, in the order in which they lean on each other."""

    def __init__(
        self, service: Service, connection: Connection, channel: str, person_id: str, by: str
    ) -> None:
        self._by = by
        self._service = service
        self._connection = connection
        self._channel = channel
        self._person = person_id
        self._now: datetime = service.clock.now()

    def run(self, up_to: int | None) -> Forgotten:
        customer = customer_id(self._channel, self._person)
        memories = forget_customer(
            self._connection, customer, by=self._by, tombstone=self._service.tombstone
        )
        known = self._rows(orders, orders.c.sender_id)
        self._check(known)
        asked = self._rows(handovers, handovers.c.person_id)
        chats = {row.chat_id for row in (*known, *asked)} | self._chat()
        self._blank_orders(known)
        self._blank_outbox(sorted(chats), [row.id for row in asked])
        messages, spoken = self._drop_turns()
        self._blank_ledger([*(row.id for row in known), *spoken])
        files = self._blank_inbox(up_to)
        self._connection.execute(
            handovers.delete().where(*self._whose(handovers, handovers.c.person_id))
        )
        self._drop_person()
        return Forgotten(
            messages=messages,
            files=files,
            memories=memories,
            orders=tuple(row.id for row in known),
            handovers=tuple(row.id for row in asked),
            internal_orders=tuple(r.inner_order_id for r in asked if r.inner_order_id),
        )

    def _whose(self, table: sa.Table, person: Any) -> tuple[Any, ...]:
        return (table.c.channel == self._channel, person == self._person)

    def _rows(self, table: sa.Table, person: Any) -> Sequence[Any]:
        return self._connection.execute(
            sa.select(table).where(*self._whose(table, person)).order_by(table.c.id)
        ).all()

    def _chat(self) -> set[str]:
        row = self._connection.execute(
            sa.select(people.c.chat_id).where(*self._whose(people, people.c.platform_id))
        ).first()
        return {row.chat_id} if row is not None and row.chat_id else set()

    def _check(self, known: Sequence[Any]) -> None:
        """Refuse while an answer is on its way: it would come back with all that was said."""
        busy = [row.id for row in known if row.status == OrderStatus.WORKING.value]
        if busy:
            raise Conflict(
                f"An answer to them is being written ({busy[0]}): try again in a minute, or "
                f"`swarm cancel {busy[0]}` first."
            )

    def _blank_orders(self, known: Sequence[Any]) -> None:
        for row in known:
            old = OrderState.model_validate_json(row.state)
            state = OrderState(text=FORGOTTEN, origin=old.origin, mark=old.mark)
            is_over = row.status in (OrderStatus.DELIVERED.value, OrderStatus.CANCELLED.value)
            # What could go on would answer a question that nobody knows any more.
            status = row.status if is_over else OrderStatus.CANCELLED.value
            self._connection.execute(
                orders.update()
                .where(orders.c.id == row.id)
                .values(state=state.model_dump_json(), status=status, owner=None, reason=None)
            )
            release_holds(self._connection, row.id)
            self._connection.execute(tasks.delete().where(tasks.c.order_id == row.id))
            self._connection.execute(labels.delete().where(labels.c.order_id == row.id))
            shutil.rmtree(self._service.home / "workspace" / row.id, ignore_errors=True)

    def _blank_ledger(self, lines: Sequence[str]) -> None:
        """Take the words out of what models were asked and said; counts and amounts stay."""
        for ids in _batches(lines):
            rows = self._connection.execute(
                sa.select(ledger.c.id, ledger.c.prompt).where(ledger.c.order_id.in_(ids))
            ).all()
            for row in rows:
                kept = {
                    key: value
                    for key, value in json.loads(row.prompt).items()
                    if key in ("max_output_tokens", "temperature")
                }
                self._connection.execute(
                    ledger.update()
                    .where(ledger.c.id == row.id)
                    .values(
                        prompt=json.dumps(kept | {"messages": []}), answer=None, error_text=None
                    )
                )

    def _blank_outbox(self, chats: Sequence[str], asked: Sequence[str]) -> None:
        """Empty what they were sent, and the cards on which the staff read their words."""
        own = sa.and_(outbox.c.channel == self._channel, outbox.c.chat_id.in_(chats))
        ids = self._connection.execute(sa.select(outbox.c.id).where(own)).scalars().all()
        cards = [outbox.c.dedupe_key.startswith(f"handover/{name}/") for name in asked]
        cards += [outbox.c.ask_id == name for name in asked]
        cards += [outbox.c.dedupe_key.startswith(f"doubt/{number}/") for number in ids]
        for which in _batches([own, *cards]):
            # What is on its way at this moment is not called back; it is not said again either.
            is_open = outbox.c.state.in_(["pending", "unknown", "sending"])
            values = {"body": FORGOTTEN, "markup": None, "files": "[]", "buttons": "[]"}
            self._connection.execute(
                outbox.update()
                .where(sa.or_(*which))
                .values(
                    **values,
                    error=None,
                    state=sa.case((is_open, "void"), else_=outbox.c.state),
                )
            )

    def _drop_turns(self) -> tuple[int, list[str]]:
        """Delete what was said; return how much it was, and the names of lines that were spoken."""
        rows = self._rows(customer_turns, customer_turns.c.person_id)
        spoken = [name for row in rows if row.note for name in row.note.split()]
        whose = self._whose(customer_turns, customer_turns.c.person_id)
        # Within the hour they still count against the limits, or forgetting would lift them.
        hour = customer_turns.c.at > iso(self._now - HOUR)
        heard = customer_turns.c.side.in_(HEARD)
        self._connection.execute(
            customer_turns.update()
            .where(*whose, hour, heard)
            .values(side=Side.COMMAND.value, text="", files="[]", order_id=None)
        )
        is_limit = customer_turns.c.side == Side.LIMIT.value
        self._connection.execute(
            customer_turns.delete().where(*whose, sa.not_(sa.and_(hour, sa.or_(heard, is_limit))))
        )
        return sum(bool(row.text) for row in rows), spoken

    def _blank_inbox(self, up_to: int | None) -> int:
        """Empty the updates and delete the files that came with them; return how many those were."""
        whose = [*self._whose(inbox, inbox.c.sender_id)]
        if up_to is not None:
            whose.append(inbox.c.id <= up_to)
        files = 0
        for row in self._connection.execute(sa.select(inbox).where(*whose)).all():
            message = box.read(row)
            bare = replace(message, text="", data="", sender_name="", files=(), raw=b"")
            waits = row.state == box.NEW and row.id != up_to
            self._connection.execute(
                inbox.update()
                .where(inbox.c.id == row.id)
                .values(body=box.write(bare), raw=b"", state=box.IGNORED if waits else row.state)
            )
            folder = self._service.home / FOLDER / str(row.id)
            if folder.is_dir():
                files += sum(1 for _ in folder.iterdir())
                shutil.rmtree(folder, ignore_errors=True)
        return files

    def _drop_person(self) -> None:
        """Delete the person; of one who was shown the door the number stays, or it would open."""
        whose = self._whose(people, people.c.platform_id)
        self._connection.execute(people.delete().where(*whose, people.c.revoked_at.is_(None)))
        self._connection.execute(people.update().where(*whose).values(name="", language=None))


def _batches(found: Sequence[Any]) -> list[Sequence[Any]]:
    return [found[at : at + _BATCH] for at in range(0, len(found), _BATCH)]
