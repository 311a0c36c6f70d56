"""What serving customers needs, in one place: the settings, the folder, and who is to be told.

A customer's message goes this way: `customers_desk` decides what it is, counts it against the
person's limits and places an order; `customers_answering` works that order in one step of one
role; `customers_handover` brings in a human. `customers_talk` keeps what was said, each customer's
apart from all others'.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.channels.bound import SUFFIX
from swarm.core.clock import Clock, iso
from swarm.core.ids import Ids
from swarm.core.money import from_pico
from swarm.core.order import OrderStatus
from swarm.ledger.budget import COMPANY
from swarm.runtime.customers_config import CustomersConfig
from swarm.runtime.people import People
from swarm.store.audit import AuditChain
from swarm.store.audit_key import FILE as KEY_FILE
from swarm.store.audit_key import AuditKey
from swarm.store.tables import budgets, customer_turns, ledger, orders

if TYPE_CHECKING:
    from swarm.memory.knowledge import Knowledge
    from swarm.runtime.intake import Intake

KNOWLEDGE = "knowledge"
"""Name of the folder in the home."""
_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(current_setting('swarm.company'), 1400333173))"
)
"""Names the lock under which Postgres counts what customers may still spend."""


@dataclass(frozen=True)
class Service:
    """How a company serves its customers."""

    config: CustomersConfig
    company: str
    """How the company calls itself."""
    home: Path
    clock: Clock
    ids: Ids
    people: People
    intake: Callable[[Connection], "Intake"]
    """Take orders in, as part of a transaction."""
    knowledge: Callable[[], "Knowledge"]
    """Open the folder; the first question does."""

    @property
    def audit(self) -> AuditChain:
        """Return the record of who did what."""
        return AuditChain(clock=self.clock, key=AuditKey.load_or_create(self.home / KEY_FILE))

    def tombstone(self, connection: Connection, memory_id: str, digest: str, by: str) -> None:
        """Write into that record that a memory was forgotten; its text is in no row."""
        self.audit.append(
            connection,
            kind="memory_forgotten",
            order_id=None,
            actor=by,
            initiator=None,
            approver=by,
            body={"memory": memory_id, "record_sha256": digest},
        )


def folder_of(config: CustomersConfig, home: Path) -> Path:
    """Return the knowledge folder."""
    return home / KNOWLEDGE if config.knowledge is None else home / config.knowledge


def granted(
    connection: Connection, config: CustomersConfig, *, channel: str, person_id: str, now: datetime
) -> Decimal:
    """Return what the next answer to a person may cost; zero where the day's money is used up.

    What an order at work may still spend counts as spent, so that any number of them together
    stay within the day.
    """
    if connection.dialect.name == "postgresql":
        # Two transactions that count at the same moment would both find the same rest.
        connection.execute(_LOCK)
    left = allowance(connection, config, channel=channel, person_id=person_id, now=now)
    return min(config.answer_budget, left)


def allowance(
    connection: Connection, config: CustomersConfig, *, channel: str, person_id: str, now: datetime
) -> Decimal:
    """Return what may still be spent on a person today, voice notes included; never below zero."""
    all_left = config.day_budget - _bound(connection, now) - _spoken(connection, now)
    own = (orders.c.channel == channel, orders.c.sender_id == person_id)
    spoke = (customer_turns.c.channel == channel, customer_turns.c.person_id == person_id)
    left = config.person_day_budget - _bound(connection, now, *own)
    return max(min(left - _spoken(connection, now, *spoke), all_left), Decimal(0))


def _spoken(connection: Connection, now: datetime, *whose: "sa.ColumnElement[bool]") -> Decimal:
    """Return what voice notes of this UTC day cost of which no order was made."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    names = sa.select(customer_turns.c.note).where(
        customer_turns.c.at >= iso(midnight), customer_turns.c.note.is_not(None), *whose
    )
    # Currencies are not added: a note in another one is held by the company's own day alone.
    ours = sa.select(budgets.c.currency).where(budgets.c.scope == COMPANY).scalar_subquery()
    query = sa.select(sa.func.sum(ledger.c.cost_pico + ledger.c.reserved_pico)).where(
        ledger.c.order_id.in_(names), ledger.c.currency == ours
    )
    return from_pico(int(connection.execute(query).scalar() or 0))


def _bound(connection: Connection, now: datetime, *whose: "sa.ColumnElement[bool]") -> Decimal:
    """Return what answers of this UTC day have cost and may still cost."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    is_moving = orders.c.status.in_([s.value for s in OrderStatus if s.is_moving])
    owed = budgets.c.spent_pico + budgets.c.reserved_pico
    amount = sa.case((is_moving, budgets.c.limit_pico), else_=owed)
    query = (
        sa.select(sa.func.sum(amount))
        .select_from(orders)
        .join(budgets, budgets.c.scope == sa.literal("order:") + orders.c.id)
        .where(orders.c.created_at >= iso(midnight), of_customers(), *whose)
    )
    return from_pico(int(connection.execute(query).scalar() or 0))


def of_customers() -> "sa.ColumnElement[bool]":
    """Return the condition that an order came from a channel of customers."""
    return orders.c.channel.endswith(SUFFIX, autoescape=True)
