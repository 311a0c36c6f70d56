"""Let many companies share one Postgres.

SQLite stays as it is: one file is one company. On Postgres `store.parting` gives every table its
company column, keys and policy, after this revision and after all later ones; rows that are there
already become the company `main`.
"""

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing by itself: what has to be done is done after each upgrade, see above."""
