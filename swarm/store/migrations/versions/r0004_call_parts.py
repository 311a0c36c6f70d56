"""Keep what each part of a model call cost, and as which provider said it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        for column in _columns():
            batch_op.add_column(column)
    # What a name says of its provider was known all along; parts are read again from `raw_usage`
    # by whoever prices an old call.
    op.execute(_PROVIDERS[op.get_bind().dialect.name])


_PROVIDERS = {
    "postgresql": "UPDATE ledger SET provider = split_part(model, '/', 1) WHERE model LIKE '%/%'",
    "sqlite": "UPDATE ledger SET provider = substr(model, 1, instr(model, '/') - 1) "
    "WHERE model LIKE '%/%'",
}


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("cache_write_1h_tokens", sa.Integer(), nullable=True),
        sa.Column("audio_tokens", sa.Integer(), nullable=True),
        sa.Column("tool_tokens", sa.Integer(), nullable=True),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("service_tier", sa.String(), nullable=True),
        sa.Column("parts", sa.Text(), nullable=True),
        sa.Column("listed_pico", sa.BigInteger(), nullable=True),
        sa.Column("listed_currency", sa.String(), nullable=True),
    ]
