"""Tables are the same tables whether SQLModel reads their declarations or the lean reader does."""

import json
import subprocess
import sys

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from swarm.store.tables import declared, ledger, metadata

TOLD = """
import json, sys
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from swarm.store import lean
if sys.argv[1] == "lean":
    lean.begin()
from swarm.store.tables import declared, metadata
declared.teach_postgres()
told = {}
for table in metadata.sorted_tables:
    makes = [CreateTable(table), *map(CreateIndex, sorted(table.indexes, key=lambda i: i.name))]
    told[table.name] = {
        "ddl": [str(m.compile(dialect=d.dialect())) for d in (sqlite, postgresql) for m in makes],
        "defaults": {c.name: repr(c.default.arg) for c in table.columns if c.default is not None},
    }
print(json.dumps({"tables": told, "heavy": [m for m in ("sqlmodel", "sqlalchemy.orm") if m in sys.modules]}))
"""


def told(how: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", TOLD, how], capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_lean_reader_makes_the_tables_that_sqlmodel_makes_and_loads_no_mapper() -> None:
    lean, usual = told("lean"), told("usual")
    assert lean["tables"] == usual["tables"]
    assert isinstance(lean["tables"], dict)
    assert set(lean["tables"]) == set(metadata.tables)
    assert (lean["heavy"], usual["heavy"]) == ([], ["sqlmodel", "sqlalchemy.orm"])


def test_an_index_of_some_rows_is_one_on_postgres_too() -> None:
    declared.teach_postgres()
    (used,) = (index for index in ledger.indexes if index.name == "ux_ledger_used")
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    text = str(CreateIndex(used).compile(dialect=dialect))
    assert text.endswith("(order_id, node, seq) WHERE state = 'used'")
