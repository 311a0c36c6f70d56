"""Let a company's search use the index of words under row-level security.

SQLite stays as it is: one file is one company. See `store.searching`.
"""

from alembic import op

from swarm.store import searching

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """On Postgres: put the documents that are searched behind a function of the owner."""
    if op.get_bind().dialect.name == "postgresql":
        searching.make(op.get_bind())
