"""Count the founder's minutes by what the founder did, and let the founder correct them."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "founder_actions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("since", sa.String(), nullable=True),
        sa.Column("asks", sa.Text(), server_default="[]", nullable=False),
        sa.Column("options", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refused", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "founder_corrections",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("gaps", sa.Text(), server_default="{}", nullable=False),
        sa.Column("about_at", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("revokes", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("founder_actions", schema=None) as batch_op:
        batch_op.create_index("ix_founder_actions_at", ["at"], unique=False)
        batch_op.create_index("ix_founder_actions_order", ["order_id"], unique=False)
    with op.batch_alter_table("founder_corrections", schema=None) as batch_op:
        batch_op.create_index("ix_founder_corrections_order", ["order_id"], unique=False)
        batch_op.create_index("ix_founder_corrections_about", ["about_at"], unique=False)
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index("ix_orders_created", ["created_at"], unique=False)
    _take_over()
    for table in ("founder_actions", "founder_corrections"):
        _forbid_changes(table)


def _take_over() -> None:
    """Write down what is known of people's earlier actions, so that old receipts keep minutes."""
    bind = op.get_bind()
    asks = bind.execute(
        sa.text(
            "SELECT a.id, a.order_id, a.kind, a.options, a.created_at, a.shown_at, a.answered_at, "
            "a.answered_by, a.answer, o.channel FROM asks a JOIN orders o ON o.id = a.order_id"
        )
    ).all()
    accepted = bind.execute(
        sa.text(
            "SELECT id, channel, accepted_at, accepted_by, delivered_at FROM orders "
            "WHERE accepted_at IS NOT NULL"
        )
    ).all()
    rows = [*_shown(asks), *_answered(asks), *map(_accepted, accepted)]
    rows.sort(key=lambda row: (row["at"], row["order_id"], row["kind"]))
    if rows:
        table = sa.table("founder_actions", *map(sa.column, rows[0]))
        bind.execute(table.insert(), rows)


def _row(kind: str, **values: Any) -> dict[str, Any]:
    return {"since": None, "asks": "[]", "options": 0, "refused": 0, "kind": kind, **values}


def _shown(asks: Any) -> Iterator[dict[str, Any]]:
    for ask in asks:
        if ask.shown_at is not None:
            yield _row(
                "shown",
                at=ask.shown_at,
                order_id=ask.order_id,
                who="",
                channel=ask.channel,
                asks=json.dumps([ask.id]),
                options=len(json.loads(ask.options)),
            )


def _answered(asks: Any) -> Iterator[dict[str, Any]]:
    """Yield one row for all that one command answered."""

    def act(ask: Any) -> tuple[str, ...]:
        return ask.answered_at, ask.order_id, ask.answered_by or "", _kind(ask), ask.channel

    done = sorted((ask for ask in asks if ask.answered_at is not None), key=act)
    for (at, order_id, who, kind, channel), group in groupby(done, key=act):
        together = sorted(group, key=lambda ask: str(ask.id))
        yield _row(
            kind,
            at=at,
            order_id=order_id,
            who=who,
            channel=channel,
            since=min(ask.shown_at or ask.created_at for ask in together),
            asks=json.dumps([ask.id for ask in together]),
            refused=sum(_refused(ask, kind) for ask in together),
        )


def _kind(ask: Any) -> str:
    if ask.kind in ("approval", "signature"):
        return "rejected" if (ask.answer or "").startswith("rejected") else "approved"
    return "chosen" if ask.kind == "choice" else "answered"


def _refused(ask: Any, kind: str) -> int:
    if kind == "chosen":
        return max(len(json.loads(ask.options)) - 1, 0)
    return int(kind == "rejected")


def _accepted(order: Any) -> dict[str, Any]:
    return _row(
        "accepted",
        at=order.accepted_at,
        order_id=order.id,
        who=order.accepted_by or "",
        channel=order.channel,
        since=order.delivered_at,
    )


def _forbid_changes(table: str) -> None:
    """Let the database itself refuse to change or delete rows of a table."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
