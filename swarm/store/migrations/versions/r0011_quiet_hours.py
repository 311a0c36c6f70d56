"""Hold what is not urgent while a person sleeps, and give an order a topic of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("held_until", sa.String(), nullable=True))
    op.create_index("ix_people_chat", "people", ["channel", "chat_id"], unique=False)
    op.create_table(
        "quiet_hours",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("platform_id", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=True),
        sa.Column("hours", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("set_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "platform_id"),
    )
    op.create_table(
        "topics",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("chat_id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=True),
        sa.Column("origin_thread", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("ix_topics_state", "topics", ["channel", "state"], unique=False)
    op.create_index("ix_topics_thread", "topics", ["channel", "chat_id", "thread_id"], unique=False)
