"""What began when the machine died: told once, in a message of its own, with what to do."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from swarm.core.message import OutboundKind, OutboundMessage
from swarm.core.order import OrderState
from swarm.core.text import shorten
from swarm.ledger.effects import UNKNOWN
from swarm.runtime.outbox import TERMINAL, put
from swarm.runtime.phrases import say
from swarm.runtime.records import Claimed
from swarm.store.prepared import Prepared
from swarm.store.tables import effects

ARGUMENTS_SIGNS = 400
_UNKNOWN = Prepared(
    sa.select(effects)
    .where(effects.c.order_id == sa.bindparam("of_order"), effects.c.state == UNKNOWN)
    .order_by(effects.c.at, effects.c.node, effects.c.seq, effects.c.position)
)
"""Most characters of a call's arguments that a message shows."""


def tell_unknown_effects(
    connection: Connection, order: Claimed, state: OrderState, *, now: str
) -> None:
    """Queue a message for each effect of an order of which nobody knows whether it happened.

    Part of the transaction that ends a segment. The key of each message is the call's own place, so
    that however often the order goes on, each is told once.
    """
    if order.channel == TERMINAL:
        return
    for row in _UNKNOWN.all(connection, {"of_order": order.id}):
        put(
            connection,
            dedupe_key=f"effect/{row.order_id}/{row.node}/{row.seq}/{row.position}",
            message=OutboundMessage(
                channel=order.channel,
                chat_id=order.chat_id,
                thread_id=order.thread_id,
                kind=OutboundKind.DECISION,
                text=_text(row, state),
                order_id=order.id,
            ),
            now=now,
        )


def _text(row: Any, state: OrderState) -> str:
    task_id = row.node.partition("/")[0]
    tasks = state.plan.tasks if state.plan is not None else ()
    role = next((task.role for task in tasks if task.id == task_id), task_id)
    return say(
        "effect_unknown",
        state.language,
        order=row.order_id,
        who=role,
        tool=row.tool,
        # The words are a model's: nothing of them may end the fence or format the message.
        arguments=shorten(row.arguments.replace("`", "'"), ARGUMENTS_SIGNS),
    )
