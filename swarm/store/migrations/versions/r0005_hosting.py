"""Meter the machine: what ran, for which task, and what the month's bill is."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "hosting_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "hosting_usage",
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("task_id", sa.String(), nullable=True),
        sa.Column("segment", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=False),
        sa.Column("elapsed_ms", sa.BigInteger(), nullable=False),
        sa.Column("cpu_us", sa.BigInteger(), nullable=False),
        sa.Column("memory_kib_ms", sa.BigInteger(), nullable=False),
        sa.Column("sandbox_cpu_us", sa.BigInteger(), nullable=False),
        sa.Column("sandbox_memory_kib_ms", sa.BigInteger(), nullable=False),
        sa.Column("peak_kib", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance", "seq"),
    )
    with op.batch_alter_table("hosting_usage", schema=None) as batch_op:
        batch_op.create_index("ix_hosting_usage_order", ["order_id"], unique=False)
        batch_op.create_index("ix_hosting_usage_started", ["started_at"], unique=False)
