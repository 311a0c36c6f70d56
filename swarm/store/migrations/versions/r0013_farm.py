"""Keep a journal of what the farm pays for."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

OPEN = sa.text("state = 'intended'")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "farm_instances",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("driver", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("generation", sa.String(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
        sa.Column("ready_at", sa.String(), nullable=True),
        sa.Column("ready_ms", sa.Integer(), nullable=True),
        sa.Column("bot", sa.String(), nullable=True),
        sa.Column("backup", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "farm_journal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("generation", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("size_gb", sa.String(), nullable=True),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("cpus", sa.String(), nullable=True),
        sa.Column("memory_mib", sa.Integer(), nullable=True),
        sa.Column("hour_pico", sa.BigInteger(), nullable=True),
        sa.Column("month_pico", sa.BigInteger(), nullable=True),
        sa.Column("price", sa.Text(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("intended_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=True),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("farm_journal", schema=None) as batch_op:
        batch_op.create_index("ix_farm_journal_instance", ["instance"], unique=False)
        batch_op.create_index(
            "ux_farm_journal_open",
            ["provider", "instance", "generation", "action", "kind", "name"],
            unique=True,
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        )
