"""Find at once which message of a long queue goes next."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.drop_index("ix_outbox_state", table_name="outbox")
    op.create_index("ix_outbox_queue", "outbox", ["state", "channel", "chat_id"])
    op.create_index("ix_outbox_waiting", "outbox", ["state", "channel", "not_before", "chat_id"])
