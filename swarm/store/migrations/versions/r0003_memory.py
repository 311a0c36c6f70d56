"""Say of each memory whom it belongs to and how long it holds, and index its words."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SIGHT = (
    "number",
    "superseded_by",
    "scope",
    "scope_id",
    "is_quarantined",
    "valid_until",
    "audience",
)
IS_INDEXED = "{row}.number IS NOT NULL AND {row}.superseded_by IS NULL"


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "memory_vectors",
        sa.Column("memory_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("memory_id", "model"),
    )
    with op.batch_alter_table("memories", schema=None) as batch_op:
        for column in _columns():
            batch_op.add_column(column)
        batch_op.create_index("ux_memories_number", ["number"], unique=True)
        batch_op.create_index("ix_memories_sight", list(SIGHT), unique=False)
        batch_op.create_index(
            "ix_memories_subject", ["scope", "scope_id", "subject_key"], unique=False
        )
        batch_op.create_index("ix_memories_observed", ["observed_at"], unique=False)
        batch_op.create_index("ix_memories_superseded", ["superseded_by"], unique=False)
        batch_op.create_index("ix_memories_indexed", ["indexed_by"], unique=False)
    # What a stranger may have said before there was a quarantine enters it now. The words of old
    # rows are made anew by the memory itself, which finds them by `indexed_by` 0.
    op.execute("UPDATE memories SET words = ''")
    op.execute(
        sa.text("UPDATE memories SET is_quarantined = :yes WHERE origin NOT IN ('founder', 'team')")
        .bindparams(yes=True)
        .columns()
    )
    if op.get_bind().dialect.name == "postgresql":
        _index_postgres()
    else:
        _index_sqlite()


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("reach", sa.String(), server_default="", nullable=False),
        sa.Column("indexed_by", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scope", sa.String(), server_default="company", nullable=False),
        sa.Column("scope_id", sa.String(), nullable=True),
        sa.Column("audience", sa.String(), server_default="", nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("observed_by", sa.String(), nullable=True),
        sa.Column("is_flow", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("valid_until", sa.String(), nullable=True),
        sa.Column("half_life_days", sa.Integer(), nullable=True),
        sa.Column("confidence", sa.Float(), server_default="1", nullable=False),
        sa.Column("importance", sa.Float(), server_default="0.5", nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("subject_key", sa.String(), nullable=True),
        sa.Column("is_quarantined", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=True),
        sa.Column("superseded_by", sa.String(), nullable=True),
    ]


def _index_postgres() -> None:
    """Index the stems as they are: no parser and no dictionary of the server touches them."""
    op.execute(
        "CREATE INDEX ix_memories_words ON memories USING gin "
        "(array_to_tsvector(string_to_array(trim(words || ' ' || reach), ' '))) "
        "WHERE superseded_by IS NULL"
    )


def _index_sqlite() -> None:
    """Create the index and the triggers that keep it in step, whoever writes."""
    op.execute(
        "CREATE VIRTUAL TABLE memory_index USING fts5(words, reach, content='memories', "
        "content_rowid='number', tokenize='unicode61 remove_diacritics 2')"
    )
    add = "INSERT INTO memory_index(rowid, words, reach) VALUES (new.number, new.words, new.reach);"
    # The index holds no text of its own: it must be told what it indexed.
    take = (
        "INSERT INTO memory_index(memory_index, rowid, words, reach) "
        "VALUES ('delete', old.number, old.words, old.reach);"
    )
    of = "UPDATE OF number, words, reach, superseded_by"
    # Triggers of one event run in no promised order: before and after keep these two apart.
    for name, event, row, body in (
        ("insert", "AFTER INSERT", "new", add),
        ("delete", "BEFORE DELETE", "old", take),
        ("unindex", f"BEFORE {of}", "old", take),
        ("index", f"AFTER {of}", "new", add),
    ):
        op.execute(
            f"CREATE TRIGGER memories_{name} {event} ON memories "
            f"WHEN {IS_INDEXED.format(row=row)} BEGIN {body} END"
        )
