"""From a message to an order: stored and enqueued in one commit, the same update only once."""

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from swarm.core.clock import Clock, iso
from swarm.core.errors import InvalidInput
from swarm.core.ids import Ids
from swarm.core.mark import CLEAN
from swarm.core.message import InboundMessage
from swarm.core.order import OrderState, OrderStatus
from swarm.core.text import order_text
from swarm.ledger import budget
from swarm.ledger.budget import BudgetConfig
from swarm.runtime.engine import SEGMENT, Engine
from swarm.runtime.records import lane_of, segment_id
from swarm.store.database import Store
from swarm.store.prepared import Prepared
from swarm.store.tables import orders


@dataclass(frozen=True, slots=True)
class Wish:
    """How the founder wants an order treated."""

    budget: Decimal | None = None
    """The most it may spend, in the company's currency; None takes the company's rule."""
    is_auto_signed: bool = False


class Intake:
    """Take orders in. Works beside a running worker and without one."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        clock: Clock,
        ids: Ids,
        currency: str,
        budgets: BudgetConfig,
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._currency = currency
        self._budgets = budgets

    def place(self, message: InboundMessage, wish: Wish | None = None) -> str:
        """Store an order and its first segment; return its id, the first one's for a repeat.

        Raises:
            InvalidInput: Empty or too long a text, or a budget that is no positive amount.
        """
        wish = wish or Wish()
        text = order_text(message.text)
        check_budget(wish.budget)
        try:
            return self._store.write(lambda c: self._insert(c, message, text, wish))
        except IntegrityError:
            # Two doors stored the same update at the same moment; the first one's order counts.
            return self._store.write(lambda c: self._insert(c, message, text, wish))

    def _insert(
        self, connection: Connection, message: InboundMessage, text: str, wish: Wish
    ) -> str:
        update = {
            "of_channel": message.channel,
            "of_account": message.account,
            "of_update": message.update_id,
        }
        known = _KNOWN.scalar(connection, update)
        if known is not None:
            return str(known)
        order_id = self._ids.new("o")
        origin = message.origin
        state = OrderState(text=text, origin=origin, mark=CLEAN.after(origin))
        row = {
            "id": order_id,
            "created_at": iso(message.received_at),
            "channel": message.channel,
            "account": message.account,
            "update_id": message.update_id,
            "chat_id": message.chat_id,
            "thread_id": message.thread_id,
            "sender_id": message.sender_id,
            "status": OrderStatus.QUEUED.value,
            "segment": 0,
            "is_auto_signed": wish.is_auto_signed,
            "origin": message.origin.value,
            "customer": message.customer,
            "state": state.model_dump_json(),
        }
        _INSERT.run(connection, row)
        budget.open_scope(
            connection,
            budget.order_scope(order_id),
            limit=wish.budget or self._budgets.order,
            currency=self._currency,
        )
        budget.open_scope(
            connection, budget.COMPANY, limit=self._budgets.company, currency=self._currency
        )
        self._engine.enqueue(
            connection,
            SEGMENT,
            segment_id(order_id, 0),
            order_id,
            0,
            lane=lane_of(message.channel, message.sender_id, message.customer),
        )
        return order_id


# Written once: building a statement costs more than running it.
_KNOWN = Prepared(
    sa.select(orders.c.id).where(
        orders.c.channel == sa.bindparam("of_channel"),
        orders.c.account == sa.bindparam("of_account"),
        orders.c.update_id == sa.bindparam("of_update"),
    )
)
_INSERT = Prepared(orders.insert())


def check_budget(amount: Decimal | None) -> None:
    """Refuse what is no amount to spend.

    Raises:
        InvalidInput: Zero, negative, not finite, or beyond what a database can add.
    """
    if amount is None:
        return
    if not amount.is_finite() or amount <= 0 or amount > 1_000_000:
        raise InvalidInput(
            f"A budget of {amount} makes no sense: give an amount between 0 and 1,000,000, "
            "for example `--budget 2.50`."
        )
