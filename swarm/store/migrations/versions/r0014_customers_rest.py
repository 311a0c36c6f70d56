"""Keep when a human was shown a customer and answered, and the files that customers send."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("handovers", sa.Column("shown_at", sa.String(), nullable=True))
    op.add_column("handovers", sa.Column("answered_at", sa.String(), nullable=True))
    op.add_column(
        "customer_turns", sa.Column("files", sa.Text(), server_default="[]", nullable=False)
    )
    op.add_column("customer_turns", sa.Column("note", sa.String(), nullable=True))
