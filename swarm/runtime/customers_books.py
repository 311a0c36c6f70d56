"""The company's customers as its own people see them: who they are, what was said, what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import SUFFIX, customer_id, is_for_customers
from swarm.core.errors import NotFound
from swarm.core.money import from_pico
from swarm.core.registry import nearest
from swarm.runtime.customers_cards import CLOSED
from swarm.runtime.customers_talk import HEARD, Side
from swarm.store.tables import budgets, customer_turns, handovers, orders, outbox, people

LISTED = 50
"""Customers that one look shows."""
_SHOWN = (Side.CUSTOMER.value, Side.COMMAND.value, Side.SUPPORT.value, Side.HUMAN.value)


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer."""

    id: str
    """Our own id of the person."""
    channel: str
    platform_id: str
    name: str
    """As they call themselves: shown, never compared."""
    chat_id: str | None
    is_revoked: bool
    last_at: str | None
    """When they last wrote; None where nothing of it is kept."""
    messages: int
    handover_id: str | None
    """What waits for a human, or has one."""
    handover_state: str | None

    @property
    def key(self) -> str:
        """Return the id under which the customer's data is kept."""
        return customer_id(self.channel, self.platform_id)


def customers(connection: Connection, *, limit: int = LISTED) -> list[Customer]:
    """Return the customers, those who wait for a human first, then whoever wrote last."""
    query = _query().order_by(
        handovers.c.id.is_(None), sa.desc(sa.func.coalesce(_last.c.at, "")), people.c.id
    )
    return [_customer(row) for row in connection.execute(query.limit(limit))]


def count(connection: Connection) -> int:
    """Return how many customers ever wrote."""
    query = sa.select(sa.func.count()).select_from(people).where(_IS_CUSTOMERS)
    return int(connection.execute(query).scalar_one())


def named(connection: Connection, name: str) -> Customer:
    """Return a customer by CHANNEL:ID, by our id, by the platform's, or by a hand-over's.

    Raises:
        NotFound: Nobody is known by it, or several are.
    """
    channel, _, platform_id = name.partition(":")
    is_named = [people.c.id == name, people.c.platform_id == name]
    if is_for_customers(channel):
        is_named.append(sa.and_(people.c.channel == channel, people.c.platform_id == platform_id))
    of_handover = sa.select(handovers.c.channel, handovers.c.person_id).where(
        handovers.c.id == name
    )
    row = connection.execute(of_handover).first()
    if row is not None:
        is_named.append(
            sa.and_(people.c.channel == row.channel, people.c.platform_id == row.person_id)
        )
    found = connection.execute(_query().where(sa.or_(*is_named)).limit(2)).all()
    if len(found) > 1:
        raise NotFound(f"{name!r} names several customers: write CHANNEL:ID.")
    if not found:
        known = [customer.key for customer in customers(connection, limit=200)]
        raise NotFound(f"There is no customer {name!r}{nearest(name, known)}")
    return _customer(found[0])


def conversation(connection: Connection, customer: Customer, *, limit: int) -> Sequence[Any]:
    """Return what was said with one customer, oldest first."""
    whose = (
        customer_turns.c.channel == customer.channel,
        customer_turns.c.person_id == customer.platform_id,
    )
    said = sa.or_(customer_turns.c.text != "", customer_turns.c.files != "[]")
    query = sa.select(customer_turns).where(*whose, customer_turns.c.side.in_(_SHOWN), said)
    rows = connection.execute(query.order_by(customer_turns.c.id.desc()).limit(limit)).all()
    return list(reversed(rows))


def unsent(connection: Connection, customer: Customer) -> Sequence[Any]:
    """Return what is still to be sent to a customer, with why it was not where that is known."""
    query = sa.select(outbox.c.body, outbox.c.error, outbox.c.state).where(
        outbox.c.channel == customer.channel,
        outbox.c.chat_id == (customer.chat_id or ""),
        outbox.c.state.in_(["pending", "sending", "unknown", "refused"]),
    )
    return connection.execute(query.order_by(outbox.c.id)).all()


def spent(connection: Connection, customer: Customer) -> Mapping[str, str]:
    """Return what the answers to one customer cost so far, by currency; currencies are not added."""
    query = (
        sa.select(
            budgets.c.currency,
            sa.cast(sa.func.sum(budgets.c.spent_pico), sa.BigInteger).label("pico"),
        )
        .join(orders, budgets.c.scope == sa.literal("order:") + orders.c.id)
        .where(orders.c.channel == customer.channel, orders.c.sender_id == customer.platform_id)
        .group_by(budgets.c.currency)
    )
    rows = connection.execute(query.order_by(budgets.c.currency))
    return {row.currency: f"{from_pico(int(row.pico)):f}" for row in rows}


_IS_CUSTOMERS = people.c.channel.endswith(SUFFIX, autoescape=True)
_last = (
    sa.select(
        customer_turns.c.channel,
        customer_turns.c.person_id,
        sa.func.max(customer_turns.c.at).label("at"),
        sa.func.count().label("messages"),
    )
    .where(customer_turns.c.side.in_(HEARD))
    .group_by(customer_turns.c.channel, customer_turns.c.person_id)
    .subquery()
)


def _query() -> "sa.Select[Any]":
    waits = sa.and_(
        handovers.c.channel == people.c.channel,
        handovers.c.person_id == people.c.platform_id,
        handovers.c.state != CLOSED,
    )
    wrote = sa.and_(_last.c.channel == people.c.channel, _last.c.person_id == people.c.platform_id)
    return (
        sa.select(
            people,
            _last.c.at.label("last_at"),
            sa.func.coalesce(_last.c.messages, 0).label("messages"),
            handovers.c.id.label("handover_id"),
            handovers.c.state.label("handover_state"),
        )
        .select_from(people.outerjoin(_last, wrote).outerjoin(handovers, waits))
        .where(_IS_CUSTOMERS)
    )


def _customer(row: Any) -> Customer:
    return Customer(
        id=row.id,
        channel=row.channel,
        platform_id=row.platform_id,
        name=row.name,
        chat_id=row.chat_id,
        is_revoked=row.revoked_at is not None,
        last_at=row.last_at,
        messages=int(row.messages),
        handover_id=row.handover_id,
        handover_state=row.handover_state,
    )
