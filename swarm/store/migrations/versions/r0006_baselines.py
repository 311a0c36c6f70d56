"""Freeze baselines with their author, and keep what people really took."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("baselines", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(), server_default="frozen", nullable=False))
        batch_op.add_column(
            sa.Column("plan_revision", sa.Integer(), server_default="0", nullable=False)
        )
        batch_op.add_column(sa.Column("author", sa.String(), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column("calibration_id", sa.String(), server_default="borrowed-x4", nullable=False)
        )
    # Until now a row was numbered by the plan it estimated.
    op.execute("UPDATE baselines SET plan_revision = revision")
    op.create_table(
        "actuals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=True),
        sa.Column("task_id", sa.String(), nullable=True),
        sa.Column("work", sa.String(), nullable=False),
        sa.Column("estimate_hours", sa.String(), nullable=True),
        sa.Column("actual_hours", sa.String(), nullable=False),
        sa.Column("elapsed_hours", sa.String(), nullable=True),
        sa.Column("cost_pico", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("finished_at", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.Column("imported_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("actuals", schema=None) as batch_op:
        batch_op.create_index("ix_actuals_order", ["order_id"], unique=False)
        batch_op.create_index("ux_actuals_digest", ["digest"], unique=True)
    for table in ("baselines", "actuals"):
        _forbid_changes(table)


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
